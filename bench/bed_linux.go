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
	if b.scenario.Mode != "txonly" {
		if err := b.sender(w, feed); err != nil {
			return err
		}
	}
	b.settle = func(ctx context.Context) error {
		if b.send != nil {
			if err := b.send(false); err != nil {
				return err
			}
		}
		if err := b.rig.d.SetStage(ctx, discard); err != nil {
			return err
		}
		return b.rig.arrived(ctx, far, 0)
	}
	return nil
}

// sender sends from host a as fast as the CPU can, from now on.
func (b *bed) sender(w *wire, feed int) error {
	cfg := netlab.GeneratorConfig{Size: b.scenario.Size - 4}
	if b.scenario.Flows == FlowsMany {
		cfg.Flows = 10_000
	}
	gen, err := w.a.Generator("ha", cfg) // the lab's to close
	if err != nil {
		return err
	}
	sends := false
	b.send = func(on bool) (err error) {
		if on == sends {
			return nil
		}
		if sends = on; on {
			return gen.Start(feed)
		}
		_, err = gen.Stop()
		return err
	}
	return b.send(true)
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
