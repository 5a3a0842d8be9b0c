package ifnet

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"example.org/pmd/dataplane/packet"
)

// Group is a multicast address: of IPv4, of IPv6, or of the link level. It can be
// compared; the zero Group is none.
type Group struct {
	ip  netip.Addr
	mac packet.MAC
}

// IPGroup returns the group of an IPv4 or IPv6 multicast address.
func IPGroup(ip netip.Addr) Group { return Group{ip: ip} }

// LinkGroup returns the group of an Ethernet multicast address.
func LinkGroup(mac packet.MAC) Group { return Group{mac: mac} }

// ParseGroup returns the group that is written as an IP address or as a MAC address.
// Whether it is a multicast address is seen when it is joined.
func ParseGroup(text string) (Group, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return IPGroup(ip), nil
	}
	hw, err := net.ParseMAC(text)
	mac, ok := packet.MACOf(hw)
	if err != nil || !ok {
		return Group{}, fail(syscall.EINVAL, "use an IP address such as 224.0.0.251, or a MAC address such as 01:00:5e:00:00:fb").
			as("parse group "+QuoteName(text), "")
	}
	return LinkGroup(mac), nil
}

// IsLink reports whether the group is of the link level.
func (g Group) IsLink() bool { return !g.ip.IsValid() }

// IP returns the address of an IP group, the zero Addr of any other.
func (g Group) IP() netip.Addr { return g.ip }

// MAC returns the address of a link-level group, zeros of any other.
func (g Group) MAC() packet.MAC { return g.mac }

// String returns the address for people.
func (g Group) String() string {
	if g.IsLink() {
		return net.HardwareAddr(g.mac[:]).String()
	}
	return g.ip.String()
}

// Validate tells whether the group can be joined, as far as it alone tells: the error wraps
// EINVAL if it is no multicast address.
func (g Group) Validate() error { return g.check().as("join group", "") }

// check refuses what is no group.
func (g Group) check() *failure {
	switch {
	case g.IsLink() && g.mac[0]&1 == 0:
		return fail(syscall.EINVAL, g.String()+" is no multicast address")
	case !g.IsLink() && !g.ip.IsMulticast():
		return fail(syscall.EINVAL, g.String()+" is no multicast address")
	case g.ip.Is4In6() || g.ip.Zone() != "":
		return fail(syscall.EINVAL, g.String()+" is not how a group is written here")
	}
	return nil
}

// ethernetGroup returns the link-level group of an IP group on Ethernet: 01:00:5e and 23
// bits for IPv4 (RFC 1112, section 6.4), 33:33 and 32 bits for IPv6 (RFC 2464,
// section 7).
func ethernetGroup(ip netip.Addr) Group {
	if ip.Is4() {
		b := ip.As4()
		return LinkGroup(packet.MAC{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]})
	}
	return LinkGroup(packet.MulticastMAC(ip.As16()))
}

// Membership is a group that an interface is in, struct ifmultiaddr, as it is at a
// moment.
type Membership struct {
	// Group is the group, Link the link-level group that it brought, or zero.
	Group, Link Group
	// Count is how many asked for it, those groups that brought it included.
	Count int
}

// memberOf returns where a group is among memberships, or −1.
func memberOf(list []Membership, g Group) int {
	return slices.IndexFunc(list, func(m Membership) bool { return m.Group == g })
}

// AddMulti makes the interface a member of a group, if_addmulti. Memberships are
// counted: only the first one acts. A protocol's group brings its link-level group,
// which is counted with those that were joined as such. The driver then has all
// link-level groups; if it fails nothing has changed.
func (s *System) AddMulti(ctx context.Context, ifp *Interface, g Group) error {
	return s.doOn(ctx, "join group", ifp, func() *failure { return s.addMulti(ifp, g) })
}

func (s *System) addMulti(ifp *Interface, g Group) *failure {
	if f := g.check(); f != nil {
		return f
	}
	groups := slices.Clone(ifp.state.Groups)
	if i := memberOf(groups, g); i >= 0 {
		groups[i].Count++
		s.publish(ifp, func(st *State) { st.Groups = groups })
		return nil
	}
	link, f := s.resolveGroup(ifp, g)
	if f != nil {
		return f
	}
	groups = slices.Insert(groups, 0, Membership{Group: g, Link: link, Count: 1})
	if link != (Group{}) {
		if i := memberOf(groups, link); i >= 0 {
			groups[i].Count++
		} else {
			groups = slices.Insert(groups, 0, Membership{Group: link, Count: 1})
		}
	}
	if f := s.setGroups(ifp, groups); f != nil {
		return f
	}
	s.announce(ifp, EventGroupJoin, func(e *Event) { e.Group = g.String() })
	return nil
}

