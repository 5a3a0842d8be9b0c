package dataplane

import "example.org/pmd/pmd/mbuf"

// PortID numbers a port of a dataplane, from 0 in the order ports were added.
type PortID uint16

// NoPort is no port's number.
const NoPort PortID = 0xffff

// Stage decides what becomes of received frames.
type Stage interface {
	// Process is called on a worker with a burst received on port in. It owns
	// every frame and must send or drop each; the slice is valid until it
	// returns and may be overwritten. Different workers call it at the same
	// time. It must not block.
	Process(w *Worker, in PortID, burst []mbuf.Frame)
}

// MultiBufferStage is a Stage that knows packets of several frames: in a burst they
// are runs, each frame but the last marked with mbuf.FlagMore (see
// mbuf.FirstPacket). It must send or drop a run as a whole, to one port, and find the
// headers in its first frame; frames given to Send one by one must follow one another.
// Other stages are not given such packets: the worker drops them as
// pmd.ReasonMultiBuffer.
type MultiBufferStage interface {
	Stage
	// MultiBuffer does nothing: having it is the statement.
	MultiBuffer()
}

// StageFunc is a function as a Stage.
type StageFunc func(w *Worker, in PortID, burst []mbuf.Frame)

// Process calls f.
func (f StageFunc) Process(w *Worker, in PortID, burst []mbuf.Frame) { f(w, in, burst) }

// FrameHolder is a Stage that keeps frames from one call to the next, such as one
// that delays them. It must say so, or the account finds them missing.
type FrameHolder interface {
	Stage
	// Walk enters the frames held for worker w. Everything stands still.
	Walk(w *Worker, l *mbuf.Ledger)
	// Held returns how many packets are held for w. It is called on w.
	Held(w *Worker) int
	// Release is called on w before the stage is replaced, the worker stops, or
	// one of its queues goes to another worker; it must send or drop everything
	// held for w. In the last case Process is called again afterwards.
	Release(w *Worker)
}
