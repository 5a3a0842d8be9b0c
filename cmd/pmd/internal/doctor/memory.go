package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"example.org/pmd/pmd/mbuf"
)

// poolBytes is what a pool takes that nobody has named a size of.
const poolBytes = mbuf.DefaultFrames * mbuf.DefaultFrameSize

// hugePage is the size of the huge pages that pools use.
const hugePage = 2 << 20

// memory looks at limits and at huge pages.
func (e *examination) memory() {
	e.memlock()
	e.openFiles()
	e.hugePages()
}

// lockedMemory is a limit's name in /proc/self/limits.
const lockedMemory = "Max locked memory"

// limit returns a limit of /proc/self/limits; unlimited is -1.
func (e *examination) limit(name string) (soft, hard int64, ok bool) {
	text, _ := e.line("proc/self/limits")
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, name)
		if f := strings.Fields(rest); found && len(f) >= 2 {
			soft, err := limitValue(f[0])
			hard, err2 := limitValue(f[1])
			return soft, hard, err == nil && err2 == nil
		}
	}
	return 0, 0, false
}

// limitValue reads one value of a limit.
func limitValue(text string) (int64, error) {
	if text == "unlimited" {
		return -1, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

// enough reports whether a limit of locked memory allows a pool of the usual size.
func enough(limit int64) bool { return limit < 0 || limit >= poolBytes }

// memlock looks at how much memory may be pinned: a UMEM is, and counted unless the
// process has CAP_IPC_LOCK (xdp_umem_account_pages, net/xdp/xdp_umem.c).
func (e *examination) memlock() {
	soft, hard, ok := e.limit(lockedMemory)
	little := fmt.Sprintf("%d KiB of memory may be pinned (RLIMIT_MEMLOCK), a pool of the usual size takes %d", soft>>10, poolBytes>>10)
	switch {
	case !ok:
	case e.has(capIPCLock):
		e.add(AreaMemory, "locked memory", OK, "memory may be pinned without limit (CAP_IPC_LOCK)")
	case enough(soft):
		e.add(AreaMemory, "locked memory", OK, "memory may be pinned, enough for a pool of the usual size")
	case enough(hard):
		e.add(AreaMemory, "locked memory", Problem, little+": in the shell that starts pmd", fmt.Sprintf("ulimit -l %d", 2*poolBytes>>10))
	default:
		e.add(AreaMemory, "locked memory", Problem, little+": run pmd as root, or", e.setcap())
	}
}

// openFiles looks at how many descriptors there may be: each queue of a port takes
// one and each port some more.
func (e *examination) openFiles() {
	const few = 256
	n, _, ok := e.limit("Max open files")
	switch {
	case !ok:
	case n >= 0 && n < few:
		e.add(AreaMemory, "open files", Advice, fmt.Sprintf("%d files may be open, a port takes one a queue: in the shell that starts pmd", n), "ulimit -n 4096")
	case n < 0:
		e.add(AreaMemory, "open files", OK, "any number of files may be open")
	default:
		e.add(AreaMemory, "open files", OK, fmt.Sprintf("%d files may be open", n))
	}
}

// hugePages looks at the reserved pages of 2 MiB.
func (e *examination) hugePages() {
	const dir = "sys/kernel/mm/hugepages/hugepages-2048kB/"
	total, ok := e.number(dir + "nr_hugepages")
	free, _ := e.number(dir + "free_hugepages")
	const need = poolBytes / hugePage
	where := ""
	var nodes []int
	if e.topo != nil {
		nodes = e.topo.Nodes()
	}
	if len(nodes) > 1 {
		var parts []string
		for _, node := range nodes {
			d := fmt.Sprintf("sys/devices/system/node/node%d/hugepages/hugepages-2048kB/", node)
			t, _ := e.number(d + "nr_hugepages")
			f, _ := e.number(d + "free_hugepages")
			parts = append(parts, fmt.Sprintf("node %d: %d of %d", node, f, t))
		}
		where = " (" + strings.Join(parts, ", ") + ")"
	}
	switch {
	case !ok:
		e.add(AreaMemory, "huge pages", Advice, "this kernel has no pages of 2 MiB: pools are of small pages")
	case free >= need:
		e.add(AreaMemory, "huge pages", OK, fmt.Sprintf("%d of %d huge pages of 2 MiB are free%s", free, total, where))
	default:
		instead := "transparent huge pages"
		if thp, _ := e.line("sys/kernel/mm/transparent_hugepage/enabled"); thp == "" || strings.Contains(thp, "[never]") {
			instead = "small pages"
		}
		e.add(AreaMemory, "huge pages", Advice, fmt.Sprintf("%d of %d huge pages of 2 MiB are free%s, a pool of the usual size takes %d: it will be of %s",
			free, total, where, need, instead), fmt.Sprintf("sysctl -w vm.nr_hugepages=%d", total-free+need*max(len(nodes), 1)))
	}
}
