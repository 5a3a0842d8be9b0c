package pcap

import (
	"math"
	"time"

	"golang.org/x/sys/cpu"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Queue is the receive and transmit queue pair of a pcap port. It belongs to the
// goroutine that bound it.
type Queue struct {
	_ [2]cpu.CacheLinePad // apart from what the heap puts beside it

	// Hot: read every burst, written by Bind.
	cache   *mbuf.Cache
	mem     mbuf.Mem
	offset  uint32 // of the first byte in a chunk
	meta    mbuf.Meta
	colours uint64 // see mbuf.Cache.TakeColoured
	mode    rxMode
	out     *ring // nil: what is sent is discarded

	// Statistics: written every burst.
	rxPackets uint64
	rxBytes   uint64
	// taken and takenBytes count what was put into the ring, or discarded.
	taken      uint64
	takenBytes uint64
	invalid    uint64
	late       uint64

	// Replay: where it is, written every burst.
	replay cursor
	pace   pace
	// starved says that frames were due at the last burst, and the pool had none.
	starved bool

	// Control: constant.
	epoch time.Time
	pool  *mbuf.Pool
	// finished is closed when the last frame of the last lap was received.
	finished chan struct{}
	// timer is what the owner of a replay at times or at a rate sleeps on; else nil.
	timer *timer

	_ [2]cpu.CacheLinePad
}

var (
	_ pmd.Queue  = (*Queue)(nil)
	_ pmd.Missed = (*Queue)(nil)
	_ pmd.Waiter = (*Queue)(nil)
	_ pmd.Armer  = (*Queue)(nil)
)

// rxMode says how frames are received.
type rxMode uint8

const (
	rxNone     rxMode = iota // not at all, or no more
	rxFlat                   // as fast as they are asked for
	rxPaced                  // at a rate
	rxRecorded               // at the times of the capture
)

// Bind gives the queue to the caller.
func (q *Queue) Bind(b pmd.Binding) {
	q.cache = b.Local.Cache(q.pool.ID())
	q.meta = q.pool.Meta(b.Port)
}

// Unbind takes the queue from its owner. A pcap queue has posted nothing.
func (q *Queue) Unbind() { q.cache = nil }

// Pool returns the pool whose frames the queue yields and takes.
func (q *Queue) Pool() *mbuf.Pool { return q.pool }

// RxBurst returns the next frames of the capture that are due, at most
// pmd.MaxBurst. Each is written into a frame of the pool anew, since whoever has it
// may change it.
func (q *Queue) RxBurst(dst []mbuf.Frame) int {
	if q.mode == rxNone {
		return 0
	}
	want := min(uint64(len(dst)), pmd.MaxBurst, q.replay.left)
	if q.mode != rxFlat {
		want = q.due(want)
	}
	n := q.cache.TakeColoured(dst[:want], q.offset, 0, q.meta, q.colours)
	q.starved = n == 0 && want > 0
	if n == 0 {
		return 0
	}
	bytes := q.replay.fill(dst[:n], q.mem)
	q.rxPackets += uint64(n)
	q.rxBytes += bytes
	if q.mode == rxPaced {
		q.pace.took(uint64(n))
	}
	if q.replay.left == 0 {
		q.mode = rxNone
		close(q.finished) // once in the life of a port; it does not block
	}
	return n
}

// WaitFD implements pmd.Waiter. It returns pmd.WaitNever where nothing is replayed, or
// no more; of a replay at times or at a rate a descriptor that Arm makes readable when
// the next frame is due; and -1 while nothing but a free frame is wanting, since
// nothing tells when there is one again. The last is so whenever a replay without times
// has returned no frame.
func (q *Queue) WaitFD() int {
	switch {
	case q.mode == rxNone:
		return pmd.WaitNever
	case q.timer == nil || q.starved:
		return -1
	}
	return q.timer.wait()
}

// Arm implements pmd.Armer: the descriptor becomes readable when the next frame is due.
func (q *Queue) Arm() bool {
	if q.timer == nil || q.mode == rxNone || q.starved {
		return true
	}
	wait := q.untilDue()
	return wait > 0 && q.timer.after(wait)
}

// Disarm implements pmd.Armer.
func (q *Queue) Disarm() {
	if q.timer != nil {
		q.timer.clear()
	}
}

// untilDue returns how long it is until the next frame may go, 0 or less if it may now.
func (q *Queue) untilDue() time.Duration {
	now := int64(time.Since(q.epoch))
	if q.mode == rxPaced {
		return time.Duration(q.pace.until(now))
	}
	return time.Duration(q.replay.until(now))
}

// due returns how many of want frames may go now.
func (q *Queue) due(want uint64) uint64 {
	if want == 0 {
		return 0
	}
	now := int64(time.Since(q.epoch)) // reads the monotonic clock, without a system call
	var n uint64
	var late bool
	if q.mode == rxPaced {
		n, late = q.pace.due(now, want)
	} else {
		n, late = q.replay.due(now, want)
	}
	if late {
		q.late++
	}
	return n
}

// fill writes the next frames of the capture into dst, of which only the address
// is set, and returns their bytes. At least as many are left.
func (c *cursor) fill(dst []mbuf.Frame, mem mbuf.Mem) (bytes uint64) {
	c.left -= uint64(len(dst))
	for {
		lens := c.cur.lens[c.frame:]
		n := min(len(dst), len(lens))
		run, end := copyFrames(dst[:n], lens, c.cur.data, c.at, mem)
		bytes += run
		c.frame += n
		c.at = end
		if n == len(lens) {
			c.next()
		}
		if dst = dst[n:]; len(dst) == 0 {
			return bytes
		}
	}
}

// copyFrames writes the frames that begin at data[at] one after the other into dst.
// lens has at least as many, and data what they say. It returns how many bytes the
// frames have, and where in data the next one begins.
func copyFrames(dst []mbuf.Frame, lens []uint16, data []byte, at int, mem mbuf.Mem) (bytes uint64, end int) {
	lens = lens[:len(dst)]
	for i := range dst {
		n := int(lens[i])
		f := &dst[i]
		f.Len = uint32(n)
		bytes += uint64(n)
		copy(mem[f.Addr:], data[at:at+n])
		at += lines(n)
	}
	return bytes, at
}

// TxBurst takes frames for the file, at most pmd.MaxBurst: it copies their bytes
// into the transmit buffer and gives the frames back to the owner's cache at once.
// It takes fewer if the buffer is full, because the disk is slower than the
// traffic. A frame that is empty or reaches outside its chunk is dropped. Without a
// file every frame is taken and discarded.
func (q *Queue) TxBurst(src []mbuf.Frame) int {
	if len(src) > pmd.MaxBurst {
		src = src[:pmd.MaxBurst]
	}
	if q.out == nil {
		if bytes, ok := q.cache.PutSent(src); ok {
			q.taken += uint64(len(src))
			q.takenBytes += bytes
			return len(src)
		}
	} else if _, ok := q.cache.Check(src); ok {
		return q.write(src)
	}
	return q.txSlow(src)
}

// write puts valid frames into the ring, as many as there is room for.
func (q *Queue) write(src []mbuf.Frame) int {
	if len(src) == 0 {
		return 0
	}
	n, bytes := q.out.put(src, q.mem, uint64(time.Now().UnixNano()))
	q.cache.PutFrames(src[:n])
	q.taken += uint64(n)
	q.takenBytes += bytes
	return n
}

// txSlow sends a burst that holds invalid frames.
func (q *Queue) txSlow(src []mbuf.Frame) int {
	for i := range src {
		one := src[i : i+1]
		switch {
		case !q.cache.Valid(one[0]):
			q.invalid++
			// The chunk goes home, unless the handle names none of the pool's.
			if one[0].Addr < uint64(len(q.mem)) {
				q.cache.PutFrames(one)
			}
		case q.out == nil:
			bytes, _ := q.cache.PutSent(one) // valid, so taken
			q.taken++
			q.takenBytes += bytes
		case q.write(one) == 0:
			return i
		}
	}
	return len(src)
}

// Flush does nothing: the writer sees what TxBurst took.
func (q *Queue) Flush() {}

// Reclaim returns 0: what TxBurst took is back already.
func (q *Queue) Reclaim() int { return 0 }

// Counters returns the queue's totals. A frame counts as sent once the file system
// has it, and until then as in flight, though its chunk is back in the pool; without
// a file at once.
func (q *Queue) Counters() pmd.QueueCounters {
	c := pmd.QueueCounters{
		RxPackets: q.rxPackets, RxBytes: q.rxBytes,
		TxPackets: q.taken, TxBytes: q.takenBytes,
	}
	c.Drops[pmd.ReasonTxInvalid] = q.invalid
	if q.out != nil {
		lost := q.out.lost.Load() // these pair with the stores in writer.count
		c.TxPackets, c.TxBytes = q.out.sent.Load(), q.out.sentBytes.Load()
		c.Drops[pmd.ReasonTxLost] = lost
		c.InFlight = q.taken - c.TxPackets - lost
	}
	return c
}

// Walk enters nothing: a pcap queue holds no frames between two calls.
func (q *Queue) Walk(*mbuf.Ledger) {}

// TxReads implements pmd.TxReader: a packet is copied into the file's buffers.
func (q *Queue) TxReads() bool { return q.out != nil }

// Missed tells how often a replay at recorded times or at a rate was so far behind
// that its schedule was set back.
func (q *Queue) Missed() map[string]uint64 {
	return map[string]uint64{"rx_late": q.late}
}

// noLimit is the snap length that cuts nothing.
const noLimit = math.MaxUint32
