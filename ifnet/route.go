package ifnet

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
)

// RouteFlags are the flags of a route; the values are those of net/route.h.
type RouteFlags uint32

// The flags.
const (
	RouteUp        RouteFlags = 0x1   // may be used
	RouteGateway   RouteFlags = 0x2   // through a gateway
	RouteHost      RouteFlags = 0x4   // to one address
	RouteStatic    RouteFlags = 0x800 // entered by hand
	RouteConnected RouteFlags = 0x100 // to the network of an address, RTF_CLONING
)

// RouteOp is what happens to a route, RTM_….
type RouteOp uint8

// The operations an address is told of.
const (
	RouteAdd RouteOp = iota + 1
	RouteDelete
)

// Route is an entry of one core's route table, struct rtentry. It belongs to that core.
type Route struct {
	// Dst is the destination.
	Dst netip.Prefix
	// Gateway is the next hop, the zero Addr if the destination is on the link.
	Gateway netip.Addr
	Flags   RouteFlags
	// Addr is the address of the route's interface that it uses. The route has a
	// reference to it.
	Addr *Container
	// View is the interface, as the route's core sees it.
	View *View
}

// request is ifa_rtrequest: the route's address is told, and may change the route.
func (r *Replica) request(op RouteOp, rt *Route) {
	if rt.Addr.addr.family == FamilyLink {
		r.linkRequest(op, rt)
		return
	}
	if hook := rt.Addr.addr.spec.OnRoute; hook != nil {
		hook(op, rt)
	}
}

// linkRequest is link_rtrequest: a route whose gateway is a link gets the address of
// that interface which suits its destination, if there is one, instead of the
// link-level address.
func (r *Replica) linkRequest(op RouteOp, rt *Route) {
	if op != RouteAdd {
		return
	}
	c := r.BestOf(rt.Dst.Addr(), rt.View)
	if c == nil {
		return
	}
	rt.Addr.Release()
	c.Hold()
	rt.Addr = c
	if hook := c.addr.spec.OnRoute; hook != nil {
		hook(op, rt)
	}
}

// addRoute is rtrequest(RTM_ADD).
func (r *Replica) addRoute(rt Route) error {
	rt.Flags |= RouteUp
	if rt.Dst.IsSingleIP() {
		rt.Flags |= RouteHost
	}
	rt.Addr.Hold()
	r.request(RouteAdd, &rt)
	err := r.routes.Add(rt.Dst, rt)
	if err != nil {
		r.request(RouteDelete, &rt)
		rt.Addr.Release()
	}
	return err
}

// deleteRoute is rtrequest(RTM_DELETE).
func (r *Replica) deleteRoute(dst netip.Prefix) error {
	rt, err := r.routes.Delete(dst)
	if err != nil {
		return err
	}
	r.request(RouteDelete, &rt)
	rt.Addr.Release()
	return nil
}

// collect returns the destinations of the routes that fn picks.
func (r *Replica) collect(fn func(*Route) bool) (list []netip.Prefix) {
	r.routes.Walk(func(dst netip.Prefix, rt *Route) bool {
		if fn(rt) {
			list = append(list, dst)
		}
		return true
	})
	return list
}

// purgeRoutes deletes the routes of an interface from every core's table, the walk of
// if_detach.
func (s *System) purgeRoutes(ifp *Interface) {
	if s.own.routes == nil {
		return
	}
	var gone []netip.Prefix
	s.round(func(r *Replica) {
		done, err := r.routeDelete(ifp.views.At(r.core))
		if err != nil {
			s.message(ifp.state.Name, true, "its routes on core %d: %v", r.core, err)
		}
		gone = done // of the last visit: control's
	})
	for _, dst := range gone {
		s.announce(ifp, EventRouteDel, func(e *Event) { e.Route = dst.String() })
	}
}

// routeDelete is if_rtdel for each route of this core's table: those of the interface
// that are up are deleted; one that cannot be does not keep the others.
func (r *Replica) routeDelete(v *View) (done []netip.Prefix, err error) {
	for _, dst := range r.collect(func(rt *Route) bool { return rt.View == v && rt.Flags&RouteUp != 0 }) {
		if e := r.deleteRoute(dst); e != nil {
			err = errors.Join(err, e)
			continue
		}
		done = append(done, dst)
	}
	return done, err
}

