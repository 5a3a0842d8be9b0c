package afxdp

import (
	"sync/atomic"
	"syscall"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp/internal/xsk"
	"example.org/pmd/pmd/mbuf"
)

const (
	// fillBatch is how many chunks are missing before the fill ring is topped
	// up, and the most it is given at once.
	fillBatch = 64
	// retryTurns is how many turns pass before a transmit ring that did not
	// move, as on an interface that is down, is kicked again.
	retryTurns = 256
)

// queue is one AF_XDP socket's rings as a pmd.Queue.
type queue struct {
	// Hot: the owner's.
	rings    *xsk.Rings // nil while there is no socket
	sock     *xsk.Socket
	cache    *mbuf.Cache
	rxPosted *mbuf.FrameSet
	txPosted *mbuf.FrameSet
	meta     mbuf.Meta
	target   int // chunks to keep posted for receiving
	pause    int // turns until the next kick of a ring that is stuck
	// multi: packets may have several frames. It never changes, as flags, which every
	// received frame has in its Meta.
	multi bool
	flags mbuf.Meta
	// stamps, if not nil, is asked about what is sent and complete.
	stamps *stamps
	manner

	// Statistics: the owner's.
	c pmd.QueueCounters
	// dropsDue and bytesDue are frames that the kernel said it dropped and
	// that have yet to come out of the completion ring.
	dropsDue, bytesDue uint64
	rxForeign          uint64
	rxOversize         uint64
	compForeign        uint64
	// inFlight counts the packets that txPosted holds, if multi.
	inFlight uint64
	// lastMissed keeps the kernel's statistics of sockets that are gone, and
	// those of the present one when they were last read.
	goneMissed, lastMissed xsk.Statistics

	// Control.
	pool *mbuf.Pool
	// quarantine holds frames of a lost socket until the hardware has let go.
	// Changed only inside Host.Exclusive.
	quarantine *mbuf.FrameSet
	// fault is the errno of a kick that says the interface is gone: written by
	// the owner, read by the watcher, which then looks for itself.
	fault atomic.Uint32
}

// manner is how a queue talks to the kernel.
type manner struct {
	zeroCopy bool
	// busyPoll: an empty receive ring is a reason to call the kernel, which then
	// runs the driver's receive routine.
	busyPoll bool
	// needWakeup: the kernel tells when it has to be called. Otherwise it is,
	// whenever there is something to send.
	needWakeup bool
}

// newQueue returns a queue without a socket that keeps target chunks posted when
// it has one.
func newQueue(pool *mbuf.Pool, target int) *queue {
	return &queue{
		pool: pool, target: target, multi: pool.MultiBuffer(),
		rxPosted: mbuf.NewFrameSet(pool), txPosted: mbuf.NewFrameSet(pool), quarantine: mbuf.NewFrameSet(pool),
	}
}

// Bind implements pmd.Queue.
func (q *queue) Bind(b pmd.Binding) {
	q.cache = b.Local.Add(q.pool)
	q.meta = q.pool.Meta(b.Port) | q.flags
	q.fillUp()
}

// Unbind implements pmd.Queue.
func (q *queue) Unbind() { q.cache = nil }

// Pool implements pmd.Queue.
func (q *queue) Pool() *mbuf.Pool { return q.pool }

// fillUp posts as many chunks for receiving as there should be. Before there is an
// owner they come straight from the pool. A NIC that works on them itself is told:
// until it has taken some it can receive nothing, however many are posted.
func (q *queue) fillUp() {
	if q.rings == nil {
		return
	}
	cache := q.cache
	if cache == nil {
		cache = mbuf.NewCache(q.pool)
		defer cache.Drain()
	}
	for q.rxPosted.Len() < q.target {
		if n, _ := q.rings.Fill.Fill(cache, q.target-q.rxPosted.Len(), q.rxPosted); n == 0 {
			break
		}
	}
	if q.zeroCopy && q.rings.Fill.NeedWakeup() {
		q.wakeRx()
	}
}

// wakeRx makes the NIC's driver look at the fill ring, and with busy polling for
// frames.
func (q *queue) wakeRx() {
	if errno := q.sock.KickRx(); errno == syscall.ENXIO {
		q.fault.Store(uint32(errno)) // pairs with Swap in inspect
	}
}

// RxBurst implements pmd.Queue.
func (q *queue) RxBurst(dst []mbuf.Frame) int {
	r := q.rings
	if r == nil {
		return 0
	}
	var n int
	if q.multi {
		n = q.rxPackets(r, dst)
	} else {
		var foreign int
		n, foreign = r.Rx.Receive(dst, q.meta, q.rxPosted)
		if n > 0 {
			bytes := uint64(0)
			for i := range dst[:n] {
				bytes += uint64(dst[i].Len)
			}
			q.c.RxPackets += uint64(n)
			q.c.RxBytes += bytes
		}
		q.rxForeign += uint64(foreign)
	}
	if want := q.target - q.rxPosted.Len(); want >= fillBatch {
		r.Fill.Fill(q.cache, want, q.rxPosted)
	}
	if q.busyPoll && n == 0 || q.zeroCopy && r.Fill.NeedWakeup() {
		q.wakeRx()
		q.c.Wakeups++
	}
	return n
}

