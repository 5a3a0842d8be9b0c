package ring

import (
	"fmt"
	"strconv"
	"sync"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// etherLen is the length of an Ethernet header in bytes.
const etherLen = 14

// Device is one end of a pair, or a looped port.
type Device struct {
	*pmd.OwnLink

	link   *link
	end    int
	name   string
	pair   string
	host   pmd.Host
	queues []pmd.Queue
	// release is called once the last end is closed; nil if nobody asked.
	release func()
	once    sync.Once
}

var _ pmd.Device = (*Device)(nil)

// newDevice returns end i of l, not yet attached.
func newDevice(l *link, i int, name, pair string, host pmd.Host) *Device {
	rx, tx := l.wires[i], l.wires[1-i]
	d := &Device{
		link: l, end: i, name: name, pair: pair, host: host,
		queues: []pmd.Queue{&Queue{
			rx: rx, tx: tx, peer: &l.open[l.peer(i)], bell: &l.bells[i], wake: &l.bells[l.peer(i)],
			pool: l.pool, scratch: make([]mbuf.Frame, rx.Cap()),
		}},
	}
	d.OwnLink = pmd.NewOwnLink("ring", name, l.pool.MaxLen()-etherLen, d.notify)
	return d
}

// NewPair makes two ports that are joined, over a pool of env. What a sends b
// receives, and the other way round. Errors in cfg wrap pmd.ErrSpec. An env made
// by hand may lack a Host.
func NewPair(cfg Config, env pmd.Env) (a, b *Device, err error) {
	cfg, pool, err := prepare(cfg, env)
	if err != nil {
		return nil, nil, err
	}
	l, err := newLink(pool, cfg, false)
	if err != nil {
		return nil, nil, err
	}
	a, _ = l.attach(0, cfg.Name+".a", cfg.Name, env.Host)
	b, _ = l.attach(1, cfg.Name+".b", cfg.Name, env.Host)
	return a, b, nil
}

// NewLoop makes a port that receives what it sends. Errors are as for NewPair.
func NewLoop(cfg Config, env pmd.Env) (*Device, error) {
	cfg, pool, err := prepare(cfg, env)
	if err != nil {
		return nil, err
	}
	l, err := newLink(pool, cfg, true)
	if err != nil {
		return nil, err
	}
	d, _ := l.attach(0, cfg.Name, "", env.Host)
	return d, nil
}

// prepare checks cfg and finds the pool.
func prepare(cfg Config, env pmd.Env) (Config, *mbuf.Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return cfg, nil, err
	}
	pool, err := env.Pool(pmd.Class{NUMANode: -1})
	if err != nil {
		return cfg, nil, fmt.Errorf("ring %s: %w", cfg.Name, err)
	}
	return cfg, pool, nil
}

// Info describes the port. It is up while both ends are open.
func (d *Device) Info() pmd.Info {
	info := pmd.Info{
		Name: d.name, Driver: "ring", NUMANode: -1,
		Obtained: map[string]string{"size": strconv.Itoa(d.link.wires[0].Cap())},
	}
	d.Describe(&info)
	if d.link.loop {
		info.Obtained["loop"] = "on"
	} else {
		info.Obtained["pair"] = d.pair
		info.Obtained["end"] = string(rune('a' + d.end))
	}
	d.link.mu.Lock()
	closed := d.link.ends[d.end] != d
	d.link.mu.Unlock()
	switch {
	case closed:
		info.Detail = "closed"
	case !d.link.open[d.link.peer(d.end)].Load(): // pairs with the stores in link.attach and link.detach
		info.Detail = "the other end of pair " + d.pair + " is not open"
	default:
		info.Up = true
	}
	return info
}

// Queues returns the port's queue.
func (d *Device) Queues() []pmd.Queue { return d.queues }

// Close gives up this end; see the package for where its frames go. Closing
// twice is harmless.
func (d *Device) Close() error {
	d.once.Do(func() {
		if d.link.detach(d.end) && d.release != nil {
			d.release()
		}
	})
	return nil
}

// notify tells the host that this end's Info has changed. d may be nil.
func (d *Device) notify(what string) {
	if d != nil && d.host != nil {
		d.host.Notify(d, what)
	}
}
