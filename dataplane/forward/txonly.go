package forward

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/packet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// UDP ports of generated frames, those of testpmd.
const (
	txOnlyPort               = 9 // discard, RFC 863
	flowSrcPort, flowDstPort = 1000, 1001
)

// txStage sends UDP datagrams that it makes, and drops what it receives, counted
// as sink: a port that is polled cannot be left to fill up.
type txStage struct {
	ports []txPort    // by output port
	cores [][]txPlace // by worker, by output port
	flows uint32
	limit int // the largest size in bytes
	// What of a frame differs from flow to flow: 32 bits of an address, here,
	// which in the first flow are this, and the checksums.
	at    int
	first uint32
	check int  // where the UDP checksum is
	v4    bool // there is a header checksum as well
}

// txPort is what is sent on a port. Only its pacer changes.
type txPort struct {
	pacer pacer
	kinds []txKind // as sizes
}

// txKind is a frame of one size, as the first flow has it, and what it takes to
// make that of another: 32 bits of an address, and the checksums that cover it.
type txKind struct {
	frame []byte
	// sum and header are the sums of the datagram and the IPv4 header without
	// the 32 bits and without their checksums.
	sum, header packet.Sum
}

// txPlace is where a worker is in the round of flows and sizes of a port. Every
// port has its own round, or with two ports in turn each would get every other
// size. It belongs to the worker.
type txPlace struct{ flow, size uint32 }

// placesPerLine are as many as fill a cache line, left free on both sides of a
// worker's: no two workers write to one line.
const placesPerLine = 128 / 8

func newTxOnly(c Config) (dataplane.Stage, error) {
	return newGenerator("txonly", c, generatorDefaults{
		src: "198.18.0.1", dst: "198.18.0.2", srcPort: txOnlyPort, dstPort: txOnlyPort, flows: 1, bySource: true,
	})
}

func newFlowGen(c Config) (dataplane.Stage, error) {
	return newGenerator("flowgen", c, generatorDefaults{
		src: "10.254.0.0", dst: "10.253.0.0", srcPort: flowSrcPort, dstPort: flowDstPort, flows: 1024,
	})
}

// generatorDefaults is what the two modes differ in.
type generatorDefaults struct {
	src, dst         string
	srcPort, dstPort uint16
	flows            int
	bySource         bool // flows differ in the source address
}

func newGenerator(mode string, c Config, d generatorDefaults) (dataplane.Stage, error) {
	sizes, err := c.Options.sizes()
	if err != nil {
		return nil, fmt.Errorf("forward: mode %s: %w", mode, err)
	}
	s := &txStage{
		ports: make([]txPort, len(c.Out)), cores: make([][]txPlace, c.workers()),
		flows: uint32(d.flows), limit: slices.Max(sizes),
	}
	for i := range s.cores {
		s.cores[i] = make([]txPlace, len(c.Out)+2*placesPerLine)[placesPerLine:][:len(c.Out)]
	}
	if c.Options.TxFlows > 0 {
		s.flows = uint32(c.Options.TxFlows)
	}
	src, dst := c.Options.addresses(netip.MustParseAddr(d.src), netip.MustParseAddr(d.dst))
	// The last 32 bits of the source address, or of the destination behind it.
	l4 := packet.EthernetLen + packet.IPv4Len
	if s.v4 = src.Is4(); !s.v4 {
		l4 = packet.EthernetLen + packet.IPv6Len
	}
	s.check, s.at = l4+6, l4-4
	if d.bySource {
		s.at -= src.BitLen() / 8
	}
	for i := range s.ports {
		e := packet.Ends{SrcIP: src, DstIP: dst}
		if e.Src, err = c.own(mode, i); err != nil {
			return nil, err
		}
		if e.Dst, err = c.peer(i); err != nil {
			return nil, err
		}
		if i < len(c.MTUs) && s.limit > c.MTUs[i]+packet.EthernetLen {
			return nil, fmt.Errorf("forward: mode %s: %w", mode, &OptionError{"tx-size", fmt.Sprint(s.limit),
				fmt.Sprintf("at most %d, which port %d with its MTU of %d can send", c.MTUs[i]+packet.EthernetLen, i, c.MTUs[i])})
		}
		p := &s.ports[i]
		p.pacer.rate = c.Options.TxRate
		for _, size := range sizes {
			k, err := s.kind(e, d, size)
			if err != nil {
				return nil, fmt.Errorf("forward: mode %s: %w", mode, err)
			}
			p.kinds = append(p.kinds, k)
		}
	}
	return s, nil
}

