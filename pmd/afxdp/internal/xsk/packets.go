package xsk

import "example.org/pmd/pmd/mbuf"

// The rings of a socket that was bound with XDP_USE_SG carry packets of several
// descriptors: each but the last has XDP_PKT_CONTD, which is mbuf.FlagMore. What
// follows moves such packets as a whole or not at all. Sockets without it use the
// calls of the plain rings, which know nothing of that and are faster.

// Received is what ReceivePackets has found.
type Received struct {
	// Frames is how many it wrote to dst; they are whole packets.
	Frames int
	// Packets is how many packets they are, and Bytes the sum of their lengths.
	Packets, Bytes uint64
	// Foreign counts descriptors that were not handed out, as Receive does. The
	// other frames of a packet with such a one went back to the cache.
	Foreign uint64
	// Oversize counts packets of more than mbuf.MaxSegments frames, which went back
	// to the cache as well.
	Oversize uint64
}

// ReceivePackets is Receive for packets of several frames. It stops in front of a
// packet that is not all there, or that dst has no room for, so dst should hold
// mbuf.MaxSegments frames at least. What is not handed out goes back to cache.
func (r *RxRing) ReceivePackets(dst []mbuf.Frame, meta mbuf.Meta, posted *mbuf.FrameSet, cache *mbuf.Cache) (got Received) {
	avail := int(r.ready(uint32(min(len(dst), int(r.size)))))
	if r.skipping {
		if avail = r.skip(avail, dst, posted, cache, &got); r.skipping {
			return got
		}
	}
	end := avail
	for end > 0 && r.desc(end-1).Meta&mbuf.FlagMore != 0 {
		end--
	}
	if end == 0 {
		if avail >= mbuf.MaxSegments { // and it goes on
			r.skipping = true
			got.Oversize++
			r.skip(avail, dst, posted, cache, &got)
		}
		return got
	}
	n := r.remove(dst, end, meta, posted)
	frames := dst[:n]
	run, longest := 0, 0
	for i := range frames {
		f := &frames[i]
		got.Bytes += uint64(f.Len)
		if run++; f.Meta&mbuf.FlagMore == 0 {
			got.Packets++
			longest = max(longest, run)
			run = 0
		}
	}
	got.Frames = n
	if n < end || longest > mbuf.MaxSegments {
		r.sift(dst, end, n, cache, &got)
	}
	r.publish(uint32(end))
	return got
}

// desc returns the descriptor i places from the next one.
func (r *RxRing) desc(i int) *mbuf.Frame {
	return &r.descs[(r.own+uint32(i))&(r.size-1)]
}

// remove takes the chunks of the next end descriptors out of posted and writes those
// that were there to dst.
func (r *RxRing) remove(dst []mbuf.Frame, end int, meta mbuf.Meta, posted *mbuf.FrameSet) int {
	run := r.descs[r.start():]
	if len(run) > end {
		run = run[:end]
	}
	n := posted.RemoveFrames(dst, run, meta, mbuf.FlagMore)
	if rest := end - len(run); rest > 0 {
		n += posted.RemoveFrames(dst[n:], r.descs[:rest], meta, mbuf.FlagMore)
	}
	return n
}

// skip takes what belongs to a packet that is too long off the ring, of the next
// avail descriptors, and returns how many are left. skipping ends with the packet.
func (r *RxRing) skip(avail int, scratch []mbuf.Frame, posted *mbuf.FrameSet, cache *mbuf.Cache, got *Received) (left int) {
	n := 0
	for n < avail && r.skipping {
		r.skipping = r.desc(n).Meta&mbuf.FlagMore != 0
		n++
	}
	if n > 0 {
		k := r.remove(scratch, n, 0, posted)
		cache.PutFrames(scratch[:k])
		got.Foreign += uint64(n - k)
		r.publish(uint32(n))
	}
	return avail - n
}

