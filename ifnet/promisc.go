package ifnet

import (
	"context"
	"syscall"
)

// Promisc asks for promiscuous mode or gives that up, ifpromisc. The calls are counted:
// the first on and the last off act. An interface that is not up is ENETDOWN; while
// it is promiscuous for good (FlagPPromisc) calls are only counted. If the driver
// fails, flags and count are what they were. To give up more than was asked for is
// EINVAL.
func (s *System) Promisc(ctx context.Context, ifp *Interface, on bool) error {
	return s.doOn(ctx, "set promiscuous mode", ifp, func() *failure { return s.setPromisc(ifp, on) })
}

func (s *System) setPromisc(ifp *Interface, on bool) *failure {
	n := ifp.promisc - 1
	if on {
		n = ifp.promisc + 1
	}
	switch {
	case n < 0:
		return fail(syscall.EINVAL, "nobody has asked for promiscuous mode")
	case ifp.state.Flags&FlagPPromisc != 0:
		ifp.promisc = n
		return nil
	case on && !ifp.state.Up():
		return fail(syscall.ENETDOWN, "the interface is not up")
	case on && n > 1 || !on && n > 0:
		ifp.promisc = n
		return nil
	}
	flags, word := ifp.state.Flags&^FlagPromisc, "disabled"
	if on {
		flags, word = flags|FlagPromisc, "enabled"
	}
	if f := s.driveFlags(ifp, flags); f != nil {
		return f
	}
	ifp.promisc = n
	s.message(ifp.state.Name, false, "promiscuous mode %s", word)
	s.announce(ifp, EventChange, nil)
	return nil
}

// driveFlags tells the driver new flags, and if it agrees makes them the interface's.
func (s *System) driveFlags(ifp *Interface, flags Flags) *failure {
	if d, ok := ifp.driver.(FlagSetter); ok {
		if err := ifp.locked(func() error { return d.SetFlags(flags) }); err != nil {
			return driverFailed(err, "set the flags "+flags.String())
		}
	}
	s.publish(ifp, func(st *State) { st.Flags = flags })
	return nil
}

// AllMulti asks for all multicast frames or gives that up, if_allmulti. The calls are
// counted, from 0 up, whether or not the interface is up: the first on and the last off
// act, an off too many acts again, and each is announced. If the driver fails, flags and
// count are what they were.
func (s *System) AllMulti(ctx context.Context, ifp *Interface, on bool) error {
	return s.doOn(ctx, "set all-multicast mode", ifp, func() *failure { return s.setAllMulti(ifp, on) })
}

func (s *System) setAllMulti(ifp *Interface, on bool) *failure {
	n, flags := max(ifp.allMulti-1, 0), ifp.state.Flags&^FlagAllMulti
	if on {
		n, flags = ifp.allMulti+1, ifp.state.Flags|FlagAllMulti
	}
	if on && n == 1 || !on && n == 0 {
		if f := s.driveFlags(ifp, flags); f != nil {
			return f
		}
	}
	ifp.allMulti = n
	s.announce(ifp, EventChange, nil)
	return nil
}
