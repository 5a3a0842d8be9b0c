package ifnet

import (
	"net/netip"
	"strconv"
	"strings"
)

// WithAddr returns the first address that is a, or whose broadcast address a is on
// an interface with FlagBroadcast, ifa_ifwithaddr. It is nil if there is none. An
// IPv6 address with a zone is looked for on that interface alone.
func (r *Replica) WithAddr(a netip.Addr) *Container {
	r.debugOwner()
	if a.Is4() {
		k, t := key4(a), r.tables.exact4
		for i := range t {
			if e := &t[i]; e.addr == k || e.cast == k {
				return e.c
			}
		}
		return nil
	}
	if !a.Is6() || a.Is4In6() {
		return nil
	}
	k, t := key6(a), r.tables.exact6
	for i := range t {
		if e := &t[i]; e.addr == k && !zoned(a, e.c) {
			return e.c
		}
	}
	return nil
}

// WithLinkAddr is WithAddr for link-level addresses: all of l must be equal.
func (r *Replica) WithLinkAddr(l LinkAddr) *Container {
	r.debugOwner()
	for v := r.first; v != nil; v = v.next {
		if v.first != nil && v.first.addr.link.equal(l) {
			return v.first
		}
	}
	return nil
}

// WithDstAddr returns the first address of a point-to-point interface whose peer is
// a, ifa_ifwithdstaddr, or nil.
func (r *Replica) WithDstAddr(a netip.Addr) *Container {
	r.debugOwner()
	if a.Is4() {
		k, t := key4(a), r.tables.all4
		for i := range t {
			if e := &t[i]; e.p2p && e.peer && e.peer4 == k {
				return e.c
			}
		}
		return nil
	}
	if !a.Is6() || a.Is4In6() {
		return nil
	}
	k, t := key6(a), r.tables.all6
	for i := range t {
		if e := &t[i]; e.p2p && e.peer && e.peer6 == k && !zoned(a, e.c) {
			return e.c
		}
	}
	return nil
}

// WithNet returns the address whose network a is in, ifa_ifwithnet: of several the
// one with the longest mask, of those with equal masks the first. An IPv4 address of a
// point-to-point interface is found by its peer alone, and one with a Claim by its
// own word; the first that is found like that is the answer even if there
// are longer masks. It is nil if there is none.
func (r *Replica) WithNet(a netip.Addr) *Container {
	r.debugOwner()
	if a.Is4() {
		return r.withNet4(a)
	}
	if !a.Is6() || a.Is4In6() {
		return nil
	}
	k, t := key6(a), r.tables.all6
	var best *Container
	bits := int16(-1)
	for i := range t {
		e := &t[i]
		switch e.kind {
		case kindNet:
			if e.bits > bits && !k.differs(e.addr, e.mask) && !zoned(a, e.c) {
				best, bits = e.c, e.bits
			}
		case kindClaim:
			if e.c.addr.spec.Claim(a) {
				return e.c
			}
		}
	}
	return best
}

func (r *Replica) withNet4(a netip.Addr) *Container {
	k, t := key4(a), r.tables.all4
	var best *Container
	bits := int16(-1)
	for i := range t {
		e := &t[i]
		switch e.kind {
		case kindNet:
			if (k^e.addr)&e.mask == 0 && e.bits > bits {
				best, bits = e.c, e.bits
			}
		case kindPeer:
			if e.peer4 == k {
				return e.c
			}
		case kindClaim:
			if e.c.addr.spec.Claim(a) {
				return e.c
			}
		}
	}
	return best
}

// WithNetLink is WithNet for link-level addresses. If l has an index, the interface
// with that index answers, and nobody if that is a hole. Else the mask of a
// link-level address covers its name: the interface whose name begins l.Name, and
// of several the one with the longest name.
func (r *Replica) WithNetLink(l LinkAddr) *Container {
	r.debugOwner()
	if l.Index > 0 && l.Index < len(r.index) {
		if v := r.index[l.Index]; v != nil {
			return v.first
		}
		return nil
	}
	var best *Container
	for v := r.first; v != nil; v = v.next {
		name := v.state.Name
		if v.first != nil && strings.HasPrefix(l.Name, name) && (best == nil || len(name) > len(best.view.state.Name)) {
			best = v.first
		}
	}
	return best
}

// BestOf returns the address of one interface that suits a destination,
// ifaof_ifpforaddr: the first that matches, not the one that matches best. One
// without a netmask matches itself and its peer, one of a point-to-point interface its
// peer, any other its network. If none matches it is the first of a's family, and nil
// only if there is none of that family.
func (r *Replica) BestOf(a netip.Addr, v *View) *Container {
	r.debugOwner()
	if a.Is4() {
		return r.bestOf4(key4(a), v)
	}
	if !a.Is6() || a.Is4In6() {
		return nil
	}
	k, t := key6(a), r.tables.all6[v.lo6:v.hi6]
	var maybe *Container
	for i := range t {
		e := &t[i]
		if maybe == nil {
			maybe = e.c
		}
		switch {
		case e.noMask:
			if e.addr == k || e.peer && e.peer6 == k {
				return e.c
			}
		case e.p2p:
			if e.peer && e.peer6 == k {
				return e.c
			}
		case !k.differs(e.addr, e.mask):
			return e.c
		}
	}
	return maybe
}

func (r *Replica) bestOf4(k uint32, v *View) *Container {
	t := r.tables.all4[v.lo4:v.hi4]
	var maybe *Container
	for i := range t {
		e := &t[i]
		if maybe == nil {
			maybe = e.c
		}
		switch {
		case e.noMask:
			if e.addr == k || e.peer && e.peer4 == k {
				return e.c
			}
		case e.p2p:
			if e.peer && e.peer4 == k {
				return e.c
			}
		case (k^e.addr)&e.mask == 0:
			return e.c
		}
	}
	return maybe
}

// ByIndex returns the interface with that index, or nil.
func (r *Replica) ByIndex(index int) *View {
	r.debugOwner()
	if index <= 0 || index >= len(r.index) {
		return nil
	}
	return r.index[index]
}

// ByName returns the interface of that name, ifunit, or nil.
func (r *Replica) ByName(name string) *View {
	r.debugOwner()
	for v := r.first; v != nil; v = v.next {
		if v.state.Name == name {
			return v
		}
	}
	return nil
}

// WithName returns the interface that a link-level address names, if_withname. It is
// nil if there is none, or if the name is empty or too long to be one.
func (r *Replica) WithName(l LinkAddr) *View {
	if l.Name == "" || len(l.Name) > NameSize {
		return nil
	}
	return r.ByName(l.Name)
}

// zoneIs reports whether a zone means the interface: by its name, or its index.
func zoneIs(zone string, st *State) bool {
	if zone == st.Name {
		return true
	}
	n, err := strconv.Atoi(zone)
	return err == nil && n == st.Index
}
