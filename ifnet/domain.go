package ifnet

import (
	"context"
	"syscall"
)

// ProtoOp is what a protocol is told about an address, pfctlinput.
type ProtoOp uint8

// The commands.
const (
	ProtoIfDown  ProtoOp = iota // the interface of the address went down, PRC_IFDOWN
	ProtoIfUp                   // it went up, PRC_IFUP
	ProtoAddrAdd                // the address is there
	ProtoAddrDel                // the address is going: let go of neighbours and the like
)

// Domain is a protocol family with a stake in interfaces, struct domain. Every field
// but Family may be left out. All are called by control, in turn, and must not call
// the System.
type Domain struct {
	// Family says which addresses the protocol is told of; FamilyAny of all.
	Family Family
	// Attach makes the protocol's state of an interface, dom_ifattach. It is
	// also called for interfaces that came before the domain.
	Attach func(Info) any
	// Detach takes that state back, dom_ifdetach, if it was not nil.
	Detach func(Info, any)
	// Input is told what happens to an address.
	Input func(op ProtoOp, i Info, a AddrInfo)
	// Up is told that an interface went up, in6_if_up.
	Up func(Info)
	// MTU is told that the MTU changed, nd6_setmtu.
	MTU func(Info)
	// Purge is told to forget what it knows of an interface that goes, in_ifdetach,
	// when its addresses are gone and its routes are not.
	Purge func(Info)
}

// concerns reports whether the domain has to do with a family.
func (d *Domain) concerns(f Family) bool { return d.Family == FamilyAny || d.Family == f }

// AttachDomain adds a protocol, and attaches it to every interface there is,
// if_attachdomain. A family may have several.
func (s *System) AttachDomain(ctx context.Context, d Domain) error {
	return s.do(ctx, "attach domain", "", func() *failure {
		switch d.Family {
		case FamilyAny, FamilyIPv4, FamilyIPv6, FamilyLink:
		default:
			return fail(syscall.EAFNOSUPPORT, d.Family.String())
		}
		s.domains = append(s.domains, &d)
		for _, ifp := range s.list {
			s.attachDomains(ifp)
		}
		return nil
	})
}

// attachDomains attaches to an interface those domains that are not, if_attachdomain1.
func (s *System) attachDomains(ifp *Interface) {
	for _, d := range s.domains {
		if _, ok := ifp.afdata[d]; ok {
			continue
		}
		ifp.afdata[d] = nil
		if d.Attach != nil {
			ifp.afdata[d] = d.Attach(s.info(ifp))
		}
	}
}

// detachDomains gives every domain its state back.
func (s *System) detachDomains(ifp *Interface) {
	for _, d := range s.domains {
		if state := ifp.afdata[d]; d.Detach != nil && state != nil {
			d.Detach(s.info(ifp), state)
		}
	}
	clear(ifp.afdata)
}

// purgeDomains is in_ifdetach and in6_ifdetach.
func (s *System) purgeDomains(ifp *Interface) {
	for _, d := range s.domains {
		if d.Purge != nil {
			d.Purge(s.info(ifp))
		}
	}
}

// tell is pfctlinput.
func (s *System) tell(op ProtoOp, ifp *Interface, a *Address) {
	for _, d := range s.domains {
		if d.Input != nil && d.concerns(a.family) {
			d.Input(op, s.info(ifp), infoOf(a))
		}
	}
}
