//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// operTimeout bounds the wait for a pair to become operational, which takes
// the kernel's link watch some milliseconds, on a busy machine up to a second.
const operTimeout = 5 * time.Second

// Veth is a pair of interfaces joined like the two ends of a cable.
type Veth struct {
	lab *Lab
	// A and B are the ends, in the order they were given.
	A, B Interface

	closeOnce sync.Once
	closeErr  error
}

// Veth makes a pair, gives each end what it asks for, sets both up and waits
// until both are operational. Nothing of it is left on an error.
func (l *Lab) Veth(a, b VethEnd) (*Veth, error) {
	a.Namespace, b.Namespace = l.in(a.Namespace), l.in(b.Namespace)
	for _, e := range []*VethEnd{&a, &b} {
		if e.Name == "" {
			e.Name = l.nextName()
		}
	}
	if err := errors.Join(a.validate("A"), b.validate("B")); err != nil {
		return nil, err
	}
	if err := agree(&a, &b); err != nil {
		return nil, err
	}
	v := &Veth{lab: l}
	if err := v.make(a, b); err != nil {
		return nil, fmt.Errorf("netlab: veth %s to %s: %w", a.Name, b.Name, err)
	}
	// From here on there is something to remove.
	err := v.setUp(a, b)
	if err == nil {
		l.mu.Lock()
		l.pairs[ifKey{a.Namespace, a.Name}] = v
		l.pairs[ifKey{b.Namespace, b.Name}] = v
		l.mu.Unlock()
		if err = l.own(v); err == nil {
			return v, nil
		}
		return nil, err
	}
	return nil, errors.Join(fmt.Errorf("netlab: veth %s to %s: %w", a.Name, b.Name, err), v.Close())
}

// nextName returns an interface name that is new in this lab.
func (l *Lab) nextName() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serial++
	return fmt.Sprintf("%sv%d", l.name, l.serial)
}

// make creates the pair with each end in its namespace from the start: no
// interface ever has to move, and no name has to be free in two places.
func (v *Veth) make(a, b VethEnd) error {
	v.A = Interface{Namespace: a.Namespace, Name: a.Name, MTU: a.MTU, Queues: a.Queues}
	v.B = Interface{Namespace: b.Namespace, Name: b.Name, MTU: b.MTU, Queues: b.Queues}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = a.Name, a.MTU, a.MAC
	attrs.NumTxQueues, attrs.NumRxQueues = a.Queues, a.Queues
	return a.Namespace.withFD(func(afd int) error {
		return b.Namespace.withFD(func(bfd int) error {
			attrs.Namespace = netlink.NsFd(afd)
			return a.Namespace.handle.LinkAdd(&netlink.Veth{
				LinkAttrs:        attrs,
				PeerName:         b.Name,
				PeerNamespace:    netlink.NsFd(bfd),
				PeerHardwareAddr: b.MAC,
				PeerMTU:          uint32(b.MTU),
				PeerTxQLen:       -1, // the driver's own
				PeerNumTxQueues:  uint32(b.Queues),
				PeerNumRxQueues:  uint32(b.Queues),
			})
		})
	})
}

// setUp configures both ends before either is up, so that no frame of the
// kernel's own leaves before it is told not to send any.
func (v *Veth) setUp(a, b VethEnd) error {
	ends := []struct {
		want VethEnd
		got  *Interface
	}{{a, &v.A}, {b, &v.B}}
	for _, e := range ends {
		if err := configure(e.want, e.got); err != nil {
			return err
		}
	}
	for _, e := range ends {
		if err := e.got.Namespace.handle.LinkSetUp(byIndex(e.got.Index)); err != nil {
			return fmt.Errorf("%s: set up: %w", e.got.Name, err)
		}
	}
	for _, e := range ends {
		if err := waitOperational(e.got); err != nil {
			return err
		}
	}
	// IPv6 addresses of an interface that is down are given up again
	// (addrconf_ifdown), so addresses come last.
	for _, e := range ends {
		for _, p := range e.want.Addrs {
			ip := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
			addr := &netlink.Addr{IPNet: ip}
			if p.Addr().Is6() {
				addr.Flags = unix.IFA_F_NODAD
			}
			if err := e.got.Namespace.handle.AddrAdd(byIndex(e.got.Index), addr); err != nil {
				return fmt.Errorf("%s: add address %s: %w", e.got.Name, p, err)
			}
		}
	}
	return nil
}

