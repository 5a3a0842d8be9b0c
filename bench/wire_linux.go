package bench

import (
	"context"
	"errors"
	"fmt"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/netlab"
)

// wire is two veth pairs: host a — p0, p1 — host b. The ports are in a namespace
// of their own, so that pmd and peers can take them in turn.
type wire struct {
	lab         *netlab.Lab
	a, b, ports *netlab.Namespace
	// hb is the end at host b.
	hb netlab.Interface
}

// opener opens the ports of a rig.
type opener = func(context.Context, pmd.Env) ([]pmd.Device, error)

// makeWire makes a wire in a lab, whose interfaces have this many queues.
func makeWire(lab *netlab.Lab, queues int) (w *wire, err error) {
	w = &wire{lab: lab}
	for name, ns := range map[string]**netlab.Namespace{"a": &w.a, "b": &w.b, "ports": &w.ports} {
		if *ns, err = lab.Namespace(name); err != nil {
			return nil, err
		}
	}
	if _, err = lab.Veth(netlab.VethEnd{Namespace: w.a, Name: "ha", Queues: queues}, netlab.VethEnd{Namespace: w.ports, Name: "p0"}); err != nil {
		return nil, err
	}
	v, err := lab.Veth(netlab.VethEnd{Namespace: w.b, Name: "hb", Queues: queues}, netlab.VethEnd{Namespace: w.ports, Name: "p1"})
	if err != nil {
		return nil, err
	}
	w.hb = v.A
	return w, nil
}

// open opens both ports.
func (w *wire) open(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
	return w.openPorts("p0", "p1")(ctx, env)
}

// openPorts opens these ports on all their queues.
func (w *wire) openPorts(names ...string) opener {
	drv := afxdp.NewDriver()
	return openEach(len(names), func(ctx context.Context, i int, env pmd.Env) (pmd.Device, error) {
		return drv.OpenConfig(ctx, afxdp.Config{Interface: names[i], Netns: w.ports.Path()}, env)
	})
}

// openAs opens both ports with another driver for interfaces, as
// "afpacket:%s,ring=v3".
func (w *wire) openAs(drv pmd.Driver, form string) opener {
	return openEach(2, func(ctx context.Context, i int, env pmd.Env) (pmd.Device, error) {
		spec, err := pmd.ParseSpec(fmt.Sprintf(form, fmt.Sprintf("p%d", i)) + ",netns=" + w.ports.Path())
		if err != nil {
			return nil, err
		}
		return drv.Open(ctx, spec, env)
	})
}

// generate sends frames from host a as fast as the CPU can, until the returned function
// is called, which tells how many arrived at the port. With a second CPU host b sends as
// well. A veth receives what CPU i sends on queue i modulo its queues (veth_select_rxq).
func (w *wire) generate(cfg netlab.GeneratorConfig, cpus ...int) (stop func() (sent uint64, err error), err error) {
	var gens []*netlab.Generator
	stop = func() (sent uint64, err error) {
		for _, gen := range gens {
			r, e := gen.Stop()
			sent += r.Sent
			err = errors.Join(err, e, gen.Close())
		}
		gens = nil
		return sent, err
	}
	for i, cpu := range cpus {
		host, name := w.a, "ha"
		if i == 1 {
			host, name = w.b, "hb"
		}
		gen, err := host.Generator(name, cfg)
		if err == nil {
			if err = gen.Start(cpu); err != nil {
				err = errors.Join(err, gen.Close())
			}
		}
		if err != nil {
			_, e := stop()
			return nil, errors.Join(err, e)
		}
		gens = append(gens, gen)
	}
	return stop, nil
}

// farEnd counts, in the kernel, the frames that arrive at the hosts behind the ports.
type farEnd []*netlab.Sink

// farEnd puts sinks at both hosts, of which b's keeps as many arrivals.
func (w *wire) farEnd(record int) (farEnd, error) {
	a, err := w.a.Sink("ha", false)
	if err != nil {
		return nil, err
	}
	b, err := w.b.NewSink("hb", netlab.SinkConfig{Record: record})
	return farEnd{a, b}, err
}

// count adds up what has arrived.
func (f farEnd) count() (sum uint64, err error) {
	for _, s := range f {
		n, _, err := s.Count()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
