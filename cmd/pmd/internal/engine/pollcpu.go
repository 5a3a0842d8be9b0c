package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
)

// SetPollCPU gives the queues of a port to the CPUs of list while traffic flows:
// queue i to the i-th, or all of them to the only one. The list is read as
// [cpu.ParseList] does, but its order counts; "w0", "w1", … name workers, also
// those that are bound to no CPU. Everything is checked before anything changes.
func (e *Engine) SetPollCPU(ctx context.Context, ref, list string) (Interface, error) {
	f, err := e.Interface(ctx, ref)
	if err != nil {
		return f, err
	}
	workers, err := e.workerList(list)
	if err != nil {
		return f, fmt.Errorf("port %s: pollcpu: %w", f.Name, err)
	}
	switch n := len(f.Queues); {
	case len(workers) == 1:
		for len(workers) < n {
			workers = append(workers, workers[0])
		}
	case len(workers) != n:
		return f, usage.Errorf("port %s: pollcpu: %d CPUs for %d queues: name one for each queue, or one for all", f.Name, len(workers), n)
	}
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	for i, w := range workers {
		if err := e.dp.MoveQueue(ctx, dataplane.PortID(f.ID), i, w); err != nil {
			return f, err
		}
	}
	return e.Interface(ctx, strconv.Itoa(f.ID))
}

// workerList reads a list of poll CPUs, in its order, and returns their workers.
func (e *Engine) workerList(list string) ([]int, error) {
	var workers []int
	for item := range strings.SplitSeq(list, ",") {
		if w, ok := e.workerName(strings.TrimSpace(item)); ok {
			workers = append(workers, w)
			continue
		}
		set, err := cpu.ParseList(item)
		if err != nil {
			return nil, usage.Wrap(err)
		}
		if set.IsEmpty() {
			return nil, usage.Errorf("no CPU between two commas: write for example 2,3; %s", e.pollCPUs())
		}
		for id := range set.All() {
			w, ok := e.workerOf(id)
			if !ok {
				return nil, usage.Errorf("CPU %d is not polled: %s", id, e.pollCPUs())
			}
			workers = append(workers, w)
		}
		if len(workers) > dataplane.MaxWorkers {
			return nil, usage.Errorf("more than %d CPUs", dataplane.MaxWorkers)
		}
	}
	return workers, nil
}

// workerName reads "w0", "w1", ….
func (e *Engine) workerName(s string) (worker int, ok bool) {
	digits, ok := strings.CutPrefix(s, "w")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 || n >= len(e.cores.ids) {
		return 0, false
	}
	return n, true
}

// workerOf returns the worker that polls on a CPU.
func (e *Engine) workerOf(id int) (worker int, ok bool) {
	for w, on := range e.cores.ids {
		if on == id && id != dataplane.Unpinned {
			return w, true
		}
	}
	return 0, false
}

// pollCPUs tells which CPUs there are to choose from.
func (e *Engine) pollCPUs() string {
	var names []string
	for w := range e.cores.ids {
		names = append(names, e.coreName(w))
	}
	return "choose from " + strings.Join(names, ", ")
}
