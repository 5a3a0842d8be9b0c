package null

import (
	"encoding/binary"
	"net"
)

// Lengths of the headers in bytes, none with options.
const (
	etherLen = 14
	ipv4Len  = 20
	udpLen   = 8
)

const (
	srcPort = 49152 // the first of the dynamic ports, RFC 6335 section 6
	dstPort = 9     // discard, RFC 863
)

// udpFrame returns an Ethernet II frame of size bytes, at least MinSize, with an
// IPv4 and a UDP header whose checksums are right, and a counting payload.
func udpFrame(size int, src net.HardwareAddr) []byte {
	f := make([]byte, size)
	copy(f[0:], []byte{0x02, 0, 0, 0, 0, 0x01})
	copy(f[6:], src)
	binary.BigEndian.PutUint16(f[12:], 0x0800) // IPv4

	ip := f[etherLen:]
	ip[0] = 4<<4 | ipv4Len/4
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[6] = 0x40 // don't fragment
	ip[8] = 64   // time to live, the default of RFC 1700
	ip[9] = 17   // UDP
	// The block for benchmarks of network devices, 198.18.0.0/15 (RFC 6890).
	copy(ip[12:], []byte{198, 18, 0, 1})
	copy(ip[16:], []byte{198, 19, 0, 1})
	binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip[:ipv4Len]))

	udp := ip[ipv4Len:]
	binary.BigEndian.PutUint16(udp[0:], srcPort)
	binary.BigEndian.PutUint16(udp[2:], dstPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	for i := range udp[udpLen:] {
		udp[udpLen+i] = byte(i)
	}
	// The pseudo header of RFC 768: addresses, protocol, length.
	pseudo := sum(sum(uint16(ip[9]), ip[12:20]), udp[4:6])
	check := ^sum(pseudo, udp)
	if check == 0 {
		check = 0xffff // 0 would mean that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return f
}

// sum adds b to a ones' complement sum (RFC 1071). It need not be fast.
func sum(start uint16, b []byte) uint16 {
	s := uint32(start)
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 != 0 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
