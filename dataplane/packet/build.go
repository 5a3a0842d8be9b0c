package packet

import (
	"encoding/binary"
	"net/netip"
)

// defaultTTL is the time to live of packets that are made here: the recommended
// default (IANA, "IP Option Numbers", from RFC 1340).
const defaultTTL = 64

// dontFragment is the flag of RFC 791 in the field with the fragment offset.
const dontFragment = 0x4000

// Ends are the two ends of a packet, as its headers name them. The addresses are
// both IPv4, or both IPv6.
type Ends struct {
	Src, Dst     MAC
	SrcIP, DstIP netip.Addr
}

// headers returns the length of the Ethernet and IP headers, 0 if the addresses
// do not fit together.
func (e Ends) headers() int {
	switch {
	case e.SrcIP.Is4() && e.DstIP.Is4():
		return EthernetLen + IPv4Len
	case e.SrcIP.Is6() && e.DstIP.Is6():
		return EthernetLen + IPv6Len
	}
	return 0
}

// put writes the Ethernet and IP headers in front of payload bytes, and returns
// the sum of the pseudo header. b begins with as many zero bytes as the headers
// need.
func (e Ends) put(b []byte, protocol uint8, payload int) Sum {
	if e.SrcIP.Is6() {
		putEthernet(b, e.Dst, e.Src, EtherTypeIPv6)
		src, dst := e.SrcIP.As16(), e.DstIP.As16()
		putIPv6(b[EthernetLen:], src, dst, protocol, defaultTTL, payload)
		return PseudoIPv6(src, dst, protocol, uint32(payload))
	}
	putEthernet(b, e.Dst, e.Src, EtherTypeIPv4)
	src, dst := e.SrcIP.As4(), e.DstIP.As4()
	h := (*IPv4)(b[EthernetLen:])
	h[0] = 4<<4 | IPv4Len/4
	h.SetTotalLen(IPv4Len + payload)
	binary.BigEndian.PutUint16(h[6:8], dontFragment)
	h.SetTTL(defaultTTL)
	h[9] = protocol
	h.SetSource(src)
	h.SetDestination(dst)
	h.SetChecksum(Checksum(h[:]))
	return PseudoIPv4(src, dst, protocol, uint16(payload))
}

// PutUDP writes a frame with a UDP datagram of this data and its right checksums.
// It returns the frame's length, which is below MinFrame if data is short, or 0.
func PutUDP(b []byte, e Ends, srcPort, dstPort uint16, data []byte) int {
	head := e.headers()
	n := UDPLen + len(data)
	if head == 0 || len(b) < head+n || head-EthernetLen+n > 0xffff {
		return 0
	}
	b = b[:head+n]
	clear(b[:head+UDPLen])
	sum := e.put(b, ProtocolUDP, n)
	u := b[head:]
	binary.BigEndian.PutUint16(u[0:2], srcPort)
	binary.BigEndian.PutUint16(u[2:4], dstPort)
	binary.BigEndian.PutUint16(u[4:6], uint16(n))
	copy(u[UDPLen:], data)
	(*UDP)(u).SetChecksum(TransmittedUDP(sum.Add(u).Checksum()))
	return len(b)
}

// PutEchoRequest writes a frame with an echo request of ICMP or ICMPv6, as the
// addresses are. It returns the frame's length, which is below MinFrame if data is
// short, or 0.
func PutEchoRequest(b []byte, e Ends, id, seq uint16, data []byte) int {
	head := e.headers()
	n := ICMPLen + len(data)
	if head == 0 || len(b) < head+n || head-EthernetLen+n > 0xffff {
		return 0
	}
	b = b[:head+n]
	clear(b[:head+ICMPLen])
	m := b[head:]
	var sum Sum
	if e.SrcIP.Is6() {
		m[0] = ICMPv6EchoRequest
		sum = e.put(b, ProtocolICMPv6, n)
	} else {
		m[0] = ICMPEchoRequest
		e.put(b, ProtocolICMP, n) // ICMP has no pseudo header
	}
	binary.BigEndian.PutUint16(m[4:6], id)
	binary.BigEndian.PutUint16(m[6:8], seq)
	copy(m[ICMPLen:], data)
	(*ICMP)(m).SetChecksum(sum.Add(m).Checksum())
	return len(b)
}
