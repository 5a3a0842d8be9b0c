package mbuf

import "encoding/binary"

// MetaLen is the length of what may stand in front of a packet, in bytes: what the NIC
// told of one that was received, or what it is asked to do with one that is sent. It is
// within the KernelHeadroom.
const MetaLen = 24

// RxMeta is what NIC and kernel told of a received packet.
type RxMeta struct {
	// Timestamp is when it came, in nanoseconds of the NIC's clock. Valid if
	// Has(RxTimestamp).
	Timestamp uint64
	// Hash is what the NIC spread the packet by, and HashType which headers are in it
	// (enum xdp_rss_hash_type, include/net/xdp.h). Valid if Has(RxHash).
	Hash, HashType uint32
	// VLANProto is the EtherType of a tag that was taken out of the packet, 0x8100 or
	// 0x88a8, and VLANTCI the tag: priority, DEI and VLAN. Valid if Has(RxVLAN).
	VLANProto, VLANTCI uint16

	has uint32
}

// RxMetaBits says which fields of an RxMeta are there.
type RxMetaBits uint32

// Bits of RxMeta.
const (
	RxTimestamp RxMetaBits = 1 << iota
	RxHash
	RxVLAN
)

// Has reports whether the fields of these bits are there: the NIC may know one of one
// packet and not of the next.
func (m RxMeta) Has(bits RxMetaBits) bool { return m.has&uint32(bits) == uint32(bits) }

// Layout of an RxMeta in front of a packet, in the machine's byte order but for the
// EtherType. It is ours: the driver's XDP program writes it.
const (
	RxMetaTimestampAt = 0
	RxMetaHashAt      = 8 // and the type behind it
	RxMetaVLANAt      = 16
	RxMetaHasAt       = 20

	// RxMetaMagic is what RxMetaHasAt holds besides the bits: without it the program
	// could not write there, and what is there is of an earlier packet.
	RxMetaMagic = 0x706d_6400
	rxMetaMask  = 0xffff_ff00
)

// RxMeta returns what was told of the packet that begins with f. ok is false if nothing
// was: the port was not asked to (FlagRxMeta), or its driver could not. It is for the
// stage that got the packet, before f.Addr is moved.
func (m Mem) RxMeta(f Frame) (meta RxMeta, ok bool) {
	if f.Meta&FlagRxMeta == 0 || f.Addr < MetaLen || f.Addr > uint64(len(m)) {
		return RxMeta{}, false
	}
	b := (*[MetaLen]byte)(m[f.Addr-MetaLen:])
	has := binary.NativeEndian.Uint32(b[RxMetaHasAt:])
	if has&rxMetaMask != RxMetaMagic {
		return RxMeta{}, false
	}
	meta = RxMeta{
		Timestamp: binary.NativeEndian.Uint64(b[RxMetaTimestampAt:]),
		Hash:      binary.NativeEndian.Uint32(b[RxMetaHashAt:]),
		HashType:  binary.NativeEndian.Uint32(b[RxMetaHashAt+4:]),
		VLANProto: binary.BigEndian.Uint16(b[RxMetaVLANAt:]),
		VLANTCI:   binary.NativeEndian.Uint16(b[RxMetaVLANAt+2:]),
		has:       has &^ rxMetaMask,
	}
	if meta.Timestamp == 0 {
		meta.has &^= uint32(RxTimestamp) // a veth passes on that there was none
	}
	return meta, true
}

// What can be asked for (include/uapi/linux/if_xdp.h): XDP_TXMD_FLAGS_TIMESTAMP and
// XDP_TXMD_FLAGS_CHECKSUM, in the request's first word. Behind it is what a checksum
// needs, and when the packet is complete its time stamp in the same place.
const (
	txTimestamp = 1 << 0
	txChecksum  = 1 << 1

	txWordAt = 8
)

// RequestChecksum asks for the checksum of the packet that begins with f to be completed
// when it is sent: over all bytes from start on, into the two at start+offset, which hold
// the sum of the pseudo header (not inverted). It is for ports that complete checksums
// alone ([example.org/pmd/pmd.TxChecksummer]), and overwrites the MetaLen bytes in front of
// f, which must be there in its chunk; whoever moves f.Addr afterwards asks again. Where it
// cannot be done, as beyond the end of f, the packet is dropped as tx_invalid. The
// layout is struct xsk_tx_metadata (include/uapi/linux/if_xdp.h).
func (m Mem) RequestChecksum(f *Frame, start, offset uint16) {
	b := (*[MetaLen]byte)(m[f.Addr-MetaLen:])
	binary.NativeEndian.PutUint64(b[0:], txChecksum)
	binary.NativeEndian.PutUint16(b[txWordAt:], start)
	binary.NativeEndian.PutUint16(b[txWordAt+2:], offset)
	clear(b[txWordAt+4:])
	f.Meta |= FlagTxMeta
}

// RequestTimestamp asks for a time stamp of the packet that begins with f when it is sent,
// besides what was asked with RequestChecksum, which comes first if both are. It is for
// ports that were opened to tell of stamps, and has that call's rules.
func (m Mem) RequestTimestamp(f *Frame) {
	b := (*[MetaLen]byte)(m[f.Addr-MetaLen:])
	if f.Meta&FlagTxMeta == 0 {
		clear(b[:])
		f.Meta |= FlagTxMeta
	}
	binary.NativeEndian.PutUint64(b[0:], binary.NativeEndian.Uint64(b[0:])|txTimestamp)
}

// WantsTimestamp reports whether RequestTimestamp was called for the packet that begins
// with f.
func (m Mem) WantsTimestamp(f Frame) bool {
	return f.Meta&FlagTxMeta != 0 && binary.NativeEndian.Uint64(m[f.Addr-MetaLen:])&txTimestamp != 0
}

// TxTimestamp returns the stamp of a packet that began at addr, asked for one and is
// complete, in nanoseconds: 0 if it got none, as when the NIC had too many to stamp.
func (m Mem) TxTimestamp(addr uint64) uint64 {
	ns := binary.NativeEndian.Uint64(m[addr-MetaLen+txWordAt:])
	if ns>>32 == 0 {
		return 0 // what a checksum needed is still there, or nothing
	}
	return ns
}

// SoundRequest reports whether what the packet that begins with f asks for can be done. The
// kernel would not, and goes no further than such a packet.
func (m Mem) SoundRequest(f Frame) bool {
	if f.Addr < MetaLen || f.Addr > uint64(len(m)) {
		return false
	}
	b := (*[MetaLen]byte)(m[f.Addr-MetaLen:])
	what := binary.NativeEndian.Uint64(b[0:])
	if what&^(txTimestamp|txChecksum) != 0 {
		return false
	}
	end := uint32(binary.NativeEndian.Uint16(b[txWordAt:])) + uint32(binary.NativeEndian.Uint16(b[txWordAt+2:])) + 2
	return what&txChecksum == 0 || end <= f.Len
}

// CarryTxMeta has to, a copy of the packet that begins with f, ask for what that does.
// Both have MetaLen bytes in front of them in their chunks; to is of pool memory dst.
func (m Mem) CarryTxMeta(f Frame, dst Mem, to *Frame) {
	if f.Meta&FlagTxMeta != 0 {
		copy(dst[to.Addr-MetaLen:to.Addr], m[f.Addr-MetaLen:f.Addr])
		to.Meta |= FlagTxMeta
	}
}
