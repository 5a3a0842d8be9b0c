package afpacket

import (
	"encoding/binary"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

const (
	// minFrame is the shortest frame that can be sent: an Ethernet header (ETH_HLEN).
	minFrame = 14
	// tagAt is where a VLAN tag stands in a frame, and tagLen its length (IEEE 802.1Q).
	tagAt, tagLen = 12, 4
	// unusual are the states of a received frame that need more than a copy.
	unusual = unix.TP_STATUS_VLAN_VALID | unix.TP_STATUS_CSUMNOTREADY
)

// queue is a pair of packet sockets, one to receive and one to send. It holds no frame
// between two calls.
type queue struct {
	_ cpu.CacheLinePad

	// Hot: the owner's.
	rx     *socket // nil while there is no interface
	ring   rxRing
	out    *sender
	txFD   int
	cache  *mbuf.Cache
	mem    mbuf.Mem
	offset uint32 // of the first byte received in a chunk
	room   uint32 // for a received frame
	maxLen uint32 // of a frame to send
	meta   mbuf.Meta

	// Statistics: the owner's.
	c                        pmd.QueueCounters
	oversize, drops, freezes uint64

	// Control.
	pool *mbuf.Pool
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
		pool: pool, mem: pool.Mem(), offset: uint32(pool.DataOffset()), room: uint32(pool.MaxLen()),
		out: newSender(), txFD: -1,
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

// RxBurst implements pmd.Queue: it copies frames out of the ring. With no free frame
// the ring keeps what it has.
func (q *queue) RxBurst(dst []mbuf.Frame) int {
	if q.rx == nil {
		return 0
	}
	if len(dst) > pmd.MaxBurst {
		dst = dst[:pmd.MaxBurst]
	}
	want := q.ring.ready(len(dst))
	if want == 0 {
		return 0
	}
	got := q.cache.TakeFrames(dst[:want], q.offset, 0, q.meta)
	n, bytes := 0, uint64(0)
	for range got {
		p := q.ring.packet()
		length := q.fill(dst[n].Addr, p)
		q.ring.advance()
		if length == 0 {
			continue
		}
		dst[n].Len = length
		bytes += uint64(length)
		n++
	}
	q.cache.PutFrames(dst[n:got])
	q.c.RxPackets += uint64(n)
	q.c.RxBytes += bytes
	return n
}

// fill copies a received frame to addr and returns its length, 0 if it is none of
// ours or does not fit.
func (q *queue) fill(addr uint64, p received) uint32 {
	if q.rx.filter && q.ring.mem[p.pkttypeOffset] == unix.PACKET_OUTGOING {
		return 0
	}
	src := q.ring.mem[p.at:][:p.snap]
	if p.snap < p.len || p.snap > q.room {
		q.oversize++
		return 0
	}
	if p.status&unusual != 0 {
		return q.fillUnusual(addr, p, src)
	}
	copy(q.mem[addr:], src)
	return p.snap
}

// fillUnusual is fill for a frame whose tag or checksum the kernel has put aside.
func (q *queue) fillUnusual(addr uint64, p received, src []byte) uint32 {
	shift := 0
	if p.status&unix.TP_STATUS_VLAN_VALID != 0 && len(src) >= tagAt {
		shift = tagLen
	}
	length := len(src) + shift
	if length > int(q.room) {
		q.oversize++
		return 0
	}
	dst := q.mem[addr:][:length]
	if shift != 0 {
		copy(dst, src[:tagAt])
		tpid := uint16(unix.ETH_P_8021Q)
		if p.status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = p.tpid
		}
		binary.BigEndian.PutUint16(dst[tagAt:], tpid)
		binary.BigEndian.PutUint16(dst[tagAt+2:], p.tci)
		src = src[tagAt:]
		copy(dst[tagAt+tagLen:], src)
	} else {
		copy(dst, src)
	}
	if p.status&unix.TP_STATUS_CSUMNOTREADY != 0 {
		// struct virtio_net_hdr in the machine's byte order: flags at 0, csum_start at
		// 6, csum_offset at 8; the places are those in the frame without its tag.
		h := q.ring.mem[p.at-virtioLen : p.at]
		const needsChecksum = 1
		if h[0]&needsChecksum != 0 {
			finish(dst, int(binary.NativeEndian.Uint16(h[6:]))+shift, int(binary.NativeEndian.Uint16(h[8:])))
		}
	}
	return uint32(length)
}

// TxBurst implements pmd.Queue. The kernel has copied the frames it takes then.
func (q *queue) TxBurst(src []mbuf.Frame) int {
	if q.rx == nil {
		return 0
	}
	if len(src) > pmd.MaxBurst {
		src = src[:pmd.MaxBurst]
	}
	done := 0
	for done < len(src) {
		run := q.prepare(src[done:])
		if run == 0 {
			// The chunk goes home, unless the handle names none of the pool's.
			q.c.Drops[pmd.ReasonTxInvalid]++
			if src[done].Addr < uint64(len(q.mem)) {
				q.cache.PutFrames(src[done : done+1])
			}
			done++
			continue
		}
		n := q.send(src[done : done+run])
		q.cache.PutFrames(src[done : done+n])
		done += n
		if n < run {
			return done
		}
	}
	return done
}

// prepare makes messages of the frames that can be sent, up to the first that cannot,
// and returns how many.
func (q *queue) prepare(frames []mbuf.Frame) int {
	for i := range frames {
		f := frames[i]
		if !q.cache.Valid(f) || f.Len < minFrame || f.Len > q.maxLen {
			return i
		}
		q.out.set(i, q.mem, f)
	}
	return len(frames)
}

// send gives prepared frames to the kernel and returns how many it is done with: sent,
// or dropped and counted. The others it would not take now.
func (q *queue) send(frames []mbuf.Frame) int {
	done := 0
	for interrupts := 0; done < len(frames); {
		n, errno := q.out.send(q.txFD, done, len(frames))
		q.c.Wakeups++
		for _, f := range frames[done : done+n] {
			q.c.TxBytes += uint64(f.Len)
		}
		q.c.TxPackets += uint64(n)
		done += n
		switch errno {
		case 0:
		case unix.EINTR:
			if interrupts++; interrupts > len(frames) {
				return done
			}
		case unix.EMSGSIZE, unix.EINVAL:
			// Longer than the MTU, or too short for the device.
			q.c.Drops[pmd.ReasonTxInvalid]++
			done++
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM, unix.ENETDOWN, unix.ENXIO:
			// No room: the frame has not left, and may be tried again. Or no interface.
			q.stop(errno)
			return done
		default:
			q.c.Drops[pmd.ReasonTxKernel]++
			done++
		}
	}
	return done
}

// stop notes an error that says the interface is gone.
func (q *queue) stop(errno syscall.Errno) {
	if errno == unix.ENXIO {
		q.fault.Store(uint32(errno)) // pairs with Swap in port.Look
	}
}

// Flush implements pmd.Queue: what TxBurst took has left.
func (q *queue) Flush() {}

// Reclaim implements pmd.Queue: what TxBurst took is back already.
func (q *queue) Reclaim() int { return 0 }

// Counters implements pmd.Queue. Wakeups are the calls of sendmmsg.
func (q *queue) Counters() pmd.QueueCounters { return q.c }

// Missed implements pmd.Missed: the counters of struct tpacket_stats_v3
// (include/uapi/linux/if_packet.h) that tell of losses, and our own.
func (q *queue) Missed() map[string]uint64 {
	q.readStatistics()
	return map[string]uint64{
		"rx_oversize":     q.oversize,
		"tp_drops":        q.drops,
		"tp_freeze_q_cnt": q.freezes,
	}
}

// readStatistics adds what the kernel has counted since it was last asked: asking
// makes it begin anew.
func (q *queue) readStatistics() {
	if q.rx == nil {
		return
	}
	drops, freezes, err := q.rx.statistics()
	if err == nil {
		q.drops += uint64(drops)
		q.freezes += uint64(freezes)
	}
}

// TxReads implements pmd.TxReader: the kernel copies what is sent.
func (q *queue) TxReads() bool { return true }

// WaitFD implements pmd.Waiter.
func (q *queue) WaitFD() int {
	if q.rx == nil {
		return -1
	}
	return q.rx.fd
}

// Walk implements pmd.Queue: a packet socket holds no frame of ours between two calls.
func (q *queue) Walk(*mbuf.Ledger) {}

// attach gives the queue its sockets on an interface with this MTU. Called inside
// Host.Exclusive.
func (q *queue) attach(s *socket, mtu int) {
	q.rx, q.ring, q.txFD = s, s.ring, s.txFD
	q.setMTU(mtu)
	q.fault.Store(0)
}

// setMTU lets TxBurst refuse what the device would. Called inside Host.Exclusive.
func (q *queue) setMTU(mtu int) { q.maxLen = uint32(mtu + vlanHeader) }

// detach takes the sockets away. Called inside Host.Exclusive.
func (q *queue) detach() {
	q.readStatistics()
	q.rx, q.ring, q.txFD = nil, rxRing{}, -1
}
