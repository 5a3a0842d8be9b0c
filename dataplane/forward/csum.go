package forward

import (
	"encoding/binary"
	"math/bits"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/packet"
	"example.org/pmd/pmd/mbuf"
)

// csumStage checks the checksums of IPv4 headers, TCP segments and UDP datagrams,
// counts those that are wrong, and makes them right unless it is only to verify.
// It forwards everything.
type csumStage struct {
	out     table
	rewrite bool
	offload bool // to ports that complete checksums
}

func newCsum(c Config) (dataplane.Stage, error) {
	return &csumStage{out: c.Out, rewrite: c.Options.Csum != CsumVerify, offload: c.Options.Csum == CsumOffload}, nil
}

// tally is what was found in a burst.
type tally [dataplane.NumCounters]uint64

// Process implements dataplane.Stage.
func (s *csumStage) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	mem := w.Mem(burst[0])
	var found tally
	odd := 0
	switch {
	case s.offload && w.TxChecksums(s.out.to(in)):
		odd = s.handOver(w, burst, &found)
	case w.MultiBuffer():
		odd = s.packets(w, burst, &found)
	default:
		for i := range burst {
			if b := mem.Bytes(burst[i]); !right(b) {
				s.slowly(b, &found)
				odd++
			}
		}
	}
	if odd > 0 {
		for c, n := range found {
			w.Count(in, dataplane.Counter(c), n)
		}
	}
	w.SendBurst(s.out.to(in), burst)
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*csumStage) MultiBuffer() {}

// packets does it where packets may have several frames: those are looked at in one
// piece, and returns for how many it had to look closer.
func (s *csumStage) packets(w *dataplane.Worker, burst []mbuf.Frame, found *tally) (odd int) {
	for rest := burst; len(rest) > 0; {
		packet := rest[:mbuf.FirstPacket(rest)]
		rest = rest[len(packet):]
		b := w.Mem(packet[0]).Bytes(packet[0])
		if len(packet) > 1 {
			b = w.Gather(packet)
		}
		if right(b) {
			continue
		}
		odd++
		before := *found
		s.slowly(b, found)
		if len(packet) > 1 && s.rewrite && *found != before {
			w.Scatter(packet, b)
		}
	}
	return odd
}

// Where the checksum is in a transport header, in bytes (RFC 9293, section 3.1; RFC 768).
const (
	tcpChecksumAt = 16
	udpChecksumAt = 6
)

// handOver leaves the checksums of TCP segments and UDP datagrams to the output port, and
// checks the other packets, of which it returns the number.
func (s *csumStage) handOver(w *dataplane.Worker, burst []mbuf.Frame, found *tally) (odd int) {
	for rest := burst; len(rest) > 0; {
		packet := rest[:mbuf.FirstPacket(rest)]
		rest = rest[len(packet):]
		if len(packet) > 1 {
			odd += s.packets(w, packet, found)
			continue
		}
		f := &packet[0]
		mem := w.Mem(*f)
		b := mem.Bytes(*f)
		l := leave(b)
		if l.start == 0 {
			s.slowly(b, found)
			odd++
			continue
		}
		if l.v4 {
			before := *found
			if s.header(b[l.l3:], found); *found != before {
				odd++
			}
		}
		mem.RequestChecksum(f, l.start, l.offset)
	}
	return odd
}

// place is where a checksum goes that is left to others.
type place struct {
	start, offset, l3 uint16 // start is 0 if it is not
	v4                bool
}

// leave finds it, and puts the sum of the pseudo header there. Not left to others is
// what has bytes behind its IP packet: they are told where to begin, not where to end.
func leave(b []byte) (p place) {
	l := packet.Parse(b)
	if l.Fault != packet.FaultNone || l.L4 == 0 || l.Fragment || l.Routed || int(l.End) != len(b) || int(l.L4) > len(b) {
		return p
	}
	p = place{l3: l.L3, v4: l.EtherType == packet.EtherTypeIPv4}
	segment := b[l.L4:]
	switch l.Protocol {
	case packet.ProtocolTCP:
		t := packet.TCPAt(segment)
		if t == nil {
			return place{}
		}
		p.offset = tcpChecksumAt
		t.SetChecksum(pseudo(b, &l, len(segment)).Fold())
	case packet.ProtocolUDP:
		u := packet.UDPAt(segment)
		if u == nil || u.Len() != len(segment) || u.Checksum() == 0 && p.v4 {
			return place{}
		}
		p.offset = udpChecksumAt
		u.SetChecksum(pseudo(b, &l, len(segment)).Fold())
	default:
		return place{}
	}
	p.start = l.L4
	return p
}

const (
	// wholeMask is firstMask for packets that are no fragment at all: of that
	// field only "don't fragment" may be set.
	wholeMask = 0xff00_ffbf
	plainUDP  = offTransport + packet.UDPLen
	allOnes   = 0xffff
)

