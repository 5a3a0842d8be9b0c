package null

import (
	"golang.org/x/sys/cpu"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Queue is a receive and transmit queue pair of a null port. It belongs to the
// goroutine that bound it.
type Queue struct {
	_ [2]cpu.CacheLinePad // apart from what the heap puts beside it

	// Hot: read every burst, written by Bind.
	cache   *mbuf.Cache
	offset  uint32 // of the first byte in a chunk
	size    uint32 // of a received frame
	meta    mbuf.Meta
	colours uint64 // see mbuf.Cache.TakeColoured
	noRx    bool
	noTx    bool

	// Statistics: written every burst.
	rxPackets uint64
	txPackets uint64
	txBytes   uint64
	invalid   uint64

	// Control: constant, read by the slower variants.
	pool    *mbuf.Pool
	frame   []byte // what a received frame holds; nil if copy is off
	inspect func([]mbuf.Frame, mbuf.Mem)

	_ [2]cpu.CacheLinePad
}

var (
	_ pmd.Queue  = (*Queue)(nil)
	_ pmd.Waiter = (*Queue)(nil)
)

// WaitFD returns pmd.WaitNever for a sink, and else -1: there is always a frame unless
// the pool is empty, and nothing tells when it is not any more.
func (q *Queue) WaitFD() int {
	if q.noRx {
		return pmd.WaitNever
	}
	return -1
}

// Bind gives the queue to the caller.
func (q *Queue) Bind(b pmd.Binding) {
	q.cache = b.Local.Cache(q.pool.ID())
	q.meta = q.pool.Meta(b.Port)
}

// Unbind takes the queue from its owner. A null queue has posted nothing.
func (q *Queue) Unbind() { q.cache = nil }

// Pool returns the pool whose frames the queue yields and takes.
func (q *Queue) Pool() *mbuf.Pool { return q.pool }

// RxBurst takes up to len(dst) free frames from the owner's cache, at most
// pmd.MaxBurst. It returns fewer only if the pool has no more.
func (q *Queue) RxBurst(dst []mbuf.Frame) int {
	if q.noRx {
		return 0
	}
	if len(dst) > pmd.MaxBurst {
		dst = dst[:pmd.MaxBurst]
	}
	n := q.cache.TakeColoured(dst, q.offset, q.size, q.meta, q.colours)
	q.rxPackets += uint64(n)
	if q.frame != nil {
		mem := q.pool.Mem()
		for _, f := range dst[:n] {
			copy(mem.Bytes(f), q.frame)
		}
	}
	return n
}

// TxBurst gives the frames back to the owner's cache, at most pmd.MaxBurst of
// them. A frame that is empty or reaches outside its chunk is dropped.
func (q *Queue) TxBurst(src []mbuf.Frame) int {
	if q.noTx {
		return 0
	}
	if len(src) > pmd.MaxBurst {
		src = src[:pmd.MaxBurst]
	}
	if q.inspect == nil {
		if bytes, ok := q.cache.PutSent(src); ok {
			q.txPackets += uint64(len(src))
			q.txBytes += bytes
			return len(src)
		}
	}
	q.txSlow(src)
	return len(src)
}

// txSlow sends a burst that is inspected or that holds invalid frames.
func (q *Queue) txSlow(src []mbuf.Frame) {
	for len(src) > 0 {
		n := 0
		for n < len(src) && q.cache.Valid(src[n]) {
			n++
		}
		if n > 0 {
			if q.inspect != nil {
				q.inspect(src[:n], q.pool.Mem())
			}
			bytes, _ := q.cache.PutSent(src[:n]) // all valid, so taken
			q.txPackets += uint64(n)
			q.txBytes += bytes
			src = src[n:]
			continue
		}
		q.invalid++
		// The chunk goes home, unless the handle names none of the pool's.
		if src[0].Addr < uint64(len(q.pool.Mem())) {
			q.cache.PutFrames(src[:1])
		}
		src = src[1:]
	}
}

// Flush does nothing: what TxBurst took has left.
func (q *Queue) Flush() {}

// Reclaim returns 0: what TxBurst took is back already.
func (q *Queue) Reclaim() int { return 0 }

// Counters returns the queue's totals.
func (q *Queue) Counters() pmd.QueueCounters {
	c := pmd.QueueCounters{
		RxPackets: q.rxPackets, RxBytes: q.rxPackets * uint64(q.size),
		TxPackets: q.txPackets, TxBytes: q.txBytes,
	}
	c.Drops[pmd.ReasonTxInvalid] = q.invalid
	return c
}

// Walk enters nothing: a null queue holds no frames between two calls.
func (q *Queue) Walk(*mbuf.Ledger) {}
