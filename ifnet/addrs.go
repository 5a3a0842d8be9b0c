package ifnet

import (
	"context"
	"net/netip"
	"syscall"
)

// iflink puts an address on every core's list by one message, ifa_iflink.
func (s *System) iflink(a *Address, tail bool) {
	s.count(a, 1)
	s.round(func(r *Replica) { r.link(a, tail) })
}

// unlinkAddress takes it off every core's list by one message, ifa_ifunlink.
func (s *System) unlinkAddress(a *Address) {
	s.round(func(r *Replica) { r.unlink(a) })
	s.count(a, -1)
}

// destroyAddress gives back every core's first reference by one message, ifa_destroy. On
// a core where nobody else has one the container is dead, and with the last of them
// the address is gone.
func (s *System) destroyAddress(a *Address) {
	s.round(func(r *Replica) { a.containers.At(r.core).Release() })
}

// count notes that there is an address more or less, and makes room for one more.
func (s *System) count(a *Address, by int) {
	n := [2]int{}
	switch a.family {
	case FamilyIPv4:
		n[0] = by
	case FamilyIPv6:
		n[1] = by
	}
	s.reserve(n[0], n[1])
	s.addrs[0] += n[0]
	s.addrs[1] += n[1]
}

// addressesOf returns the addresses of a family, those of every family for FamilyAny,
// in the order of the list.
func (s *System) addressesOf(ifp *Interface, fam Family) (list []*Address) {
	for c := ifp.views.At(s.cores).first; c != nil; c = c.next {
		if fam == FamilyAny || c.addr.family == fam {
			list = append(list, c.addr)
		}
	}
	return list
}

// findAddr returns the interface's own address, or nil.
func (s *System) findAddr(ifp *Interface, addr netip.Addr) *Address {
	for _, a := range s.addressesOf(ifp, FamilyAny) {
		if a.family != FamilyLink && a.Addr() == addr {
			return a
		}
	}
	return nil
}

// Validate tells whether the address can be one of an interface, whatever its flags. The
// error is that of AddAddr.
func (a AddrSpec) Validate() error {
	_, f := checkAddr(a, &State{Flags: FlagBroadcast | FlagPointopoint})
	return f.as("add address", "")
}

// checkAddr fills in what a spec leaves out and refuses what cannot be an address of the
// interface.
func checkAddr(spec AddrSpec, st *State) (AddrSpec, *failure) {
	a := spec.Prefix.Addr()
	if spec.NoMask && a.IsValid() {
		spec.Prefix = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case !spec.Prefix.IsValid():
		return spec, fail(syscall.EINVAL, "that is no address with the length of its network")
	case a.Is4In6():
		return spec, fail(syscall.EAFNOSUPPORT, "an IPv4 address in IPv6 form: write it as IPv4")
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return spec, fail(syscall.EADDRNOTAVAIL, a.String()+" cannot be an interface's own")
	case spec.Peer.IsValid() && st.Flags&FlagPointopoint == 0:
		return spec, fail(syscall.EINVAL, "only a point-to-point interface has a peer")
	case spec.Peer.IsValid() && (spec.Peer.Is4() != a.Is4() || spec.Peer.Is4In6()):
		return spec, fail(syscall.EAFNOSUPPORT, "the peer is of another family")
	case spec.Peer.IsValid() && (spec.Peer.IsUnspecified() || spec.Peer.IsMulticast()):
		return spec, fail(syscall.EADDRNOTAVAIL, spec.Peer.String()+" cannot be a peer")
	case spec.Broadcast.IsValid() && !spec.Broadcast.Is4():
		return spec, fail(syscall.EAFNOSUPPORT, "only IPv4 has broadcast addresses")
	case spec.Broadcast.IsValid() && (!a.Is4() || st.Flags&FlagBroadcast == 0):
		return spec, fail(syscall.EINVAL, "the address can have no broadcast address")
	}
	spec.Peer = spec.Peer.WithZone("")
	if a.Is4() && !spec.Broadcast.IsValid() && !spec.NoMask && st.Flags&FlagBroadcast != 0 {
		spec.Broadcast = broadcastOf(spec.Prefix)
	}
	return spec, nil
}

// AddAddr gives the interface an address, SIOCAIFADDR: it is the last on every core's
// list, its network is routed to while the interface is up, an IPv6 address brings its
// solicited-node group, and an interface that is up announces it to its
// neighbours. An address that it has already is EEXIST; a driver that refuses undoes
// it all.
func (s *System) AddAddr(ctx context.Context, ifp *Interface, spec AddrSpec) error {
	return s.doOn(ctx, "add address", ifp, func() *failure { return s.addAddr(ifp, spec) })
}

