package ring

import (
	"context"
	"fmt"
	"sync"

	"example.org/pmd/pmd"
)

// Driver opens ring ports from specs such as "ring:pair=lab,name=left". It
// remembers the pairs that have an open end: ports find each other only if the
// same Driver opens them. The zero value is ready; it must not be copied once
// used.
type Driver struct {
	mu    sync.Mutex
	pairs map[string]*link
}

var (
	_ pmd.Driver  = (*Driver)(nil)
	_ pmd.Checker = (*Driver)(nil)
)

// Kind returns "ring".
func (*Driver) Kind() string { return "ring" }

// read reads the options of a spec.
func read(spec pmd.Spec) (pair string, loop bool, size int, err error) {
	if spec.Interface != "" {
		return "", false, 0, fmt.Errorf("%w: %s: a ring port has no interface: write ring:pair=NAME", pmd.ErrSpec, spec)
	}
	r := spec.Read()
	pair = r.String("pair", "")
	loop = r.Bool("loop", false)
	size = r.PowerOfTwo("size", 0, MinSize, MaxSize)
	if err := r.Done(); err != nil {
		return "", false, 0, err
	}
	if loop == (pair != "") {
		return "", false, 0, fmt.Errorf("%w: %s: give either pair=NAME or loop=on", pmd.ErrSpec, spec)
	}
	return pair, loop, size, nil
}

// Check tells what is wrong with a spec.
func (*Driver) Check(spec pmd.Spec) error {
	_, _, _, err := read(spec)
	return err
}

// Open opens an end of the pair that spec names, or a looped port. Errors about
// the spec wrap pmd.ErrSpec.
func (dr *Driver) Open(_ context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	pair, loop, size, err := read(spec)
	if err != nil {
		return nil, err
	}
	if loop {
		d, err := NewLoop(Config{Name: spec.Name, Size: size}, env)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	d, other, err := dr.join(Config{Name: pair, Size: size}, spec, env)
	if err != nil {
		return nil, err
	}
	other.notify("peer opened")
	return d, nil
}

// join opens a free end of the pair, making the pair if there is none. It also
// returns the end that was open already, or nil.
func (dr *Driver) join(cfg Config, spec pmd.Spec, env pmd.Env) (d, other *Device, err error) {
	dr.mu.Lock()
	defer dr.mu.Unlock()
	wish := cfg.Size
	cfg, pool, err := prepare(cfg, env)
	if err != nil {
		return nil, nil, err
	}
	l, end := dr.pairs[cfg.Name], 0
	switch {
	case l == nil:
		if l, err = newLink(pool, cfg, false); err != nil {
			return nil, nil, err
		}
		if dr.pairs == nil {
			dr.pairs = map[string]*link{}
		}
		dr.pairs[cfg.Name] = l
	case wish != 0 && wish != l.wires[0].Cap():
		return nil, nil, fmt.Errorf("%w: %s: size=%d: the other end has %d: leave size out or say the same", pmd.ErrSpec, spec, wish, l.wires[0].Cap())
	case pool != l.pool:
		return nil, nil, fmt.Errorf("ring %s: pool %s: the other end uses pool %s: both ends must share one", cfg.Name, pool.Name(), l.pool.Name())
	default:
		if end = l.free(); end < 0 {
			return nil, nil, fmt.Errorf("%w: %s: both ends of pair %s are open: close one or take another pair", pmd.ErrSpec, spec, cfg.Name)
		}
	}
	name := spec.Name
	if name == "" {
		name = cfg.Name + "." + string(rune('a'+end))
	}
	d, other = l.attach(end, name, cfg.Name, env.Host)
	d.release = func() { dr.forget(cfg.Name, l) }
	return d, other, nil
}

// forget drops a pair whose last end was closed, unless somebody has joined it
// again meanwhile.
func (dr *Driver) forget(pair string, l *link) {
	dr.mu.Lock()
	defer dr.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if dr.pairs[pair] == l && l.ends[0] == nil && l.ends[1] == nil {
		delete(dr.pairs, pair)
	}
}
