package xsk

import (
	"sync/atomic"

	"example.org/pmd/pmd/mbuf"
)

// TxRing is the transmit ring: we produce, the kernel consumes.
type TxRing struct {
	ring
	geo       geometry
	maxLen    uint32
	maxPacket uint64 // of PostPackets, in bytes
	segments  int    // and in frames
	// taken is how far the kernel has got as far as we can know: its published
	// index, and the dropped frames it told of that are not in that yet.
	taken uint32
	// keep is what of a frame's Meta the kernel gets: FlagTxMeta or nothing.
	keep  mbuf.Meta
	mem   mbuf.Mem // where requests are, if keep is not 0
	descs []mbuf.Frame
}

// SetMaxLen sets the longest frame that Post accepts, in bytes: the interface's
// MTU and its link header. The chunk size is the limit until then, and always.
func (r *TxRing) SetMaxLen(n int) {
	r.maxLen = uint32(max(0, min(n, int(r.geo.chunk))))
}

// Post puts src[:n] into the ring and enters the chunks into posted. Only the
// address and length of a frame go to the kernel, with clean options (but for
// FlagTxMeta, where Config.TxMetadata is set): anything else there would stop the ring. why tells why src[n] was not taken, and is
// Accepted if all were. The checks are those of xp_aligned_validate_desc
// (net/xdp/xsk_queue.h), since the kernel skips a bad descriptor without
// completing it and sends nothing behind it in the same call.
func (r *TxRing) Post(src []mbuf.Frame, posted *mbuf.FrameSet) (n int, why Refusal) {
	room := int(r.room(uint32(min(len(src), int(r.size)))))
	if room < len(src) {
		why = Full
		src = src[:room]
	}
	if room == 0 {
		return 0, why
	}
	run := r.descs[r.start():]
	if len(run) > room {
		run = run[:room]
	}
	n, bad := r.put(run, src, posted)
	if rest := room - len(run); rest > 0 && bad == Accepted {
		var k int
		k, bad = r.put(r.descs[:rest], src[n:], posted)
		n += k
	}
	if bad != Accepted {
		why = bad
	}
	if n > 0 {
		r.publish(uint32(n))
	}
	return n, why
}

// put writes frames to one run of the ring, len(run) <= len(src).
func (r *TxRing) put(run, src []mbuf.Frame, posted *mbuf.FrameSet) (n int, why Refusal) {
	src = src[:len(run)]
	if n = r.sendable(src); n < len(src) {
		why = BadLength
	}
	if r.keep != 0 {
		if k := r.sound(src[:n]); k < n {
			n, why = k, BadLength
		}
	}
	k := posted.AddFrames(run, src[:n])
	if r.keep != 0 {
		for i := range run[:k] {
			run[i].Meta = src[i].Meta & r.keep
		}
	}
	if k < n {
		return k, NotOurs
	}
	return n, why
}

// sound returns how many frames from the first on have room for a request in front of
// them, which the kernel wants of all once it wants it of any (xp_aligned_validate_desc),
// and ask for nothing that cannot be done: the kernel would answer EINVAL and stop there
// (xsk_build_skb), and a driver in zero-copy mode believes what it reads.
func (r *TxRing) sound(src []mbuf.Frame) int {
	for i := range src {
		if src[i].Addr&uint64(r.geo.chunk-1) < mbuf.MetaLen || src[i].Meta&mbuf.FlagTxMeta != 0 && !r.mem.SoundRequest(src[i]) {
			return i
		}
	}
	return len(src)
}

// carryRequests has the ring pass on requests, which are in mem.
func (r *TxRing) carryRequests(mem mbuf.Mem) { r.keep, r.mem = mbuf.FlagTxMeta, mem }

// sendable returns how many frames from the first on have a length that the
// kernel and the interface take.
func (r *TxRing) sendable(src []mbuf.Frame) int {
	offset, most := uint64(r.geo.chunk-1), uint64(r.maxLen)
	var last, over uint64
	for i := range src {
		// An empty frame's length becomes 2^32-1, which is as bad as one too long.
		l := uint64(src[i].Len - 1)
		last |= src[i].Addr&offset + l
		over |= most - 1 - l
	}
	// The chunk is a power of two in size, so an OR stays below it exactly if
	// everything in it does; and a difference below zero has its top bit set.
	if last <= offset && int64(over) >= 0 {
		return len(src)
	}
	for i := range src {
		if src[i].Len-1 >= min(r.geo.lastLen(src[i].Addr), r.maxLen) {
			return i
		}
	}
	return len(src)
}

// Room returns the number of frames that the ring would take.
func (r *TxRing) Room() int { return int(r.room(r.size)) }

// Pending returns the number of frames posted that the kernel has not taken.
// Before Linux 6.17 the kernel tells of those it took in copy mode only once it
// has taken all it knows of.
func (r *TxRing) Pending() int { return int(r.own - r.consumed()) }

// NeedWakeup reports whether the kernel must be kicked to send. In copy mode it
// always must; without XDP_USE_NEED_WAKEUP it is set as well.
func (r *TxRing) NeedWakeup() bool { return r.wakeup() }

// consumed reads the kernel's index. Pairs with __xskq_cons_release
// (net/xdp/xsk_queue.h).
func (r *TxRing) consumed() uint32 {
	r.peer = atomic.LoadUint32(r.peerIdx)
	return r.peer
}

// sync notes an index that the kernel has published.
func (r *TxRing) sync(now uint32) {
	if int32(now-r.taken) > 0 {
		r.taken = now
	}
}

// droppedLen returns the length of the packet that the kernel has just dropped,
// where now is the index it publishes. If packets left in the same call now is
// news and the dropped one is the last before it; if not, nothing was published,
// and it is the one after those known to be taken (__xsk_generic_xmit, out:).
func (r *TxRing) droppedLen(now uint32) uint32 {
	if int32(now-r.taken) > 0 {
		r.taken = now
	} else {
		for more := true; more && r.taken != r.own; r.taken++ {
			more = r.descs[r.taken&(r.size-1)].Meta&mbuf.FlagMore != 0
		}
	}
	length := uint32(0)
	for at := r.taken - 1; ; at-- {
		length += r.descs[at&(r.size-1)].Len
		if before := &r.descs[(at-1)&(r.size-1)]; before.Meta&mbuf.FlagMore == 0 || r.taken-at >= mbuf.MaxSegments {
			return length
		}
	}
}