// right reports whether a frame is a whole IPv4 packet without tags and options,
// with a UDP datagram and nothing behind it, and both checksums are right. It is
// what a mode for checksums mostly sees; whatever else there is takes longer.
//
// It is a function of its own, though called for each frame: inlined, it would
// have too few registers.
//
//go:noinline
func right(b []byte) bool {
	if len(b) < plainUDP {
		return false
	}
	p := (*[plainUDP]byte)(b)
	first := binary.LittleEndian.Uint64(p[12:20])
	second := binary.LittleEndian.Uint64(p[20:28])
	udp := binary.LittleEndian.Uint64(p[offTransport:plainUDP]) // ports, length, checksum
	total := uint64(bits.ReverseBytes16(uint16(first >> totalShift)))
	length := uint64(bits.ReverseBytes16(uint16(udp >> 32)))
	if (first&plainMask^plainWord)|(second&wholeMask^firstUDP)|(total-packet.IPv4Len^length) != 0 ||
		length < packet.UDPLen || total > uint64(len(b))-packet.EthernetLen || udp>>48 == 0 {
		return false
	}
	// Words of 64 bits are added with their carries, which come round at the end.
	header, carry := bits.Add64(binary.LittleEndian.Uint64(p[14:22]), binary.LittleEndian.Uint64(p[22:30]), 0)
	header, carry = bits.Add64(header, uint64(binary.LittleEndian.Uint32(p[30:34])), carry)
	header, _ = bits.Add64(header, 0, carry)

	// The pseudo header has protocol and length in a word; two words of it are
	// the addresses.
	sum, carry := bits.Add64(binary.LittleEndian.Uint64(p[offAddresses:offTransport]), udp, 0)
	sum, carry = bits.Add64(sum, firstUDP>>16+udp>>32&0xffff, carry)
	rest := b[plainUDP : packet.EthernetLen+total]
	for len(rest) >= 16 {
		q := (*[16]byte)(rest)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(q[0:8]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(q[8:16]), carry)
		rest = rest[16:]
	}
	if len(rest) >= 8 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(rest), carry)
		rest = rest[8:]
	}
	// Up to seven bytes are left, the upper ones of the packet's last eight.
	end := packet.EthernetLen + total
	last := binary.LittleEndian.Uint64(b[end-8:end]) >> (64 - 8*uint(len(rest)))
	sum, carry = bits.Add64(sum, last, carry)
	sum, _ = bits.Add64(sum, 0, carry)

	// A ones' complement sum that is not zero is all ones exactly if it is a
	// multiple of that, which takes a multiplication to see.
	return header%allOnes == 0 && sum%allOnes == 0
}

// slowly checks any frame.
func (s *csumStage) slowly(b []byte, found *tally) {
	l := packet.Parse(b)
	if l.Fault != packet.FaultNone {
		found[dataplane.CounterUnchecked]++
	}
	if l.End == 0 {
		return
	}
	v4 := l.EtherType == packet.EtherTypeIPv4
	if v4 {
		s.header(b[l.L3:l.End], found)
	}
	// What is not all there cannot be summed.
	if l.Fault != packet.FaultNone || l.L4 == 0 || l.Fragment || l.Routed {
		return
	}
	segment := b[l.L4:l.End]
	switch l.Protocol {
	case packet.ProtocolTCP:
		if t := packet.TCPAt(segment); t == nil {
			found[dataplane.CounterUnchecked]++
		} else if pseudo(b, &l, len(segment)).Add(segment).Fold() != 0xffff {
			found[dataplane.CounterBadTCP]++
			if s.rewrite {
				t.SetChecksum(0)
				t.SetChecksum(pseudo(b, &l, len(segment)).Add(segment).Checksum())
			}
		}
	case packet.ProtocolUDP:
		u := packet.UDPAt(segment)
		if u == nil || u.Len() < packet.UDPLen || u.Len() > len(segment) {
			found[dataplane.CounterUnchecked]++
			return
		}
		segment = segment[:u.Len()]
		if u.Checksum() == 0 && v4 {
			return // the sender did without (RFC 768); over IPv6 it may not (RFC 8200, section 8.1)
		}
		if u.Checksum() == 0 || pseudo(b, &l, len(segment)).Add(segment).Fold() != 0xffff {
			found[dataplane.CounterBadUDP]++
			if s.rewrite {
				u.SetChecksum(0)
				u.SetChecksum(packet.TransmittedUDP(pseudo(b, &l, len(segment)).Add(segment).Checksum()))
			}
		}
	}
}

// header checks an IPv4 header, if its options are there.
func (s *csumStage) header(b []byte, found *tally) {
	h := packet.IPv4At(b)
	if h == nil || h.HeaderLen() > len(b) || packet.Checksum(b[:h.HeaderLen()]) == 0 {
		return
	}
	found[dataplane.CounterBadIPv4]++
	if s.rewrite {
		h.SetChecksum(0)
		h.SetChecksum(packet.Checksum(b[:h.HeaderLen()]))
	}
}

// pseudo returns the sum of the pseudo header of a packet with a transport
// header, and length bytes from there on.
func pseudo(b []byte, l *packet.Layers, length int) packet.Sum {
	if h := packet.IPv6At(b[l.L3:]); h != nil && l.EtherType == packet.EtherTypeIPv6 {
		return packet.PseudoIPv6(h.Source(), h.Destination(), l.Protocol, uint32(length))
	}
	h := packet.IPv4At(b[l.L3:])
	if h == nil {
		return 0 // not reached: Parse found the header
	}
	return packet.PseudoIPv4(h.Source(), h.Destination(), l.Protocol, uint16(length))
}
