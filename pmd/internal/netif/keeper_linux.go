package netif

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
)

// tick is how often a port looks at its interface although nothing was reported:
// netlink may lose messages, and a namespace goes without one.
const tick = 500 * time.Millisecond

// Holder is a driver's part of holding an interface. The calls come from one
// goroutine at a time.
type Holder interface {
	// Take takes the interface and describes the port. It runs inside the
	// namespace. An error that is ENODEV means that there is no such interface;
	// nothing is held after an error.
	Take() (ifindex int, info pmd.Info, err error)
	// Look is shown the interface as it is now and corrects info. A reason in
	// lost has the interface given up and taken again.
	Look(l netlink.Link, info *pmd.Info) (lost string)
	// Leave gives up everything that Take took.
	Leave() error
}

// Keeper holds an interface for a driver from Hold to Close: it is the driver's
// device.
type Keeper struct {
	// Powers is what control has asked of the interface. It is for Call.
	Powers *Powers

	holder    Holder
	ns        Namespace
	ifname    string
	prefix    string
	dev       pmd.Device // what the host knows the Keeper as
	calls     *Calls
	stop      chan struct{}
	stopped   sync.WaitGroup
	host      pmd.Host
	queues    []pmd.Queue
	nsID      string // the watching goroutine's, as are the next two
	connected bool
	ifindex   int

	// mu guards what follows. It is never held while the holder is called.
	mu     sync.Mutex
	info   pmd.Info
	closed bool
}

var _ pmd.Device = (*Keeper)(nil)

// Config is what a Keeper needs besides the driver.
type Config struct {
	// Driver is the kind of driver, for errors.
	Driver string
	// Interface is what is held, in Namespace.
	Interface string
	Namespace Namespace
	// Queues are those of the device.
	Queues []pmd.Queue
	Host   pmd.Host
	// JournalDir is where settings are written down; by default journal.DefaultDir.
	JournalDir string
	// Device makes the device that has the powers of the driver around the Keeper.
	Device func(k *Keeper) pmd.Device
}

// Hold has h take the interface, and follows it until Close of the device that it
// returns. The host is told of every change of Info. What killed processes have left
// changed is put back before.
func Hold(cfg Config, h Holder) (pmd.Device, error) {
	ns := cfg.Namespace
	j := Journal(cfg.JournalDir)
	Recover(j)
	k := &Keeper{
		Powers: NewPowers(ns, j), holder: h, ns: ns, ifname: cfg.Interface, prefix: cfg.Driver + ": " + cfg.Interface,
		queues: cfg.Queues, host: cfg.Host, stop: make(chan struct{}),
	}
	k.calls, k.dev = NewCalls(k.stop), cfg.Device(k)
	var w *Watcher
	err := ns.Do(func() (err error) {
		// The watcher listens before the port is made, so no change is missed.
		if w, err = NewWatcher(); err != nil {
			return fmt.Errorf("watch the interface: %w", err)
		}
		k.ifindex, k.info, err = h.Take()
		return err
	})
	if err != nil {
		if w != nil {
			w.Close()
		}
		return nil, err
	}
	k.nsID, k.connected = ns.ID(), true
	k.stopped.Go(func() { k.watch(w) })
	return k.dev, nil
}

// Call runs fn with the interface as it is now, on the goroutine that follows it and
// inside the namespace. When it returns Info tells what has changed. Errors name the
// driver and the interface.
func (k *Keeper) Call(fn func(l netlink.Link) error) error {
	err := k.calls.Do(func() error {
		if !k.connected {
			return Gone()
		}
		return k.ns.OnLink(k.ifindex, fn)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", k.prefix, err)
	}
	return nil
}

// Queues implements pmd.Device.
func (k *Keeper) Queues() []pmd.Queue { return k.queues }

// Info implements pmd.Device.
func (k *Keeper) Info() pmd.Info {
	k.mu.Lock()
	defer k.mu.Unlock()
	info := k.info
	info.Obtained = maps.Clone(info.Obtained)
	return info
}

// Close implements pmd.Device: the holder gives up the interface.
func (k *Keeper) Close() error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil
	}
	k.closed = true
	k.mu.Unlock()
	close(k.stop)
	k.stopped.Wait()
	k.setState(false, "closed")
	return k.leave()
}

// leave gives up the interface, if it is held.
func (k *Keeper) leave() error {
	if !k.connected {
		return nil
	}
	k.connected = false
	entered := false
	err := k.ns.Do(func() error {
		entered = true
		return k.Powers.Leave()
	})
	if !entered {
		err = k.Powers.Forget()
	}
	return errors.Join(err, k.holder.Leave())
}

// setState changes what Info says of the link.
func (k *Keeper) setState(up bool, detail string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.info.Up, k.info.Detail = up, detail
}