// connectedTo returns the destination that an address connects its interface to: its
// peer, its network, or itself.
func (a *Address) connectedTo() netip.Prefix {
	host := func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
	switch {
	case a.spec.Peer.IsValid():
		return host(a.spec.Peer)
	case a.spec.NoMask:
		return host(a.Addr())
	}
	return a.spec.Prefix.Masked()
}

// connect enters the route that comes with an address, if the interface is up and there
// is none for that destination yet.
func (s *System) connect(ifp *Interface, a *Address) {
	if s.own.routes == nil || !ifp.state.Up() || a.family == FamilyLink {
		return
	}
	dst := a.connectedTo()
	if s.own.routes.Get(dst) != nil {
		return
	}
	s.round(func(r *Replica) { r.connect(a, dst) })
	s.announce(ifp, EventRouteAdd, func(e *Event) { e.Route = dst.String() })
}

func (r *Replica) connect(a *Address, dst netip.Prefix) {
	rt := Route{Dst: dst, Flags: RouteConnected, Addr: a.containers.At(r.core), View: a.ifp.views.At(r.core)}
	_ = r.addRoute(rt) // all tables are alike, and control's has no such route
}

// disconnect deletes the route that came with an address. If another address connects
// to the same destination its route takes the place.
func (s *System) disconnect(ifp *Interface, a *Address) {
	if s.own.routes == nil || a.family == FamilyLink {
		return
	}
	dst := a.connectedTo()
	if rt := s.own.routes.Get(dst); rt == nil || rt.Flags&RouteConnected == 0 || rt.Addr.addr != a {
		return
	}
	s.round(func(r *Replica) { _ = r.deleteRoute(dst) }) // as above
	s.announce(ifp, EventRouteDel, func(e *Event) { e.Route = dst.String() })
	s.inherit(dst, a)
}

// inherit lets an address other than this one connect to a destination that has lost
// its route.
func (s *System) inherit(dst netip.Prefix, not *Address) {
	for _, ifp := range s.list {
		for _, a := range s.addressesOf(ifp, FamilyAny) {
			if a != not && ifp.state.Up() && a.family != FamilyLink && a.connectedTo() == dst {
				s.connect(ifp, a)
				return
			}
		}
	}
}

// rehome finds another address for the routes that use one which is going: that which
// reaches their gateway, or that of their interface which suits the destination. A
// route for which there is none is deleted.
func (s *System) rehome(ifp *Interface, a *Address) {
	if s.own.routes == nil {
		return
	}
	var gone []netip.Prefix
	s.round(func(r *Replica) { gone = r.rehome(a) })
	for _, dst := range gone {
		s.announce(ifp, EventRouteDel, func(e *Event) { e.Route = dst.String() })
	}
}

func (r *Replica) rehome(a *Address) (gone []netip.Prefix) {
	for _, dst := range r.collect(func(rt *Route) bool { return rt.Addr.addr == a }) {
		rt := r.routes.Get(dst)
		var c *Container
		switch {
		case rt.Gateway.IsValid():
			c = r.via(rt.Gateway)
		case rt.Flags&RouteConnected == 0:
			c = rt.View.first
		}
		if c == nil {
			_ = r.deleteRoute(dst) // it was there a moment ago
			gone = append(gone, dst)
			continue
		}
		rt.Addr.Release()
		c.Hold()
		rt.Addr, rt.View = c, c.view
		r.request(RouteAdd, rt)
	}
	return gone
}

// via returns the address whose network, or peer, a gateway is: ifa_ifwithroute.
func (r *Replica) via(gw netip.Addr) *Container {
	if c := r.WithDstAddr(gw); c != nil {
		return c
	}
	return r.WithNet(gw)
}

// RouteSpec is a route to be entered by hand.
type RouteSpec struct {
	// Dst is the destination; bits beyond its length are ignored.
	Dst netip.Prefix
	// Gateway is the next hop. It must be on the network of some address.
	Gateway netip.Addr
	// Interface is for a route without a Gateway: the destination is on its link.
	Interface string
}

