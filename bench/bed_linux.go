package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.org/pmd/pmd/netlab"
)

// lackingVeth tells what keeps veth pairs from being made here.
func lackingVeth() error { return netlab.Check() }

// lackingSim tells what keeps the kernel's side of AF_XDP from being simulated here.
func lackingSim() error { return nil }

// veth sets up two veth pairs, host a — p0, p1 — host b, in namespaces of their own,
// with a sink at both hosts and a generator at a.
func (b *bed) veth(ctx context.Context, cfg RigConfig, feed int) error {
	lab, err := netlab.New("bench")
	if err != nil {
		return err
	}
	b.undo = append(b.undo, lab.Close)
	w, err := makeWire(lab, 1)
	if err != nil {
		return err
	}
	far, err := w.farEnd(b.scenario.recorded())
	if err != nil {
		return err
	}
	cfg.Open = w.open
	if err := b.start(ctx, cfg); err != nil {
		return err
	}
	if b.scenario.paced() {
		return b.pace(ctx, w, far, feed)
	}
	stop := func() (uint64, error) { return 0, nil }
	if b.scenario.Mode != "txonly" {
		gc := netlab.GeneratorConfig{Size: b.scenario.Size - 4}
		if b.scenario.Flows == FlowsMany {
			gc.Flows = 10_000
		}
		if stop, err = w.generate(gc, feed); err != nil {
			return err
		}
	}
	b.settle = func(ctx context.Context) error {
		if _, err := stop(); err != nil {
			return err
		}
		if err := b.rig.d.SetStage(ctx, discard); err != nil {
			return err
		}
		return b.rig.arrived(ctx, far, 0)
	}
	return nil
}

// arrived waits until all that was sent is at the far end, which had counted before.
func (r *Rig) arrived(ctx context.Context, far farEnd, before uint64) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		s, err := r.Stats(ctx)
		if err != nil {
			return err
		}
		there, err := far.count()
		if err != nil {
			return err
		}
		var inHand uint64
		for _, p := range s.Ports {
			inHand += p.InHand
		}
		_, tx, _ := totals(s)
		if inHand == 0 && tx == there-before {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("%d frames were sent and %d are on their way, but %d arrived", tx, inHand, there-before), ctx.Err())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
