package ifnet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"example.org/pmd/cpu"
)

// LinkAddr is a link-level address, sockaddr_dl.
type LinkAddr struct {
	// Name is the interface's.
	Name string
	// Index is the interface's, 0 if it is not known.
	Index int
	// Type is the interface's.
	Type Type
	// MAC may be of any length, 0 included. It is not to be written to.
	MAC net.HardwareAddr
}

// equal is sa_equal for link-level addresses.
func (l LinkAddr) equal(o LinkAddr) bool {
	return l.Name == o.Name && l.Index == o.Index && l.Type == o.Type && bytes.Equal(l.MAC, o.MAC)
}

// AddrSpec is an IPv4 or IPv6 address of an interface, as it is asked for.
type AddrSpec struct {
	// Prefix is the address, and its network's length. An address that is not
	// the first of its network is what is usual: 192.0.2.7/24.
	Prefix netip.Prefix
	// NoMask makes an address without a netmask: it matches itself and its peer
	// and belongs to no network. The length of Prefix is ignored.
	NoMask bool
	// Peer is the other end of a point-to-point interface, on no other kind
	// allowed, and of the same family.
	Peer netip.Addr
	// Broadcast is the broadcast address of an IPv4 address on an interface with
	// FlagBroadcast. The zero value takes the last address of the network if
	// that has room for one (up to /30).
	Broadcast netip.Addr
	// Claim, if set, alone decides which destinations WithNet finds this address
	// for, ifa_claim_addr. It is called on every core, on the packet path: it
	// must not block, allocate or write.
	Claim func(netip.Addr) bool
	// OnRoute, if set, is told on every core of each route that is given this
	// address and of each that is deleted, ifa_rtrequest. It has the rules of Claim,
	// and may change the route it is given before that is entered.
	OnRoute func(op RouteOp, rt *Route)
}

// Address is an address of an interface, struct ifaddr. It is made once and never
// changes, so cores share it; to change an address, another one takes its place.
type Address struct {
	family Family
	spec   AddrSpec // family not FamilyLink
	link   LinkAddr // FamilyLink
	ifp    *Interface

	// What lookups compare, computed once: see entry4 and entry6.
	key4  entry4
	key6  entry6
	cast4 uint32 // the broadcast address, or key4.addr if there is none

	containers *cpu.PerCore[Container]
	// live counts the containers that are not dead. Each core takes its own off
	// when it lets go; the Add that gives 0 frees the address. It pairs with
	// those of the other cores, so that the last one sees what they did.
	live atomic.Int32
	sys  *System
}

// Family returns the family of the address.
func (a *Address) Family() Family { return a.family }

// Addr returns the address itself, the zero Addr for a link-level one.
func (a *Address) Addr() netip.Addr { return a.spec.Prefix.Addr() }

// Prefix returns the address with the length of its network. It is the zero Prefix
// for a link-level address and for one without a netmask.
func (a *Address) Prefix() netip.Prefix {
	if a.spec.NoMask {
		return netip.Prefix{}
	}
	return a.spec.Prefix
}

// Peer returns the other end of a point-to-point interface, or the zero Addr.
func (a *Address) Peer() netip.Addr { return a.spec.Peer }

// Broadcast returns the broadcast address, or the zero Addr.
func (a *Address) Broadcast() netip.Addr { return a.spec.Broadcast }

// Link returns a link-level address, and the zero LinkAddr for any other family.
func (a *Address) Link() LinkAddr { return a.link }

// String returns the address for people.
func (a *Address) String() string {
	switch {
	case a.family == FamilyLink:
		return fmt.Sprintf("%s#%d %s", a.link.Name, a.link.Index, a.link.MAC)
	case a.spec.NoMask:
		return a.spec.Prefix.Addr().String()
	}
	return a.spec.Prefix.String()
}

// mark tells a container that lives from a dead one, ifa_magic.
type mark uint32

const (
	alive mark = 0x51a17e
	dead  mark = 0xdeadfa11
)

// Container is one core's hold on an address, struct ifaddr_container: its place
// on that core's list, and that core's own count of references. It belongs to the
// core, as all of a Replica does.
type Container struct {
	addr *Address
	view *View // nil while it is on no list

	next, prev *Container

	refs  int32
	magic mark
	core  int32
}

// Address returns the address, which is shared by all cores and never changes.
func (c *Container) Address() *Address { return c.addr }

// View returns the interface as this core sees it. It is nil if the address has
// been removed and only references keep it.
func (c *Container) View() *View { return c.view }

// Alive reports whether the core still has a reference.
func (c *Container) Alive() bool { return c.magic == alive }

