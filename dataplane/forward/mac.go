package forward

import (
	"encoding/binary"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// macStage writes the output port's address as source and its peer's as
// destination.
type macStage struct {
	out table
	// headers are the first twelve bytes of frames, by output port, as the two
	// words they are written with.
	headers []header
}

type header struct {
	lo uint64
	hi uint32
}

func newMAC(c Config) (dataplane.Stage, error) {
	s := &macStage{out: c.Out}
	for i := range c.Out {
		own, err := c.own("mac", i)
		if err != nil {
			return nil, err
		}
		peer, err := c.peer(i)
		if err != nil {
			return nil, err
		}
		var h [12]byte
		copy(h[:6], peer[:])
		copy(h[6:], own[:])
		s.headers = append(s.headers, header{binary.LittleEndian.Uint64(h[:8]), binary.LittleEndian.Uint32(h[8:])})
	}
	return s, nil
}

// Process implements dataplane.Stage.
func (s *macStage) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	out := s.out.to(in)
	if int(out) >= len(s.headers) {
		// No port, or one whose address is not known: it may exist, but a frame
		// must not leave with addresses that are not the port's.
		w.DropBurst(pmd.ReasonNoPort, burst)
		return
	}
	h := s.headers[out]
	mem := w.Mem(burst[0])
	short := 0
	if w.MultiBuffer() {
		for rest := burst; len(rest) > 0; rest = rest[mbuf.FirstPacket(rest):] {
			short += h.writeTo(mem, rest[:1])
		}
	} else {
		short = h.writeTo(mem, burst)
	}
	if short > 0 {
		burst = dropShort(w, burst)
	}
	w.SendBurst(out, burst)
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*macStage) MultiBuffer() {}

// writeTo writes the addresses of frames that begin a packet, and returns how many are
// too short for that. For the directive see swapBurst.
//
//go:noinline
func (h header) writeTo(mem mbuf.Mem, frames []mbuf.Frame) (short int) {
	for i := range frames {
		f := &frames[i]
		if f.Len < ethLen {
			short++
			continue
		}
		p := (*[12]byte)(mem[f.Addr : f.Addr+12])
		binary.LittleEndian.PutUint64(p[0:8], h.lo)
		binary.LittleEndian.PutUint32(p[8:12], h.hi)
	}
	return short
}
