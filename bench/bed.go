package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/pcap"
	"example.org/pmd/pmd/ring"
)

// bed is a scenario that is set up and runs.
type bed struct {
	scenario Scenario
	rig      *Rig
	// ends are the ports at which frames enter and leave; of the others each frame
	// passes two. Nil is all.
	ends []int
	// settle, if any, checks after the traffic ended that what was sent has arrived.
	settle func(context.Context) error
	// undo is what is to be done at the end, last first.
	undo []func() error
	// send, if any, has what sends to the ports begin or end, if it had not.
	send func(on bool) error

	// paced, if any, is a round in which latency is measured, at rate frames a second;
	// throughput is what was found to be possible, 0 if nobody asked.
	paced            func(ctx context.Context, length time.Duration) (Round, error)
	rate, throughput float64
}

// openBed sets a scenario up and starts it.
func openBed(ctx context.Context, s Scenario) (b *bed, err error) {
	s = s.withDefaults()
	if err := s.Lacking(); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", s.Name(), err)
	}
	poll, feed, err := s.cpus()
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", s.Name(), err)
	}
	b = &bed{scenario: s}
	defer func() {
		if err != nil {
			err = fmt.Errorf("bench: %s: %w", s.Name(), errors.Join(err, b.close()))
			b = nil
		}
	}()
	cfg := RigConfig{Mode: s.Mode, Cores: poll, Idle: s.Idle}
	switch s.Driver {
	case DriverNull:
		cfg.Open = nullPorts(2*s.Cores, null.Config{Size: s.Size, NoRx: s.Mode == "txonly"})
	case DriverRing:
		b.ends = []int{0, 3}
		cfg.Open = ringPorts(null.Config{Size: s.Size})
	case DriverPcap:
		dir, err := os.MkdirTemp("", "pmd-bench-")
		if err != nil {
			return b, err
		}
		b.undo = append(b.undo, func() error { return os.RemoveAll(dir) })
		path, err := writeTraffic(dir, s, s.captureFrames())
		if err != nil {
			return b, err
		}
		cfg.Open = pcapPorts(2*s.Cores, path)
	case DriverAFXDP:
		return b, b.veth(ctx, cfg, feed)
	case DriverSim:
		cfg.Open = func(_ context.Context, env pmd.Env) ([]pmd.Device, error) {
			return afxdp.NewSimulation(afxdp.SimulationConfig{CPU: feed, Size: s.Size}, env)
		}
	}
	return b, b.start(ctx, cfg)
}

// start starts the rig.
func (b *bed) start(ctx context.Context, cfg RigConfig) (err error) {
	if b.rig, err = Start(ctx, cfg); err != nil {
		return err
	}
	b.undo = append(b.undo, b.rig.Close)
	return nil
}

// close stops everything and removes what was made.
func (b *bed) close() error { return undoAll(&b.undo) }

// counts adds up what entered, left and was dropped.
func (b *bed) counts(s *dataplane.Stats) (rx, tx, dropped uint64) {
	if b.ends == nil {
		return totals(s)
	}
	var ends dataplane.Stats
	for _, i := range b.ends {
		ends.Ports = append(ends.Ports, s.Ports[i])
	}
	rx, tx, _ = totals(&ends)
	_, _, dropped = totals(s)
	return rx, tx, dropped
}

// patience is how long a round waits for a first frame.
const patience = 10 * time.Second

// round measures for some time, takes the account, and returns the frames a second that
// left, or that entered where none leaves.
func (b *bed) round(ctx context.Context, length time.Duration) (Round, error) {
	if b.paced != nil {
		return b.paced(ctx, length)
	}
	before, err := b.rig.Stats(ctx)
	if err != nil {
		return Round{}, err
	}
	_, _, drop0 := b.counts(before)
	d := watchDisturbance()
	var r Round
	// A machine may be too busy to let the core or the sender run in so short a time: the
	// round is then as long as it takes.
	for r.Packets == 0 && r.Seconds < patience.Seconds() {
		select {
		case <-ctx.Done():
			return Round{}, ctx.Err()
		case <-time.After(length):
		}
		after, err := b.rig.Stats(ctx)
		if err != nil {
			return Round{}, err
		}
		_, _, drop := b.counts(after)
		r.Seconds, r.Packets, r.Dropped = after.Time.Sub(before.Time).Seconds(), b.moved(after)-b.moved(before), drop-drop0
	}
	r.Disturbance = d.end()
	if r.Packets == 0 {
		return r, fmt.Errorf("no frame moved in %.1f s", r.Seconds)
	}
	r.PPS = float64(r.Packets) / r.Seconds
	return r, b.rig.Check(ctx)
}

// nullPorts opens n null ports.
func nullPorts(n int, cfg null.Config) func(context.Context, pmd.Env) ([]pmd.Device, error) {
	return openEach(n, func(_ context.Context, i int, env pmd.Env) (pmd.Device, error) {
		cfg.Name = fmt.Sprintf("null%d", i)
		return null.New(cfg, env)
	})
}

// pcapPorts opens n ports that replay the capture for ever and discard what they are
// sent.
func pcapPorts(n int, path string) func(context.Context, pmd.Env) ([]pmd.Device, error) {
	return openEach(n, func(ctx context.Context, i int, env pmd.Env) (pmd.Device, error) {
		return pcap.New(ctx, pcap.Config{Name: fmt.Sprintf("pcap%d", i), RX: path, Loops: pcap.Forever}, env)
	})
}

// ringPorts opens a null port, both ends of a ring pair, and another null port.
func ringPorts(cfg null.Config) func(context.Context, pmd.Env) ([]pmd.Device, error) {
	return func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
		devs, err := nullPorts(2, cfg)(ctx, env)
		if err != nil {
			return nil, err
		}
		a, b, err := ring.NewPair(ring.Config{Name: "ring"}, env)
		if err != nil {
			return nil, errors.Join(err, closeAll(devs))
		}
		return []pmd.Device{devs[0], a, b, devs[1]}, nil
	}
}

// openEach opens n ports, or none.
func openEach(n int, open func(ctx context.Context, i int, env pmd.Env) (pmd.Device, error)) func(context.Context, pmd.Env) ([]pmd.Device, error) {
	return func(ctx context.Context, env pmd.Env) (devs []pmd.Device, err error) {
		for i := range n {
			d, err := open(ctx, i, env)
			if err != nil {
				return nil, errors.Join(err, closeAll(devs))
			}
			devs = append(devs, d)
		}
		return devs, nil
	}
}

func closeAll(devs []pmd.Device) error {
	var errs []error
	for _, d := range devs {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
