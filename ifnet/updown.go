package ifnet

import "context"

// Down takes the interface down for every protocol, if_down: see Unroute. When
// it returns every core has finished the burst it was in, so nobody
// works on a frame of the interface any more.
//
// The driver is not told: that is SetFlags of a Control, which calls this.
func (s *System) Down(ctx context.Context, ifp *Interface) error {
	return s.doOn(ctx, "take down", ifp, func() *failure { return s.down(ifp) })
}

func (s *System) down(ifp *Interface) *failure {
	f := s.unroute(ifp, FlagUp, FamilyAny)
	s.cfg.Barrier.Wait()
	return f
}

// Up brings the interface up for every protocol, if_up: see Route.
func (s *System) Up(ctx context.Context, ifp *Interface) error {
	return s.doOn(ctx, "bring up", ifp, func() *failure {
		s.route(ifp, FlagUp, FamilyAny)
		return nil
	})
}

// Unroute clears a flag, takes the connected routes away, tells each protocol of every
// address of a family (FamilyAny for all) that its interface is down, purges the send
// queue and announces it: if_unroute.
func (s *System) Unroute(ctx context.Context, ifp *Interface, flag Flags, fam Family) error {
	return s.doOn(ctx, "unroute", ifp, func() *failure { return s.unroute(ifp, flag, fam) })
}

func (s *System) unroute(ifp *Interface, flag Flags, fam Family) *failure {
	s.publish(ifp, func(st *State) { st.Flags &^= flag })
	s.touched(ifp)
	for _, a := range s.addressesOf(ifp, fam) {
		s.disconnect(ifp, a)
		s.tell(ProtoIfDown, ifp, a)
	}
	f := purge(ifp.queue)
	s.announceFlag(ifp, flag, EventDown)
	return f
}

// Route sets a flag, brings the connected routes back, tells each protocol of every
// address of a family that its interface is up, announces it, and then tells the
// domains that the interface is up: if_route.
func (s *System) Route(ctx context.Context, ifp *Interface, flag Flags, fam Family) error {
	return s.doOn(ctx, "route", ifp, func() *failure {
		s.route(ifp, flag, fam)
		return nil
	})
}

func (s *System) route(ifp *Interface, flag Flags, fam Family) {
	s.publish(ifp, func(st *State) { st.Flags |= flag })
	s.touched(ifp)
	for _, a := range s.addressesOf(ifp, fam) {
		s.connect(ifp, a)
		s.tell(ProtoIfUp, ifp, a)
	}
	s.announceFlag(ifp, flag, EventUp)
	for _, d := range s.domains {
		if d.Up != nil {
			d.Up(s.info(ifp))
		}
	}
}

// announceFlag is rt_ifmsg for a flag that was set or cleared.
func (s *System) announceFlag(ifp *Interface, flag Flags, edge EventKind) {
	if flag&FlagUp == 0 {
		edge = EventChange
	}
	s.announce(ifp, edge, nil)
}

// SetLinkState notes what a driver says of its link and announces it,
// if_link_state_change.
func (s *System) SetLinkState(ctx context.Context, ifp *Interface, l LinkState) error {
	return s.doOn(ctx, "change link state", ifp, func() *failure {
		ifp.link = l
		s.announce(ifp, EventLink, nil)
		return nil
	})
}
