package xsk

import (
	"sync/atomic"

	"example.org/pmd/pmd/mbuf"
)

// needWakeup is XDP_RING_NEED_WAKEUP (include/uapi/linux/if_xdp.h).
const needWakeup = 1

// Rings are the four rings of one queue. They belong to the queue's owner.
type Rings struct {
	Rx   RxRing
	Tx   TxRing
	Fill FillRing
	Comp CompRing
}

// ring is what all four have in common. In the receive and completion rings we
// are the consumer, in the other two the producer: own is the index that we
// write, peer our copy of the one that the kernel writes.
type ring struct {
	// Hot.
	own, peer uint32
	size      uint32  // entries, a power of two; 0 once closed
	ownIdx    *uint32 // shared with the kernel, written by us
	peerIdx   *uint32 // shared with the kernel, written by it
	flags     *uint32 // shared with the kernel, written by it
}

// ready returns how many entries can be read, want at most. The kernel's line
// is touched only if the copy of its index promises too little.
func (r *ring) ready(want uint32) uint32 {
	n := r.peer - r.own
	if n < want {
		// Pairs with the release of ring->producer in __xskq_prod_submit
		// (net/xdp/xsk_queue.h): entries before it are written.
		r.peer = atomic.LoadUint32(r.peerIdx)
		n = r.peer - r.own
	}
	return min(n, want)
}

// room returns how many entries can be written, want at most.
func (r *ring) room(want uint32) uint32 {
	n := r.size - (r.own - r.peer)
	if n < want {
		// Pairs with the release of ring->consumer in __xskq_cons_release
		// (net/xdp/xsk_queue.h): the kernel has read the entries before it.
		r.peer = atomic.LoadUint32(r.peerIdx)
		n = r.size - (r.own - r.peer)
	}
	return min(n, want)
}

// publish moves our index on by n. As consumer it pairs with the kernel's read
// of ring->consumer (xskq_prod_nb_free): entries before it may be overwritten.
// As producer it pairs with the acquiring read of ring->producer
// (__xskq_cons_peek): entries before it are written. Go's store orders what
// follows as well, so that a need_wakeup flag read later is not an old one.
func (r *ring) publish(n uint32) {
	r.own += n
	atomic.StoreUint32(r.ownIdx, r.own)
}

// start returns the place of the next entry.
func (r *ring) start() uint32 { return r.own & (r.size - 1) }

// wakeup reports whether the kernel asks to be woken. It pairs with the plain
// store in xsk_set_rx_need_wakeup and its three sisters (net/xdp/xsk.c); the
// flag is advice, and a stale one is seen right at the next turn.
func (r *ring) wakeup() bool { return atomic.LoadUint32(r.flags)&needWakeup != 0 }

// geometry describes the packet memory that descriptors point into.
type geometry struct {
	chunk uint32 // bytes, a power of two
}

// lastLen returns the longest packet that can begin at addr and end in the same
// chunk, in bytes.
func (g *geometry) lastLen(addr uint64) uint32 {
	return g.chunk - uint32(addr)&(g.chunk-1)
}

// Refusal says why a frame was not posted.
type Refusal uint8

// Reasons for a refusal.
const (
	// Accepted: nothing was refused.
	Accepted Refusal = iota
	// Full: the ring has no room.
	Full
	// BadLength: the frame is empty, longer than the limit, or ends outside
	// its chunk, or the packet has no end or more frames than may be, or asks for
	// what cannot be done. The kernel would stop at it. It stays the caller's.
	BadLength
	// NotOurs: the frame lies outside the packet memory or is posted already.
	// The caller does not own it and must not free it.
	NotOurs
)

// String returns the name of the reason.
func (r Refusal) String() string {
	switch r {
	case Accepted:
		return "accepted"
	case Full:
		return "ring full"
	case BadLength:
		return "bad length"
	case NotOurs:
		return "not ours"
	}
	return "unknown"
}

// burstBuf is how many addresses a completion pass gathers before it gives them
// to the cache.
const burstBuf = 256

// attach points a ring at shared memory. Both indices are taken as they stand.
func (r *ring) attach(v view, producer bool) {
	r.size = v.entries
	r.flags = v.flags
	r.ownIdx, r.peerIdx = v.consumer, v.producer
	if producer {
		r.ownIdx, r.peerIdx = v.producer, v.consumer
	}
	r.own, r.peer = atomic.LoadUint32(r.ownIdx), atomic.LoadUint32(r.peerIdx)
}

// attach points the rings at shared memory and sets what they must know of the
// packet memory: bytes and chunk size.
func (q *Rings) attach(rx, tx, fill, comp view, chunk uint32) {
	g := geometry{chunk: chunk}
	q.Rx.attach(rx, false)
	q.Rx.descs, q.Rx.skipping = rx.descs, false
	q.Tx.attach(tx, true)
	q.Tx.descs, q.Tx.geo, q.Tx.maxLen, q.Tx.maxPacket = tx.descs, g, chunk, mbuf.MaxSegments*uint64(chunk)
	q.Tx.taken, q.Tx.segments = q.Tx.peer, mbuf.MaxSegments
	q.Fill.attach(fill, true)
	q.Fill.addrs = fill.addrs
	q.Comp.attach(comp, false)
	q.Comp.addrs = comp.addrs
}

// detach points the rings at no entries at all, so that a call that comes too
// late finds nothing to do instead of memory that is gone.
func (q *Rings) detach() {
	idle := view{producer: new(uint32), consumer: new(uint32), flags: new(uint32)}
	q.attach(idle, idle, idle, idle, 1)
}

// view is a ring in shared memory: descs for receive and transmit, addrs for
// fill and completion.
type view struct {
	producer, consumer, flags *uint32
	entries                   uint32
	descs                     []mbuf.Frame
	addrs                     []uint64
}
