package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// group is the ports of one connection, in order of their numbers: two, or one
// that loops.
type group []dataplane.PortID

// groups divides ports by the table, in order of the lowest port of each.
func groups(table []dataplane.PortID) []group {
	var all []group
	seen := make([]bool, len(table))
	for i, peer := range table {
		if seen[i] {
			continue
		}
		g := group{dataplane.PortID(i)}
		seen[i] = true
		if int(peer) < len(table) && !seen[peer] {
			g, seen[peer] = append(g, peer), true
		}
		all = append(all, g)
	}
	return all
}

// port is what is known of a port when CPUs are chosen for it.
type port struct {
	queues int
	node   int // NUMA node, -1 if it does not matter
	frames int // what its rings hold
	// cpus is what pollcpu= says: queue i is polled on the i-th, or all on the
	// only one, see eachQueue. Empty if it says nothing.
	cpus []int
}

// cpu returns the CPU that pollcpu= names for queue q, -1 if it names none. A peer that
// has more queues follows from the start again.
func (p port) cpu(q int) int {
	if len(p.cpus) == 0 {
		return -1
	}
	return p.cpus[q%len(p.cpus)]
}

// survey asks the drivers what the ports are going to have.
func survey(ctx context.Context, cfg Config) ([]port, error) {
	ports := make([]port, len(cfg.Ports))
	for i, spec := range cfg.Ports {
		e := cfg.Registry.Probe(ctx, spec)
		cpus, err := pollCPUs(spec)
		if err != nil {
			return nil, err
		}
		ports[i] = port{queues: queuesAsked(spec, e.Queues), node: e.NUMANode, frames: e.Frames, cpus: cpus}
	}
	return ports, nil
}

// queuesAsked reads how many queues a spec asks for, where the driver cannot tell
// before the device is open. A value that is no number is the driver's to
// complain about.
func queuesAsked(spec pmd.Spec, probed int) int {
	if q, err := strconv.Atoi(spec.Options["queues"]); err == nil && probed <= 1 && q > 0 && q <= dataplane.MaxWorkers {
		return q
	}
	return max(probed, 1)
}

// pollCPUs reads pollcpu= of a port.
func pollCPUs(spec pmd.Spec) ([]int, error) {
	cpus, err := cpu.ParseSequence(spec.PollCPU)
	if err != nil {
		return nil, usage.Errorf("port %s: pollcpu=%s: %w", spec.Name, spec.PollCPU, err)
	}
	return cpus, nil
}

// maxAutoFrames bounds the pool of somebody who named no size: 512 MiB of frames
// of 2,048 bytes.
const maxAutoFrames = 1 << 18

// framesFor returns how many frames a pool needs so that all rings can be full, at
// least the usual number.
func framesFor(ports []port) int {
	n := 0
	for _, p := range ports {
		n += p.frames
	}
	return min(max(n, mbuf.DefaultFrames), maxAutoFrames)
}

// unit is queues that one worker polls: those with one number of the ports of a
// connection, so that frames between them never change cores.
type unit struct {
	queues []queueRef
	cpu    int // where it must be polled, -1 if anywhere
	node   int // where it had better be polled, -1 if anywhere
}

type queueRef struct{ port, queue int }

// units divides the queues of the ports. A port with pollcpu= has its queues where
// that says, and takes the other port of its connection along.
func units(gs []group, ports []port) []unit {
	var all []unit
	for _, g := range gs {
		n, node := 0, -1
		leader := port{}
		for _, id := range g {
			p := ports[id]
			n = max(n, p.queues)
			if node < 0 {
				node = p.node
			}
			if len(leader.cpus) == 0 {
				leader = p
			}
		}
		for q := range n {
			lane := unit{cpu: leader.cpu(q), node: node}
			for _, id := range g {
				p := ports[id]
				switch ref := (queueRef{int(id), q}); {
				case q >= p.queues:
				case len(p.cpus) > 0 && p.cpu(q) != lane.cpu:
					all = append(all, unit{queues: []queueRef{ref}, cpu: p.cpu(q), node: p.node})
				default:
					lane.queues = append(lane.queues, ref)
				}
			}
			if len(lane.queues) > 0 {
				all = append(all, lane)
			}
		}
	}
	return all
}

// spread divides units that may be polled anywhere into single queues.
func spread(us []unit) []unit {
	var all []unit
	for _, u := range us {
		if u.cpu >= 0 {
			all = append(all, u)
			continue
		}
		for _, q := range u.queues {
			all = append(all, unit{queues: []queueRef{q}, cpu: -1, node: u.node})
		}
	}
	return all
}

// place returns the worker of each queue of each port: the one on the CPU that
// pollcpu= names, else the one with the least to do, near the port if there is a
// choice. Only if there are more workers than units, which the user asked for,
// connections are taken apart.
func place(gs []group, ports []port, c cores) [][]int {
	us := units(gs, ports)
	if len(c.ids) > len(us) {
		us = spread(us)
	}
	where := make([][]int, len(ports))
	for i, p := range ports {
		where[i] = make([]int, p.queues)
	}
	load := make([]int, len(c.ids))
	put := func(u unit, w int) {
		load[w]++
		for _, q := range u.queues {
			where[q.port][q.queue] = c.worker(w)
		}
	}
	// Those that have no choice first, then those that have a wish.
	for _, u := range us {
		if w := slices.Index(c.ids, u.cpu); u.cpu >= 0 && w >= 0 {
			put(u, w)
		}
	}
	for _, wish := range []bool{true, false} {
		for _, u := range us {
			if u.cpu < 0 && (u.node >= 0) == wish {
				put(u, leastLoaded(load, c.nodes, u.node))
			}
		}
	}
	return where
}

