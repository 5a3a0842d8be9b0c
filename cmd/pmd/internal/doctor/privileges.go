package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// Capabilities, by their bits (include/uapi/linux/capability.h).
const (
	capNetAdmin = 12
	capNetRaw   = 13
	capIPCLock  = 14
	capSysAdmin = 21
	capSysNice  = 23
	capBPF      = 39
)

// has reports whether the process has a capability.
func (e *examination) has(capability int) bool { return e.caps>>capability&1 == 1 }

// privileges looks at the capabilities.
func (e *examination) privileges() {
	e.caps = ^uint64(0)
	text, ok := e.statusField("CapEff")
	caps, err := strconv.ParseUint(text, 16, 64)
	if !ok || err != nil {
		e.add(AreaPrivileges, "capabilities", Advice, "capabilities were not looked at: /proc/self/status does not tell them")
		return
	}
	e.caps = caps
	for _, c := range []struct {
		name, use string
		have      bool
	}{
		{"CAP_NET_ADMIN", "configures interfaces and attaches programs", e.has(capNetAdmin)},
		{"CAP_NET_RAW", "opens AF_XDP sockets", e.has(capNetRaw)},
		// Before Linux 5.8 it was part of the other.
		{"CAP_BPF", "loads XDP programs", e.has(capBPF) || e.has(capSysAdmin)},
	} {
		if c.have {
			e.add(AreaPrivileges, c.name, OK, c.name+" "+c.use)
		} else {
			e.add(AreaPrivileges, c.name, Problem, fmt.Sprintf("%s, which %s, is missing: run pmd as root, or", c.name, c.use), e.setcap())
		}
	}
	if e.has(capSysAdmin) {
		e.add(AreaPrivileges, "CAP_SYS_ADMIN", OK, "CAP_SYS_ADMIN enters network namespaces")
	} else {
		e.add(AreaPrivileges, "CAP_SYS_ADMIN", Advice, "CAP_SYS_ADMIN, which enters network namespaces, is missing: ports with netns= and pmd demo need it", e.setcap("cap_sys_admin"))
	}
	nice := "CAP_SYS_NICE would raise priorities (chrt, nice); pmd does without"
	if e.has(capSysNice) {
		nice = "CAP_SYS_NICE may raise priorities (chrt, nice)"
	}
	e.add(AreaPrivileges, "CAP_SYS_NICE", OK, nice)
	if m, ok := e.line("proc/self/uid_map"); ok && len(strings.Fields(m)) >= 3 && strings.Join(strings.Fields(m)[:3], " ") != "0 0 4294967295" {
		e.add(AreaPrivileges, "user namespace", Advice, "this is a user namespace (rootless container): its capabilities do not load XDP programs, but packet sockets do without", e.afpacket())
	}
}

// setcap words a command that gives this binary what it needs, and more. What the command
// does not name the binary has no longer.
func (e *examination) setcap(more ...string) string {
	caps := []string{"cap_net_admin", "cap_net_raw", "cap_bpf"}
	if soft, hard, ok := e.limit(lockedMemory); ok && !enough(soft) && !enough(hard) {
		caps = append(caps, "cap_ipc_lock")
	}
	return fmt.Sprintf("setcap %s=ep %s", strings.Join(append(caps, more...), ","), e.m.Executable)
}

// afpacket words a call of pmd that needs no XDP.
func (e *examination) afpacket() string {
	command := "pmd run"
	for _, name := range e.o.Interfaces {
		command += " --port afpacket:" + e.spec(name)
	}
	if len(e.o.Interfaces) == 0 {
		command += " --port afpacket:IFNAME"
	}
	return command
}

// statusField returns a field of /proc/self/status.
func (e *examination) statusField(name string) (value string, ok bool) {
	text, _ := e.line("proc/self/status")
	for line := range strings.Lines(text) {
		if key, v, found := strings.Cut(line, ":"); found && key == name {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}
