package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
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
	ns := map[string]*netlab.Namespace{"a": nil, "b": nil, "ports": nil}
	for name := range ns {
		if ns[name], err = lab.Namespace(name); err != nil {
			return err
		}
	}
	var sinks []*netlab.Sink
	for i, host := range []*netlab.Namespace{ns["a"], ns["b"]} {
		name := "h" + host.Name()[len(host.Name())-1:]
		if _, err := lab.Veth(netlab.VethEnd{Namespace: host, Name: name}, netlab.VethEnd{Namespace: ns["ports"], Name: fmt.Sprintf("p%d", i)}); err != nil {
			return err
		}
		s, err := host.Sink(name, false)
		if err != nil {
			return err
		}
		sinks = append(sinks, s)
	}
	drv := afxdp.NewDriver()
	cfg.Open = openEach(2, func(ctx context.Context, i int, env pmd.Env) (pmd.Device, error) {
		return drv.OpenConfig(ctx, afxdp.Config{Interface: fmt.Sprintf("p%d", i), Netns: ns["ports"].Path()}, env)
	})
	if err := b.start(ctx, cfg); err != nil {
		return err
	}
	stop := func() error { return nil }
	if b.scenario.Mode != "txonly" {
		gc := netlab.GeneratorConfig{Size: b.scenario.Size - 4}
		if b.scenario.Flows == FlowsMany {
			gc.Flows = 10_000
		}
		gen, err := ns["a"].Generator("ha", gc)
		if err != nil {
			return err
		}
		if err := gen.Start(feed); err != nil {
			return err
		}
		stop = func() error {
			_, err := gen.Stop()
			return err
		}
	}
	b.settle = func(ctx context.Context) error {
		if err := stop(); err != nil {
			return err
		}
		if err := b.rig.d.SetStage(ctx, discard); err != nil {
			return err
		}
		return b.arrived(ctx, sinks)
	}
	return nil
}

// arrived waits until all that was sent is at the sinks.
func (b *bed) arrived(ctx context.Context, sinks []*netlab.Sink) error {
	for deadline := time.Now().Add(5 * time.Second); ; {
		s, err := b.rig.Stats(ctx)
		if err != nil {
			return err
		}
		var there, inHand uint64
		for _, sink := range sinks {
			n, _, err := sink.Count()
			if err != nil {
				return err
			}
			there += n
		}
		for _, p := range s.Ports {
			inHand += p.InHand
		}
		_, tx, _ := totals(s)
		if inHand == 0 && tx == there {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("%d frames were sent and %d are on their way, but %d arrived", tx, inHand, there), ctx.Err())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
