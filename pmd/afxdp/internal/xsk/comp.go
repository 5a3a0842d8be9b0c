package xsk

import "example.org/pmd/pmd/mbuf"

// CompRing is the completion ring: the kernel produces the addresses of frames
// it has done with, we consume them.
type CompRing struct {
	ring
	addrs []uint64
	buf   [burstBuf]uint64
	// look, if not nil, is shown the addresses of frames before they are anybody's.
	look func(addrs []uint64)
}

// Observe has Complete and CompletePackets show look the addresses that they found, before
// the frames are returned: what the kernel wrote about them is there until then.
// The slice is the ring's.
func (r *CompRing) Observe(look func(addrs []uint64)) { r.look = look }

// Complete returns the chunks of all completed frames to cache and takes them
// out of posted, the set of chunks given to the transmit ring. bytes is the sum
// of their lengths. Completed is not quite sent: frames that KickTx reported as
// dropped are complete too. An address that is not in posted is not returned
// but counted as foreign.
func (r *CompRing) Complete(cache *mbuf.Cache, posted *mbuf.FrameSet) (n int, bytes uint64, foreign int) {
	avail := int(r.ready(r.size))
	if avail == 0 {
		return 0, 0, 0
	}
	at := int(r.start())
	for left := avail; left > 0; {
		run := r.addrs[at:]
		run = run[:min(len(run), left, burstBuf)]
		if r.look != nil {
			r.look(run)
		}
		k, b := posted.RemoveAddrs(r.buf[:], run)
		cache.Put(r.buf[:k])
		n += k
		bytes += b
		left -= len(run)
		at = (at + len(run)) & (int(r.size) - 1)
	}
	r.publish(uint32(avail))
	return n, bytes, avail - n
}

// Waiting returns the number of completions in the ring.
func (r *CompRing) Waiting() int { return int(r.ready(r.size)) }
