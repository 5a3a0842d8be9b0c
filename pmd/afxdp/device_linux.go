package afxdp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/internal/netif"
)

// Device is a network interface as a port: a queue for each receive queue of the
// interface that it has taken.
type Device struct {
	cfg Config
	drv *Driver
	env pmd.Env
	ns  netif.Namespace
	// queues are in order of the interface's queues, from cfg.Queue on. The
	// slice does not change once the device is open.
	queues []*queue

	// conn is nil while the interface is gone. It and nsID belong to the
	// watching goroutine, and to Close once that has ended.
	conn    *connection
	nsID    string
	stop    chan struct{}
	stopped sync.WaitGroup
	// powers is what control has asked of the interface; it belongs to the watching
	// goroutine too, which calls reaches.
	powers *netif.Powers
	calls  *netif.Calls

	// mu guards what follows. It is never held while waiting for the kernel.
	mu     sync.Mutex
	info   pmd.Info
	closed bool
}

// OpenConfig opens a port. Errors name interface, queue and step, carry the
// errno, and say what to do.
func (d *Driver) OpenConfig(ctx context.Context, cfg Config, env pmd.Env) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	d.recovered.Do(func() { netif.Recover(d.notes()) })
	dev := &Device{cfg: cfg, drv: d, env: env, ns: netif.NewNamespace(cfg.Netns), stop: make(chan struct{})}
	dev.powers, dev.calls = netif.NewPowers(dev.ns, d.notes()), netif.NewCalls(dev.stop)
	var watcher *netif.Watcher
	err = dev.ns.Do(func() (err error) {
		// The watcher listens before the port is made, so no change is missed.
		if watcher, err = netif.NewWatcher(); err != nil {
			return fmt.Errorf("afxdp: %s: watch the interface: %w", cfg.Interface, err)
		}
		dev.conn, err = dev.connect(ctx)
		return err
	})
	if err == nil {
		dev.nsID = dev.ns.ID()
		if err = dev.begin(); err != nil {
			err = errors.Join(err, dev.disconnect())
		}
	}
	if err != nil {
		if watcher != nil {
			watcher.Close()
		}
		return nil, err
	}
	dev.stopped.Go(func() { dev.watch(watcher) })
	return dev, nil
}

// begin gives the queues the sockets of the present connection, then lets frames
// come: chunks are posted by then, so that the first frames are not lost.
func (d *Device) begin() error {
	c := d.conn
	m := manner{zeroCopy: c.zeroCopy, busyPoll: d.cfg.BusyPoll > 0, needWakeup: !d.cfg.NoNeedWakeup}
	for i, q := range d.queues {
		c.socks[i].Tx.SetMaxSegments(c.segments)
		d.env.Host.Exclusive(q, func() { q.attach(c.socks[i], m, c.info.MTU) })
	}
	c.info = d.describe(c)
	d.mu.Lock()
	d.info = c.info
	d.mu.Unlock()
	for i, s := range c.socks {
		if err := c.prog.register(d.cfg.Queue+i, s.FD()); err != nil {
			return explain(d.cfg.Interface, d.cfg.Queue+i, "enter the socket into the program's map", err)
		}
	}
	return nil
}

// Info implements pmd.Device.
func (d *Device) Info() pmd.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info
}

// Queues implements pmd.Device.
func (d *Device) Queues() []pmd.Queue {
	out := make([]pmd.Queue, len(d.queues))
	for i, q := range d.queues {
		out[i] = q
	}
	return out
}

// Close implements pmd.Device.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	close(d.stop)
	d.stopped.Wait()
	d.setState(false, "closed")
	return d.disconnect()
}

// setState changes what Info says of the link.
func (d *Device) setState(up bool, detail string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.info.Up, d.info.Detail = up, detail
}
