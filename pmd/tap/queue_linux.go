package tap

import (
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// minFrame is the shortest frame that can be sent: an Ethernet header (ETH_HLEN).
const minFrame = 14

// queue is one descriptor of a tap device. It holds no frame between two calls.
type queue struct {
	_ cpu.CacheLinePad

	// Hot: the owner's.
	fd     int // -1 while there is no interface
	cache  *mbuf.Cache
	mem    mbuf.Mem
	offset uint32 // of the first byte received in a chunk
	room   uint32 // for a received frame
	maxLen uint32 // of a frame to send
	meta   mbuf.Meta
	in     scatter

	// Statistics: the owner's.
	c        pmd.QueueCounters
	oversize uint64

	// Control.
	pool  *mbuf.Pool
	stats *dropCount // of the device, at its first queue
	// fault is the errno that says the interface is gone: written by the owner, read
	// by the watching goroutine, which then looks for itself.
	fault atomic.Uint32

	_ cpu.CacheLinePad
}

var (
	_ pmd.Queue  = (*queue)(nil)
	_ pmd.Missed = (*queue)(nil)
	_ pmd.Waiter = (*queue)(nil)
)

func newQueue(pool *mbuf.Pool) *queue {
	return &queue{
		fd: -1, pool: pool, mem: pool.Mem(), offset: uint32(pool.DataOffset()), room: uint32(pool.MaxLen()),
	}
}

// Bind implements pmd.Queue.
func (q *queue) Bind(b pmd.Binding) {
	q.cache = b.Local.Add(q.pool)
	q.meta = q.pool.Meta(b.Port)
}

// Unbind implements pmd.Queue.
func (q *queue) Unbind() { q.cache = nil }

// Pool implements pmd.Queue.
func (q *queue) Pool() *mbuf.Pool { return q.pool }

// RxBurst implements pmd.Queue: one read a frame, until the kernel has no more. With
// no free frame the kernel's queue keeps what it has.
func (q *queue) RxBurst(dst []mbuf.Frame) int {
	if q.fd < 0 {
		return 0
	}
	if len(dst) > pmd.MaxBurst {
		dst = dst[:pmd.MaxBurst]
	}
	n, calls, bytes := 0, 0, uint64(0)
	for calls < len(dst) {
		one := dst[n : n+1]
		if q.cache.TakeFrames(one, q.offset, q.room, q.meta) == 0 {
			break
		}
		got, errno := q.in.read(q.fd, q.mem.Bytes(one[0]))
		calls++
		if errno != 0 || got > int(q.room) {
			q.cache.PutFrames(one)
			if errno == 0 {
				q.oversize++ // cut off by read: one byte more than there is room for
				continue
			}
			q.stop(errno)
			break
		}
		one[0].Len = uint32(got)
		bytes += uint64(got)
		n++
	}
	q.c.RxPackets += uint64(n)
	q.c.RxBytes += bytes
	q.c.Wakeups += uint64(calls)
	return n
}

// TxBurst implements pmd.Queue: one write a frame. The kernel has copied it then.
func (q *queue) TxBurst(src []mbuf.Frame) int {
	if q.fd < 0 {
		return 0
	}
	if len(src) > pmd.MaxBurst {
		src = src[:pmd.MaxBurst]
	}
	done, sent, bytes := 0, 0, uint64(0)
	for i := range src {
		f := src[i]
		if !q.cache.Valid(f) || f.Len < minFrame || f.Len > q.maxLen {
			q.c.Drops[pmd.ReasonTxInvalid]++
			// The chunk goes home, unless the handle names none of the pool's.
			if f.Addr < uint64(len(q.mem)) {
				q.cache.PutFrames(src[i : i+1])
			}
			done++
			continue
		}
		errno := write(q.fd, q.mem.Bytes(f))
		q.c.Wakeups++
		switch errno {
		case 0:
			sent++
			bytes += uint64(f.Len)
		case unix.EINVAL:
			q.c.Drops[pmd.ReasonTxInvalid]++
		default:
			// The frame was not taken: no memory, or the interface is down or gone.
			q.stop(errno)
			q.sent(sent, bytes)
			return done
		}
		q.cache.PutFrames(src[i : i+1])
		done++
	}
	q.sent(sent, bytes)
	return done
}

// sent counts frames that left.
func (q *queue) sent(n int, bytes uint64) {
	q.c.TxPackets += uint64(n)
	q.c.TxBytes += bytes
}

// stop notes an error that says the interface is gone: its descriptors answer
// EBADFD from then on (tun_get in drivers/net/tun.c).
func (q *queue) stop(errno syscall.Errno) {
	if errno == unix.EBADFD {
		q.fault.Store(uint32(errno)) // pairs with Swap in port.Look
	}
}

// Flush implements pmd.Queue: what TxBurst took has left.
func (q *queue) Flush() {}

// Reclaim implements pmd.Queue: what TxBurst took is back already.
func (q *queue) Reclaim() int { return 0 }

// Counters implements pmd.Queue. Wakeups are the reads and writes.
func (q *queue) Counters() pmd.QueueCounters { return q.c }

// Missed implements pmd.Missed. The kernel counts what it could not queue for the
// device as a whole; it is read twice a second and told at the first queue.
func (q *queue) Missed() map[string]uint64 {
	dropped := uint64(0)
	if q.stats != nil {
		dropped = q.stats.total.Load() // pairs with Add in dropCount.read
	}
	return map[string]uint64{
		"rx_oversize":    q.oversize,
		"tun_tx_dropped": dropped,
	}
}

// TxReads implements pmd.TxReader: the kernel copies what is sent.
func (q *queue) TxReads() bool { return true }

// WaitFD implements pmd.Waiter.
func (q *queue) WaitFD() int { return q.fd }

// Walk implements pmd.Queue: a tap queue holds no frame between two calls.
func (q *queue) Walk(*mbuf.Ledger) {}

// attach gives the queue a descriptor of an interface with this MTU. Called inside
// Host.Exclusive.
func (q *queue) attach(fd, mtu int) {
	q.fd = fd
	q.setMTU(mtu)
	q.fault.Store(0)
}

// setMTU lets TxBurst refuse what is too long for the interface. Called inside
// Host.Exclusive.
func (q *queue) setMTU(mtu int) { q.maxLen = uint32(mtu + vlanHeader) }

// detach takes the descriptor away. Called inside Host.Exclusive.
func (q *queue) detach() { q.fd = -1 }
