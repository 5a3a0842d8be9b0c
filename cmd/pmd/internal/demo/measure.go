package demo

import (
	"context"
	"time"
)

// warmUp is the part of a flood that is not measured: rings and caches fill.
const warmUp = 200 * time.Millisecond

// stretch is how many times longer than asked a flood may be measured if nothing
// arrives: a poller that shares its CPU may be kept from it for a while, and a rate
// of nothing tells nothing.
const stretch = 4

// measure takes the rate of a counter over the given time, after a warm-up, and
// notes it in f. It ends early with ctx.
func (f *flood) measure(ctx context.Context, length time.Duration, count func() (uint64, error)) error {
	if err := pause(ctx, min(warmUp, length)); err != nil {
		return err
	}
	n0, err := count()
	if err != nil {
		return err
	}
	begin := time.Now()
	for n1 := n0; n1 == n0 && time.Since(begin) < stretch*length; {
		if err := pause(ctx, length); err != nil {
			return err
		}
		if n1, err = count(); err != nil {
			return err
		}
		f.seconds = time.Since(begin).Seconds()
		f.pps = float64(n1-n0) / f.seconds
	}
	return nil
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
