package afpacket

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What lies before a frame in its slot: the header, then struct sockaddr_ll, each at
// a multiple of TPACKET_ALIGNMENT; and right before the frame struct virtio_net_hdr
// (net/packet/af_packet.c, tpacket_rcv).
const (
	align     = unix.TPACKET_ALIGNMENT
	header2   = (int(unsafe.Sizeof(unix.Tpacket2Hdr{})) + align - 1) / align * align
	header3   = (int(unsafe.Sizeof(unix.Tpacket3Hdr{})) + align - 1) / align * align
	pkttypeAt = 10 // of sll_pkttype in struct sockaddr_ll
	virtioLen = 10
	// overhead is no less than what precedes a frame, in bytes.
	overhead = header3 + unix.SizeofSockaddrLinklayer + 2*align + virtioLen
)

// received is where a received frame is in the ring, and what the kernel tells of it.
type received struct {
	at            int // of the first byte in the ring's memory
	len, snap     uint32
	status        uint32
	tci, tpid     uint16
	pkttypeOffset int
}

// rxRing is a receive ring: our side of the memory that the kernel writes. It
// belongs to the owner of its queue.
type rxRing struct {
	mem []byte
	// slot is the size in bytes of a frame's slot (v2) or of a block (v3), mask the
	// number of them less one, next the one to look at.
	slot, mask, next int
	v3               bool
	// Of the block in hand (v3): how many frames are left in it, and where the next is
	// in the ring's memory.
	left, at int
}

// ready returns how many frames can be taken now, at most most; with v3 no more than
// one block has.
func (r *rxRing) ready(most int) int {
	if r.v3 {
		return r.readyBlock(most)
	}
	n := 0
	for n < most && n <= r.mask {
		h := r.header2((r.next + n) & r.mask)
		// Pairs with the kernel's store of the status after the frame
		// (__packet_set_status).
		if atomic.LoadUint32(&h.Status)&unix.TP_STATUS_USER == 0 {
			break
		}
		n++
	}
	return n
}

func (r *rxRing) readyBlock(most int) int {
	for r.left == 0 {
		h := r.block(r.next)
		// Pairs with the kernel's store when it closes a block (prb_flush_block).
		if atomic.LoadUint32(&h.Block_status)&unix.TP_STATUS_USER == 0 {
			return 0
		}
		r.left = int(h.Num_pkts)
		r.at = r.next*r.slot + int(h.Offset_to_first_pkt)
		if r.left == 0 {
			r.release() // closed by its time with nothing in it
		}
	}
	return min(r.left, most)
}

// packet returns the next frame that ready has counted.
func (r *rxRing) packet() received {
	if r.v3 {
		h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&r.mem[r.at : r.at+header3][0]))
		return received{
			at: r.at + int(h.Mac), len: h.Len, snap: h.Snaplen, status: h.Status,
			tci: uint16(h.Hv1.Vlan_tci), tpid: h.Hv1.Vlan_tpid, pkttypeOffset: r.at + header3 + pkttypeAt,
		}
	}
	at := r.next * r.slot
	h := r.header2(r.next)
	return received{
		at: at + int(h.Mac), len: h.Len, snap: h.Snaplen, status: h.Status,
		tci: h.Vlan_tci, tpid: h.Vlan_tpid, pkttypeOffset: at + header2 + pkttypeAt,
	}
}

// advance gives the frame that packet returned back to the kernel; with v3 the block
// when its last frame is done.
func (r *rxRing) advance() {
	if !r.v3 {
		// Pairs with the kernel's load before it writes the slot again.
		atomic.StoreUint32(&r.header2(r.next).Status, unix.TP_STATUS_KERNEL)
		r.next = (r.next + 1) & r.mask
		return
	}
	r.left--
	if r.left == 0 {
		r.release()
		return
	}
	h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&r.mem[r.at : r.at+header3][0]))
	r.at += int(h.Next_offset)
}

// release gives the block back.
func (r *rxRing) release() {
	// Pairs with the kernel's load before it opens the block again.
	atomic.StoreUint32(&r.block(r.next).Block_status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) & r.mask
}

// header2 returns the header of slot i (v2).
func (r *rxRing) header2(i int) *unix.Tpacket2Hdr {
	at := i * r.slot
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(&r.mem[at : at+header2][0]))
}

// block returns the header of block i (v3): it follows version and offset in struct
// tpacket_block_desc.
func (r *rxRing) block(i int) *unix.TpacketHdrV1 {
	const skip = int(unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr))
	at := i*r.slot + skip
	return (*unix.TpacketHdrV1)(unsafe.Pointer(&r.mem[at : at+int(unsafe.Sizeof(unix.TpacketHdrV1{}))][0]))
}