// rxPackets is the receiving of RxBurst where packets may have several frames.
func (q *queue) rxPackets(r *xsk.Rings, dst []mbuf.Frame) int {
	got := r.Rx.ReceivePackets(dst, q.meta, q.rxPosted, q.cache)
	q.c.RxPackets += got.Packets
	q.c.RxBytes += got.Bytes
	q.rxForeign += got.Foreign
	q.rxOversize += got.Oversize
	return got.Frames
}

// txPackets is TxBurst where packets may have several frames.
func (q *queue) txPackets(r *xsk.Rings, src []mbuf.Frame) int {
	done := 0
	for done < len(src) {
		n, packets, why := r.Tx.PostPackets(src[done:], q.txPosted)
		done += n
		q.inFlight += uint64(packets)
		if why == xsk.Full {
			break
		}
		if why != xsk.Accepted {
			bad := src[done : done+mbuf.FirstPacket(src[done:])]
			q.freeBad(bad)
			q.c.Drops[pmd.ReasonTxInvalid] += uint64(mbuf.Packets(bad))
			done += len(bad)
		}
	}
	return done
}

// freeBad frees those frames of a packet that cannot be sent that are ours to free:
// in the pool, not posted, and not named twice.
func (q *queue) freeBad(packet []mbuf.Frame) {
	for i := range packet {
		at := packet[i].Addr
		ours := at < uint64(len(q.pool.Mem())) && !q.txPosted.Has(at)
		for _, f := range packet[:i] {
			ours = ours && q.pool.Base(f.Addr) != q.pool.Base(at)
		}
		if ours {
			q.cache.PutFrames(packet[i : i+1])
		}
	}
}

// TxBurst implements pmd.Queue.
func (q *queue) TxBurst(src []mbuf.Frame) int {
	r := q.rings
	if r == nil {
		return 0
	}
	if q.stamps != nil {
		q.stamps.mark(src)
	}
	if q.multi {
		return q.txPackets(r, src)
	}
	done := 0
	for done < len(src) {
		n, why := r.Tx.Post(src[done:], q.txPosted)
		done += n
		switch why {
		case xsk.Accepted:
			return done
		case xsk.Full:
			return done
		case xsk.BadLength:
			// The chunk is a good one, if it is one of the pool's at all.
			if src[done].Addr < uint64(len(q.pool.Mem())) {
				q.cache.PutFrames(src[done : done+1])
			}
			fallthrough
		default:
			// A frame outside the pool, or one that is posted already, is
			// nobody's to free twice: it is counted and forgotten.
			q.c.Drops[pmd.ReasonTxInvalid]++
			done++
		}
	}
	return done
}

// Flush implements pmd.Queue.
func (q *queue) Flush() {
	if r := q.rings; r != nil && (!q.needWakeup || r.Tx.NeedWakeup()) {
		q.kick()
	}
}

// kick makes the kernel send, and notes what it said.
func (q *queue) kick() {
	res := q.sock.KickTx()
	q.c.Wakeups += uint64(res.Calls)
	q.dropsDue += uint64(res.Dropped)
	q.bytesDue += res.DroppedBytes
	q.pause = 0
	if res.Errno != 0 {
		q.pause = retryTurns
		if res.Errno == syscall.ENXIO {
			q.fault.Store(uint32(res.Errno)) // pairs with Swap in inspect
		}
	}
}

// Reclaim implements pmd.Queue. It also kicks again if the kernel left frames in
// the transmit ring, as it does when the completion ring was full.
func (q *queue) Reclaim() int {
	r := q.rings
	if r == nil || q.txPosted.Len() == 0 {
		return 0
	}
	n := q.complete(q.cache)
	if q.pause > 0 {
		q.pause--
		return n
	}
	if q.txPosted.Len() > 0 && r.Tx.Pending() > 0 && (!q.needWakeup || r.Tx.NeedWakeup()) {
		q.kick()
		if q.pause == 0 && n == 0 {
			q.pause = retryTurns / 16 // nothing moves; do not burn calls
		}
	}
	return n
}

// complete takes back what the kernel has done with, and returns how many frames.
func (q *queue) complete(cache *mbuf.Cache) int {
	if q.multi {
		n, packets, bytes, foreign := q.rings.Comp.CompletePackets(cache, q.txPosted)
		q.compForeign += uint64(foreign)
		q.inFlight -= uint64(packets)
		q.completed(uint64(packets), bytes)
		return n
	}
	n, bytes, foreign := q.rings.Comp.Complete(cache, q.txPosted)
	q.compForeign += uint64(foreign)
	if n > 0 {
		q.completed(uint64(n), bytes)
	}
	return n
}

// completed counts packets that came out of the completion ring: sent, but for
// those that the kernel had said it dropped.
func (q *queue) completed(n, bytes uint64) {
	d := min(q.dropsDue, n)
	b := min(q.bytesDue, bytes)
	q.dropsDue -= d
	q.bytesDue -= b
	q.c.Drops[pmd.ReasonTxKernel] += d
	q.c.TxPackets += n - d
	q.c.TxBytes += bytes - b
}

