package xsk

import "example.org/pmd/pmd/mbuf"

// RxRing is the receive ring: the kernel produces, we consume.
type RxRing struct {
	ring
	descs []mbuf.Frame
	// skipping: what comes next belongs to a packet that is too long, see
	// ReceivePackets.
	skipping bool
}

// Receive moves up to len(dst) received frames from the ring to dst, with meta
// as their Meta and FlagMore set where a packet goes on in the next frame. It
// takes each out of posted, the set of chunks given to the fill ring. A
// descriptor whose chunk is not in there, or that does not end in the chunk it
// begins in, is not handed out but counted as foreign; a chunk with a broken
// descriptor stays in posted until the queue is closed. n+foreign entries of
// the ring are consumed.
func (r *RxRing) Receive(dst []mbuf.Frame, meta mbuf.Meta, posted *mbuf.FrameSet) (n, foreign int) {
	avail := int(r.ready(uint32(min(len(dst), int(r.size)))))
	if avail == 0 {
		return 0, 0
	}
	// At most two runs: up to the end of the ring, and from its beginning.
	run := r.descs[r.start():]
	if len(run) > avail {
		run = run[:avail]
	}
	// XDP_PKT_CONTD and FlagMore are the same bit.
	n = posted.RemoveFrames(dst, run, meta, mbuf.FlagMore)
	if rest := avail - len(run); rest > 0 {
		n += posted.RemoveFrames(dst[n:], r.descs[:rest], meta, mbuf.FlagMore)
	}
	r.publish(uint32(avail))
	return n, avail - n
}

// Waiting returns the number of received frames in the ring. It reads the
// kernel's index each time.
func (r *RxRing) Waiting() int { return int(r.ready(r.size)) }
