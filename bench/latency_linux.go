package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.org/pmd/pmd/netlab"
)

const (
	// recordedFrames bounds what a round may record: five seconds at three million a
	// second.
	recordedFrames = 15_000_000
	// probeLength is how long the throughput is looked at before a load of it is sent.
	probeLength = time.Second
)

// recorded is how many arrivals a round keeps.
func (s Scenario) recorded() int {
	if !s.paced() {
		return 0
	}
	return recordedFrames
}

// pace has the rounds send evenly, at the rate asked for or at a share of the throughput,
// which is found first, and take the time of every frame: from when it was due to its
// arrival at the far end, both by the clock of the kernel.
func (b *bed) pace(ctx context.Context, w *wire, far farEnd, feed int) error {
	b.rate = float64(b.scenario.Rate)
	if b.scenario.Load != 0 {
		stop, err := w.generate(netlab.GeneratorConfig{Size: b.scenario.Size - 4}, feed)
		if err != nil {
			return err
		}
		err = sleep(ctx, warmUp)
		var s Sample
		if err == nil {
			s, err = countFor(ctx, probeLength, nil, far.count)
		}
		if _, e := stop(); err != nil || e != nil {
			return errors.Join(err, e)
		}
		if err := b.rig.arrived(ctx, far, 0); err != nil {
			return err
		}
		if _, _, err := far[1].Arrivals(); err != nil { // those of the probe
			return err
		}
		b.throughput = s.PPS
		b.rate = s.PPS * float64(b.scenario.Load) / 100
	}
	if b.rate < 1 {
		return errors.New("no frame moved: there is no throughput to load it by")
	}
	b.paced = func(ctx context.Context, length time.Duration) (Round, error) {
		return b.pacedRound(ctx, w, far, feed, length)
	}
	return nil
}

// pacedRound sends for some time and accounts for every frame.
func (b *bed) pacedRound(ctx context.Context, w *wire, far farEnd, feed int, length time.Duration) (r Round, err error) {
	rate := uint64(b.rate)
	if float64(rate)*length.Seconds() > recordedFrames {
		return r, fmt.Errorf("%d frames a second for %v are more than the %d that can be recorded: use shorter rounds", rate, length, recordedFrames)
	}
	gen, err := w.a.Generator("ha", netlab.GeneratorConfig{Size: b.scenario.Size - 4, Rate: rate, Sequence: true, Stamp: true})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, gen.Close()) }()
	before, err := b.rig.Stats(ctx)
	if err != nil {
		return r, err
	}
	watch := watchDisturbance()
	if err := gen.Start(feed); err != nil {
		return r, err
	}
	asked := sleep(ctx, length)
	sent, err := gen.Stop()
	if err = errors.Join(err, asked); err != nil {
		return r, err
	}
	r.Seconds, r.Disturbance = sent.Elapsed.Seconds(), watch.end()
	if err := b.rig.arrived(ctx, far, 0); err != nil {
		return r, err
	}
	arrivals, missed, err := far[1].Arrivals()
	if err != nil {
		return r, err
	}
	if missed > 0 {
		return r, fmt.Errorf("%d frames arrived beyond the %d that can be recorded: use shorter rounds", missed, recordedFrames)
	}
	r.delays = newDelays()
	if err := r.delays.add(arrivals, 0, sent.Generated, 1e9/float64(rate)); err != nil {
		return r, err
	}
	after, err := b.rig.Stats(ctx)
	if err != nil {
		return r, err
	}
	_, _, drop0 := b.counts(before)
	_, _, drop := b.counts(after)
	r.Packets, r.Dropped = r.delays.Received, drop-drop0
	if r.Packets == 0 {
		return r, errors.New("no frame moved")
	}
	r.PPS = float64(r.Packets) / r.Seconds
	return r, b.rig.Check(ctx)
}
