package ifnet

import (
	"context"
	"syscall"
)

// SetTimer sets the seconds until the driver's watchdog is called, if_timer; 0 means
// never. A driver without one is EOPNOTSUPP.
func (s *System) SetTimer(ctx context.Context, ifp *Interface, seconds int) error {
	return s.doOn(ctx, "set timer", ifp, func() *failure {
		if seconds < 0 {
			return fail(syscall.EINVAL, "the time is negative")
		}
		if _, ok := ifp.driver.(Watchdog); !ok {
			return fail(syscall.EOPNOTSUPP, "the driver has no watchdog")
		}
		ifp.timer = seconds
		return nil
	})
}

// SlowTimeout is one tick of the slow timer, if_slowtimo; Start's goroutine calls it
// once a second. Every interface's timer counts down, and at 0 the watchdog is called
// if the serializer is free, else it is tried again at the next tick: a driver that is
// busy is not hung.
func (s *System) SlowTimeout() {
	if s.enter(context.Background()) != nil {
		return
	}
	defer s.leave()
	for _, ifp := range s.list {
		if ifp.timer == 0 {
			continue
		}
		if ifp.timer--; ifp.timer == 0 && !ifp.watchdog() {
			ifp.timer = 1
		}
	}
}

// watchdog calls the driver's watchdog, which sets the timer anew. It is false if the
// driver is busy.
func (ifp *Interface) watchdog() bool {
	if !ifp.serializer.TryLock() {
		return false
	}
	defer ifp.serializer.Unlock()
	if w, ok := ifp.driver.(Watchdog); ok {
		ifp.timer = max(w.Watchdog(), 0)
	}
	return true
}
