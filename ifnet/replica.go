package ifnet

import (
	"net"
	"net/netip"
	"slices"
)

// State is what cores can know of an interface. It is made anew at every change
// and never written to, so it may be kept; nothing in it may be changed.
type State struct {
	// Name is unique among the interfaces there are.
	Name string
	// Index is from 1 up. It may be another interface's once this one is gone.
	Index int
	// Type is the kind of link.
	Type Type
	// Flags are all flags.
	Flags Flags
	// MTU is the largest packet without its link-level header, in bytes.
	MTU int
	// MAC is the link-level address, of any length.
	MAC net.HardwareAddr
	// Groups are the multicast memberships, newest first.
	Groups []Membership
}

// Up reports FlagUp.
func (st *State) Up() bool { return st.Flags&FlagUp != 0 }

// Member reports whether the interface is in a group: ifmaof_ifpforaddr as cores
// have it.
func (st *State) Member(g Group) bool { return memberOf(st.Groups, g) >= 0 }

// View is an interface as one core sees it, and the head of that core's list of its
// addresses. It belongs to that core.
type View struct {
	replica *Replica
	state   *State
	ifp     *Interface

	next, prev  *View
	first, last *Container

	// The part of the replica's tables that is this interface's.
	lo4, hi4, lo6, hi6 int
}

// State returns what the core knows of the interface now.
func (v *View) State() *State { return v.state }

// Addresses calls fn for each address, in the order of the list: the link-level one
// comes first. It stops if fn returns false.
func (v *View) Addresses(fn func(*Container) bool) {
	v.replica.debugOwner()
	for c := v.first; c != nil; c = c.next {
		if !fn(c) {
			return
		}
	}
}

// insert puts c at the head or the tail of the list.
func (v *View) insert(c *Container, tail bool) {
	c.view = v
	switch {
	case v.first == nil:
		v.first, v.last = c, c
	case tail:
		c.prev, v.last.next = v.last, c
		v.last = c
	default:
		c.next, v.first.prev = v.first, c
		v.first = c
	}
}

// remove takes c off the list.
func (v *View) remove(c *Container) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		v.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		v.last = c.prev
	}
	c.next, c.prev, c.view = nil, nil, nil
}

// Replica is one core's own copy of all that its packets need to know of
// interfaces: who they are, and their addresses. It belongs to that core: only
// there may its methods be called, and they touch nothing that another core
// writes. System.Bind gives each core its own, on that core; a build with the tag
// pmddebug panics when another goroutine uses it.
type Replica struct {
	core   int
	owner  debugOwner
	tables tables
	// index maps an interface's index to its view; nil is a hole.
	index       []*View
	first, last *View
	routes      RouteTable
}

// Core returns the number of the core.
func (r *Replica) Core() int { return r.core }

// Routes returns the core's route table, nil if the System has none.
func (r *Replica) Routes() RouteTable { return r.routes }

// Interfaces calls fn for each interface in the order of attachment, until it
// returns false.
func (r *Replica) Interfaces(fn func(*View) bool) {
	r.debugOwner()
	for v := r.first; v != nil; v = v.next {
		if !fn(v) {
			return
		}
	}
}

// tables are the addresses of a replica, laid out for lookups, in the order of the
// lists. Control makes them, with room for all there will be; the core fills them
// and never allocates.
type tables struct {
	exact4 []exact4
	exact6 []exact6
	all4   []entry4
	all6   []entry6
}

func newTables(n4, n6 int) tables {
	return tables{make([]exact4, 0, n4), make([]exact6, 0, n6), make([]entry4, 0, n4), make([]entry6, 0, n6)}
}

// exact4 is all that WithAddr looks at, so that four to the cache line are there.
type exact4 struct {
	addr, cast uint32 // cast is addr again if there is no broadcast address
	c          *Container
}

type exact6 struct {
	addr key128
	c    *Container
}

// kind says how WithNet finds an address.
type kind uint8

const (
	kindNone  kind = iota // not at all
	kindNet               // by its network
	kindPeer              // by its peer alone
	kindClaim             // by its own word
)

// entryMeta is what IPv4 and IPv6 entries have in common.
type entryMeta struct {
	bits   int16 // length of the network
	kind   kind
	noMask bool
	p2p    bool // the interface is point-to-point
	peer   bool // there is a peer
}

type entry4 struct {
	addr, mask, peer4 uint32
	entryMeta
	c *Container
}

type entry6 struct {
	addr, mask, peer6 key128
	entryMeta
	c *Container
}

