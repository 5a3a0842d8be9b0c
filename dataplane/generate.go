package dataplane

import (
	"example.org/pmd/cpu"
	"example.org/pmd/pmd/mbuf"
)

// Generator is a Stage that sends frames of its own, or that has something to do
// at certain times, whether or not anything is received.
type Generator interface {
	Stage
	// Generate is called on w once a turn, after receiving. It returns how many
	// frames it sent. Frames come from Make and go with Emit, port after port:
	// a second Make ends what the first gave. It must not block.
	Generate(w *Worker) int
}

// setStage changes what w runs, on w or before it runs.
func (w *Worker) setStage(s Stage) {
	w.stage = s
	w.gen, _ = s.(Generator)
	_, knows := s.(MultiBufferStage)
	w.screens = !knows
}

// Owns reports whether w has a queue of port out of its own, so that it is for w
// to generate frames for it. A port that is down is owned by nobody.
func (w *Worker) Owns(out PortID) bool {
	return int(out) < len(w.tx) && w.tx[out].up && w.tx[out].q != nil
}

// Clock returns the cycle clock that w counts with.
func (w *Worker) Clock() cpu.Clock { return w.clock }

// Now returns the reading of Clock at which this turn began. It costs nothing.
func (w *Worker) Now() uint64 { return w.lastCycles }

// Make returns up to n new frames for port out, of length bytes, which a stage
// may shorten or change within MaxLen of the pool; their bytes are whatever was
// there. There are at most pmd.MaxBurst, and none if w does not own the port, if
// the pool has none left, or if none is as long. Each must be given to Emit,
// before Make is called again. It is for Generate alone.
func (w *Worker) Make(out PortID, n, length int) []mbuf.Frame {
	if !w.Owns(out) || n <= 0 || length <= 0 {
		return nil
	}
	t := &w.tx[out]
	cache := w.local.Cache(t.pool)
	pool := cache.Pool()
	if length > pool.MaxLen() {
		return nil
	}
	offset := pool.DataOffset()
	n = cache.TakeColoured(w.burst[:min(n, len(w.burst))], uint32(offset), uint32(length), pool.Meta(uint16(out)), pool.Colours(offset, length))
	t.generated += uint64(n)
	w.inHand = n // a stage that panics now leaves them to be found
	return w.burst[:n]
}

// Emit sends frames of Make on the port they were made for and returns how many
// the port had room for. The others are as if they had not been made: they go
// back to the pool and are counted nowhere.
func (w *Worker) Emit(out PortID, frames []mbuf.Frame) int {
	w.inHand = 0
	if len(frames) == 0 {
		return 0
	}
	t := &w.tx[out]
	if t.n > 0 {
		w.flushBuffer(t)
	}
	n := t.q.TxBurst(frames)
	if n < len(frames) {
		t.q.Flush()
		t.q.Reclaim()
		n += t.q.TxBurst(frames[n:])
	}
	t.dirty = true
	rest := frames[n:]
	t.generated -= uint64(len(rest))
	w.local.Free(rest)
	return n
}
