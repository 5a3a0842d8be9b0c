package ifnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"example.org/pmd/dataplane/packet"
)

// SetLLAddr changes the link-level address, if_setlladdr. Its length may not change
// (EINVAL), and only Ethernet and what is like it can (ENODEV). Every core gets a new
// link-level address by one message. An interface that is up is initialised anew, so that
// its driver receives for the new address, unless that is a LiveAddrChanger, and then tells its neighbours: a
// gratuitous ARP for each IPv4 address, an unsolicited neighbour advertisement for each
// IPv6 address. A driver that refuses leaves everything as it was.
func (s *System) SetLLAddr(ctx context.Context, ifp *Interface, mac net.HardwareAddr) error {
	return s.doOn(ctx, "set link-level address", ifp, func() *failure { return s.setLLAddr(ifp, mac) })
}

func (s *System) setLLAddr(ifp *Interface, mac net.HardwareAddr) *failure {
	old := ifp.state.MAC
	switch {
	case len(mac) != len(old):
		return fail(syscall.EINVAL, fmt.Sprintf("the length may not change: it is %d bytes, not %d", len(old), len(mac)))
	case !ifp.state.Type.ethernetLike():
		return fail(syscall.ENODEV, "an interface of type "+ifp.state.Type.String()+" keeps its own")
	case len(mac) == 0:
		return fail(syscall.EINVAL, "the interface has none")
	}
	if f := checkStation(mac); f != nil {
		return f
	}
	if f := s.driveLLAddr(ifp, mac); f != nil {
		return f
	}
	s.replaceLink(ifp, func(st *State) { st.MAC = slices.Clone(mac) })
	if ifp.state.Up() {
		if f := s.reinit(ifp); f != nil {
			s.replaceLink(ifp, func(st *State) { st.MAC = old })
			if g := s.driveLLAddr(ifp, old); g != nil {
				s.message(ifp.state.Name, true, "and the address before: %v", g.as("set link-level address", ifp.state.Name))
			}
			return f
		}
		for _, a := range s.addressesOf(ifp, FamilyAny) {
			s.advertise(ifp, a)
		}
	}
	s.touched(ifp)
	s.announce(ifp, EventChange, nil)
	return nil
}

// checkStation refuses an address that is a group's, or nobody's.
func checkStation(mac net.HardwareAddr) *failure {
	if len(mac) > 0 && mac[0]&1 == 0 && slices.ContainsFunc(mac, func(b byte) bool { return b != 0 }) {
		return nil
	}
	return fail(syscall.EADDRNOTAVAIL, mac.String()+" is no station's address")
}

// Noticed takes over an MTU and a link-level address that the driver found changed by
// somebody else; the driver is not told, and neighbours are not either. A change is an
// event, and every core sees it.
func (s *System) Noticed(ctx context.Context, ifp *Interface, mtu int, mac net.HardwareAddr) error {
	return s.doOn(ctx, "take over a change", ifp, func() *failure {
		newMTU, newMAC := mtu != ifp.state.MTU, mac.String() != ifp.state.MAC.String()
		switch {
		case !newMTU && !newMAC:
			return nil
		case mtu < MinMTU || mtu > MaxMTU:
			return mtuFailure(mtu)
		case len(mac) != len(ifp.state.MAC):
			return fail(syscall.EINVAL, fmt.Sprintf("the length may not change: it is %d bytes, not %d", len(ifp.state.MAC), len(mac)))
		}
		if newMAC {
			s.replaceLink(ifp, func(st *State) { st.MAC = slices.Clone(mac) })
		}
		if newMTU {
			s.publish(ifp, func(st *State) { st.MTU = mtu })
		}
		s.touched(ifp)
		s.announce(ifp, EventChange, nil)
		for _, d := range s.domains {
			if newMTU && d.MTU != nil {
				d.MTU(s.info(ifp))
			}
		}
		return nil
	})
}

func (s *System) driveLLAddr(ifp *Interface, mac net.HardwareAddr) *failure {
	d, ok := ifp.driver.(LLAddrSetter)
	if !ok {
		return nil
	}
	if err := ifp.locked(func() error { return d.SetLLAddr(slices.Clone(mac)) }); err != nil {
		return driverFailed(err, "set the address "+mac.String())
	}
	return nil
}

// reinit tells the driver that the interface is down and up again, which programs its
// address filter.
func (s *System) reinit(ifp *Interface) *failure {
	d, ok := ifp.driver.(FlagSetter)
	if live, is := ifp.driver.(LiveAddrChanger); !ok || is && live.LiveAddrChange() {
		return nil
	}
	flags := ifp.state.Flags
	err := ifp.locked(func() error {
		if err := d.SetFlags(flags &^ FlagUp); err != nil {
			return err
		}
		return d.SetFlags(flags)
	})
	if err != nil {
		return driverFailed(err, "initialise the interface anew")
	}
	return nil
}

// replaceLink changes what the link-level address holds: name, or MAC. Cores see it, so
// it is not changed in place: a new one takes its place at the head of the list, with the
// new state, in one message.
func (s *System) replaceLink(ifp *Interface, change func(st *State)) {
	st, old := *ifp.state, ifp.lladdr
	change(&st)
	ifp.state = &st
	ll := s.newLinkAddress(ifp)
	ifp.lladdr = ll
	s.round(func(r *Replica) {
		ifp.views.At(r.core).state = &st
		r.replace(old, ll)
	})
	s.rehome(ifp, old)
	s.destroyAddress(old)
}

// advertise tells the neighbours which link-level address an address has, arp_ifinit: by
// a gratuitous ARP or an unsolicited neighbour advertisement (RFC 4861, section 7.2.6).
// What the driver does not send is a message, no error: neighbours find out in time.
func (s *System) advertise(ifp *Interface, a *Address) {
	d, ok := ifp.driver.(Sender)
	mac, ether := packet.MACOf(ifp.state.MAC)
	if !ok || !ether || !ifp.state.Type.ethernetLike() || ifp.state.Flags&FlagNoARP != 0 {
		return
	}
	var buf [128]byte
	n := 0
	switch ip := a.Addr(); a.family {
	case FamilyIPv4:
		n = packet.PutGratuitousARP(buf[:], mac, ip)
	case FamilyIPv6:
		n = packet.PutNeighbourAdvertisement(buf[:], mac, ip, ip, packet.MAC{}, netip.IPv6Unspecified(), packet.NDOverride)
	default:
		return
	}
	if err := ifp.locked(func() error { return d.Send(buf[:n]) }); err != nil {
		s.message(ifp.state.Name, true, "neighbours were not told of %v: %v", a, err)
	}
}