// leastLoaded returns the worker with the least to do, of those the first on this
// node, of those the first.
func leastLoaded(load, nodes []int, node int) int {
	best := 0
	far := func(w int) bool { return node >= 0 && nodes[w] != node }
	for w := range load {
		if load[w] < load[best] || load[w] == load[best] && far(best) && !far(w) {
			best = w
		}
	}
	return best
}

// cores is the choice of CPUs.
type cores struct {
	// ids are the workers' CPUs, dataplane.Unpinned for those without, and nodes
	// their NUMA nodes, -1 if unknown.
	ids, nodes []int
	// workers are their numbers, those of all workers in order if it is empty.
	workers []int
	// rest are the CPUs left to every other thread, empty if there are none
	// or if no worker is pinned.
	rest cpu.Set
}

// worker returns the number of the i-th worker.
func (c cores) worker(i int) int {
	if len(c.workers) == 0 {
		return i
	}
	return c.workers[i]
}

// chooseCores decides where to poll these units: on the CPUs that the user named,
// else on those that pollcpu= names and one more for each unit that may be
// anywhere, near its port.
func chooseCores(c Config, us []unit, ports []port) (cores, error) {
	free := slices.DeleteFunc(slices.Clone(us), func(u unit) bool { return u.cpu >= 0 })
	unpinned := c.Unpinned
	if unpinned == 0 && c.Cores.IsEmpty() && runtime.GOOS != "linux" {
		unpinned = len(us) // nothing can be pinned here, and nobody asked for it
	}
	if unpinned > 0 {
		if i := slices.IndexFunc(ports, func(p port) bool { return len(p.cpus) > 0 }); i >= 0 {
			return cores{}, usage.Errorf("port %s: pollcpu=%s: workers are bound to no CPU here", c.Ports[i].Name, c.Ports[i].PollCPU)
		}
		return cores{ids: slices.Repeat([]int{dataplane.Unpinned}, unpinned), nodes: slices.Repeat([]int{-1}, unpinned)}, nil
	}
	topo := c.Topology
	if topo == nil {
		var err error
		if topo, err = cpu.Local(); err != nil {
			return cores{}, err
		}
	}
	usable := topo.Allowed.And(topo.Online)
	set := c.Cores
	var fixed cpu.Set
	for i, p := range ports {
		named := cpu.SetOf(p.cpus...)
		spec := c.Ports[i]
		if missing := named.AndNot(set); !c.Cores.IsEmpty() && !missing.IsEmpty() {
			return cores{}, usage.Errorf("port %s: pollcpu=%s: CPU %v is not polled on, %v is: name it in --cores as well", spec.Name, spec.PollCPU, missing, set)
		}
		if err := topo.CheckSet(named); err != nil {
			return cores{}, fmt.Errorf("port %s: pollcpu=%s: %w", spec.Name, spec.PollCPU, err)
		}
		fixed = fixed.Or(named)
	}
	if set.IsEmpty() {
		set = fixed.Or(defaultCores(topo, usable, fixed, free))
		if set.IsEmpty() {
			return cores{}, errors.New("no CPU is allowed to this process: widen its affinity mask or cpuset")
		}
	}
	if err := topo.CheckSet(set); err != nil {
		return cores{}, err
	}
	out := cores{ids: set.Slice(), rest: usable.AndNot(set)}
	for _, id := range out.ids {
		out.nodes = append(out.nodes, topo.NodeOf(id))
	}
	return out, nil
}

// Shape is what matters of a port for where it is polled.
type Shape struct {
	// Queues is how many queues it has.
	Queues int
	// NUMANode is the node it is on, -1 if that does not matter.
	NUMANode int
}

// PollCPUs returns the CPUs that an engine would poll such ports on, connected as
// they come: those in asked, or if that is empty those it would choose. An error
// is a CPU that cannot be polled on, or that there is none.
func PollCPUs(topo *cpu.Topology, asked cpu.Set, shapes []Shape) (cpu.Set, error) {
	table, err := forward.Connect(len(shapes))
	if err != nil {
		return cpu.Set{}, err
	}
	ports := make([]port, len(shapes))
	for i, s := range shapes {
		ports[i] = port{queues: max(s.Queues, 1), node: s.NUMANode}
	}
	c, err := chooseCores(Config{Topology: topo, Cores: asked, Ports: make([]pmd.Spec, len(ports))}, units(groups(table), ports), ports)
	if err != nil {
		return cpu.Set{}, err
	}
	// Where nothing can be pinned there are none.
	return cpu.SetOf(slices.DeleteFunc(c.ids, func(id int) bool { return id == dataplane.Unpinned })...), nil
}

// defaultCores chooses a CPU for each of the units, near it as long as there are
// any, then elsewhere, and none twice: then units share.
func defaultCores(topo *cpu.Topology, usable, taken cpu.Set, us []unit) cpu.Set {
	left := topo.DefaultCores().And(usable).AndNot(taken)
	var chosen []int
	for _, wish := range []bool{true, false} {
		for _, u := range us {
			if (u.node >= 0) != wish || left.IsEmpty() {
				continue
			}
			id := left.Min()
			if near := left.And(topo.CPUsOfNode(u.node)); wish && !near.IsEmpty() {
				id = near.Min()
			}
			chosen = append(chosen, id)
			left = left.AndNot(cpu.SetOf(id))
		}
	}
	return cpu.SetOf(chosen...)
}