// sift goes through the next end descriptors once more, of which n were written to
// dst, in order, and keeps the packets that are whole and not too long.
func (r *RxRing) sift(dst []mbuf.Frame, end, n int, cache *mbuf.Cache, got *Received) {
	got.Frames, got.Packets, got.Bytes = 0, 0, 0
	j, first, length, whole, bytes := 0, 0, 0, true, uint64(0)
	for i := range end {
		d := r.desc(i)
		length++
		if j < n && dst[j].Addr == d.Addr && dst[j].Len == d.Len {
			bytes += uint64(d.Len)
			j++
		} else {
			got.Foreign++
			whole = false
		}
		if d.Meta&mbuf.FlagMore != 0 {
			continue
		}
		packet := dst[first:j]
		switch {
		case !whole:
			cache.PutFrames(packet)
		case length > mbuf.MaxSegments:
			got.Oversize++
			cache.PutFrames(packet)
		default:
			copy(dst[got.Frames:], packet)
			got.Frames += length
			got.Packets++
			got.Bytes += bytes
		}
		first, length, whole, bytes = j, 0, true, 0
	}
}

// SetMaxPacket sets the longest packet that PostPackets accepts, in bytes: the
// interface's MTU and its link header. There is no limit until then but that of
// its frames, and always that one.
func (r *TxRing) SetMaxPacket(n int) { r.maxPacket = uint64(max(0, n)) }

// SetMaxSegments sets the most frames of a packet that PostPackets accepts, in place of
// mbuf.MaxSegments.
func (r *TxRing) SetMaxSegments(n int) { r.segments = n }

// PostPackets is Post for packets of several frames: it puts src[:n], which are
// whole packets, into the ring. why tells why the packet that begins with src[n] was
// not taken. If it is BadLength or NotOurs, no frame of it has entered posted; which
// of them are the caller's to free is for the caller to find out.
func (r *TxRing) PostPackets(src []mbuf.Frame, posted *mbuf.FrameSet) (n, packets int, why Refusal) {
	for n < len(src) {
		packet := src[n : n+mbuf.FirstPacket(src[n:])]
		if !r.acceptable(packet) {
			why = BadLength
			break
		}
		if int(r.room(uint32(n+len(packet)))) < n+len(packet) {
			why = Full
			break
		}
		if !posted.AddPacket(packet) {
			why = NotOurs
			break
		}
		keep := mbuf.FlagMore | r.keep // of the first frame; clean options otherwise
		for _, f := range packet {
			r.descs[(r.own+uint32(n))&(r.size-1)] = mbuf.Frame{Addr: f.Addr, Len: f.Len, Meta: f.Meta & keep}
			keep = mbuf.FlagMore
			n++
		}
		packets++
	}
	if n > 0 {
		r.publish(uint32(n))
	}
	return n, packets, why
}

// acceptable reports whether the kernel and the interface take a packet of these
// frames: each is checked as Post does, since one that the kernel refuses costs the
// packet and leaves the rest of it to be sent as one of its own.
func (r *TxRing) acceptable(packet []mbuf.Frame) bool {
	if len(packet) > r.segments || packet[len(packet)-1].Meta&mbuf.FlagMore != 0 {
		return false
	}
	if r.keep != 0 && r.sound(packet) < len(packet) {
		return false
	}
	bytes := uint64(0)
	for i := range packet {
		if packet[i].Len-1 >= r.geo.lastLen(packet[i].Addr) {
			return false
		}
		bytes += uint64(packet[i].Len)
	}
	return bytes <= r.maxPacket
}

// CompletePackets is Complete for packets of several frames: it returns as well how
// many packets are complete with what it found. The kernel completes the frames of
// one in order.
func (r *CompRing) CompletePackets(cache *mbuf.Cache, posted *mbuf.FrameSet) (n, packets int, bytes uint64, foreign int) {
	avail := int(r.ready(r.size))
	if avail == 0 {
		return 0, 0, 0, 0
	}
	at := int(r.start())
	for left := avail; left > 0; {
		run := r.addrs[at:]
		run = run[:min(len(run), left, burstBuf)]
		if r.look != nil {
			r.look(run)
		}
		k, p, b := posted.RemovePackets(r.buf[:], run)
		cache.Put(r.buf[:k])
		n, packets, bytes = n+k, packets+p, bytes+b
		left -= len(run)
		at = (at + len(run)) & (int(r.size) - 1)
	}
	r.publish(uint32(avail))
	return n, packets, bytes, avail - n
}