// byIndex is all that netlink needs to know of a link to change it.
func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// configure prepares one end that is still down.
func configure(want VethEnd, got *Interface) error {
	link, err := got.Namespace.handle.LinkByName(got.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", got.Name, err)
	}
	got.Index, got.MAC = link.Attrs().Index, link.Attrs().HardwareAddr
	return got.Namespace.Do(func() error {
		if err := quietIPv6(got.Name, want.hasIPv6()); err != nil {
			return fmt.Errorf("%s: %w", got.Name, err)
		}
		if want.TxOffload {
			return nil
		}
		return disableOffloads(got.Name)
	})
}

// quietIPv6 keeps the IPv6 stack from sending frames nobody asked for: all of
// them if the interface has no IPv6 address, else router solicitations,
// duplicate address detection and the link-local address with its groups. The
// settings are in Documentation/networking/ip-sysctl.rst.
func quietIPv6(ifname string, wanted bool) error {
	conf := filepath.Join("/proc/sys/net/ipv6/conf", ifname)
	if _, err := os.Stat(conf); err != nil {
		if wanted || !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("this kernel has no IPv6: %w", err)
		}
		return nil
	}
	settings := [][2]string{{"disable_ipv6", "1"}}
	if wanted {
		settings = [][2]string{
			{"addr_gen_mode", "1"}, // none
			{"accept_dad", "0"},
			{"accept_ra", "0"},
			{"router_solicitations", "0"},
			{"disable_ipv6", "0"},
		}
	}
	for _, s := range settings {
		if err := os.WriteFile(filepath.Join(conf, s[0]), []byte(s[1]), 0); err != nil {
			return fmt.Errorf("IPv6 setting, in a container make /proc/sys writable: %w", err)
		}
	}
	return nil
}

// waitOperational waits for the operational state "up" (RFC 2863): before it,
// the kernel drops what a socket sends.
func waitOperational(i *Interface) error {
	deadline := time.Now().Add(operTimeout)
	for {
		link, err := i.Namespace.handle.LinkByIndex(i.Index)
		if err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: operational state is %s after %v: %w", i.Name, link.Attrs().OperState, operTimeout, unix.ETIMEDOUT)
		}
		time.Sleep(time.Millisecond)
	}
}

// Close deletes the pair. One that is gone already, with its namespace for
// instance, is no error. Lab.Close does it too.
func (v *Veth) Close() error {
	v.closeOnce.Do(func() {
		v.lab.disown(v)
		v.lab.mu.Lock()
		delete(v.lab.pairs, ifKey{v.A.Namespace, v.A.Name})
		delete(v.lab.pairs, ifKey{v.B.Namespace, v.B.Name})
		v.lab.mu.Unlock()
		v.closeErr = v.remove()
	})
	return v.closeErr
}

// remove deletes the pair by whichever end can be reached: deleting either end
// deletes both. An end in a closed namespace goes when that does.
func (v *Veth) remove() error {
	var errs []error
	for _, i := range []Interface{v.A, v.B} {
		if i.Namespace.closed.Load() { // pairs with the Store in Namespace.Close
			continue
		}
		err := i.remove()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("netlab: delete veth %s to %s: %w", v.A.Name, v.B.Name, errors.Join(errs...))
}

// remove deletes an interface unless it is gone already.
func (i Interface) remove() error {
	if i.Index == 0 {
		// It was made, and asking for its index failed then.
		link, err := i.Namespace.handle.LinkByName(i.Name)
		if err != nil {
			return err
		}
		i.Index = link.Attrs().Index
	}
	err := i.Namespace.handle.LinkDel(byIndex(i.Index))
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// peer returns the other end of the pair of which ifname in n is one end.
func (l *Lab) peer(n *Namespace, ifname string) (Interface, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.pairs[ifKey{n, ifname}]
	switch {
	case !ok:
		return Interface{}, false
	case v.A.Namespace == n && v.A.Name == ifname:
		return v.B, true
	default:
		return v.A, true
	}
}
