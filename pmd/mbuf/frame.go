package mbuf

// Frame is a handle for packet bytes in a pool's memory. It has the layout of
// the kernel's struct xdp_desc (include/uapi/linux/if_xdp.h), so a receive burst
// is a copy of ring entries. It is a value: whoever holds it last owns the bytes.
type Frame struct {
	// Addr is the offset of the packet's first byte from the start of its
	// pool's memory, in bytes.
	Addr uint64
	// Len is the number of packet bytes at Addr.
	Len uint32
	// Meta says which pool the frame is from and where it came in.
	Meta Meta
}

// Meta is the 32 bits of a frame that are ours: bits 0–7 flags, 8–23 input
// port, 24–31 pool.
type Meta uint32

// Flag bits of Meta. The kernel's own option bits keep their places, so that a
// received descriptor's options can be carried over.
const (
	// FlagMore marks a frame whose packet continues in the next frame of the
	// burst (XDP_PKT_CONTD, include/uapi/linux/if_xdp.h). Only frames of a pool
	// that is MultiBuffer have it.
	FlagMore Meta = 1 << 0
	// FlagTxMeta marks the first frame of a packet with a request to the NIC in front
	// of it (XDP_TX_METADATA, the same file): see Mem.RequestChecksum and
	// Mem.RequestTimestamp.
	FlagTxMeta Meta = 1 << 1
	// FlagRxMeta marks a frame of a port that was asked to tell more of what it
	// receives: see Mem.RxMeta.
	FlagRxMeta Meta = 1 << 2
)

// MaxSegments is the most frames that a packet may have. It is what the kernel
// sends in copy mode: a linear part and MAX_SKB_FRAGS others, 17 unless it was
// built for more (xsk_build_skb, net/xdp/xsk.c).
const MaxSegments = 18

const (
	portShift = 8
	poolShift = 24
)

// MaxPorts is the number of input ports Meta can tell apart.
const MaxPorts = 1 << (poolShift - portShift)

// MaxPools is the number of pools that a Space can hold and Meta can tell apart.
const MaxPools = 256

// MakeMeta returns the Meta of a frame of the pool with this id that came in on
// this port, with no flag set.
func MakeMeta(pool uint8, port uint16) Meta {
	return Meta(pool)<<poolShift | Meta(port)<<portShift
}

// Pool returns the id of the pool the frame is from.
func (m Meta) Pool() uint8 { return uint8(m >> poolShift) }

// Port returns the number of the port the frame came in on.
func (m Meta) Port() uint16 { return uint16(m >> portShift) }

// WithPort returns m with another input port.
func (m Meta) WithPort(port uint16) Meta {
	const mask = Meta(MaxPorts-1) << portShift
	return m&^mask | Meta(port)<<portShift
}

// Mem is a pool's memory as the packet path sees it.
type Mem []byte

// Bytes returns the packet bytes of f, and no room to append to. It panics if f
// does not lie inside the memory, which no driver's receive path lets happen.
func (m Mem) Bytes(f Frame) []byte {
	end := f.Addr + uint64(f.Len)
	return m[f.Addr:end:end]
}

// FirstPacket returns how many of the frames, which begin with a packet, are that
// packet: all of them if it does not end there, 0 if there are none.
func FirstPacket(frames []Frame) int {
	for i := range frames {
		if frames[i].Meta&FlagMore == 0 {
			return i + 1
		}
	}
	return len(frames)
}

// Packets returns how many packets end in these frames. A packet is told by its
// last frame, so parts of one that are counted apart make one.
func Packets(frames []Frame) int {
	n := len(frames)
	for i := range frames {
		n -= int(frames[i].Meta & FlagMore)
	}
	return n
}

// WholePackets returns the length of the longest piece of frames, from the first
// on, that has at most limit frames and ends where a packet does; if the first
// packet is longer than that, the length of that packet.
func WholePackets(frames []Frame, limit int) int {
	if len(frames) <= limit {
		return len(frames)
	}
	for n := limit; n > 0; n-- {
		if frames[n-1].Meta&FlagMore == 0 {
			return n
		}
	}
	return FirstPacket(frames)
}

// Sound reports whether frames are packets as they may be: each of at most
// MaxSegments frames, and the last one with its end.
func Sound(frames []Frame) bool {
	run := 0
	for i := range frames {
		run++
		if run > MaxSegments {
			return false
		}
		if frames[i].Meta&FlagMore == 0 {
			run = 0
		}
	}
	return run == 0
}
