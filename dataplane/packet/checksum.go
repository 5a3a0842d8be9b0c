package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sum is a ones' complement sum in the making (RFC 1071). The zero value is the
// sum of nothing. It is kept in 64 bits, and as little-endian words whatever the
// machine, so it is for Fold and Checksum to tell what it comes to.
type Sum uint64

// plus adds with an end-around carry.
func (s Sum) plus(x uint64) Sum {
	sum, carry := bits.Add64(uint64(s), x, 0)
	return Sum(sum + carry) // cannot overflow: a sum that carried is below 2^64-1
}

// Add returns the sum with the bytes of b added as 16-bit words of the wire. An
// odd last byte counts as if a zero followed, so only the last slice of several
// may be of odd length.
func (s Sum) Add(b []byte) Sum {
	sum := uint64(s)
	var carry uint64
	// Each of these is a load and an add with carry; the carry stays in its flag
	// within a step.
	for len(b) >= 64 {
		p := (*[64]byte)(b)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[0:8]), 0)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[8:16]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[16:24]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[24:32]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[32:40]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[40:48]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[48:56]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[56:64]), carry)
		sum += carry
		b = b[64:]
	}
	if len(b) >= 32 {
		p := (*[32]byte)(b)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[0:8]), 0)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[8:16]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[16:24]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[24:32]), carry)
		sum += carry
		b = b[32:]
	}
	if len(b) >= 16 {
		p := (*[16]byte)(b)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[0:8]), 0)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(p[8:16]), carry)
		sum += carry
		b = b[16:]
	}
	if len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum += carry
		b = b[8:]
	}
	// Up to seven bytes are left; together they are one word.
	var tail uint64
	var shift uint
	if len(b) >= 4 {
		tail, shift = uint64(binary.LittleEndian.Uint32(b)), 32
		b = b[4:]
	}
	if len(b) >= 2 {
		tail |= uint64(binary.LittleEndian.Uint16(b)) << (shift & 63)
		shift += 16
		b = b[2:]
	}
	if len(b) > 0 {
		tail |= uint64(b[0]) << (shift & 63)
	}
	return Sum(sum).plus(tail)
}

// Add16 returns the sum with a number added that is a 16-bit field of the wire.
func (s Sum) Add16(v uint16) Sum { return s.plus(uint64(bits.ReverseBytes16(v))) }

// Add32 returns the sum with a number added that is a 32-bit field of the wire.
func (s Sum) Add32(v uint32) Sum { return s.plus(uint64(bits.ReverseBytes32(v))) }

// Fold returns the sum in 16 bits. Of bytes that hold their right checksum it is
// 0xffff.
func (s Sum) Fold() uint16 {
	// Each step adds the upper half to the lower, with the carry around.
	x := uint64(s)
	x = x>>32 + x&0xffffffff
	x = x>>32 + x&0xffffffff
	x = x>>16 + x&0xffff
	x = x>>16 + x&0xffff
	x = x>>16 + x&0xffff
	return bits.ReverseBytes16(uint16(x))
}

// Checksum returns the complement of the sum, as checksum fields hold it.
func (s Sum) Checksum() uint16 { return ^s.Fold() }

// Checksum returns the Internet checksum of b.
func Checksum(b []byte) uint16 { return Sum(0).Add(b).Checksum() }

// PseudoIPv4 returns the sum of the pseudo header that TCP and UDP over IPv4 are
// summed with (RFC 9293, section 3.1; RFC 768). length is that of the transport
// header and what follows it, in bytes.
func PseudoIPv4(src, dst [4]byte, protocol uint8, length uint16) Sum {
	sum := uint64(binary.LittleEndian.Uint32(src[:])) + uint64(binary.LittleEndian.Uint32(dst[:])) +
		uint64(protocol)<<8 + uint64(bits.ReverseBytes16(length))
	return Sum(sum)
}

// PseudoIPv6 returns the sum of the pseudo header of RFC 8200, section 8.1.
// length is that of the upper-layer header and what follows it, in bytes.
func PseudoIPv6(src, dst [16]byte, protocol uint8, length uint32) Sum {
	return Sum(0).Add(src[:]).Add(dst[:]).Add32(length).Add32(uint32(protocol))
}

// Update16 returns what a checksum becomes when a 16-bit word that it covers
// changes (RFC 1624, equation 3).
func Update16(checksum, before, after uint16) uint16 {
	s := uint32(^checksum) + uint32(^before) + uint32(after)
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^uint16(s)
}

// Update32 is Update16 for a field of 32 bits, which must begin at an even
// distance from where the sum does.
func Update32(checksum uint16, before, after uint32) uint16 {
	s := uint64(^checksum) + uint64(^uint16(before>>16)) + uint64(^uint16(before)) +
		uint64(after>>16) + uint64(after&0xffff)
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^uint16(s)
}

// TransmittedUDP returns a UDP checksum as it is sent: 0 stands for none (RFC
// 768), so its other form takes its place.
func TransmittedUDP(checksum uint16) uint16 {
	if checksum == 0 {
		return 0xffff
	}
	return checksum
}
