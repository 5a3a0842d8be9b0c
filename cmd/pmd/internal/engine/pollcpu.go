package engine

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
)

// SetPollCPU gives the queues of a port to the CPUs of list while traffic flows:
// queue i to the i-th, or all of them to the only one. The list is read as
// [cpu.ParseSequence] does; "w0", "w1", … name workers, also those that are bound to
// no CPU. Everything is checked before anything changes, and if a queue cannot move
// those that did go back.
func (e *Engine) SetPollCPU(ctx context.Context, ref, list string) (Interface, error) {
	return e.SetInterface(ctx, ref, IfSettings{PollCPU: &list})
}

// eachQueue returns one entry of a list for each queue of a port: the list has one
// for each, or one for all. It is the rule for pollcpu=, wherever that is said.
func eachQueue(list []int, queues int) ([]int, error) {
	switch len(list) {
	case queues:
		return list, nil
	case 1:
		return slices.Repeat(list, queues), nil
	}
	return nil, usage.Errorf("%d CPUs for %d queues: name one for each queue, or one for all", len(list), queues)
}

// sequence writes CPUs as cpu.ParseSequence reads them.
func sequence(cpus []int) string {
	words := make([]string, len(cpus))
	for i, id := range cpus {
		words[i] = strconv.Itoa(id)
	}
	return strings.Join(words, ",")
}

// samePlaces tells whether two lists of pollcpu= say the same of a port.
func samePlaces(a, b []int, queues int) bool {
	x, errX := eachQueue(a, queues)
	y, errY := eachQueue(b, queues)
	if errX != nil || errY != nil {
		return slices.Equal(a, b)
	}
	return slices.Equal(x, y)
}

// move gives the queues of a port to these workers, all or none, and returns the port
// as it is then. changeMu is held.
func (e *Engine) move(ctx context.Context, p openPort, to []int) (openPort, error) {
	was := p.net.Workers()
	if err := p.net.Place(ctx, to); err != nil {
		return p, err
	}
	// The interface follows its first queue. That would begin polling.
	if i, err := e.sys.Info(ctx, p.ifp); err != nil || i.Flags&ifnet.FlagPolling == 0 {
		p.workers = slices.Clone(to)
		return p, err
	}
	if err := e.ctl.SetPollCore(ctx, p.spec.Name, to[0]); err != nil {
		return p, errors.Join(err, p.net.Place(context.WithoutCancel(ctx), was))
	}
	p.workers = slices.Clone(to)
	return p, nil
}

// workerList reads a list of poll CPUs, in its order, and returns their workers.
func (e *Engine) workerList(list string) ([]int, error) {
	var workers []int
	for item := range strings.SplitSeq(list, ",") {
		if w, ok := e.workerName(strings.TrimSpace(item)); ok {
			workers = append(workers, w)
			continue
		}
		ids, err := cpu.ParseSequence(item)
		if err != nil {
			return nil, usage.Wrap(err)
		}
		if len(ids) == 0 {
			return nil, usage.Errorf("no CPU between two commas: write for example 2,3; %s", e.pollCPUs())
		}
		for _, id := range ids {
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
