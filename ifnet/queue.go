package ifnet

import (
	"context"
	"syscall"

	"example.org/pmd/queue"
)

// SendQueue is an interface's send queue as control sees it, if_snd. Every
// [queue.Discipline] is one, whatever its frames are.
//
// Request(RequestPurge) is a consumer's call: it is made when the interface has
// gone down on every core. A queue that a core still drains then has to be
// wrapped by its owner, such that the request is carried out on that core.
type SendQueue interface {
	// Request carries op out; RequestPurge frees all that waits.
	Request(op queue.Request) error
	// Len returns how many frames wait.
	Len() int
	// Limit returns how many may.
	Limit() int
	// Drops returns how many were freed for lack of room.
	Drops() uint64
	// Purged returns how many were freed by a purge.
	Purged() uint64
}

var _ SendQueue = queue.Discipline[uint64](nil)

// newClassic is ifq_set_classic for an interface whose driver brings no queue of its
// own: the classic discipline with packets as bytes.
func newClassic(limit int) (SendQueue, *failure) {
	q, err := queue.NewClassic(limit, func([][]byte) {})
	if err != nil {
		return nil, &failure{text: "its send queue", cause: err}
	}
	return q, nil
}

// defaultQueue gives an interface whose driver set no limit a queue of the default
// one.
func (s *System) defaultQueue(ifp *Interface) (f *failure) {
	if ifp.classic != nil {
		return nil
	}
	s.message(ifp.state.Name, true, "the driver set no limit for the send queue; it is %d", DefaultSendQueue)
	ifp.classic, f = newClassic(DefaultSendQueue)
	ifp.queue = ifp.classic
	return f
}

// QueueUser is the power of a driver that can take frames from another send queue than
// the one it brought.
type QueueUser interface {
	// UseQueue makes the driver send from q, and no longer from the one before.
	UseQueue(q SendQueue) error
}

// SetQueue gives the interface another queueing discipline, altq_attach, or with nil the
// classic one again, altq_detach. What waits in the queue before is purged, and
// counted there. The driver must be a QueueUser, else it is EOPNOTSUPP.
func (s *System) SetQueue(ctx context.Context, ifp *Interface, q SendQueue) error {
	return s.doOn(ctx, "set the send queue", ifp, func() *failure {
		user, ok := ifp.driver.(QueueUser)
		if !ok {
			return fail(syscall.EOPNOTSUPP, "the driver sends from no other queue than its own")
		}
		if q == nil {
			q = ifp.classic
		}
		return s.useQueue(ifp, user, q)
	})
}

func (s *System) useQueue(ifp *Interface, user QueueUser, q SendQueue) *failure {
	if ifp.queue == q {
		return nil
	}
	if err := ifp.locked(func() error { return user.UseQueue(q) }); err != nil {
		return driverFailed(err, "change its send queue")
	}
	old := ifp.queue
	ifp.queue = q
	s.cfg.Barrier.Wait() // nobody puts into the old one any more
	return purge(old)
}

// purge is ifq_purge.
func purge(q SendQueue) *failure {
	if q == nil {
		return nil
	}
	if err := q.Request(queue.RequestPurge); err != nil {
		return &failure{text: "its send queue was not purged", cause: err}
	}
	return nil
}
