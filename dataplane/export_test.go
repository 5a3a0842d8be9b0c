package dataplane

import (
	"time"

	"example.org/pmd/pmd/mbuf"
)

// LongSleep is how long a core with nothing to do sleeps at a time.
const LongSleep = longSleep

// Turn lets tests step a worker that nobody runs: call it in a function given to
// Do before Run.
func (w *Worker) Turn() int { return w.turn() }

// Crash makes w look like a worker whose stage has panicked with this burst in
// its hands and that has not been buried yet.
func (w *Worker) Crash(burst []mbuf.Frame) { w.inHand = copy(w.burst[:], burst) }

// Bury is what the goroutine of a worker does once its stage has panicked.
func (d *Dataplane) Bury(worker int, crash error) { d.bury(d.workers[worker], crash) }

// Fetch is what drain does with the frames of another core.
func (w *Worker) Fetch(pool uint8, frames []mbuf.Frame) { w.fetch(pool, frames) }

// SleepFor makes the long sleeps of w last for d, if nothing ends them, instead of
// longSleep. The idle policy is chosen anew after it.
func (w *Worker) SleepFor(d time.Duration, policy Idle) {
	w.sleep.long = d
	w.sleep.setIdle(policy, w.clock)
}

// OpenPorts returns the ports that a turn of w looks at.
func (w *Worker) OpenPorts() []PortID { return w.open }

// KeepsBuffers tells whether w still has memory for frames that go to this port.
func (w *Worker) KeepsBuffers(id PortID) bool {
	t := &w.tx[id]
	return t.buf != nil || t.hold != nil || t.send != nil
}