// Counters implements pmd.Queue.
func (q *queue) Counters() pmd.QueueCounters {
	c := q.c
	c.InFlight = q.unsent()
	if q.stamps != nil {
		c.TxStamps = q.stamps.sum
	}
	return c
}

// unsent returns the number of packets that are posted for sending.
func (q *queue) unsent() uint64 {
	if q.multi {
		return q.inFlight
	}
	return uint64(q.txPosted.Len())
}

// Missed implements pmd.Missed: the six counters of struct xdp_statistics
// (include/uapi/linux/if_xdp.h), and ours of addresses the kernel returned that
// were never posted.
func (q *queue) Missed() map[string]uint64 {
	if q.sock != nil {
		if s, err := q.sock.Statistics(); err == nil {
			q.lastMissed = s
		}
	}
	g, l := &q.goneMissed, &q.lastMissed
	return map[string]uint64{
		"rx_dropped":               g.RxDropped + l.RxDropped,
		"rx_invalid_descs":         g.RxInvalidDescs + l.RxInvalidDescs,
		"tx_invalid_descs":         g.TxInvalidDescs + l.TxInvalidDescs,
		"rx_ring_full":             g.RxRingFull + l.RxRingFull,
		"rx_fill_ring_empty_descs": g.RxFillRingEmptyDescs + l.RxFillRingEmptyDescs,
		"tx_ring_empty_descs":      g.TxRingEmptyDescs + l.TxRingEmptyDescs,
		"rx_foreign":               q.rxForeign,
		"rx_oversize":              q.rxOversize,
		"completion_foreign":       q.compForeign,
	}
}

// Walk implements pmd.Queue.
func (q *queue) Walk(l *mbuf.Ledger) {
	l.Set(mbuf.OwnerKernelRx, q.rxPosted)
	l.Set(mbuf.OwnerKernelTx, q.txPosted)
	l.Set(mbuf.OwnerQuarantine, q.quarantine)
}

// WaitFD implements pmd.Waiter: an AF_XDP socket polls readable while its receive ring
// holds a descriptor (xsk_poll, net/xdp/xsk.c).
func (q *queue) WaitFD() int {
	if q.sock == nil {
		return -1
	}
	return q.sock.FD()
}

// TxReads implements pmd.TxReader: in copy mode the kernel makes an sk_buff of each frame in
// the call that Flush makes (xsk_build_skb, net/xdp/xsk.c).
func (q *queue) TxReads() bool { return !q.zeroCopy }

// attach gives the queue a socket on an interface with this MTU. Called inside
// Host.Exclusive. The kernel binds no queue that is not torn down, so frames that have
// waited for that come home.
func (q *queue) attach(s *xsk.Socket, m manner, mtu int) {
	q.release()
	q.sock, q.rings, q.manner = s, &s.Rings, m
	q.setMTU(mtu)
	q.pause = 0
	q.fault.Store(0)
	if q.stamps != nil {
		q.stamps.reset()
		q.stamps.sameClock = !m.zeroCopy
		q.rings.Comp.Observe(q.stamps.done)
	}
	q.fillUp()
}

// setMTU lets TxBurst refuse, by name, what the device would drop. Called inside
// Host.Exclusive.
func (q *queue) setMTU(mtu int) {
	if q.rings != nil {
		q.rings.Tx.SetMaxLen(mtu + vlanHeader)
		q.rings.Tx.SetMaxPacket(mtu + vlanHeader)
	}
}

// detach takes the socket away; its frames wait in quarantine. Called inside
// Host.Exclusive. Completions that are there already still count as sent.
func (q *queue) detach() {
	if q.sock == nil {
		return
	}
	cache := q.cache
	if cache == nil {
		cache = mbuf.NewCache(q.pool) // nobody polls the queue
		defer cache.Drain()
	}
	q.complete(cache)
	q.Missed()
	addStatistics(&q.goneMissed, q.lastMissed)
	q.lastMissed = xsk.Statistics{}
	q.sock, q.rings = nil, nil
	q.c.Drops[pmd.ReasonTxLost] += q.unsent()
	q.inFlight, q.dropsDue, q.bytesDue = 0, 0, 0
	q.quarantine.Merge(q.rxPosted)
	q.quarantine.Merge(q.txPosted)
}

// release ends the quarantine. Called inside Host.Exclusive.
func (q *queue) release() { q.pool.Return(q.quarantine) }

// addStatistics adds the counters of one socket to those of its predecessors.
func addStatistics(sum *xsk.Statistics, s xsk.Statistics) {
	sum.RxDropped += s.RxDropped
	sum.RxInvalidDescs += s.RxInvalidDescs
	sum.TxInvalidDescs += s.TxInvalidDescs
	sum.RxRingFull += s.RxRingFull
	sum.RxFillRingEmptyDescs += s.RxFillRingEmptyDescs
	sum.TxRingEmptyDescs += s.TxRingEmptyDescs
}