// watch follows the interface until the port is closed.
func (k *Keeper) watch(w *Watcher) {
	defer func() {
		if w != nil {
			w.Close()
		}
	}()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		var updates chan netlink.LinkUpdate
		if w != nil {
			updates = w.Updates
		}
		select {
		case <-k.stop:
			return
		case _, ok := <-updates:
			if !ok {
				w = nil // the tick goes on
				continue
			}
		case <-t.C:
		case c := <-k.calls.Next():
			err := c.Fn()
			w = k.look(w)
			c.Done(err)
			continue
		}
		// A burst of messages needs one look.
		for w != nil && len(w.Updates) > 0 {
			<-w.Updates
		}
		w = k.look(w)
	}
}

// look compares the port with the interface and acts on what changed. It returns
// the watcher to go on with: another one if the namespace has changed.
func (k *Keeper) look(w *Watcher) *Watcher {
	was, connected := k.Info(), k.connected
	if connected && k.ns.path != "" && k.ns.ID() != k.nsID {
		k.lose(fmt.Sprintf("network namespace %s was removed; waiting for it", k.ns.path))
		if w != nil {
			w.Close() // its socket would keep the namespace alive
			w = nil
		}
	}
	if k.connected {
		k.inspect()
	}
	was = k.tell(was, connected)
	if !k.connected {
		w = k.retake(w)
		k.tell(was, false)
	}
	return w
}

// tell has the program hear of a change since was, and returns what is told now.
func (k *Keeper) tell(was pmd.Info, connected bool) pmd.Info {
	now := k.Info()
	if text := Change(was, now, connected); text != "" {
		k.host.Notify(k.dev, text)
	}
	return now
}

// Change words what happened to a port that was connected or not, and is nothing if
// nothing did.
func Change(was, now pmd.Info, connected bool) string {
	var parts []string
	if now.MTU != was.MTU {
		parts = append(parts, fmt.Sprintf("MTU %d (was %d)", now.MTU, was.MTU))
	}
	if now.MAC.String() != was.MAC.String() {
		parts = append(parts, fmt.Sprintf("address %v (was %v)", now.MAC, was.MAC))
	}
	if now.Promiscuity != was.Promiscuity {
		parts = append(parts, fmt.Sprintf("promiscuity %d (was %d)", now.Promiscuity, was.Promiscuity))
	}
	if now.Mode != was.Mode {
		parts = append(parts, fmt.Sprintf("mode %s (was %s)", now.Mode, was.Mode))
	}
	switch {
	case now.Up && !connected:
		return "the interface is back"
	case now.Up && !was.Up:
		return "up"
	case now.Up != was.Up || now.Detail != was.Detail:
		if now.Detail != "" {
			return now.Detail
		}
		if len(parts) == 0 {
			return "changed"
		}
	}
	return strings.Join(parts, ", ")
}

// inspect reads the state of an interface that is held.
func (k *Keeper) inspect() {
	var l netlink.Link
	err := k.ns.Do(func() (err error) {
		l, err = netlink.LinkByIndex(k.ifindex)
		return err
	})
	switch {
	case errors.As(err, &netlink.LinkNotFoundError{}):
		k.lose("the interface is gone; waiting for " + k.ifname + " to come back")
	case err == nil:
		info := k.Info()
		if lost := k.holder.Look(l, &info); lost != "" {
			k.lose(lost)
			return
		}
		k.mu.Lock()
		k.info = info
		k.mu.Unlock()
	}
	// Any other error cannot tell; the next tick asks again.
}

// lose gives up an interface that went away.
func (k *Keeper) lose(why string) {
	k.setState(false, why)
	if err := k.leave(); err != nil {
		k.setState(false, why+": "+err.Error())
	}
}

// retake tries to take an interface of the same name.
func (k *Keeper) retake(w *Watcher) *Watcher {
	var index int
	var info pmd.Info
	err := k.ns.Do(func() (err error) {
		if w == nil {
			// Without one the tick does; it is only slower.
			w, _ = NewWatcher()
		}
		if index, info, err = k.holder.Take(); err != nil {
			return err
		}
		l, err := netlink.LinkByIndex(index)
		if err == nil {
			err = k.Powers.Take(l)
		}
		if err != nil {
			err = errors.Join(err, k.Powers.Leave(), k.holder.Leave())
		}
		return err
	})
	switch {
	case err == nil:
		k.connected, k.ifindex, k.nsID = true, index, k.ns.ID()
		k.mu.Lock()
		k.info = info
		k.mu.Unlock()
	case errors.Is(err, unix.ENODEV), k.ns.path != "" && k.ns.ID() == "":
		// Not there yet; Detail has said so.
	default:
		k.setState(false, err.Error())
	}
	return w
}

// Find looks up an interface by name. That there is none is ENODEV.
func Find(ifname string) (netlink.Link, error) {
	l, err := netlink.LinkByName(ifname)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, fmt.Errorf("no such interface; see ip link: %w", unix.ENODEV)
	}
	return l, err
}
