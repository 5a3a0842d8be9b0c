package dataplane

import (
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// What is done where packets may have several frames: nothing here is reached, and
// nothing is asked of a frame, unless a pool is MultiBuffer.

// holdFrames is how many frames may be taken off a send queue and held: a visit's,
// and the rest of the last packet.
const holdFrames = pmd.MaxBurst + mbuf.MaxSegments

// knowMulti notes whether packets of a pool may have several frames.
func (w *Worker) knowMulti(p *mbuf.Pool) {
	if p.MultiBuffer() && !w.multi {
		w.multi = true
		w.spill = make([]mbuf.Frame, pmd.MaxBurst)
		w.line = make([]byte, mbuf.MaxSegments*maxFrameSize)
	}
}

// maxFrameSize is the size of the largest chunks there are, in bytes.
const maxFrameSize = 4096

// MultiBuffer reports whether bursts may hold packets of several frames. If not, a
// stage need not look for them.
func (w *Worker) MultiBuffer() bool { return w.multi }

// Gather copies the bytes of a packet of several frames into one piece, which is the
// worker's and there until the next call. A packet of more than mbuf.MaxSegments frames
// is cut. It is for stages that must look at all of a packet.
func (w *Worker) Gather(packet []mbuf.Frame) []byte {
	n := 0
	for _, f := range packet {
		n += copy(w.line[n:], w.local.Bytes(f))
	}
	return w.line[:n]
}

// Scatter writes the bytes of a packet back that Gather has returned.
func (w *Worker) Scatter(packet []mbuf.Frame, b []byte) {
	for _, f := range packet {
		b = b[copy(w.local.Bytes(f), b):]
	}
}

// packets returns how many packets end in these frames.
func (w *Worker) packets(frames []mbuf.Frame) uint64 {
	if w.multi {
		return uint64(mbuf.Packets(frames))
	}
	return uint64(len(frames))
}

// piece returns as many of the frames as a queue is asked to take at once.
func (w *Worker) piece(frames []mbuf.Frame) []mbuf.Frame {
	if w.multi {
		return frames[:mbuf.WholePackets(frames, pmd.MaxBurst)]
	}
	return frames[:min(len(frames), pmd.MaxBurst)]
}

// screen drops the packets of several frames of a burst, which the stage knows nothing
// of, and returns how many frames are left.
func (w *Worker) screen(burst []mbuf.Frame) (keep int) {
	for len(burst[keep:]) > 0 {
		rest := burst[keep:]
		n := mbuf.FirstPacket(rest)
		if n == 1 {
			keep++
			continue
		}
		w.DropBurst(pmd.ReasonMultiBuffer, rest[:n])
		burst = burst[:keep+copy(rest, rest[n:])]
	}
	return keep
}

// offer puts frames on t's send queue, whole packets only, and returns how many.
func (w *Worker) offer(t *txPort, frames []mbuf.Frame) int {
	if !w.multi {
		return t.send.Offer(frames)
	}
	n := 0
	if mbuf.Sound(frames) {
		if t.send.OfferBulk(frames) {
			return len(frames)
		}
		for n < len(frames) {
			k := mbuf.FirstPacket(frames[n:])
			if !t.send.OfferBulk(frames[n : n+k]) {
				break
			}
			n += k
		}
		return n
	}
	// A stage has made what no port can send. On the queue it would run into
	// somebody else's packet.
	for n < len(frames) {
		packet := frames[n : n+mbuf.FirstPacket(frames[n:])]
		if !mbuf.Sound(packet) {
			w.dropFor(t, pmd.ReasonTxInvalid, packet)
		} else if !t.send.OfferBulk(packet) {
			break
		}
		n += len(packet)
	}
	return n
}

// completeHold takes off the send queue what belongs to the last packet that is held.
// It is there: who put in the beginning put in all of it, with nothing in between.
func (t *txPort) completeHold() {
	for t.held > 0 && t.held < len(t.hold) && t.hold[t.held-1].Meta&mbuf.FlagMore != 0 {
		n := t.send.DequeueBurst(t.hold[t.held : t.held+1])
		if n == 0 {
			return // not reached
		}
		t.held += n
	}
}

// passMixed is pass where a packet may have several frames: packets of another pool are
// copied into as many frames of t's as it takes, and leave in order with the others.
// wait is SendWaiting's.
func (w *Worker) passMixed(t *txPort, frames []mbuf.Frame, wait bool) {
	for len(frames) > 0 {
		// As many packets as are of the right pool go as they are.
		n := 0
		for n < len(frames) && frames[n].Meta.Pool() == t.pool {
			n++
		}
		if n > 0 {
			if native := frames[:n]; wait {
				w.moveWaiting(t, native)
			} else {
				w.move(t, native)
			}
			frames = frames[n:]
			continue
		}
		used := 0
		for len(frames) > 0 && frames[0].Meta.Pool() != t.pool && used+mbuf.MaxSegments <= len(w.spill) {
			packet := frames[:mbuf.FirstPacket(frames)]
			frames = frames[len(packet):]
			made := w.copyPacket(t, packet, w.spill[used:])
			if made == 0 {
				w.dropFor(t, pmd.ReasonNoFrame, packet)
				continue
			}
			w.local.Free(packet)
			used += made
		}
		w.spilled = used // a device that panics now leaves them to be found
		if wait {
			w.moveWaiting(t, w.spill[:used])
		} else {
			w.move(t, w.spill[:used])
		}
		w.spilled = 0
	}
}

// makePacket takes as many frames of a pool as a packet of that many bytes needs, written to
// dst, and returns how many: 0 if there are not so many free, or dst has not the room.
func (w *Worker) makePacket(pool *mbuf.Pool, dst []mbuf.Frame, bytes int, meta mbuf.Meta) int {
	room := pool.MaxLen()
	n := max(1, (bytes+room-1)/room)
	if n > len(dst) {
		return 0
	}
	dst = dst[:n]
	cache := w.local.Cache(pool.ID())
	if got := cache.TakeFrames(dst, uint32(pool.DataOffset()), uint32(room), meta|mbuf.FlagMore); got < n {
		cache.PutFrames(dst[:got])
		return 0
	}
	dst[n-1].Meta &^= mbuf.FlagMore
	dst[n-1].Len = uint32(bytes - (n-1)*room)
	return n
}

// copyPacket copies a packet into frames of t's pool, written to dst, and returns how
// many: 0 if there are not so many free, or if it would take more than may be.
func (w *Worker) copyPacket(t *txPort, packet, dst []mbuf.Frame) int {
	pool := w.local.Cache(t.pool).Pool()
	left := 0
	for _, f := range packet {
		left += int(f.Len)
	}
	if left > pool.MaxPacket() || packet[len(packet)-1].Meta&mbuf.FlagMore != 0 {
		return 0
	}
	n := w.makePacket(pool, dst, left, pool.Meta(packet[0].Meta.Port()))
	if n == 0 {
		return 0
	}
	dst = dst[:n]
	w.Mem(packet[0]).CarryTxMeta(packet[0], w.Mem(dst[0]), &dst[0])
	var src []byte
	for i := range dst {
		for to := w.local.Bytes(dst[i]); len(to) > 0; {
			if len(src) == 0 {
				src, packet = w.local.Bytes(packet[0]), packet[1:]
				continue
			}
			k := copy(to, src)
			to, src = to[k:], src[k:]
		}
		w.copies++
	}
	return n
}