func (s *System) addAddr(ifp *Interface, spec AddrSpec) *failure {
	spec, f := checkAddr(spec, ifp.state)
	if f != nil {
		return f
	}
	if s.findAddr(ifp, spec.Prefix.Addr()) != nil {
		return fail(syscall.EEXIST, "the interface has "+spec.Prefix.Addr().String()+" already")
	}
	if f := s.joinSolicited(ifp, spec.Prefix.Addr()); f != nil {
		return f
	}
	a := s.newIPAddress(ifp, spec)
	s.iflink(a, true)
	up := false
	if d, ok := ifp.driver.(AddrSetter); ok {
		if err := ifp.locked(func() (err error) {
			up, err = d.SetAddr(infoOf(a))
			return err
		}); err != nil {
			s.unlinkAddress(a)
			s.destroyAddress(a)
			s.leaveSolicited(ifp, spec.Prefix.Addr())
			return driverFailed(err, "take the address")
		}
	}
	s.connect(ifp, a)
	s.touched(ifp)
	s.tell(ProtoAddrAdd, ifp, a)
	s.announce(ifp, EventAddrAdd, func(e *Event) { e.Address = a.String() })
	if up && !ifp.state.Up() {
		s.route(ifp, FlagUp, FamilyAny)
	}
	if ifp.state.Up() {
		s.advertise(ifp, a)
	}
	return nil
}

// DelAddr takes an address from the interface, SIOCDIFADDR, with its routes and
// neighbours. One that it has not is EADDRNOTAVAIL.
func (s *System) DelAddr(ctx context.Context, ifp *Interface, addr netip.Addr) error {
	return s.doOn(ctx, "delete address", ifp, func() *failure { return s.dropAddr(ifp, addr) })
}

func (s *System) dropAddr(ifp *Interface, addr netip.Addr) *failure {
	a := s.findAddr(ifp, unzoned(addr, ifp.state))
	if a == nil {
		return fail(syscall.EADDRNOTAVAIL, "the interface has no address "+addr.String())
	}
	s.delAddr(ifp, a)
	s.touched(ifp)
	return nil
}

// unzoned takes the zone off an address if it means the interface.
func unzoned(a netip.Addr, st *State) netip.Addr {
	if z := a.Zone(); z != "" && zoneIs(z, st) {
		return a.WithZone("")
	}
	return a
}

// delAddr is in_control(SIOCDIFADDR) and in6_purgeaddr.
func (s *System) delAddr(ifp *Interface, a *Address) {
	s.disconnect(ifp, a)
	s.tell(ProtoAddrDel, ifp, a)
	s.unlinkAddress(a)
	s.rehome(ifp, a)
	s.destroyAddress(a)
	s.leaveSolicited(ifp, a.Addr())
	s.announce(ifp, EventAddrDel, func(e *Event) { e.Address = a.String() })
}

// ChangeAddr replaces an address by another in one message: cores see either the one or
// the other. It covers SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFDSTADDR and
// SIOCSIFBRDADDR: what the seed changes in place is a new address here. The new one
// has the old one's place on the list.
func (s *System) ChangeAddr(ctx context.Context, ifp *Interface, addr netip.Addr, spec AddrSpec) error {
	return s.doOn(ctx, "change address", ifp, func() *failure { return s.changeAddr(ifp, addr, spec) })
}

func (s *System) changeAddr(ifp *Interface, addr netip.Addr, spec AddrSpec) *failure {
	old := s.findAddr(ifp, unzoned(addr, ifp.state))
	if old == nil {
		return fail(syscall.EADDRNOTAVAIL, "the interface has no address "+addr.String())
	}
	spec, f := checkAddr(spec, ifp.state)
	if f != nil {
		return f
	}
	if other := s.findAddr(ifp, spec.Prefix.Addr()); other != nil && other != old {
		return fail(syscall.EEXIST, "the interface has "+other.String()+" already")
	}
	if f := s.joinSolicited(ifp, spec.Prefix.Addr()); f != nil {
		return f
	}
	s.disconnect(ifp, old)
	s.tell(ProtoAddrDel, ifp, old)
	a := s.newIPAddress(ifp, spec)
	s.count(a, 1)
	s.round(func(r *Replica) { r.replace(old, a) })
	s.count(old, -1)
	s.connect(ifp, a)
	s.rehome(ifp, old)
	s.destroyAddress(old)
	s.leaveSolicited(ifp, old.Addr())
	s.touched(ifp)
	s.tell(ProtoAddrAdd, ifp, a)
	s.announce(ifp, EventAddrDel, func(e *Event) { e.Address = old.String() })
	s.announce(ifp, EventAddrAdd, func(e *Event) { e.Address = a.String() })
	if ifp.state.Up() {
		s.advertise(ifp, a)
	}
	return nil
}

// replace puts a where old is on the list.
func (r *Replica) replace(old, a *Address) {
	o, c := old.containers.At(r.core), a.containers.At(r.core)
	v := o.view
	c.view, c.next, c.prev = v, o.next, o.prev
	if c.prev != nil {
		c.prev.next = c
	} else {
		v.first = c
	}
	if c.next != nil {
		c.next.prev = c
	} else {
		v.last = c
	}
	o.next, o.prev, o.view = nil, nil, nil
	r.rebuild()
}

// PurgeAddrs removes every address but the link-level one, if_purgeaddrs_nolink.
func (s *System) PurgeAddrs(ctx context.Context, ifp *Interface) error {
	return s.doOn(ctx, "purge addresses", ifp, func() *failure {
		s.purgeAddrs(ifp)
		return nil
	})
}

