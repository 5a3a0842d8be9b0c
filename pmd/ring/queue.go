package ring

import (
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/queue"
)

// Queue is one end's side of the rings. It belongs to the goroutine that bound
// it.
type Queue struct {
	_ [2]cpu.CacheLinePad // apart from what the heap puts beside it

	// Hot: read every burst, written by Bind.
	rx    *queue.SPSC[mbuf.Frame]
	tx    *queue.SPSC[mbuf.Frame]
	peer  *atomic.Bool // whether somebody hears what is sent
	wake  *queue.Bell  // of who receives what is sent
	bell  *queue.Bell  // of the owner
	fence atomic.Uint32
	cache *mbuf.Cache
	meta  mbuf.Meta

	// Statistics: written every burst.
	rxPackets uint64
	rxBytes   uint64
	txPackets uint64
	txBytes   uint64
	invalid   uint64

	// Control: constant.
	pool    *mbuf.Pool
	scratch []mbuf.Frame // for Walk, as large as a wire

	_ [2]cpu.CacheLinePad
}

var (
	_ pmd.Queue  = (*Queue)(nil)
	_ pmd.Waiter = (*Queue)(nil)
	_ pmd.Armer  = (*Queue)(nil)
)

// Bind gives the queue to the caller.
func (q *Queue) Bind(b pmd.Binding) {
	q.cache = b.Local.Cache(q.pool.ID())
	q.meta = q.pool.Meta(b.Port)
}

// Unbind takes the queue from its owner. What is in the rings stays there.
func (q *Queue) Unbind() {
	q.bell.Disarm()
	q.cache = nil
}

// WaitFD returns the descriptor of the bell that the other end rings, while it is
// armed.
func (q *Queue) WaitFD() int { return q.bell.FD() }

// Arm lets the other end ring. false means that it has sent something already.
func (q *Queue) Arm() bool {
	q.bell.Arm()
	return q.rx.Len() == 0 // pairs with the fence in ring
}

// Disarm ends what Arm began.
func (q *Queue) Disarm() { q.bell.Disarm() }

// ring wakes the owner of the other end if it sleeps. What was sent is published by a
// release only; the exchange is the full barrier that must stand between it and the
// look at the bell. It is on a line of our own.
func (q *Queue) ring() {
	q.fence.Store(0)
	q.wake.Ring()
}

// Pool returns the pool whose frames go through the rings.
func (q *Queue) Pool() *mbuf.Pool { return q.pool }

// RxBurst takes up to len(dst) frames that the other end has sent, at most
// pmd.MaxBurst.
func (q *Queue) RxBurst(dst []mbuf.Frame) int {
	if len(dst) > pmd.MaxBurst {
		dst = dst[:pmd.MaxBurst]
	}
	n := q.rx.DequeueBurst(dst)
	if n == 0 {
		return 0
	}
	bytes, meta := uint64(0), q.meta
	for i := range dst[:n] {
		f := &dst[i]
		bytes += uint64(f.Len)
		// As a descriptor from the kernel: whether more follows comes with the
		// frame, every other bit is this side's.
		f.Meta = meta | f.Meta&mbuf.FlagMore
	}
	q.rxPackets += uint64(n)
	q.rxBytes += bytes
	return n
}

// TxBurst hands frames to the other end, at most pmd.MaxBurst, as far as the
// ring has room. It takes none while the other end is not open. A frame that is
// empty or reaches outside its chunk is dropped.
func (q *Queue) TxBurst(src []mbuf.Frame) int {
	// Pairs with the stores in link.attach and link.detach. A frame sent just
	// as the other end closes stays in the ring and is accounted for by Walk.
	if !q.peer.Load() {
		return 0
	}
	if len(src) > pmd.MaxBurst {
		src = src[:pmd.MaxBurst]
	}
	bytes, ok := q.cache.Check(src)
	if !ok {
		return q.txSlow(src)
	}
	n := q.tx.EnqueueBurst(src)
	if n < len(src) {
		bytes, _ = q.cache.Check(src[:n])
	}
	q.txPackets += uint64(n)
	q.txBytes += bytes
	if n > 0 {
		q.ring()
	}
	return n
}

// txSlow sends a burst that holds invalid frames.
func (q *Queue) txSlow(src []mbuf.Frame) int {
	defer q.ring()
	for i, f := range src {
		if q.cache.Valid(f) {
			if !q.tx.Enqueue(f) {
				return i
			}
			q.txPackets++
			q.txBytes += uint64(f.Len)
			continue
		}
		q.invalid++
		// The chunk goes home, unless the handle names none of the pool's.
		if f.Addr < uint64(len(q.pool.Mem())) {
			q.cache.PutFrames(src[i : i+1])
		}
	}
	return len(src)
}

// Flush does nothing: what TxBurst took is with the other end.
func (q *Queue) Flush() {}

// Reclaim returns 0: a frame sent belongs to the other end and does not return.
func (q *Queue) Reclaim() int { return 0 }

// Counters returns the queue's totals.
func (q *Queue) Counters() pmd.QueueCounters {
	c := pmd.QueueCounters{
		RxPackets: q.rxPackets, RxBytes: q.rxBytes,
		TxPackets: q.txPackets, TxBytes: q.txBytes,
	}
	c.Drops[pmd.ReasonTxInvalid] = q.invalid
	return c
}

// Walk enters the frames on their way to this end, and those on their way to the
// other end if that is not open, for then it has nobody to walk them.
func (q *Queue) Walk(l *mbuf.Ledger) {
	l.Frames(mbuf.OwnerDevice, q.scratch[:q.rx.Snapshot(q.scratch)])
	if !q.peer.Load() { // pairs as the load in TxBurst does
		l.Frames(mbuf.OwnerDevice, q.scratch[:q.tx.Snapshot(q.scratch)])
	}
}
