package forward

import (
	"encoding/binary"
	"math/bits"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/packet"
	"example.org/pmd/pmd/mbuf"
)

// fiveSwap exchanges source and destination in every header it knows: Ethernet
// addresses, IP addresses, TCP and UDP ports. Checksums stay right, since a sum
// does not depend on the order of what is added.
type fiveSwap struct{ out table }

func newFiveSwap(c Config) (dataplane.Stage, error) { return &fiveSwap{c.Out}, nil }

// A plain frame is an IPv4 packet without tags and options that begins a TCP
// segment or UDP datagram. Two words read little-endian, bytes 12 to 19 and 20 to
// 27, tell it in one look each.
const (
	plainMask  = 0xff_ffff  // EtherType, version and header length
	plainWord  = 0x45_00_08 // IPv4, 4 and five words
	firstMask  = 0xff00_ff1f
	firstTCP   = packet.ProtocolTCP << 24 // and a fragment offset of 0
	firstUDP   = packet.ProtocolUDP << 24
	totalShift = 32 // of the total length in the first word

	offAddresses = packet.EthernetLen + 12
	offTransport = packet.EthernetLen + packet.IPv4Len
	portsLen     = 4
	plainLen     = offTransport + portsLen // as much of it as is looked at
)

// Process implements dataplane.Stage.
func (s *fiveSwap) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	mem := w.Mem(burst[0])
	short := 0
	if w.MultiBuffer() {
		burst = dropSplit(w, burst)
		for rest := burst; len(rest) > 0; rest = rest[mbuf.FirstPacket(rest):] {
			short += swapTuples(mem, rest[:1])
		}
	} else {
		short = swapTuples(mem, burst)
	}
	if short > 0 {
		burst = dropShort(w, burst)
	}
	w.SendBurst(s.out.to(in), burst)
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*fiveSwap) MultiBuffer() {}

// swapTuples exchanges what there is in frames that begin a packet, and returns how
// many are too short for an Ethernet header.
func swapTuples(mem mbuf.Mem, frames []mbuf.Frame) (short int) {
	for i := range frames {
		f := &frames[i]
		if f.Len < plainLen {
			short += swapOther(mem, f)
			continue
		}
		p := (*[plainLen]byte)(mem[f.Addr : f.Addr+plainLen])
		first := binary.LittleEndian.Uint64(p[12:20])
		second := binary.LittleEndian.Uint64(p[20:28]) & firstMask
		total := bits.ReverseBytes16(uint16(first >> totalShift))
		if first&plainMask != plainWord || second != firstUDP && second != firstTCP || total < packet.IPv4Len+portsLen {
			short += swapOther(mem, f)
			continue
		}
		swap((*[12]byte)(p[0:12]))
		addresses := binary.LittleEndian.Uint64(p[offAddresses:])
		ports := binary.LittleEndian.Uint32(p[offTransport:])
		binary.LittleEndian.PutUint64(p[offAddresses:], bits.RotateLeft64(addresses, 32))
		binary.LittleEndian.PutUint32(p[offTransport:], bits.RotateLeft32(ports, 16))
	}
	return short
}

// swapOther is swapTuples for one frame that is not plain. Its calls would make the
// loop keep what it works with on the stack.
//
//go:noinline
func swapOther(mem mbuf.Mem, f *mbuf.Frame) (short int) {
	if f.Len < packet.EthernetLen {
		return 1
	}
	swapSlowly(mem.Bytes(*f))
	return 0
}

// swapSlowly does it for any frame with a whole Ethernet header, as far as its
// headers are understood: IPv6, tags, options, fragments, and what is broken.
func swapSlowly(b []byte) {
	l := packet.Parse(b)
	packet.EthernetAt(b).SwapAddresses()
	if l.End == 0 {
		return // no IP, or no whole header
	}
	if ip := packet.IPv6At(b[l.L3:]); ip != nil && l.EtherType == packet.EtherTypeIPv6 {
		ip.SwapAddresses()
	} else if ip := packet.IPv4At(b[l.L3:]); ip != nil {
		ip.SwapAddresses()
	}
	if l.L4 == 0 || l.Protocol != packet.ProtocolTCP && l.Protocol != packet.ProtocolUDP {
		return
	}
	if ports := packet.PortsAt(b[l.L4:l.End]); ports != nil {
		ports.Swap()
	}
}
