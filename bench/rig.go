package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Rig is a running dataplane under measurement.
type Rig struct {
	d       *dataplane.Dataplane
	stage   dataplane.Stage // of the mode
	cancel  context.CancelFunc
	done    chan error
	restore func() error
}

// RigConfig says what to run.
type RigConfig struct {
	// Mode is the forwarding mode.
	Mode string
	// Cores are the CPUs to poll on; the process's other threads are kept off
	// them, as pmd run does.
	Cores []int
	// Idle is what cores do without work. Default: dataplane's own.
	Idle dataplane.Idle
	// Workers names the worker of each port's first queue. Default: dataplane's
	// own placement.
	Workers []int
	// Pool describes the pools. Default: 16,384 frames of 2,048 bytes.
	Pool mbuf.Config
	// Open opens the ports, in order.
	Open func(ctx context.Context, env pmd.Env) ([]pmd.Device, error)
}

// discard is what workers do before and after a measurement.
var discard = dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
	w.DropBurst(pmd.ReasonNoPort, burst)
})

// Start opens the ports and runs the dataplane until Close.
func Start(ctx context.Context, cfg RigConfig) (r *Rig, err error) {
	// Before a port is opened: a driver may bind threads of its own, whose masks are then
	// not taken for those of others.
	restore := confine(cfg.Cores)
	d, err := dataplane.New(dataplane.Config{Cores: cfg.Cores, Pool: cfg.Pool, Idle: cfg.Idle, Stage: discard})
	if err != nil {
		return nil, errors.Join(err, restore())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close(), restore())
		}
	}()
	devs, err := cfg.Open(ctx, d.Env())
	if err != nil {
		return nil, err
	}
	fc := forward.Config{Workers: len(cfg.Cores)}
	if fc.Out, err = forward.Connect(len(devs)); err != nil {
		return nil, err
	}
	for i, dev := range devs {
		pc := dataplane.PortConfig{}
		if cfg.Workers != nil {
			pc.Workers = cfg.Workers[i : i+1]
		}
		if _, err = d.AddPort(dev, pc); err != nil {
			return nil, errors.Join(err, dev.Close())
		}
		fc.MACs = append(fc.MACs, dev.Info().MAC)
	}
	stage, err := forward.New(cfg.Mode, fc)
	if err != nil {
		return nil, err
	}
	if err = d.SetStage(ctx, stage); err != nil {
		return nil, err
	}
	r = &Rig{d: d, stage: stage, done: make(chan error, 1), restore: restore}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	go func() { r.done <- d.Run(run) }()
	return r, nil
}

// confine keeps the process's other threads off the polled CPUs, where that
// leaves any.
func confine(cores []int) (restore func() error) {
	nothing := func() error { return nil }
	topo, err := cpu.Local()
	if err != nil {
		return nothing
	}
	if slices.Contains(cores, dataplane.Unpinned) {
		return nothing
	}
	rest := topo.Allowed.AndNot(cpu.SetOf(cores...))
	if rest.Len() == 0 {
		return nothing
	}
	restore, err = cpu.Confine(rest)
	if err != nil {
		return nothing
	}
	return restore
}

// Stats returns the rig's statistics.
func (r *Rig) Stats(ctx context.Context) (*dataplane.Stats, error) { return r.d.Stats(ctx) }

// Rate is what a measurement found.
type Rate struct {
	// Received and Sent are frames a second over all ports.
	Received, Sent float64
	// Dropped is the number of frames dropped by pmd during the measurement.
	Dropped uint64
	// Elapsed is the time measured, Packets the frames received in it.
	Elapsed time.Duration
	Packets uint64
}

// Measure counts until at least packets frames were received, or sent where none is
// received, and at least least has passed. It ends with ctx at the latest.
func (r *Rig) Measure(ctx context.Context, packets uint64, least time.Duration) (Rate, error) {
	a, err := r.d.Stats(ctx)
	if err != nil {
		return Rate{}, err
	}
	rx0, tx0, drop0 := totals(a)
	for {
		// Statistics are an interruption of the worker, if a short one: few.
		select {
		case <-ctx.Done():
			return Rate{}, ctx.Err()
		case <-time.After(max(least/4, 20*time.Millisecond)):
		}
		b, err := r.d.Stats(ctx)
		if err != nil {
			return Rate{}, err
		}
		rx, tx, drop := totals(b)
		t := b.Time.Sub(a.Time)
		if max(rx-rx0, tx-tx0) >= packets && t >= least {
			return Rate{
				Received: float64(rx-rx0) / t.Seconds(), Sent: float64(tx-tx0) / t.Seconds(),
				Dropped: drop - drop0, Elapsed: t, Packets: rx - rx0,
			}, nil
		}
	}
}

// totals sums over ports.
func totals(s *dataplane.Stats) (rx, tx, dropped uint64) {
	for _, p := range s.Ports {
		rx += p.RxPackets
		tx += p.TxPackets
		for _, n := range p.Drops {
			dropped += n
		}
	}
	return rx, tx, dropped
}

// Check takes the account: frames received or generated are sent, dropped, in hand
// or held by the stage, and the pools are complete.
func (r *Rig) Check(ctx context.Context) error {
	s, err := r.d.StatsWithAccounts(ctx)
	if err != nil {
		return err
	}
	var inHand, generated uint64
	for _, p := range s.Ports {
		inHand += p.InHand
		generated += p.Generated
	}
	for _, c := range s.Cores {
		inHand += c.Held
	}
	rx, tx, dropped := totals(s)
	if rx+generated != tx+dropped+inHand {
		err = fmt.Errorf("bench: %d frames received and %d generated, but %d sent, %d dropped and %d in hand", rx, generated, tx, dropped, inHand)
	}
	for _, p := range s.Pools {
		if !p.Balanced() {
			err = errors.Join(err, fmt.Errorf("bench: pool %s: %d of %d frames accounted for, %d twice", p.Pool, p.Accounted, p.Frames, p.Duplicate))
		}
	}
	return err
}

// Close stops the workers, closes the ports and lets the process's threads run
// everywhere again.
func (r *Rig) Close() error {
	r.cancel()
	return errors.Join(<-r.done, r.d.Close(), r.restore())
}