func (s *System) purgeAddrs(ifp *Interface) {
	for _, a := range s.addressesOf(ifp, FamilyAny) {
		if a.family != FamilyLink {
			s.delAddr(ifp, a)
		}
	}
}

// Found is what a lookup of control found: an address, and the interface it is on.
type Found struct {
	// Interface is the interface, with all its addresses.
	Interface Info
	// Family tells what Address or Link is set.
	Family  Family
	Address AddrInfo
	Link    LinkAddr
}

// look answers with a container of control's own replica.
func (s *System) look(ctx context.Context, call string, fn func(r *Replica) *Container) (found Found, err error) {
	err = s.do(ctx, call, "", func() *failure {
		c := fn(s.own)
		if c == nil {
			return fail(syscall.EADDRNOTAVAIL, "there is no such address")
		}
		found = Found{Interface: s.info(c.view.ifp), Family: c.addr.family, Link: c.addr.link}
		if c.addr.family != FamilyLink {
			found.Address = infoOf(c.addr)
		}
		return nil
	})
	return found, err
}

// WithAddr is [Replica.WithAddr] for control. The error wraps EADDRNOTAVAIL if there
// is none.
func (s *System) WithAddr(ctx context.Context, a netip.Addr) (Found, error) {
	return s.look(ctx, "look for address", func(r *Replica) *Container { return r.WithAddr(a) })
}

// WithDstAddr is [Replica.WithDstAddr] for control.
func (s *System) WithDstAddr(ctx context.Context, a netip.Addr) (Found, error) {
	return s.look(ctx, "look for peer", func(r *Replica) *Container { return r.WithDstAddr(a) })
}

// WithNet is [Replica.WithNet] for control.
func (s *System) WithNet(ctx context.Context, a netip.Addr) (Found, error) {
	return s.look(ctx, "look for network", func(r *Replica) *Container { return r.WithNet(a) })
}

// WithNetLink is [Replica.WithNetLink] for control.
func (s *System) WithNetLink(ctx context.Context, l LinkAddr) (Found, error) {
	return s.look(ctx, "look for link", func(r *Replica) *Container { return r.WithNetLink(l) })
}

// BestOf is [Replica.BestOf] for control.
func (s *System) BestOf(ctx context.Context, a netip.Addr, ifp *Interface) (found Found, err error) {
	err = s.doOn(ctx, "look for source address", ifp, func() *failure {
		c := s.own.BestOf(a, ifp.views.At(s.cores))
		if c == nil {
			return fail(syscall.EADDRNOTAVAIL, "the interface has no address of that family")
		}
		found = Found{Interface: s.info(ifp), Family: c.addr.family, Address: infoOf(c.addr)}
		return nil
	})
	return found, err
}

// WithName is [Replica.WithName] for control; the error wraps ENXIO if there is none.
func (s *System) WithName(ctx context.Context, l LinkAddr) (ifp *Interface, err error) {
	err = s.do(ctx, "look up", l.Name, func() *failure {
		v := s.own.WithName(l)
		if v == nil {
			return s.unknown()
		}
		ifp = v.ifp
		return nil
	})
	return ifp, err
}

// AnyEtherMAC returns the first Ethernet interface's link-level address of at least
// minLen bytes, cut to that length: if_getanyethermac. It is ENOENT if there is none.
func (s *System) AnyEtherMAC(ctx context.Context, minLen int) (mac []byte, err error) {
	err = s.do(ctx, "find an Ethernet address", "", func() *failure {
		for _, ifp := range s.list {
			if st := ifp.state; st.Type == TypeEthernet && len(st.MAC) >= max(minLen, 1) {
				mac = append(mac, st.MAC[:minLen]...)
				return nil
			}
		}
		return fail(syscall.ENOENT, "no Ethernet interface has one")
	})
	return mac, err
}

// ConfEntry is a line of Conf.
type ConfEntry struct {
	// Interface is the interface's name.
	Interface string
	// Family tells what Address or Link is set; FamilyAny if the interface has no
	// address at all.
	Family  Family
	Address AddrInfo
	Link    LinkAddr
}

// Conf fills dst with the names and addresses of all interfaces, ifconf: one entry an
// address, link-level ones included, and one for an interface that has none. It returns
// how many entries it wrote, never more than there is room for, and how many there
// are.
func (s *System) Conf(ctx context.Context, dst []ConfEntry) (n, total int, err error) {
	err = s.do(ctx, "list addresses", "", func() *failure {
		put := func(e ConfEntry) {
			if n < len(dst) {
				dst[n] = e
				n++
			}
			total++
		}
		for _, ifp := range s.list {
			list := s.addressesOf(ifp, FamilyAny)
			for _, a := range list {
				e := ConfEntry{Interface: ifp.state.Name, Family: a.family, Link: a.link}
				if a.family != FamilyLink {
					e.Address = infoOf(a)
				}
				put(e)
			}
			if len(list) == 0 {
				put(ConfEntry{Interface: ifp.state.Name})
			}
		}
		return nil
	})
	return n, total, err
}