// kind makes the frame of a size.
func (s *txStage) kind(e packet.Ends, d generatorDefaults, size int) (txKind, error) {
	k := txKind{frame: make([]byte, size)}
	head := s.check + 2
	if size < head {
		return k, &OptionError{"tx-size", fmt.Sprint(size), fmt.Sprintf("at least %d, the headers of such a frame", head)}
	}
	data := make([]byte, size-head)
	for i := range data {
		data[i] = byte(i)
	}
	packet.PutUDP(k.frame, e, d.srcPort, d.dstPort, data)
	s.first = binary.BigEndian.Uint32(k.frame[s.at:])
	// The sums without what changes: the same, with those bytes zero.
	b := append([]byte(nil), k.frame...)
	clear(b[s.at : s.at+4])
	binary.BigEndian.PutUint16(b[s.check:], 0)
	l := packet.Parse(b)
	k.sum = pseudo(b, &l, size-int(l.L4)).Add(b[l.L4:])
	if s.v4 {
		packet.IPv4At(b[l.L3:]).SetChecksum(0)
		k.header = packet.Sum(0).Add(b[l.L3:l.L4])
	}
	return k, nil
}

// Process implements dataplane.Stage.
func (s *txStage) Process(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
	w.DropBurst(pmd.ReasonSink, burst)
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*txStage) MultiBuffer() {}

// Generate implements dataplane.Generator: a burst at most on each port of which
// the worker owns a queue.
func (s *txStage) Generate(w *dataplane.Worker) int {
	if w.ID() >= len(s.cores) {
		return 0
	}
	places, sent := s.cores[w.ID()], 0
	for i := range s.ports {
		out, p := dataplane.PortID(i), &s.ports[i]
		if !w.Owns(out) {
			continue
		}
		n := p.pacer.claim(w.Clock(), w.Now(), dataplane.DefaultBurst)
		if n == 0 {
			continue
		}
		frames := w.Make(out, n, s.limit)
		if len(frames) > 0 {
			s.fill(w.Mem(frames[0]), p, &places[i], frames)
		}
		took := w.Emit(out, frames)
		p.pacer.giveBack(n - took)
		sent += took
	}
	return sent
}

// fill writes frames: each the next size and the next flow.
func (s *txStage) fill(mem mbuf.Mem, p *txPort, place *txPlace, frames []mbuf.Frame) {
	flow, size := place.flow, place.size
	for i := range frames {
		if size >= uint32(len(p.kinds)) {
			size = 0
		}
		k := &p.kinds[size]
		size++
		f := &frames[i]
		f.Len = uint32(len(k.frame))
		b := mem.Bytes(*f)
		copy(b, k.frame)
		if s.flows > 1 {
			s.vary(b, k, flow)
			if flow++; flow >= s.flows {
				flow = 0
			}
		}
	}
	place.flow, place.size = flow, size
}

// vary makes the frame one of another flow.
func (s *txStage) vary(b []byte, k *txKind, flow uint32) {
	address := s.first + flow
	binary.BigEndian.PutUint32(b[s.at:], address)
	binary.BigEndian.PutUint16(b[s.check:], packet.TransmittedUDP(k.sum.Add32(address).Checksum()))
	if s.v4 {
		binary.BigEndian.PutUint16(b[packet.EthernetLen+10:], k.header.Add32(address).Checksum())
	}
}
