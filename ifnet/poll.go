package ifnet

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
)

// pollOn registers the interface for polling on a core, or on one that is chosen for
// it: ether_poll_register and ether_pollcpu_register.
func (s *System) pollOn(ifp *Interface, core int) *failure {
	if s.cfg.Polling == nil {
		return fail(syscall.EOPNOTSUPP, "interfaces cannot be polled here")
	}
	got, err := s.cfg.Polling.Register(s.info(ifp), core)
	if err != nil {
		return &failure{text: "polling was not begun", cause: err, errno: orEIO(err)}
	}
	ifp.pollCore = got
	s.publish(ifp, func(st *State) { st.Flags |= FlagPolling })
	return nil
}

// pollOff ends polling, ether_poll_deregister.
func (s *System) pollOff(ifp *Interface) *failure {
	if err := s.cfg.Polling.Deregister(s.info(ifp)); err != nil {
		return &failure{text: "polling goes on", cause: err, errno: orEIO(err)}
	}
	ifp.pollCore = NotPolled
	s.publish(ifp, func(st *State) { st.Flags &^= FlagPolling })
	return nil
}

// setPolling is the edge of FlagPolling.
func (s *System) setPolling(ifp *Interface, on bool) *failure {
	switch {
	case on == (ifp.state.Flags&FlagPolling != 0):
		return nil
	case on:
		return s.pollOn(ifp, NotPolled)
	}
	return s.pollOff(ifp)
}

// setPollCore polls the interface on that core, whether or not it is polled now.
func (s *System) setPollCore(ifp *Interface, core int) *failure {
	switch {
	case core < 0 || core >= s.cores:
		text := "there are no cores"
		if s.cores > 0 {
			text = "there are cores 0 to " + strconv.Itoa(s.cores-1)
		}
		return fail(syscall.EINVAL, fmt.Sprintf("core %d: %s", core, text))
	case ifp.state.Flags&FlagPolling == 0:
		if f := s.pollOn(ifp, core); f != nil {
			return f
		}
	case core == ifp.pollCore:
		return nil
	default:
		if err := s.cfg.Polling.Move(s.info(ifp), core); err != nil {
			return &failure{text: "it is polled where it was", cause: err, errno: orEIO(err)}
		}
		ifp.pollCore = core
	}
	s.touched(ifp)
	s.announce(ifp, EventChange, nil)
	return nil
}

// PollCore returns the core that polls the interface, or NotPolled: what
// SIOCGIFPOLLCPU tells.
func (s *System) PollCore(ctx context.Context, ifp *Interface) (core int, err error) {
	err = s.doOn(ctx, "get poll core", ifp, func() *failure {
		core = ifp.pollCore
		return nil
	})
	return core, err
}

// orEIO is the errno to add to an error that wraps none.
func orEIO(err error) syscall.Errno {
	if errnoOf(err) == 0 {
		return syscall.EIO
	}
	return 0
}
