package dataplane

import (
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// SendBurst sends frames on port out. It takes all of them: those that the port
// has no room for are dropped and counted. The slice may be overwritten.
func (w *Worker) SendBurst(out PortID, frames []mbuf.Frame) {
	if int(out) >= len(w.tx) {
		w.DropBurst(pmd.ReasonNoPort, frames)
		return
	}
	t := &w.tx[out]
	if !t.up {
		w.dropFor(t, t.why, frames)
		return
	}
	if t.n > 0 {
		w.flushBuffer(t) // order within a flow: what was sent first leaves first
	}
	w.pass(t, frames)
}

// TxChecksums reports whether port out completes the checksums of packets that ask for
// it, see mbuf.Mem.RequestChecksum. Packets for other ports must not ask.
func (w *Worker) TxChecksums(out PortID) bool {
	return int(out) < len(w.tx) && w.tx[out].checksums
}

// pass moves frames on to a port that is up: copied, if they are of another pool, and
// put on the worker's own queue or sent across.
func (w *Worker) pass(t *txPort, frames []mbuf.Frame) {
	if w.local.Pools() > 1 {
		if w.multi {
			w.passMixed(t, frames, false)
			return
		}
		frames = w.localise(t, frames)
	}
	w.move(t, frames)
}

// move is pass for frames of the port's own pool.
func (w *Worker) move(t *txPort, frames []mbuf.Frame) {
	if len(frames) == 0 {
		return
	}
	if t.direct == nil {
		w.sendAcross(t, frames)
		return
	}
	w.put(t, frames)
}

// Send sends one frame on port out. Frames gather in a buffer that leaves when it
// is full and at the end of the turn.
func (w *Worker) Send(out PortID, f mbuf.Frame) {
	if int(out) >= len(w.tx) || !w.tx[out].up {
		w.one[0] = f
		w.SendBurst(out, w.one[:])
		return
	}
	t := &w.tx[out]
	t.buf[t.n] = f
	t.n++
	if t.n >= t.limit && (f.Meta&mbuf.FlagMore == 0 || t.n == len(t.buf)) {
		w.flushBuffer(t)
	}
}

// SendWaiting is SendBurst for a stage that gives up what it holds: where there
// is no room it waits for some, until none has come for 20 ms. It is not for every
// burst.
func (w *Worker) SendWaiting(out PortID, frames []mbuf.Frame) {
	if int(out) >= len(w.tx) || !w.tx[out].up {
		w.SendBurst(out, frames) // which drops them, for its reasons
		return
	}
	t := &w.tx[out]
	if t.n > 0 {
		w.flushBuffer(t)
	}
	if w.local.Pools() > 1 {
		if w.multi {
			w.passMixed(t, frames, true)
			return
		}
		frames = w.localise(t, frames)
	}
	w.moveWaiting(t, frames)
}

// moveWaiting is move for SendWaiting.
func (w *Worker) moveWaiting(t *txPort, frames []mbuf.Frame) {
	for end := time.Now().Add(finishTime); len(frames) > 0 && time.Now().Before(end); {
		n := w.sendSome(t, w.piece(frames))
		if n > 0 {
			end = time.Now().Add(finishTime)
		}
		frames = frames[n:]
	}
	w.move(t, frames) // drops what there is no room for
}

// sendSome sends as many frames as there is room for and returns how many.
func (w *Worker) sendSome(t *txPort, frames []mbuf.Frame) int {
	if t.direct == nil {
		return w.offer(t, frames)
	}
	n := t.direct.TxBurst(frames)
	t.direct.Flush()
	t.direct.Reclaim()
	return n
}

// Drop gives up one frame for a reason.
func (w *Worker) Drop(r pmd.Reason, f mbuf.Frame) {
	w.one[0] = f
	w.DropBurst(r, w.one[:])
}

// DropBurst gives up frames for a reason. They count at the port they came in on.
func (w *Worker) DropBurst(r pmd.Reason, frames []mbuf.Frame) {
	rest := frames
	for len(rest) > 0 {
		port := rest[0].Meta.Port()
		n := 1
		for n < len(rest) && rest[n].Meta.Port() == port {
			n++
		}
		if int(port) < len(w.tx) {
			w.tx[port].drops[r%pmd.MaxReasons] += w.packets(rest[:n])
		}
		rest = rest[n:]
	}
	w.local.Free(frames)
}

// dropFor gives up frames and counts them at the output port t.
func (w *Worker) dropFor(t *txPort, r pmd.Reason, frames []mbuf.Frame) {
	t.drops[r] += w.packets(frames)
	w.local.Free(frames)
}

// flushBuffer moves the frames of single sends on.
func (w *Worker) flushBuffer(t *txPort) {
	frames := t.buf[:t.n]
	t.n = 0
	if !t.up {
		w.dropFor(t, t.why, frames)
		return
	}
	w.pass(t, frames)
}

// put places frames on the worker's own queue. When that is full it makes the
// device send and tries once more; waiting longer would only fill the receive
// side, so the rest is dropped.
func (w *Worker) put(t *txPort, frames []mbuf.Frame) {
	for len(frames) > pmd.MaxBurst {
		// A queue that takes no more than this at once is not full for that.
		part := w.piece(frames)
		if len(part) == len(frames) {
			break
		}
		w.put(t, part)
		frames = frames[len(part):]
	}
	if w.spent.on {
		w.lap(&w.spent.stage)
	}
	n := t.q.TxBurst(frames)
	t.dirty = true
	if w.spent.on {
		w.lap(&w.spent.transmit)
	}
	if n == len(frames) {
		return
	}
	t.q.Flush()
	t.q.Reclaim()
	frames = frames[n:]
	n = t.q.TxBurst(frames)
	if n < len(frames) {
		w.dropFor(t, pmd.ReasonTxFull, frames[n:])
	}
}

// sendAcross hands frames to the worker that owns the port.
func (w *Worker) sendAcross(t *txPort, frames []mbuf.Frame) {
	n := w.offer(t, frames)
	t.drainer.Load().bell.Ring() // pairs with wanted: Offer is sequentially consistent
	if n < len(frames) {
		w.dropFor(t, pmd.ReasonSendQueueFull, frames[n:])
	}
}

// flush makes what the worker put on its queue of the port leave.
func (t *txPort) flush() {
	t.dirty = false
	t.q.Flush()
}

// drainSendQueues sends what other workers queued for ports of this one, at most burst
// frames a port and turn, as from a receive queue: less would let a turn receive more
// for other workers' ports than it sends for them. What does not fit stays held, so the send
// queue fills up and its limit does its work.
func (w *Worker) drainSendQueues() int {
	work := 0
	for _, id := range w.open {
		t := &w.tx[id]
		if !t.drains {
			continue
		}
		if t.direct == nil {
			n, done := w.settle(t)
			work += n
			if done {
				t.direct = t.q // nothing that was sent before can be overtaken now
			}
			continue
		}
		for left := w.poll.burst; left >= w.poll.each; left -= w.poll.each {
			n := w.drain(t)
			work += n
			if n < w.poll.each {
				break
			}
		}
	}
	return work
}

// drain sends a burst of t's send queue and returns how many frames went on.
func (w *Worker) drain(t *txPort) int {
	if t.held == 0 {
		if t.send.Len() == 0 {
			return 0
		}
		t.held = t.send.DequeueBurst(t.hold[:w.poll.each])
		if w.multi {
			t.completeHold()
		}
	}
	frames := t.hold[:t.held]
	if !t.up {
		n := t.held
		w.dropFor(t, t.why, frames)
		t.held = 0
		return n
	}
	if r, ok := t.q.(pmd.TxReader); ok && r.TxReads() {
		w.fetch(t.pool, frames)
	}
	n := t.q.TxBurst(frames)
	t.dirty = true
	t.held = copy(t.hold, frames[n:])
	return n
}

// fetch brings the first cache line of each frame here from the core that received it.
// Its loads wait for each other's lines side by side; the kernel's, which copies one packet
// after another, would not.
func (w *Worker) fetch(pool uint8, frames []mbuf.Frame) {
	mem := w.local.Cache(pool).Pool().Mem()
	var sum byte
	for i := range frames {
		if a := frames[i].Addr; a < uint64(len(mem)) {
			sum ^= mem[a]
		}
	}
	w.fetched = sum
}

// localise copies those frames that are not of t's pool into frames that are, in
// place, and returns what is left: a frame for which there is none is dropped.
func (w *Worker) localise(t *txPort, frames []mbuf.Frame) []mbuf.Frame {
	foreign := false
	for i := range frames {
		foreign = foreign || frames[i].Meta.Pool() != t.pool
	}
	if !foreign {
		return frames
	}
	cache := w.local.Cache(t.pool)
	offset, limit := uint32(cache.Pool().DataOffset()), cache.Pool().MaxLen()
	keep := 0
	for _, f := range frames {
		if f.Meta.Pool() != t.pool {
			src := w.local.Bytes(f)
			var dst [1]mbuf.Frame
			meta := cache.Pool().Meta(f.Meta.Port())
			if len(src) > limit || cache.TakeFrames(dst[:], offset, f.Len, meta) == 0 {
				w.one[0] = f
				w.dropFor(t, pmd.ReasonNoFrame, w.one[:])
				continue
			}
			copy(w.local.Bytes(dst[0]), src)
			w.Mem(f).CarryTxMeta(f, w.Mem(dst[0]), &dst[0])
			w.one[0] = f
			w.local.Free(w.one[:])
			w.copies++
			f = dst[0]
		}
		frames[keep] = f
		keep++
	}
	return frames[:keep]
}