// AddRoute enters a route into every core's table. One that is there already is EEXIST,
// a gateway that no address reaches ENETUNREACH.
func (s *System) AddRoute(ctx context.Context, spec RouteSpec) error {
	return s.do(ctx, "add route", spec.Interface, func() *failure {
		if f := s.checkRoute(&spec); f != nil {
			return f
		}
		c := s.own.gatewayOf(spec)
		if c == nil {
			if spec.Gateway.IsValid() {
				return fail(syscall.ENETUNREACH, "no address reaches the gateway "+spec.Gateway.String())
			}
			return s.unknown()
		}
		if rt := s.own.routes.Get(spec.Dst); rt != nil && rt.Flags&RouteConnected == 0 {
			return fail(syscall.EEXIST, "there is a route to "+spec.Dst.String())
		} else if rt != nil {
			return fail(syscall.EEXIST, spec.Dst.String()+" is the network of the address "+rt.Addr.addr.String())
		}
		s.round(func(r *Replica) {
			c := r.gatewayOf(spec)
			rt := Route{Dst: spec.Dst, Gateway: spec.Gateway, Flags: RouteStatic, Addr: c, View: c.view}
			if spec.Gateway.IsValid() {
				rt.Flags |= RouteGateway
			}
			_ = r.addRoute(rt) // all tables are alike, and control's has none
		})
		s.announce(c.view.ifp, EventRouteAdd, func(e *Event) { e.Route = spec.Dst.String() })
		return nil
	})
}

func (s *System) checkRoute(spec *RouteSpec) *failure {
	switch {
	case s.own.routes == nil:
		return fail(syscall.EOPNOTSUPP, "there are no route tables")
	case !spec.Dst.IsValid() || spec.Dst.Addr().Is4In6():
		return fail(syscall.EINVAL, "the destination is no prefix")
	case spec.Gateway.IsValid() == (spec.Interface != ""):
		return fail(syscall.EINVAL, "a route has a gateway, or else an interface")
	case spec.Gateway.IsValid() && spec.Gateway.Is4() != spec.Dst.Addr().Is4():
		return fail(syscall.EINVAL, "gateway and destination are of different families")
	}
	spec.Dst = spec.Dst.Masked()
	return nil
}

// gatewayOf returns this core's container for a route's gateway: the address that
// reaches it, or the link-level address of the interface.
func (r *Replica) gatewayOf(spec RouteSpec) *Container {
	if spec.Gateway.IsValid() {
		return r.via(spec.Gateway)
	}
	if v := r.ByName(spec.Interface); v != nil {
		return v.first
	}
	return nil
}

// DelRoute deletes the route for exactly that destination from every core's table. If
// there is none it is ESRCH. An address that connects to the destination then has its
// route again; its own route cannot be deleted so, which is EBUSY.
func (s *System) DelRoute(ctx context.Context, dst netip.Prefix) error {
	return s.do(ctx, "delete route", "", func() *failure {
		if s.own.routes == nil || !dst.IsValid() {
			return fail(syscall.ESRCH, "there is no route to "+dst.String())
		}
		dst = dst.Masked()
		rt := s.own.routes.Get(dst)
		if rt == nil {
			return fail(syscall.ESRCH, "there is no route to "+dst.String())
		}
		if rt.Flags&RouteConnected != 0 {
			return fail(syscall.EBUSY, "the route comes with the address "+rt.Addr.addr.String()+" and goes with it")
		}
		ifp := rt.View.ifp
		s.round(func(r *Replica) { _ = r.deleteRoute(dst) }) // it was there a moment ago
		s.announce(ifp, EventRouteDel, func(e *Event) { e.Route = dst.String() })
		s.inherit(dst, nil)
		return nil
	})
}

// RouteInfo is a route as it is at a moment.
type RouteInfo struct {
	// Dst, Gateway and Flags are those of the Route.
	Dst     netip.Prefix
	Gateway netip.Addr
	Flags   RouteFlags
	// Interface is its interface's name, Source the address it uses: the zero Addr
	// for a link-level one.
	Interface string
	Source    netip.Addr
}

// Routes returns what is in control's route table, which all cores' are like.
func (s *System) Routes(ctx context.Context) (list []RouteInfo, err error) {
	err = s.do(ctx, "list routes", "", func() *failure {
		if s.own.routes == nil {
			return nil
		}
		s.own.routes.Walk(func(dst netip.Prefix, rt *Route) bool {
			list = append(list, RouteInfo{dst, rt.Gateway, rt.Flags, rt.View.state.Name, rt.Addr.addr.Addr()})
			return true
		})
		return nil
	})
	return list, err
}
