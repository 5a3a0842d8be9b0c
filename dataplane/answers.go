package dataplane

import (
	"sync/atomic"

	"example.org/pmd/queue"
)

// answers carries what running workers have answered to those who asked.
//
// Whoever wakes a goroutine puts it on the run queue of its own processor. A worker that
// did so would find it there at its next yield: it would be run on the poll CPU, in place
// of the worker, with whatever the caller does next. So the worker only hands the message
// on, and a goroutine of the dataplane, which it wakes by way of the kernel, wakes the
// caller on one of the other CPUs.
type answers struct {
	// given are messages that were answered. Its push by a worker pairs with the carrier's
	// take, so that the caller sees what the function did.
	given mailbox
	// bell wakes the carrier, to which poll belongs.
	bell *queue.Bell
	poll pollSet
	// carried is false where nothing can be waited for: workers then wake callers
	// themselves. It is set before they run.
	carried bool
	// over ends the carrier. Its Store comes before the last Ring, its Load after Arm.
	over atomic.Bool
}

// open says how the workers that Run is about to start will answer.
func (a *answers) open() { a.carried = a.bell.FD() >= 0 }

// give hands an answered message on. ring has to follow.
func (a *answers) give(msg *message) {
	if a.carried {
		a.given.push(msg)
	} else {
		close(msg.done)
	}
}

// carry wakes callers until stop is called, and then those that are left.
func (a *answers) carry() {
	for more := a.carried; more; {
		a.bell.Arm()
		more = !a.over.Load()
		if !a.deliver() && more {
			a.poll.reset(a.bell.FD())
			a.poll.wait(longSleep)
		}
		a.bell.Disarm()
	}
}

// deliver wakes those whose answers are there, and reports whether there were any.
func (a *answers) deliver() bool {
	msg := a.given.take()
	found := msg != nil
	for msg != nil {
		next := msg.next // the caller may be gone with the message
		close(msg.done)
		msg = next
	}
	return found
}

// stop ends the carrier. No worker runs any more.
func (a *answers) stop() {
	a.over.Store(true) // pairs with the Load in carry
	a.bell.Ring()
}
