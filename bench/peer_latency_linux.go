package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// peerRecorded bounds the frames of one rate in a round of which latency is taken: seconds of
// what veth pairs carry.
const peerRecorded = 4_000_000

// kept is how many arrivals the far end keeps.
func (f *field) kept() int {
	if len(f.Loads) == 0 {
		return 0
	}
	return peerRecorded
}

// latencies has both sides forward at the same rates: shares of what the slower of them can
// forward at most, which is looked at first.
func (f *field) latencies(ctx context.Context) error {
	for _, side := range []struct {
		name string
		run  func(context.Context, time.Duration) (Sample, error)
	}{{"pmd", f.ours}, {f.Peer.Name, f.theirs}} {
		s, err := side.run(ctx, probeLength)
		if err == nil && s.PPS <= 0 {
			err = errors.New("no frame moved")
		}
		if err != nil {
			return fmt.Errorf("throughput of %s: %w", side.name, err)
		}
		if f.common == 0 || s.PPS < f.common {
			f.common = s.PPS
		}
	}
	for _, load := range f.Loads {
		f.rates = append(f.rates, max(1, uint64(f.common*float64(load)/100)))
	}
	f.ours = f.oursPaced
	f.testpmd.measure = func(ctx context.Context, length time.Duration) (Sample, error) {
		return f.paced(ctx, length, func() error { _, err := f.settled(); return err })
	}
	return nil
}

// oursPaced is a round of ours at these rates.
func (f *field) oursPaced(ctx context.Context, length time.Duration) (s Sample, err error) {
	before, err := f.far.count()
	if err != nil {
		return s, err
	}
	r, err := f.start(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if s, err = f.paced(ctx, length, func() error { return void(r.arrived(ctx, f.far, before)) }); err != nil {
		return s, err
	}
	return s, void(r.Check(ctx))
}

// pacedWarmUp is sent at each rate before its frames count.
const pacedWarmUp = 100 * time.Millisecond

// paced sends at each rate in turn, and takes the times. They share the length.
func (f *field) paced(ctx context.Context, length time.Duration, settle func() error) (s Sample, err error) {
	p := pacer{w: f.w, far: f.far, feed: f.feed, size: f.gen.Size, kept: peerRecorded, settle: settle}
	before := readUsage(f.cpus())
	for _, rate := range f.rates {
		if _, _, _, err := p.run(ctx, rate, pacedWarmUp); err != nil {
			return s, err
		}
		d, seconds, _, err := p.run(ctx, rate, length/time.Duration(len(f.rates)))
		if err != nil {
			return s, err
		}
		s.Latency = append(s.Latency, d.latency(float64(rate), f.common))
		s.Packets += d.Received
		s.Seconds += seconds
	}
	after := readUsage(f.cpus())
	s.PPS = float64(s.Packets) / s.Seconds
	s.CPU = (after.busy - before.busy) / after.at.Sub(before.at).Seconds()
	return s, nil
}
