package engine

import (
	"errors"
	"runtime"
	"strconv"

	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
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

// needed returns how many workers have something to do: one a connection, and one
// more for each further queue of its ports. More would spin for nothing.
func needed(gs []group, queues []int) int {
	n := 1
	for i, g := range gs {
		for _, p := range g {
			n = max(n, i+queues[p])
		}
	}
	return n
}

// place returns the worker of each queue of each port. As long as workers are not
// more than needed, queue q of both ports of a connection is polled by one worker.
// Otherwise the user asked for more CPUs than that can use, and each queue takes
// the next worker in turn.
func place(gs []group, queues []int, workers int) [][]int {
	where := make([][]int, len(queues))
	spread := workers > needed(gs, queues)
	next := 0
	for i, g := range gs {
		for _, p := range g {
			where[p] = make([]int, queues[p])
			for q := range where[p] {
				if spread {
					where[p][q] = next % workers
					next++
				} else {
					where[p][q] = (i + q) % workers
				}
			}
		}
	}
	return where
}

// queuesAsked reads how many queues a spec asks for, before the device is there to
// be asked. A value that is no number is the driver's to complain about.
func queuesAsked(ports []pmd.Spec) []int {
	n := make([]int, len(ports))
	for i, p := range ports {
		n[i] = 1
		if q, err := strconv.Atoi(p.Options["queues"]); err == nil && q > 0 && q <= dataplane.MaxWorkers {
			n[i] = q
		}
	}
	return n
}

// cores is the choice of CPUs.
type cores struct {
	// ids are the workers' CPUs, dataplane.Unpinned for those without.
	ids []int
	// rest are the CPUs left to every other thread, empty if there are none
	// or if no worker is pinned.
	rest cpu.Set
}

// chooseCores decides where to poll. need is the number of workers that have
// something to do.
func chooseCores(c Config, need int) (cores, error) {
	unpinned := c.Unpinned
	if unpinned == 0 && c.Cores.IsEmpty() && runtime.GOOS != "linux" {
		unpinned = need // nothing can be pinned here, and nobody asked for it
	}
	if unpinned > 0 {
		ids := make([]int, unpinned)
		for i := range ids {
			ids[i] = dataplane.Unpinned
		}
		return cores{ids: ids}, nil
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
	if set.IsEmpty() {
		ids := topo.DefaultCores().And(usable).Slice()
		if len(ids) == 0 {
			return cores{}, errors.New("no CPU is allowed to this process: widen its affinity mask or cpuset")
		}
		set = cpu.SetOf(ids[:min(need, len(ids))]...)
	}
	if err := topo.CheckSet(set); err != nil {
		return cores{}, err
	}
	return cores{ids: set.Slice(), rest: usable.AndNot(set)}, nil
}