// rebuild lays the lists out anew. There is room: see System.reserve.
func (r *Replica) rebuild() {
	t := &r.tables
	t.exact4, t.exact6, t.all4, t.all6 = t.exact4[:0], t.exact6[:0], t.all4[:0], t.all6[:0]
	for v := r.first; v != nil; v = v.next {
		v.lo4, v.lo6 = len(t.all4), len(t.all6)
		for c := v.first; c != nil; c = c.next {
			t.put(c, len(t.all4), len(t.all6))
		}
		v.hi4, v.hi6 = len(t.all4), len(t.all6)
	}
}

// put enters an address at a place in the table of its family.
func (t *tables) put(c *Container, at4, at6 int) {
	switch a := c.addr; a.family {
	case FamilyIPv4:
		e := a.key4
		e.c = c
		t.all4 = slices.Insert(t.all4, at4, e)
		t.exact4 = slices.Insert(t.exact4, at4, exact4{e.addr, a.cast4, c})
	case FamilyIPv6:
		e := a.key6
		e.c = c
		t.all6 = slices.Insert(t.all6, at6, e)
		t.exact6 = slices.Insert(t.exact6, at6, exact6{e.addr, c})
	}
}

// grow tells a view, and those behind it, that its part of the tables has so many entries
// more.
func (v *View) grow(a *Address, by int) {
	by4, by6 := 0, 0
	switch a.family {
	case FamilyIPv4:
		by4 = by
	case FamilyIPv6:
		by6 = by
	}
	v.hi4, v.hi6 = v.hi4+by4, v.hi6+by6
	for n := v.next; n != nil; n = n.next {
		n.lo4, n.hi4, n.lo6, n.hi6 = n.lo4+by4, n.hi4+by4, n.lo6+by6, n.hi6+by6
	}
}

// link puts the core's container of a on the list, ifa_iflink_dispatch.
func (r *Replica) link(a *Address, tail bool) {
	v, c := a.ifp.views.At(r.core), a.containers.At(r.core)
	v.insert(c, tail)
	if tail {
		r.tables.put(c, v.hi4, v.hi6)
	} else {
		r.tables.put(c, v.lo4, v.lo6)
	}
	v.grow(a, 1)
}

// unlink takes it off, ifa_ifunlink_dispatch.
func (r *Replica) unlink(a *Address) {
	c, t := a.containers.At(r.core), &r.tables
	v := c.view
	switch a.family {
	case FamilyIPv4:
		at := v.lo4 + slices.IndexFunc(t.all4[v.lo4:v.hi4], func(e entry4) bool { return e.c == c })
		t.all4, t.exact4 = slices.Delete(t.all4, at, at+1), slices.Delete(t.exact4, at, at+1)
	case FamilyIPv6:
		at := v.lo6 + slices.IndexFunc(t.all6[v.lo6:v.hi6], func(e entry6) bool { return e.c == c })
		t.all6, t.exact6 = slices.Delete(t.all6, at, at+1), slices.Delete(t.exact6, at, at+1)
	}
	v.grow(a, -1)
	v.remove(c)
}

// attach makes the interface known on this core, with its link-level address at the
// head of its list. index is a larger table of indices, or nil.
func (r *Replica) attach(ifp *Interface, ll *Address, index []*View) {
	v := ifp.views.At(r.core)
	n4, n6 := len(r.tables.all4), len(r.tables.all6)
	*v = View{replica: r, state: ifp.state, ifp: ifp, prev: r.last, lo4: n4, hi4: n4, lo6: n6, hi6: n6}
	if r.last != nil {
		r.last.next = v
	} else {
		r.first = v
	}
	r.last = v
	if index != nil {
		copy(index, r.index)
		r.index = index
	}
	r.index[ifp.state.Index] = v
	r.link(ll, false)
}

// detach forgets the interface, which has no addresses any more.
func (r *Replica) detach(ifp *Interface) {
	v := ifp.views.At(r.core)
	if v.prev != nil {
		v.prev.next = v.next
	} else {
		r.first = v.next
	}
	if v.next != nil {
		v.next.prev = v.prev
	} else {
		r.last = v.prev
	}
	r.index[ifp.state.Index] = nil
}

// zoned reports whether a has a zone that does not mean the interface of c. Zones are
// names or indices of interfaces.
func zoned(a netip.Addr, c *Container) bool {
	z := a.Zone()
	return z != "" && !zoneIs(z, c.view.state)
}
