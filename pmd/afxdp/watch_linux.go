package afxdp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"

	"example.org/pmd/pmd/internal/netif"
)

// watchTick is how often a port looks at its interface although nothing was
// reported: netlink may lose messages, and a namespace goes without one.
const watchTick = 500 * time.Millisecond

// watch follows the interface until the device is closed.
func (d *Device) watch(w *netif.Watcher) {
	defer func() {
		if w != nil {
			w.Close()
		}
	}()
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for {
		var updates chan netlink.LinkUpdate
		if w != nil {
			updates = w.Updates
		}
		select {
		case <-d.stop:
			return
		case _, ok := <-updates:
			if !ok {
				w = nil
				continue
			}
		case <-tick.C:
		case c := <-d.calls.Next():
			err := c.Fn()
			w = d.look(w)
			c.Done(err)
			continue
		}
		// A burst of messages needs one look.
		for w != nil && len(w.Updates) > 0 {
			<-w.Updates
		}
		w = d.look(w)
	}
}

// look compares the port with the interface and acts on what changed. It returns
// the watcher to go on with: another one if the namespace has changed.
func (d *Device) look(w *netif.Watcher) *netif.Watcher {
	was := d.Info()
	connected := d.conn != nil
	if connected && d.ns.Path() != "" && d.ns.ID() != d.nsID {
		d.lose(fmt.Sprintf("network namespace %s was removed; waiting for it", d.ns.Path()))
		if w != nil {
			w.Close() // its socket would keep the namespace alive
			w = nil
		}
	}
	if d.conn != nil {
		d.inspect()
	}
	if d.conn == nil {
		w = d.reconnect(w)
	}
	now := d.Info()
	if now.Obtained["channels"] != was.Obtained["channels"] && connected && d.conn != nil {
		d.env.Host.Notify(d, "the interface's queues changed: "+now.Obtained["channels"]+" are polled")
	} else if text := netif.Change(was, now, connected); text != "" {
		d.env.Host.Notify(d, text)
	}
	return w
}

// inspect reads the state of a connected interface.
func (d *Device) inspect() {
	c := d.conn
	var l netlink.Link
	var ch channels
	err := d.ns.Do(func() (err error) {
		if l, err = netlink.LinkByIndex(c.ifindex); err == nil {
			ch = d.readChannels(l)
		}
		return err
	})
	switch {
	case errors.As(err, &netlink.LinkNotFoundError{}):
		d.lose("the interface is gone; waiting for " + d.cfg.Interface + " to come back")
	case err != nil:
		// Cannot tell; the next tick asks again.
	case d.faulty():
		// The kernel says a queue is not bound any more though an interface
		// of this index is there: take it anew. It unbinds all at once.
		d.lose("the kernel unbound the queue; taking it again")
	default:
		if mtu := l.Attrs().MTU; mtu != d.Info().MTU {
			for _, q := range d.queues {
				d.env.Host.Exclusive(q, func() { q.setMTU(mtu) })
			}
		}
		if ch != c.channels {
			d.recount(l, ch)
		}
		d.mu.Lock()
		d.info.MTU = l.Attrs().MTU
		d.info.MAC = l.Attrs().HardwareAddr
		d.info.Promiscuity = l.Attrs().Promisc
		d.info.Up, d.info.Detail = linkState(l, c)
		d.mu.Unlock()
	}
}

// faulty reports whether the kernel has told a queue that its socket is not bound.
func (d *Device) faulty() (found bool) {
	for _, q := range d.queues {
		if q.fault.Swap(0) != 0 { // pairs with Store in kick
			found = true
		}
	}
	return found
}

// recount acts on another number of channels: what nobody polls is told anew. The
// kernel does not let a queue go that has a socket (ethtool -L answers EINVAL).
func (d *Device) recount(l netlink.Link, ch channels) {
	c := d.conn
	c.channels = ch
	_ = d.ns.Do(func() error {
		c.unpolled, c.remedy = d.unpolled(l, ch)
		return nil
	})
	now := d.describe(c)
	d.mu.Lock()
	d.info.Obtained, d.info.Unpolled, d.info.Remedy = now.Obtained, now.Unpolled, now.Remedy
	d.mu.Unlock()
}

// lose gives up an interface that went away.
func (d *Device) lose(why string) {
	d.setState(false, why)
	if err := d.disconnect(); err != nil {
		d.setState(false, why+": "+err.Error())
	}
}

// reconnect tries to take an interface of the same name.
func (d *Device) reconnect(w *netif.Watcher) *netif.Watcher {
	err := d.ns.Do(func() (err error) {
		if _, err := netlink.LinkByName(d.cfg.Interface); err != nil {
			return nil // not there yet; Detail has said so
		}
		if w == nil {
			// Without one the tick does; it is only slower.
			w, _ = netif.NewWatcher()
		}
		ctx, cancel := context.WithTimeout(context.Background(), bindTime)
		defer cancel()
		d.conn, err = d.connect(ctx)
		return err
	})
	if err != nil {
		if d.ns.Path() == "" || d.ns.ID() != "" {
			d.setState(false, err.Error())
		}
		return w
	}
	if d.conn == nil {
		return w
	}
	d.nsID = d.ns.ID()
	if err := d.begin(); err != nil {
		d.lose(err.Error())
	}
	return w
}