// Hold counts one reference more, IFAREF: whoever keeps c longer than until the
// core's next message must hold it. Holding a dead container is a mistake of
// the program and panics.
func (c *Container) Hold() {
	c.debugOwner()
	c.mustLive()
	c.refs++
}

// Release gives a reference back, IFAFREE. After the core's last one the container
// is dead; after the last core's the address is gone. Releasing a dead container
// panics.
func (c *Container) Release() {
	c.debugOwner()
	c.mustLive()
	if c.refs--; c.refs == 0 {
		c.free()
	}
}

func (c *Container) mustLive() {
	if c.magic != alive {
		panic(fmt.Sprintf("ifnet: address %s on core %d is used after its last reference was released", c.addr, c.core))
	}
}

// free is ifac_free: this core has let go. The seed sends core 0 a message to clear
// this core's bit; here the bits are a count, and whoever takes off the last is
// the one that frees.
func (c *Container) free() {
	c.magic = dead
	if c.addr.live.Add(-1) == 0 { // pairs with the Add of every other core
		c.addr.containers = nil
		c.addr.sys.addresses.Add(-1)
	}
}

// newAddress is ifa_create: one container a core and one for control, each with
// the reference that destroy gives back.
func (s *System) newAddress(a *Address) *Address {
	a.sys = s
	a.containers = cpu.NewPerCore[Container](s.cores + 1)
	for i, c := range a.containers.All() {
		*c = Container{addr: a, refs: 1, magic: alive, core: int32(i)}
	}
	a.live.Store(int32(s.cores + 1)) // before any core knows of a
	s.addresses.Add(1)
	return a
}

// newLinkAddress makes the link-level address that stands for the interface.
func (s *System) newLinkAddress(ifp *Interface) *Address {
	return s.newAddress(&Address{family: FamilyLink, ifp: ifp, link: LinkAddr{
		Name: ifp.state.Name, Index: ifp.state.Index, Type: ifp.state.Type, MAC: ifp.state.MAC,
	}})
}

// newIPAddress makes an address of a spec that has been checked.
func (s *System) newIPAddress(ifp *Interface, spec AddrSpec) *Address {
	a := &Address{family: FamilyIPv4, ifp: ifp, spec: spec}
	p2p := ifp.state.Flags&FlagPointopoint != 0
	kind := kindNet
	switch {
	case spec.Claim != nil && (!p2p || !spec.Prefix.Addr().Is4()):
		kind = kindClaim
	case p2p && spec.Prefix.Addr().Is4():
		if kind = kindNone; spec.Peer.IsValid() {
			kind = kindPeer
		}
	case spec.NoMask:
		kind = kindNone
	}
	m := entryMeta{kind: kind, noMask: spec.NoMask, p2p: p2p, peer: spec.Peer.IsValid(), bits: int16(spec.Prefix.Bits())}
	if spec.Prefix.Addr().Is6() {
		a.family = FamilyIPv6
		a.key6 = entry6{entryMeta: m, addr: key6(spec.Prefix.Addr()), mask: mask6(spec.Prefix.Bits())}
		if spec.Peer.IsValid() {
			a.key6.peer6 = key6(spec.Peer)
		}
		return s.newAddress(a)
	}
	a.key4 = entry4{entryMeta: m, addr: key4(spec.Prefix.Addr()), mask: mask4(spec.Prefix.Bits())}
	if spec.Peer.IsValid() {
		a.key4.peer4 = key4(spec.Peer)
	}
	a.cast4 = a.key4.addr
	if spec.Broadcast.IsValid() && ifp.state.Flags&FlagBroadcast != 0 {
		a.cast4 = key4(spec.Broadcast)
	}
	return s.newAddress(a)
}

// key4 returns an IPv4 address as a number.
func key4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func mask4(bits int) uint32 { return ^uint32(0) << (32 - bits) }

// key128 is an IPv6 address, or a mask, as two numbers.
type key128 struct{ hi, lo uint64 }

// key6 returns an IPv6 address as two numbers, without its zone.
func key6(a netip.Addr) key128 {
	b := a.As16()
	return key128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func mask6(bits int) key128 {
	return key128{^uint64(0) << (64 - min(bits, 64)), ^uint64(0) << (64 - max(bits-64, 0))}
}

// differs reports whether k and o differ where the mask has a bit.
func (k key128) differs(o, mask key128) bool {
	return (k.hi^o.hi)&mask.hi|(k.lo^o.lo)&mask.lo != 0
}

// broadcastOf returns the last address of an IPv4 network, if it has room for one.
func broadcastOf(p netip.Prefix) netip.Addr {
	if p.Bits() > 30 {
		return netip.Addr{}
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], key4(p.Addr())|^mask4(p.Bits()))
	return netip.AddrFrom4(b)
}
