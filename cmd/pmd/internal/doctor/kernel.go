package doctor

import (
	"errors"
	"fmt"
	"io/fs"

	"example.org/pmd/pmd/afxdp"
)

// oldest is the kernel that package afxdp needs.
const oldestMajor, oldestMinor = 5, 11

// kernel looks at the kernel: its version, what it can do, and how programs run.
func (e *examination) kernel() {
	const release = "proc/sys/kernel/osrelease"
	text, ok := e.line(release)
	var major, minor int
	if _, err := fmt.Sscanf(text, "%d.%d", &major, &minor); !ok || err != nil {
		e.add(AreaKernel, "version", Problem, fmt.Sprintf("no Linux kernel is to be seen (/%s): AF_XDP is Linux's", release))
		return
	}
	if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		e.add(AreaKernel, "version", Problem, fmt.Sprintf("Linux %s: pmd needs %d.%d or later", text, oldestMajor, oldestMinor))
	} else {
		e.add(AreaKernel, "version", OK, "Linux "+text)
	}
	e.features()
	e.jit()
}

// missing says what it means that a feature does not work, and whether ports can do
// without.
var missing = map[string]struct {
	status Status
	means  string
}{
	afxdp.FeatureProgram:   {Problem, "no port can be opened in the driver"},
	afxdp.FeatureSocket:    {Problem, "no AF_XDP port can be opened"},
	afxdp.FeatureShared:    {Problem, "ports cannot share their frames"},
	afxdp.FeatureFrags:     {Advice, "an interface with a large MTU refuses the program"},
	afxdp.FeatureSG:        {Advice, "a frame has to fit one chunk"},
	afxdp.FeatureBusyPoll:  {Advice, "busy-poll= of a port is refused"},
	afxdp.FeatureTxBudget:  {Advice, "in copy mode a burst takes several system calls"},
	afxdp.FeatureXDPFamily: {Advice, "zero-copy is found out by trying it"},
}

// features tries what the driver uses of the kernel.
func (e *examination) features() {
	list, err := e.m.TryKernel()
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission):
		e.add(AreaKernel, "features", Advice, "AF_XDP was not tried: "+err.Error(), e.again())
	case errors.Is(err, errors.ErrUnsupported):
		e.add(AreaKernel, "features", Advice, "AF_XDP was not tried, there is no veth to try it on: "+err.Error(), "modprobe veth")
	default:
		e.add(AreaKernel, "features", Advice, "AF_XDP was not tried: "+err.Error())
	}
	for _, f := range list {
		m := missing[f.Name]
		switch {
		case f.Err == nil:
			e.add(AreaKernel, f.Name, OK, f.Name)
		case errors.Is(f.Err, fs.ErrPermission):
			e.add(AreaKernel, f.Name, Advice, fmt.Sprintf("%s: not tried: %v", f.Name, f.Err), e.again())
		default:
			e.add(AreaKernel, f.Name, m.status, fmt.Sprintf("%s: not here, Linux %s has it: %s (%v)", f.Name, f.Since, m.means, f.Err))
		}
	}
}

// jit looks at how BPF programs run (Documentation/admin-guide/sysctl/net.rst). The
// file is not there in other network namespaces than the first.
func (e *examination) jit() {
	const file = "proc/sys/net/core/bpf_jit_enable"
	if e.hidden(file) {
		e.add(AreaKernel, "bpf_jit_enable", Advice, "net.core.bpf_jit_enable was not looked at: root may read it", e.again())
		return
	}
	const set = "sysctl -w net.core.bpf_jit_enable=1"
	switch n, ok := e.number(file); {
	case !ok:
	case n == 0:
		e.add(AreaKernel, "bpf_jit_enable", Advice, "BPF programs are interpreted, which every frame pays for", set)
	case n == 2:
		e.add(AreaKernel, "bpf_jit_enable", Advice, "BPF programs are compiled with a dump into the kernel's log", set)
	default:
		e.add(AreaKernel, "bpf_jit_enable", OK, "BPF programs are compiled (net.core.bpf_jit_enable)")
	}
}
