package forward

import (
	"net/netip"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/packet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// echoStage answers as if every address were its port's own: ARP and neighbour
// solicitations with the port's Ethernet address, echo requests of ICMP and
// ICMPv6. Answers leave on the port the question came in on. Everything else is
// dropped, counted as unanswered.
type echoStage struct {
	macs []packet.MAC // by port
}

func newICMPEcho(c Config) (dataplane.Stage, error) {
	s := &echoStage{}
	for i := range c.Out {
		mac, err := c.own("icmpecho", i)
		if err != nil {
			return nil, err
		}
		s.macs = append(s.macs, mac)
	}
	return s, nil
}

// Process implements dataplane.Stage.
func (s *echoStage) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	if int(in) >= len(s.macs) {
		w.DropBurst(pmd.ReasonUnanswered, burst) // a port added later: its address is not known
		return
	}
	mem, mac := w.Mem(burst[0]), s.macs[in]
	room := w.Local().Cache(burst[0].Meta.Pool()).Pool().FrameSize()
	keep := 0
	if w.MultiBuffer() {
		burst, keep = s.packets(w, burst, mac)
	}
	for _, f := range burst[keep:] {
		// Behind the packet is the rest of its frame; an answer may be longer
		// than what it answers.
		end := (f.Addr &^ uint64(room-1)) + uint64(room)
		n := answer(mem[f.Addr:end:end], int(f.Len), mac)
		if n == 0 {
			w.Drop(pmd.ReasonUnanswered, f)
			continue
		}
		f.Len = uint32(n)
		burst[keep] = f
		keep++
	}
	if keep > 0 {
		w.SendBurst(in, burst[:keep])
	}
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*echoStage) MultiBuffer() {}

// packets answers the packets of several frames of a burst, in one piece, and puts them
// to its front: keep frames. The others follow.
func (s *echoStage) packets(w *dataplane.Worker, burst []mbuf.Frame, mac packet.MAC) (rest []mbuf.Frame, keep int) {
	var single [pmd.MaxBurst]mbuf.Frame
	singles := 0
	for left := burst; len(left) > 0; {
		run := left[:mbuf.FirstPacket(left)]
		left = left[len(run):]
		if len(run) == 1 {
			single[singles] = run[0]
			singles++
			continue
		}
		b := w.Gather(run)
		if answer(b, len(b), mac) != len(b) {
			w.DropBurst(pmd.ReasonUnanswered, run)
			continue
		}
		w.Scatter(run, b)
		keep += copy(burst[keep:], run)
	}
	return burst[:keep+copy(burst[keep:], single[:singles])], keep
}

// answer turns the first n bytes of b, a frame, into the answer and returns its
// length, or 0 if there is none. It may use all of b.
func answer(b []byte, n int, mac packet.MAC) int {
	frame := b[:n:n]
	l := packet.Parse(frame)
	if l.L3 == 0 || packet.EthernetAt(frame).Source().IsMulticast() {
		return 0 // nobody has a group's address (IEEE 802.3, 3.2.3)
	}
	switch {
	case l.EtherType == packet.EtherTypeARP:
		arp := packet.ARPAt(frame[l.L3:])
		if arp == nil || arp.Operation() != packet.ARPRequest || arp.SenderIP() == arp.TargetIP() {
			return 0 // an announcement asks nothing
		}
		arp.Answer(mac)
		back(frame, mac)
		return n
	case l.Fault != packet.FaultNone || l.L4 == 0 || l.Fragment || l.Routed:
		return 0
	case l.EtherType == packet.EtherTypeIPv4 && l.Protocol == packet.ProtocolICMP:
		return answerEcho(frame, &l, mac)
	case l.EtherType == packet.EtherTypeIPv6 && l.Protocol == packet.ProtocolICMPv6:
		return answerV6(b, frame, &l, mac)
	}
	return 0
}

// back sends a frame to where it came from.
func back(frame []byte, mac packet.MAC) {
	eth := packet.EthernetAt(frame)
	eth.SetDestination(eth.Source())
	eth.SetSource(mac)
}

// answerEcho answers an echo request of ICMP, if its checksums are right.
func answerEcho(frame []byte, l *packet.Layers, mac packet.MAC) int {
	ip, icmp := packet.IPv4At(frame[l.L3:]), packet.ICMPAt(frame[l.L4:l.End])
	if ip == nil || icmp == nil || icmp.Type() != packet.ICMPEchoRequest || icmp.Code() != 0 ||
		packet.Checksum(frame[l.L3:l.L4]) != 0 || packet.Checksum(frame[l.L4:l.End]) != 0 {
		return 0
	}
	src, dst := ip.Source(), ip.Destination()
	if src[0] >= 224 || src == [4]byte{} || dst[0] >= 224 {
		return 0 // no answer to or from a group (RFC 1122, section 3.2.2.6)
	}
	icmp.SetType(packet.ICMPEchoReply)
	ip.SwapAddresses()
	back(frame, mac)
	return len(frame)
}

// answerV6 answers an echo request of ICMPv6 or a neighbour solicitation, if its
// checksum is right.
func answerV6(b, frame []byte, l *packet.Layers, mac packet.MAC) int {
	ip, icmp := packet.IPv6At(frame[l.L3:]), packet.ICMPAt(frame[l.L4:l.End])
	message := frame[l.L4:l.End]
	if ip == nil || icmp == nil || icmp.Code() != 0 || pseudo(frame, l, len(message)).Add(message).Fold() != 0xffff {
		return 0
	}
	src, dst := ip.Source(), ip.Destination()
	switch icmp.Type() {
	case packet.ICMPv6EchoRequest:
		if src[0] == 0xff || src == [16]byte{} || dst[0] == 0xff {
			return 0
		}
		icmp.SetType(packet.ICMPv6EchoReply)
		ip.SwapAddresses()
		back(frame, mac)
		return len(frame)
	case packet.ICMPv6Solicit:
		return answerSolicitation(b, frame, l, mac)
	}
	return 0
}

// answerSolicitation advertises the address that is asked for. A probe for
// duplicates is left alone: to answer it would take the address from who wants it.
func answerSolicitation(b, frame []byte, l *packet.Layers, mac packet.MAC) int {
	ip, ns := packet.IPv6At(frame[l.L3:]), packet.NeighbourAt(frame[l.L4:l.End])
	// RFC 4861, section 7.1.1: with another hop limit a router has passed it on.
	if ip == nil || ns == nil || ip.HopLimit() != 255 || ip.Source() == [16]byte{} || ns.Target()[0] == 0xff {
		return 0
	}
	// Written elsewhere first, since it says what is about to be overwritten.
	var made [128]byte
	target := netip.AddrFrom16(ns.Target())
	n := packet.PutNeighbourAdvertisement(made[:], mac, target, target, packet.EthernetAt(frame).Source(), netip.AddrFrom16(ip.Source()),
		packet.NDSolicited|packet.NDOverride)
	whole := int(l.L3) + n - packet.EthernetLen
	if n == 0 || whole > len(b) {
		return 0
	}
	back(frame, mac)
	copy(b[l.L3:], made[packet.EthernetLen:n]) // behind the tags, if there are any
	return whole
}