// resolveGroup asks the link layer which link-level group a protocol's group needs.
func (s *System) resolveGroup(ifp *Interface, g Group) (link Group, f *failure) {
	if d, ok := ifp.driver.(GroupResolver); ok {
		err := ifp.locked(func() (err error) {
			link, err = d.ResolveGroup(g)
			return err
		})
		if err != nil {
			return Group{}, driverFailed(err, "resolve the group")
		}
		return link, nil
	}
	if g.IsLink() || !ifp.state.Type.ethernetLike() {
		return Group{}, nil
	}
	return ethernetGroup(g.ip), nil
}

// setGroups gives the driver the link-level groups among these memberships, and then
// makes them the interface's.
func (s *System) setGroups(ifp *Interface, groups []Membership) *failure {
	if d, ok := ifp.driver.(GroupSetter); ok {
		var link []Group
		for _, m := range groups {
			if m.Group.IsLink() {
				link = append(link, m.Group)
			}
		}
		if err := ifp.locked(func() error { return d.SetGroups(link) }); err != nil {
			return driverFailed(err, "let "+strconv.Itoa(len(link))+" groups in")
		}
	}
	s.publish(ifp, func(st *State) { st.Groups = groups })
	return nil
}

// DelMulti gives a membership back, if_delmulti. With the last one the group is left,
// and the link-level group that it brought loses one. A group that the interface is
// not in is ENOENT. If the driver fails nothing has changed.
func (s *System) DelMulti(ctx context.Context, ifp *Interface, g Group) error {
	return s.doOn(ctx, "leave group", ifp, func() *failure { return s.delMulti(ifp, g) })
}

func (s *System) delMulti(ifp *Interface, g Group) *failure {
	groups := slices.Clone(ifp.state.Groups)
	i := memberOf(groups, g)
	if i < 0 {
		return fail(syscall.ENOENT, "the interface is not in "+g.String())
	}
	if groups[i].Count > 1 {
		groups[i].Count--
		s.publish(ifp, func(st *State) { st.Groups = groups })
		return nil
	}
	link := groups[i].Link
	groups = slices.Delete(groups, i, i+1)
	changed := g.IsLink()
	if j := memberOf(groups, link); link != (Group{}) && j >= 0 {
		if groups[j].Count > 1 {
			groups[j].Count--
		} else {
			groups = slices.Delete(groups, j, j+1)
			changed = true
		}
	}
	if !changed {
		s.publish(ifp, func(st *State) { st.Groups = groups })
	} else if f := s.setGroups(ifp, groups); f != nil {
		return f
	}
	s.announce(ifp, EventGroupLeave, func(e *Event) { e.Group = g.String() })
	return nil
}

// purgeGroups leaves every group of an interface that goes.
func (s *System) purgeGroups(ifp *Interface) *failure {
	old := ifp.state.Groups
	if len(old) == 0 {
		return nil
	}
	f := s.setGroups(ifp, nil)
	if f != nil { // the driver's affair; ours are gone
		s.publish(ifp, func(st *State) { st.Groups = nil })
	}
	for _, m := range old {
		s.announce(ifp, EventGroupLeave, func(e *Event) { e.Group = m.Group.String() })
	}
	return f
}

// SolicitedGroup returns the group that an IPv6 address needs (RFC 4861, section 7.2.1), and
// that its interface therefore joins with it; the zero Group for any other address.
func SolicitedGroup(a netip.Addr) Group {
	if !a.Is6() || a.Is4In6() {
		return Group{}
	}
	return IPGroup(netip.AddrFrom16(packet.SolicitedNode(a.As16())))
}

// solicited is SolicitedGroup for an interface with multicast.
func solicited(ifp *Interface, a netip.Addr) Group {
	if ifp.state.Flags&FlagMulticast == 0 {
		return Group{}
	}
	return SolicitedGroup(a)
}

func (s *System) joinSolicited(ifp *Interface, a netip.Addr) *failure {
	if g := solicited(ifp, a); g != (Group{}) {
		return s.addMulti(ifp, g)
	}
	return nil
}

// leaveSolicited leaves the group again. A driver that fails is a message: the address
// goes all the same.
func (s *System) leaveSolicited(ifp *Interface, a netip.Addr) {
	if g := solicited(ifp, a); g != (Group{}) {
		if f := s.delMulti(ifp, g); f != nil {
			s.message(ifp.state.Name, true, "leaving %v: %v", g, f.as("leave group", ifp.state.Name))
		}
	}
}

// Member returns the interface's membership of a group, ifmaof_ifpforaddr; the error
// wraps ENOENT if it is not in it.
func (s *System) Member(ctx context.Context, ifp *Interface, g Group) (m Membership, err error) {
	err = s.doOn(ctx, "look for group", ifp, func() *failure {
		i := memberOf(ifp.state.Groups, g)
		if i < 0 {
			return fail(syscall.ENOENT, "the interface is not in "+g.String())
		}
		m = ifp.state.Groups[i]
		return nil
	})
	return m, err
}
