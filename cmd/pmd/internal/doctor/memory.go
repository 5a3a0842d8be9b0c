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

// limit returns a soft limit of /proc/self/limits; unlimited is -1.
func (e *examination) limit(name string) (n int64, ok bool) {
	text, _ := e.line("proc/self/limits")
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, name)
		if !found || len(strings.Fields(rest)) == 0 {
			continue
		}
		soft := strings.Fields(rest)[0]
		if soft == "unlimited" {
			return -1, true
		}
		n, err := strconv.ParseInt(soft, 10, 64)
		return n, err == nil
	}
	return 0, false
}

// memlock looks at how much memory may be pinned: a UMEM is, and counted unless the
// process has CAP_IPC_LOCK (xdp_umem_account_pages, net/xdp/xdp_umem.c).
func (e *examination) memlock() {
	n, ok := e.limit("Max locked memory")
	switch {
	case !ok:
	case e.has(capIPCLock):
		e.add(AreaMemory, "locked memory", OK, "memory may be pinned without limit (CAP_IPC_LOCK)")
	case n < 0 || n >= poolBytes:
		e.add(AreaMemory, "locked memory", OK, "memory may be pinned, enough for a pool of the usual size")
	default:
		e.add(AreaMemory, "locked memory", Problem, fmt.Sprintf("%d KiB of memory may be pinned (RLIMIT_MEMLOCK), and a pool of the usual size takes %d: in the shell that starts pmd",
			n>>10, poolBytes>>10), "ulimit -l unlimited")
	}
}

// openFiles looks at how many descriptors there may be: each queue of a port takes
// one and each port some more.
func (e *examination) openFiles() {
	const few = 256
	n, ok := e.limit("Max open files")
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
