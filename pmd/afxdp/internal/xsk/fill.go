package xsk

import "example.org/pmd/pmd/mbuf"

// FillRing is the fill ring: we produce free chunks, the kernel consumes them.
type FillRing struct {
	ring
	addrs []uint64
}

// Fill posts up to want free chunks of cache, never more than the ring has room
// for, and enters them into posted. It returns how many it posted: fewer than
// want if the ring is full, or cache and pool are empty. A chunk that is in
// posted already was free and not free at once; it is not posted a second time,
// but counted as foreign, and stays with the kernel.
func (r *FillRing) Fill(cache *mbuf.Cache, want int, posted *mbuf.FrameSet) (n, foreign int) {
	todo := int(r.room(uint32(max(0, min(want, int(r.size))))))
	if todo == 0 {
		return 0, 0
	}
	run := r.addrs[r.start():]
	if len(run) > todo {
		run = run[:todo]
	}
	n, got := r.put(run, cache, posted)
	foreign = got - n
	// What lies behind a gap must wait for the next call.
	if rest := todo - len(run); rest > 0 && n == len(run) {
		k, g := r.put(r.addrs[:rest], cache, posted)
		n, foreign = n+k, foreign+g-k
	}
	if n > 0 {
		r.publish(uint32(n))
	}
	return n, foreign
}

// put writes free chunks to one run of the ring: straight from the cache, since
// the kernel does not look behind the producer index. It returns how many it
// wrote and how many it took.
func (r *FillRing) put(run []uint64, cache *mbuf.Cache, posted *mbuf.FrameSet) (n, got int) {
	got = cache.Take(run)
	return posted.AddAddrs(run[:got]), got
}

// Room returns the number of chunks that the ring would take. It reads the
// kernel's index each time it is not empty.
func (r *FillRing) Room() int { return int(r.room(r.size)) }

// NeedWakeup reports whether the kernel has run out of chunks and asks for
// [Socket.KickRx]. Without XDP_USE_NEED_WAKEUP it is never set.
func (r *FillRing) NeedWakeup() bool { return r.wakeup() }
