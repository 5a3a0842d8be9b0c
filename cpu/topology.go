package cpu

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// Topology is a snapshot of the CPUs of a machine and of what this process may do with
// them. Get one from [Local] or [ReadTopology]. The exported sets may be changed by whoever
// holds the Topology before it is shared, for example to narrow Allowed in a test.
type Topology struct {
	// Possible, Present and Online are the kernel's masks of the same names
	// (Documentation/admin-guide/cputopology.rst): ids that may ever exist, ids with
	// hardware behind them, ids the scheduler runs tasks on. Each contains the next.
	Possible, Present, Online Set

	// Isolated holds the CPUs kept out of scheduler load balancing, by the isolcpus=
	// boot parameter or an isolated cpuset partition.
	Isolated Set

	// NoHzFull holds the CPUs whose timer tick stops while one task runs (nohz_full=).
	NoHzFull Set

	// Allowed holds the CPUs this process may use. [ReadTopology] cannot know better
	// than Online; [Local] takes the affinity mask and the cgroup into account.
	Allowed Set

	cpus  map[int]place // present CPUs
	nodes map[int]Set   // NUMA node → its online CPUs
}

// place says where one CPU sits. Numbers are the kernel's, -1 where it gave none.
type place struct {
	core, pkg, node int
	siblings        Set
}

// NodeOf returns the NUMA node of a CPU, or -1 if it is not known: the kernel lists a CPU
// under a node only while it is online. On a machine without NUMA every online CPU is on
// node 0.
func (t *Topology) NodeOf(cpu int) int {
	if p, ok := t.cpus[cpu]; ok {
		return p.node
	}
	return -1
}

// PackageOf returns the physical package (socket) of a CPU, or -1 if it is not known. The
// numbers need be neither small nor adjoining: on arm64 firmware they are table offsets.
func (t *Topology) PackageOf(cpu int) int {
	if p, ok := t.cpus[cpu]; ok {
		return p.pkg
	}
	return -1
}

// CoreOf returns the core id of a CPU, or -1 if it is not known. A core id is unique only
// within its package (and, on arm64, its cluster): to tell whether two CPUs share a core,
// use [Topology.Siblings].
func (t *Topology) CoreOf(cpu int) int {
	if p, ok := t.cpus[cpu]; ok {
		return p.core
	}
	return -1
}

// Siblings returns the CPUs that share the core of the given one, itself included: the
// hardware threads of SMT. A present CPU whose siblings are not known is its own only
// sibling, an absent one has none.
func (t *Topology) Siblings(cpu int) Set { return t.cpus[cpu].siblings }

// CPUsOfNode returns the online CPUs of a NUMA node. A node that does not exist, or has
// memory only, has none.
func (t *Topology) CPUsOfNode(node int) Set { return t.nodes[node] }

// Nodes returns the NUMA nodes in ascending order, those without CPUs included.
func (t *Topology) Nodes() []int { return slices.Sorted(maps.Keys(t.nodes)) }

// Packages returns the package ids that are known, in ascending order.
func (t *Topology) Packages() []int {
	seen := map[int]bool{}
	for _, p := range t.cpus {
		if p.pkg >= 0 {
			seen[p.pkg] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// DefaultCores returns the CPUs to poll on when the user named none: the isolated ones that
// are allowed, since somebody set them aside for such work; else all allowed ones but the
// lowest, which is left to the kernel's housekeeping and our own control side. A single
// allowed CPU has to do for everything.
func (t *Topology) DefaultCores() Set {
	if s := t.Isolated.And(t.Allowed); !s.IsEmpty() {
		return s
	}
	if t.Allowed.Len() <= 1 {
		return t.Allowed
	}
	return t.Allowed.AndNot(SetOf(t.Allowed.Min()))
}

// flat is the topology of a machine of which only the online CPUs are known: one package,
// one node, no SMT, nothing isolated, everything allowed.
func flat(online Set) *Topology {
	t := &Topology{
		Possible: online, Present: online, Online: online, Allowed: online,
		cpus:  map[int]place{},
		nodes: map[int]Set{0: online},
	}
	for id := range online.All() {
		t.cpus[id] = place{core: id, siblings: SetOf(id)}
	}
	return t
}

// localTopology is [Local] for the machine whose root folder is given and a thread with the
// given affinity mask.
func localTopology(root fs.FS, affinity Set) (*Topology, error) {
	sys, err := fs.Sub(root, "sys")
	if err != nil {
		return nil, fmt.Errorf("CPU topology: %w", err)
	}
	t, err := ReadTopology(sys)
	if errors.Is(err, fs.ErrNotExist) {
		t, err = flat(affinity), nil
	}
	if err != nil {
		return nil, err
	}
	cgroup, ok, err := cgroupCPUs(root)
	if err != nil {
		return nil, fmt.Errorf("CPU topology: %w", err)
	}
	t.Allowed = allowedSet(t, affinity, cgroup, ok)
	return t, nil
}

// allowedSet decides which CPUs this process may use.
//
// affinity is the thread's mask, cgroup the effective CPUs of its cpuset, if known.
func allowedSet(t *Topology, affinity, cgroup Set, haveCgroup bool) Set {
	// isolcpus= takes its CPUs out of the mask every process inherits from init
	// (kernel/sched/isolation.c), although any process may move there. A mask that lacks
	// exactly those CPUs is therefore the machine's default, not somebody's wish to keep
	// us away. A mask set on purpose, by taskset say, is respected.
	usual := t.Online.AndNot(t.Isolated)
	if haveCgroup {
		usual = usual.And(cgroup)
	}
	allowed := affinity
	if affinity.Equal(usual) {
		allowed = affinity.Or(t.Isolated.And(t.Online))
	}
	// The kernel keeps the mask inside the cpuset, so an empty intersection can only
	// mean that we read the wrong cpuset: then the mask alone counts.
	if both := allowed.And(cgroup); haveCgroup && !both.IsEmpty() {
		return both
	}
	return allowed
}
