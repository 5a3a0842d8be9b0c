package forward

import (
	"encoding/binary"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// reasonShort is why frames without a whole Ethernet header are dropped.
const reasonShort = pmd.ReasonMalformed

// macSwap exchanges source and destination address.
type macSwap struct{ out table }

func newMACSwap(c Config) (dataplane.Stage, error) { return &macSwap{c.Out}, nil }

// Process implements dataplane.Stage.
func (s *macSwap) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	mem := w.Mem(burst[0])
	short := 0
	if w.MultiBuffer() {
		for rest := burst; len(rest) > 0; rest = rest[mbuf.FirstPacket(rest):] {
			short += swapBurst(mem, rest[:1])
		}
	} else {
		short = swapBurst(mem, burst)
	}
	if short > 0 {
		burst = dropShort(w, burst)
	}
	w.SendBurst(s.out.to(in), burst)
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*macSwap) MultiBuffer() {}

// swapBurst exchanges the addresses of frames that begin a packet, and returns how
// many are too short for that. Inlined into Process it would keep its addresses on
// the stack.
//
//go:noinline
func swapBurst(mem mbuf.Mem, frames []mbuf.Frame) (short int) {
	for i := range frames {
		f := &frames[i]
		if f.Len < ethLen {
			short++
			continue
		}
		swap((*[12]byte)(mem[f.Addr : f.Addr+12]))
	}
	return short
}

// swap rotates the twelve address bytes by six: two loads and two stores instead
// of three copies through a temporary.
func swap(h *[12]byte) {
	lo := binary.LittleEndian.Uint64(h[0:8])
	hi := binary.LittleEndian.Uint32(h[8:12])
	binary.LittleEndian.PutUint64(h[0:8], lo>>48|uint64(hi)<<16|lo<<48)
	binary.LittleEndian.PutUint32(h[8:12], uint32(lo>>16))
}
