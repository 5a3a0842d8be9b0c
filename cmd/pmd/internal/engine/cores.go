package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
)

// CorePolling is the scheduling model of a poll core.
type CorePolling struct {
	Worker int `json:"worker"`
	// CPU is -1 if the worker is not pinned.
	CPU int `json:"cpu"`
	// State is "running", "stopped" or "failed".
	State string `json:"state"`
	dataplane.PollState
	// Sleeps and SleepNs tell how often the core slept and for how long, in
	// nanoseconds.
	Sleeps  uint64 `json:"sleeps"`
	SleepNs uint64 `json:"sleep_ns"`
	// Cycles is what the core's cycles are spent on.
	Cycles dataplane.Cycles `json:"cycles"`
}

// ErrNoCore is wrapped when a core is asked for that does not poll.
var ErrNoCore = errors.New("no such poll core")

// PollCores describes every poll core.
func (e *Engine) PollCores(ctx context.Context) ([]CorePolling, error) {
	ctx, cancel := context.WithTimeout(ctx, e.bounds.control)
	defer cancel()
	s, err := e.dp.Stats(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]CorePolling, 0, len(s.Cores))
	for _, c := range s.Cores {
		list = append(list, CorePolling{Worker: c.Worker, CPU: c.CPU, State: c.State, PollState: c.Poll, Sleeps: c.Sleeps, SleepNs: c.SleepNs, Cycles: c.Cycles})
	}
	return list, nil
}

// PollCore describes the poll core that ref names: a CPU, or a worker as "w0".
func (e *Engine) PollCore(ctx context.Context, ref string) (CorePolling, error) {
	w, err := e.coreNumber(ref)
	if err != nil {
		return CorePolling{}, err
	}
	list, err := e.PollCores(ctx)
	if err != nil {
		return CorePolling{}, err
	}
	return list[w], nil
}

// SetPolling changes the tunables of the core that ref names, of all of them if it is
// empty, and returns those changed. A value out of range is a mistake of the user, and
// nothing has changed then.
func (e *Engine) SetPolling(ctx context.Context, ref string, set dataplane.PollSettings) ([]CorePolling, error) {
	if err := e.changeMu.wait(ctx, e.bounds.control); err != nil {
		return nil, err
	}
	defer e.changeMu.Unlock()
	list, err := e.PollCores(ctx)
	if err != nil {
		return nil, err
	}
	if ref != "" {
		w, err := e.coreNumber(ref)
		if err != nil {
			return nil, err
		}
		list = list[w : w+1]
	}
	for _, c := range list {
		if _, err := set.Apply(c.PollConfig); err != nil {
			return nil, usage.Errorf("CPU %s: %w", e.coreName(c.Worker), err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, e.bounds.control)
	defer cancel()
	for i, c := range list {
		if err := e.dp.SetPoll(ctx, c.Worker, set); err != nil {
			return nil, err
		}
		now, err := e.PollCore(ctx, fmt.Sprintf("w%d", c.Worker))
		if err != nil {
			return nil, err
		}
		list[i] = now
		polls := slices.Clone(e.tunings())
		polls[c.Worker].is = now.PollConfig
		e.tuned(polls)
	}
	return list, nil
}

// coreNumber finds the worker that ref names.
func (e *Engine) coreNumber(ref string) (int, error) {
	if w, ok := e.workerName(ref); ok {
		return w, nil
	}
	if id, err := strconv.Atoi(ref); err == nil {
		if w, ok := e.workerOf(id); ok {
			return w, nil
		}
	}
	return 0, fmt.Errorf("%w: CPU %.40q is not polled: %s", ErrNoCore, ref, e.pollCPUs())
}

// coreName names a worker as coreNumber reads it.
func (e *Engine) coreName(worker int) string {
	if id := e.cores.ids[worker]; id != dataplane.Unpinned {
		return strconv.Itoa(id)
	}
	return fmt.Sprintf("w%d", worker)
}
