package null

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Driver opens null ports from specs such as "null:size=64,queues=2". It has no
// state; the zero value is ready.
type Driver struct{}

var (
	_ pmd.Driver  = Driver{}
	_ pmd.Checker = Driver{}
)

// Kind returns "null".
func (Driver) Kind() string { return "null" }

// Check tells what is wrong with a spec.
func (Driver) Check(spec pmd.Spec) error {
	_, err := fromSpec(spec)
	return err
}

// Open opens the port that spec describes. Errors about the spec wrap
// pmd.ErrSpec.
func (Driver) Open(_ context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	cfg, err := fromSpec(spec)
	if err != nil {
		return nil, err
	}
	d, err := New(cfg, env)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Device is a null port.
type Device struct {
	*pmd.OwnLink

	cfg    Config
	host   pmd.Host
	queues []pmd.Queue
	closed atomic.Bool
}

var _ pmd.Device = (*Device)(nil)

// New opens a null port over a pool of env. If no frame of the pool is out it
// writes the content into all of them. Errors in cfg wrap pmd.ErrSpec. An env made by
// hand may lack a Host.
func New(cfg Config, env pmd.Env) (*Device, error) {
	pool, err := env.Pool(pmd.Class{NUMANode: -1})
	if err != nil {
		return nil, fmt.Errorf("null %s: %w", cfg.Name, err)
	}
	cfg, err = cfg.withDefaults(pool)
	if err != nil {
		return nil, err
	}
	d := &Device{cfg: cfg, host: env.Host}
	d.OwnLink = pmd.NewOwnLink("null", cfg.Name, pool.MaxLen()-etherLen, d.notify)
	frame := cfg.frame()
	colours := pool.Colours(pool.DataOffset(), cfg.Size)
	stamp(pool, frame, colours)
	if !cfg.Copy {
		frame = nil
	}
	for range cfg.Queues {
		d.queues = append(d.queues, &Queue{
			pool: pool, frame: frame, colours: colours, inspect: cfg.Inspect,
			offset: uint32(pool.DataOffset()), size: uint32(cfg.Size),
			noRx: cfg.NoRx, noTx: cfg.NoTx,
		})
	}
	return d, nil
}

// stamp writes frame into every frame of the pool, if all are at home. It takes
// them out meanwhile, so that whoever opens a port beside it cannot get one that
// is being written.
func stamp(pool *mbuf.Pool, frame []byte, colours uint64) {
	if pool.Available() != pool.Frames() {
		return
	}
	cache := mbuf.NewCache(pool)
	addrs := make([]uint64, pool.Frames())
	addrs = addrs[:cache.Take(addrs)]
	mem, offset := pool.Mem(), uint32(pool.DataOffset())
	for _, a := range addrs {
		copy(mem[mbuf.Coloured(a, offset, colours):], frame)
	}
	cache.Put(addrs)
	cache.Drain()
}

// Info describes the port. It is up until it is closed.
func (d *Device) Info() pmd.Info {
	content := "udp"
	if d.cfg.Content != nil {
		content = strconv.Itoa(len(d.cfg.Content)) + " bytes, then zeros"
	}
	info := pmd.Info{
		Name: d.cfg.Name, Driver: "null", NUMANode: -1,
		Up: !d.closed.Load(), // pairs with the store in Close
		Obtained: map[string]string{
			"queues": strconv.Itoa(d.cfg.Queues), "size": strconv.Itoa(d.cfg.Size), "content": content,
			"copy": onOff(d.cfg.Copy), "rx": onOff(!d.cfg.NoRx), "tx": onOff(!d.cfg.NoTx),
		},
	}
	d.Describe(&info)
	if !info.Up {
		info.Detail = "closed"
	}
	return info
}

// notify tells the host that Info has changed.
func (d *Device) notify(what string) {
	if d.host != nil {
		d.host.Notify(d, what)
	}
}

// onOff says b the way options do.
func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// Queues returns the port's queues.
func (d *Device) Queues() []pmd.Queue { return d.queues }

// Close gives up the port, which holds no frames. Closing twice is harmless.
func (d *Device) Close() error {
	d.closed.Store(true) // pairs with the load in Info
	return nil
}
