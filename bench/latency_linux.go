package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

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
	before, err := b.rig.Stats(ctx)
	if err != nil {
		return r, err
	}
	p := pacer{w: w, far: far, feed: feed, size: b.scenario.Size - 4, kept: recordedFrames, settle: func() error { return b.rig.arrived(ctx, far, 0) }}
	if r.delays, r.Seconds, r.Disturbance, err = p.run(ctx, uint64(b.rate), length); err != nil {
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

// pacer sends frames with numbers and due times evenly from host a to whatever forwards them,
// and accounts for each.
type pacer struct {
	w    *wire
	far  farEnd
	feed int
	size int // of frames, without the check sequence
	kept int // how many arrivals the far end keeps
	// settle returns when everything that was sent has arrived, or will not.
	settle func() error
}

// run sends for some time, and returns the account and how long it took.
func (p pacer) run(ctx context.Context, rate uint64, length time.Duration) (d *delays, seconds float64, disturbed Disturbance, err error) {
	if float64(rate)*length.Seconds() > float64(p.kept) {
		return nil, 0, disturbed, fmt.Errorf("%d frames a second for %v are more than the %d that can be recorded: use shorter rounds", rate, length, p.kept)
	}
	if _, _, err := p.far[1].Arrivals(); err != nil { // those of before
		return nil, 0, disturbed, err
	}
	gen, err := p.w.a.Generator("ha", netlab.GeneratorConfig{Size: p.size, Rate: rate, Sequence: true, Stamp: true})
	if err != nil {
		return nil, 0, disturbed, err
	}
	defer func() { err = errors.Join(err, gen.Close()) }()
	// What accounts for frames makes garbage, and the collector would run in the midst of
	// the next frames of ours, and of no other side's.
	runtime.GC()
	watch := watchDisturbance()
	if err := whenReceived(ctx, func() error { return gen.Start(p.feed) }); err != nil {
		return nil, 0, disturbed, err
	}
	asked := sleep(ctx, length)
	sent, err := gen.Stop()
	if err = errors.Join(err, asked); err != nil {
		return nil, 0, disturbed, err
	}
	disturbed = watch.end()
	if err := p.settle(); err != nil {
		return nil, 0, disturbed, err
	}
	arrivals, missed, err := p.far[1].Arrivals()
	if err != nil {
		return nil, 0, disturbed, err
	}
	if missed > 0 {
		return nil, 0, disturbed, fmt.Errorf("%d frames arrived beyond the %d that can be recorded: use shorter rounds", missed, p.kept)
	}
	d = newDelays()
	return d, sent.Elapsed.Seconds(), disturbed, d.add(arrivals, 0, sent.Generated, 1e9/float64(rate))
}

// whenReceived starts a generator as soon as what is to receive has its program on the port.
func whenReceived(ctx context.Context, start func() error) error {
	for deadline := time.Now().Add(15 * time.Second); ; {
		err := start()
		if !errors.Is(err, unix.ENXIO) || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
