package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"example.org/pmd/dataplane"
)

// WindowsVersion is the version of what ServeWindows says and understands.
const WindowsVersion = 1

// MaxWindow is the longest window.
const MaxWindow = 10 * time.Second

// windowWarmUp goes before what is counted of a window: what others had in the caches
// meanwhile is replaced in a fraction of it.
const windowWarmUp = 3 * time.Millisecond

// Windows says that a scenario is set up and sleeps until it is told to measure: a line
// of JSON.
type Windows struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	// Polled are the CPUs that poll.
	Polled []int `json:"polled"`
}

// Window is a short measurement of a scenario that sleeps before it and after it: a line of
// JSON.
type Window struct {
	// Packets is the number of frames that left, or that entered where none leaves, and
	// Seconds the time in which they did, by the clock of the cores that poll.
	Packets uint64  `json:"packets"`
	Seconds float64 `json:"seconds"`
	// Waited is the share of the time in which a polling thread could have run and did
	// not, for others had its CPU: that of the thread that waited most. 0 if the kernel
	// does not tell.
	Waited float64 `json:"waited"`
}

// ServeWindows sets a scenario up, says so on out by Windows, and then measures a window
// for each line of in, which is its length as in 20ms, and writes a Window. Between them the
// polling cores sleep and nothing is sent to them, so that several processes can take turns
// on the same CPUs, each as warm as it was. It ends with in or ctx, takes the account of all
// frames, and removes what was made.
func (s Scenario) ServeWindows(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	s = s.withDefaults()
	if s.paced() {
		return fmt.Errorf("bench: %s: %w: windows tell the throughput, not the latency", s.Name(), ErrScenario)
	}
	b, err := openBed(ctx, s)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, b.close()); err != nil {
			err = fmt.Errorf("bench: %s: %w", s.Name(), err)
		}
	}()
	if err := b.sleep(ctx); err != nil {
		return err
	}
	stats, err := b.rig.Stats(ctx)
	if err != nil {
		return err
	}
	ready := Windows{Version: WindowsVersion, Name: s.Name()}
	for _, c := range stats.Cores {
		ready.Polled = append(ready.Polled, c.CPU)
	}
	threads, err := b.rig.threads(ctx)
	if err != nil {
		return err
	}
	answers := json.NewEncoder(out)
	if err := answers.Encode(ready); err != nil {
		return err
	}
	for line := range linesOf(ctx, in) {
		length, err := time.ParseDuration(line)
		if err != nil || length < time.Millisecond || length > MaxWindow {
			return fmt.Errorf("a window of %.20q: use 1ms to %v", line, MaxWindow)
		}
		w, err := b.window(ctx, length, threads)
		if err != nil {
			return err
		}
		if err := answers.Encode(w); err != nil {
			return err
		}
	}
	whole := context.WithoutCancel(ctx) // what was begun is ended whatever ctx says
	if b.settle != nil {
		if err := b.wake(whole); err != nil {
			return err
		}
		if err := b.settle(whole); err != nil {
			return err
		}
	}
	return errors.Join(b.rig.Check(whole), ctx.Err())
}

// linesOf yields lines until there are no more or ctx is done. A line that never comes leaves a
// goroutine behind, which ends with the process.
func linesOf(ctx context.Context, in io.Reader) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		lines := make(chan string)
		over := make(chan struct{})
		defer close(over)
		go func() {
			defer close(lines)
			for r := bufio.NewScanner(in); r.Scan(); {
				select {
				case lines <- r.Text():
				case <-over:
					return
				}
			}
		}()
		for {
			select {
			case line, ok := <-lines:
				if !ok || !yield(line) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// window wakes the rig, measures, and puts it to sleep again.
func (b *bed) window(ctx context.Context, length time.Duration, threads []int) (w Window, err error) {
	if err := b.wake(ctx); err != nil {
		return w, err
	}
	if err := sleep(ctx, windowWarmUp); err != nil {
		return w, err
	}
	before, err := b.rig.Stats(ctx)
	if err != nil {
		return w, err
	}
	began, waited := time.Now(), waitingTimes(threads)
	if err := sleep(ctx, length); err != nil {
		return w, err
	}
	after, err := b.rig.Stats(ctx)
	if err != nil {
		return w, err
	}
	waitedAfter, took := waitingTimes(threads), time.Since(began)
	if err := b.sleep(ctx); err != nil {
		return w, err
	}
	w.Packets = b.moved(after) - b.moved(before)
	for i := range after.Cores {
		w.Seconds += float64(after.Cores[i].TotalNs-before.Cores[i].TotalNs) / 1e9 / float64(len(after.Cores))
	}
	for i := range waited {
		w.Waited = max(w.Waited, (waitedAfter[i]-waited[i]).Seconds()/took.Seconds())
	}
	return w, nil
}

// moved is what the rate counts: frames that left, or that entered where none leaves.
func (b *bed) moved(s *dataplane.Stats) uint64 {
	rx, tx, _ := b.counts(s)
	if b.scenario.Mode == "rxonly" || b.scenario.Mode == "icmpecho" {
		return rx
	}
	return tx
}

// sleep has the cores poll no more, and nothing sent to them; wake undoes it.
func (b *bed) sleep(ctx context.Context) error { return b.poll(ctx, false) }
func (b *bed) wake(ctx context.Context) error  { return b.poll(ctx, true) }

func (b *bed) poll(ctx context.Context, on bool) error {
	enable, idle, stage := 0, dataplane.IdleInterrupt, dataplane.Stage(discard)
	if on {
		enable, idle, stage = 1, b.scenario.Idle, b.rig.stage
	}
	var errs []error
	if b.send != nil {
		errs = append(errs, b.send(on))
	}
	if _, ok := b.rig.stage.(dataplane.Generator); ok { // it generates whether or not its core polls
		errs = append(errs, b.rig.d.SetStage(ctx, stage))
	}
	for i := range b.rig.d.Workers() {
		errs = append(errs, b.rig.d.SetPoll(ctx, i, dataplane.PollSettings{Enable: &enable, Idle: &idle}))
	}
	return errors.Join(errs...)
}
