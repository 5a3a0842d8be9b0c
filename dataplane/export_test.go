package dataplane

import "example.org/pmd/pmd/mbuf"

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
