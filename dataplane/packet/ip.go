package packet

import "encoding/binary"

// Protocols of IP, as IANA assigns them, the extension headers of IPv6 included.
const (
	ProtocolHopByHop    = 0
	ProtocolICMP        = 1
	ProtocolTCP         = 6
	ProtocolUDP         = 17
	ProtocolRouting     = 43
	ProtocolFragment    = 44
	ProtocolESP         = 50
	ProtocolAH          = 51
	ProtocolICMPv6      = 58
	ProtocolNone        = 59
	ProtocolDestination = 60
	ProtocolSCTP        = 132
	ProtocolMobility    = 135
	ProtocolHIP         = 139
	ProtocolShim6       = 140
)

// IPv4 is the fixed part of an IPv4 header.
type IPv4 [IPv4Len]byte

// IPv4At returns the header that b begins with, nil if b is shorter than its
// fixed part. Its options may still lie beyond the end.
func IPv4At(b []byte) *IPv4 {
	if len(b) < IPv4Len {
		return nil
	}
	return (*IPv4)(b)
}

// Version returns the version, 4 if it is IPv4 at all.
func (h *IPv4) Version() uint8 { return h[0] >> 4 }

// HeaderLen returns the length with options in bytes, 0 to 60. Below 20 the
// header is faulty.
func (h *IPv4) HeaderLen() int { return int(h[0]&0x0f) * 4 }

// TotalLen returns the length of the packet with its header, in bytes.
func (h *IPv4) TotalLen() int { return int(binary.BigEndian.Uint16(h[2:4])) }

// SetTotalLen writes it.
func (h *IPv4) SetTotalLen(n int) { binary.BigEndian.PutUint16(h[2:4], uint16(n)) }

// ID returns the identification.
func (h *IPv4) ID() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// DontFragment and MoreFragments return the flags.
func (h *IPv4) DontFragment() bool { return h[6]&0x40 != 0 }

// MoreFragments reports whether fragments follow this one.
func (h *IPv4) MoreFragments() bool { return h[6]&0x20 != 0 }

// FragmentOffset returns where the payload belongs in the whole one, in bytes.
func (h *IPv4) FragmentOffset() int { return int(binary.BigEndian.Uint16(h[6:8])&0x1fff) * 8 }

// TTL returns the time to live.
func (h *IPv4) TTL() uint8 { return h[8] }

// SetTTL writes it. The checksum does not follow.
func (h *IPv4) SetTTL(n uint8) { h[8] = n }

// Protocol returns what follows the header.
func (h *IPv4) Protocol() uint8 { return h[9] }

// Checksum returns the checksum field.
func (h *IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[10:12]) }

// SetChecksum writes it.
func (h *IPv4) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[10:12], c) }

// Source returns the sender's address.
func (h *IPv4) Source() [4]byte { return [4]byte(h[12:16]) }

// SetSource writes it. No checksum follows.
func (h *IPv4) SetSource(a [4]byte) { *(*[4]byte)(h[12:16]) = a }

// Destination returns the receiver's address.
func (h *IPv4) Destination() [4]byte { return [4]byte(h[16:20]) }

// SetDestination writes it. No checksum follows.
func (h *IPv4) SetDestination(a [4]byte) { *(*[4]byte)(h[16:20]) = a }

// SwapAddresses exchanges source and destination. Every checksum stays right: a
// sum does not depend on the order of what is added.
func (h *IPv4) SwapAddresses() {
	x := binary.LittleEndian.Uint64(h[12:20])
	binary.LittleEndian.PutUint64(h[12:20], x>>32|x<<32)
}

// IPv6 is an IPv6 header, without extension headers.
type IPv6 [IPv6Len]byte

// IPv6At returns the header that b begins with, nil if b is shorter.
func IPv6At(b []byte) *IPv6 {
	if len(b) < IPv6Len {
		return nil
	}
	return (*IPv6)(b)
}

// Version returns the version, 6 if it is IPv6 at all.
func (h *IPv6) Version() uint8 { return h[0] >> 4 }

// TrafficClass returns the traffic class.
func (h *IPv6) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }

// FlowLabel returns the flow label, 20 bits.
func (h *IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(h[0:4]) & 0xfffff }

// PayloadLen returns the length of what follows this header, extension headers
// included, in bytes.
func (h *IPv6) PayloadLen() int { return int(binary.BigEndian.Uint16(h[4:6])) }

// SetPayloadLen writes it.
func (h *IPv6) SetPayloadLen(n int) { binary.BigEndian.PutUint16(h[4:6], uint16(n)) }

// NextHeader returns what follows: a transport protocol or an extension header.
func (h *IPv6) NextHeader() uint8 { return h[6] }

// HopLimit returns the hop limit.
func (h *IPv6) HopLimit() uint8 { return h[7] }

// SetHopLimit writes it.
func (h *IPv6) SetHopLimit(n uint8) { h[7] = n }

// Source returns the sender's address.
func (h *IPv6) Source() [16]byte { return [16]byte(h[8:24]) }

// SetSource writes it. No checksum follows.
func (h *IPv6) SetSource(a [16]byte) { *(*[16]byte)(h[8:24]) = a }

// Destination returns the receiver's address.
func (h *IPv6) Destination() [16]byte { return [16]byte(h[24:40]) }

// SetDestination writes it. No checksum follows.
func (h *IPv6) SetDestination(a [16]byte) { *(*[16]byte)(h[24:40]) = a }

// SwapAddresses exchanges source and destination; checksums stay right.
func (h *IPv6) SwapAddresses() {
	a, b := binary.LittleEndian.Uint64(h[8:16]), binary.LittleEndian.Uint64(h[16:24])
	c, d := binary.LittleEndian.Uint64(h[24:32]), binary.LittleEndian.Uint64(h[32:40])
	binary.LittleEndian.PutUint64(h[8:16], c)
	binary.LittleEndian.PutUint64(h[16:24], d)
	binary.LittleEndian.PutUint64(h[24:32], a)
	binary.LittleEndian.PutUint64(h[32:40], b)
}
