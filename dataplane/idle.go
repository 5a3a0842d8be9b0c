package dataplane

import (
	"time"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
)

// How a core sleeps. A worker that found no frame for some time arms its bell, looks
// once more, and waits in ppoll(2) for the descriptors of its queues and its bell. It
// is an ordinary system call: Go's scheduler gets the processor back meanwhile, so
// that neither the garbage collector nor anybody else waits for a sleeper.
//
// Whoever gives a worker something to do makes that visible first and rings then, which
// is a system call only if the worker sleeps: mail is pushed by a CompareAndSwap, and a
// send queue's enqueue is sequentially consistent (see package queue). The worker does
// it the other way round: it arms the bell, then looks at its mail and its send
// queues. So either it sees what there is, or the other sees that the bell is armed.

// How long a core looks for frames before it first sleeps, and how long it sleeps.
const (
	// spinInterrupt and spinAdaptive are the time without a frame.
	spinInterrupt = 50 * time.Microsecond
	spinAdaptive  = time.Millisecond
	// firstSleep is the first sleep of the adaptive policy; each further one is
	// twice as long.
	firstSleep = 50 * time.Microsecond
	// longSleep bounds a sleep when all that may come would end it.
	longSleep = 100 * time.Millisecond
	// shortSleep bounds it where a queue has no descriptor to wait on, where the
	// stage holds frames, and where the device has frames to send still;
	// stuckSleep the last, once the device has had stuckTime to send them.
	shortSleep = time.Millisecond
	stuckSleep = 10 * time.Millisecond
	stuckTime  = 100 * time.Millisecond
)

// sleeper is what a worker knows of its sleep. It belongs to the worker.
type sleeper struct {
	// busy is when the core last had a frame, spin how many cycles later it may
	// sleep.
	busy, spin uint64
	// step is how long the core sleeps next, at most, and first how long after it
	// had a frame.
	step, first time.Duration
	// long is longSleep.
	long time.Duration
	poll pollSet

	// Statistics: the number of sleeps, and cycles slept.
	sleeps, slept uint64
}

// setIdle takes over a policy.
func (s *sleeper) setIdle(policy Idle, clock cpu.Clock) {
	s.first = s.long
	switch policy {
	case IdleSpin:
		s.spin = 1 << 63
	case IdleInterrupt:
		s.spin = clock.Cycles(spinInterrupt)
	default:
		s.spin, s.first = clock.Cycles(spinAdaptive), firstSleep
	}
	s.step = s.first
}

// rest is called after a turn without a frame: it sleeps, if the core has been idle
// for long enough.
func (w *Worker) rest() {
	idle := w.lastCycles - w.sleep.busy
	if idle < w.sleep.spin {
		return
	}
	bound := min(w.bound(w.clock.Duration(idle)), w.sleep.step)
	w.sleep.step = min(2*w.sleep.step, w.sleep.long)
	w.bell.Arm()
	// From here on whoever gives us something rings: look for what came before.
	if bound > 0 && w.armQueues() && !w.wanted() {
		w.sleep.poll.wait(bound)
		w.sleep.sleeps++
	}
	w.bell.Disarm()
	for i := range w.handlers {
		if a := w.handlers[i].arm; a != nil {
			a.Disarm()
		}
	}
	// What was slept is neither a turn nor time in which ticks were missed.
	now := w.clock.Now()
	w.sleep.slept += now - w.lastCycles
	w.lastCycles, w.sliceStart = now, now
	w.poll.restart(now)
}

// work notes that a frame has come.
func (s *sleeper) work(now uint64) { s.busy, s.step = now, s.first }

// bound returns how long the worker may sleep at most, after so much idleness.
func (w *Worker) bound(idle time.Duration) time.Duration {
	limit := w.sleep.long
	if h, ok := w.stage.(FrameHolder); ok && h.Held(w) > 0 || w.gen != nil {
		limit = shortSleep // nothing rings when a generator's time has come
	}
	// Frames that the device has taken were kicked in this turn. It may still need
	// us to go on with them, and their completions are taken back by us.
	for i := range w.rx {
		if w.rx[i].q.Counters().InFlight > 0 {
			if idle < stuckTime {
				return min(limit, shortSleep)
			}
			limit = min(limit, stuckSleep)
		}
	}
	return limit
}

// wanted tells whether somebody has given the worker something to do. It is called
// with the bell armed, and its loads pair with what they did before they rang.
func (w *Worker) wanted() bool {
	if w.mail.head.Load() != nil || w.stopping {
		return true
	}
	for _, id := range w.open {
		if t := &w.tx[id]; t.drains && (t.held > 0 || t.send.Len() > 0) {
			return true
		}
	}
	return false
}

// armQueues collects what the queues have to wait on. false means that one of them has
// a frame.
func (w *Worker) armQueues() bool {
	w.sleep.poll.reset(w.bell.FD())
	for i := range w.handlers {
		h := &w.handlers[i]
		if h.arm != nil && !h.arm.Arm() {
			return false
		}
		fd := -1
		if h.wait != nil {
			fd = h.wait.WaitFD()
		}
		if fd != pmd.WaitNever {
			w.sleep.poll.add(fd)
		}
	}
	return true
}

// post gives a worker a message, and wakes it if it sleeps.
func (w *Worker) post(msg *message) {
	w.mail.push(msg)
	w.bell.Ring()
}
