package forward

import (
	"fmt"
	"math/bits"
	"time"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"

	xcpu "golang.org/x/sys/cpu"
)

// noisyStage forwards like io and behaves like a network function with work to
// do: for each packet it reads and writes memory at random, and it holds frames
// back, first in first out. Nothing is changed.
type noisyStage struct {
	out                  table
	depth                int // of the buffer, 0: none
	flush                time.Duration
	reads, writes, pairs int
	cores                []noisyCore // by worker
}

var (
	_ dataplane.FrameHolder = (*noisyStage)(nil)
	_ dataplane.Generator   = (*noisyStage)(nil)
)

// noisyCore is one core's buffer and memory. It belongs to one worker.
type noisyCore struct {
	_ xcpu.CacheLinePad
	// ring holds n frames from head on; its size is a power of two.
	ring    []mbuf.Frame
	head, n int
	// last is when frames last left, or when the buffer was last empty, by the
	// worker's clock.
	last     uint64
	flushing bool
	random   uint64
	mem      []byte
	sink     byte // what was read, so that it is
	// bounce takes a packet whose frames are at both ends of the ring.
	bounce [mbuf.MaxSegments]mbuf.Frame
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*noisyStage) MultiBuffer() {}

func newNoisy(c Config) (dataplane.Stage, error) {
	o := c.Options
	s := &noisyStage{
		out: c.Out, depth: o.NoisyBuffer, flush: time.Duration(o.NoisyFlush) * time.Millisecond,
		reads: o.NoisyReads, writes: o.NoisyWrites, pairs: o.NoisyReadsWrites, cores: make([]noisyCore, c.workers()),
	}
	if most := c.Frames / 2 / len(s.cores); s.depth > most {
		// Half stays for the rings of the ports and what is on its way.
		return nil, fmt.Errorf("forward: mode noisy: %w", &OptionError{"noisy-tx-sw-buffer-size", fmt.Sprint(s.depth),
			fmt.Sprintf("0 to %d: half of %d frames for %d cores; or more --frames", most, c.Frames, len(s.cores))})
	}
	size := o.NoisyMemory << 20
	if size == 0 && s.reads+s.writes+s.pairs > 0 {
		size = 1 << 20
	}
	for i := range s.cores {
		core := &s.cores[i]
		core.random = uint64(i)*0x9e3779b97f4a7c15 + 1 // any but zero
		core.mem = make([]byte, size)
		for p := 0; p < size; p += 4096 {
			core.mem[p] = 1 // the page is there before the first packet
		}
		if s.depth > 0 {
			core.ring = make([]mbuf.Frame, 1<<bits.Len(uint(s.depth-1)))
		}
	}
	return s, nil
}

// Process implements dataplane.Stage.
func (s *noisyStage) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	if w.ID() >= len(s.cores) {
		w.SendBurst(s.out.to(in), burst)
		return
	}
	core := &s.cores[w.ID()]
	if s.reads+s.writes+s.pairs > 0 {
		s.touch(core, len(burst))
	}
	if s.depth == 0 {
		w.SendBurst(s.out.to(in), burst)
		return
	}
	if core.n == 0 {
		core.last = w.Now()
	}
	if over := core.n + len(burst) - s.depth; over > 0 {
		s.send(w, core, min(over, core.n), (*dataplane.Worker).SendBurst)
		if direct := len(burst) - s.depth; direct > 0 {
			for direct < len(burst) && burst[direct-1].Meta&mbuf.FlagMore != 0 {
				direct++
			}
			w.SendBurst(s.out.to(in), burst[:direct])
			burst = burst[direct:]
		}
		core.last = w.Now()
	}
	for len(burst) > 0 {
		n := copy(core.ring[(core.head+core.n)&(len(core.ring)-1):], burst)
		core.n += n
		burst = burst[n:]
	}
}

// Generate implements dataplane.Generator: it sends what has waited for too long,
// a burst a turn.
func (s *noisyStage) Generate(w *dataplane.Worker) int {
	if s.flush == 0 || w.ID() >= len(s.cores) {
		return 0
	}
	core := &s.cores[w.ID()]
	if core.n == 0 {
		core.flushing = false
		return 0
	}
	if !core.flushing && w.Clock().Duration(w.Now()-core.last) < s.flush {
		return 0
	}
	core.flushing = true
	core.last = w.Now()
	n := min(core.n, dataplane.DefaultBurst)
	s.send(w, core, n, (*dataplane.Worker).SendBurst)
	return n
}

// send sends the n frames that have waited longest, and what else is of their packets,
// each to where its input port is connected.
func (s *noisyStage) send(w *dataplane.Worker, core *noisyCore, n int, burst func(*dataplane.Worker, dataplane.PortID, []mbuf.Frame)) {
	for n > 0 && n < core.n && core.at(n-1).Meta&mbuf.FlagMore != 0 {
		n++
	}
	for n > 0 {
		run := core.ring[core.head:min(core.head+n, len(core.ring))]
		in := run[0].Meta.Port()
		k := 1
		for k < len(run) && run[k].Meta.Port() == in {
			k++
		}
		part := core.whole(run[:k])
		core.head = (core.head + len(part)) & (len(core.ring) - 1)
		core.n -= len(part)
		n -= len(part)
		burst(w, s.out.to(dataplane.PortID(in)), part)
	}
}

// at returns the frame that has waited longest but for i others.
func (core *noisyCore) at(i int) *mbuf.Frame { return &core.ring[(core.head+i)&(len(core.ring)-1)] }

// whole returns the packets of a part of the ring, from its head on, without one that
// goes on at the ring's beginning; if there is only that, all of it.
func (core *noisyCore) whole(part []mbuf.Frame) []mbuf.Frame {
	k := len(part)
	for k > 0 && part[k-1].Meta&mbuf.FlagMore != 0 {
		k--
	}
	if k > 0 {
		return part[:k]
	}
	for k < min(core.n, len(core.bounce)) {
		core.bounce[k] = *core.at(k)
		if k++; core.bounce[k-1].Meta&mbuf.FlagMore == 0 {
			break
		}
	}
	return core.bounce[:k]
}

// touch accesses the memory for so many packets.
func (s *noisyStage) touch(core *noisyCore, packets int) {
	mem, x, sum := core.mem, core.random, core.sink
	size := uint64(len(mem))
	next := func() uint64 { // xorshift64, and the upper bits of a product for a place
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		i, _ := bits.Mul64(x, size)
		return i
	}
	for range packets {
		for range s.writes {
			mem[next()] = byte(x)
		}
		for range s.reads {
			sum += mem[next()]
		}
		for range s.pairs {
			sum += mem[next()]
			mem[next()] = byte(x)
		}
	}
	core.random, core.sink = x, sum
}

// Walk implements dataplane.FrameHolder.
func (s *noisyStage) Walk(w *dataplane.Worker, l *mbuf.Ledger) {
	if w.ID() < len(s.cores) {
		core := &s.cores[w.ID()]
		end := core.head + core.n
		l.Frames(mbuf.OwnerBurst, core.ring[core.head:min(end, len(core.ring))])
		l.Frames(mbuf.OwnerBurst, core.ring[:max(0, end-len(core.ring))])
	}
}

// Held implements dataplane.FrameHolder.
func (s *noisyStage) Held(w *dataplane.Worker) int {
	if w.ID() >= len(s.cores) {
		return 0
	}
	core := &s.cores[w.ID()]
	n := core.n
	if w.MultiBuffer() {
		for i := range core.n {
			n -= int(core.at(i).Meta & mbuf.FlagMore)
		}
	}
	return n
}

// Release implements dataplane.FrameHolder: it sends what is held, and waits for
// room where there is none.
func (s *noisyStage) Release(w *dataplane.Worker) {
	if w.ID() < len(s.cores) {
		core := &s.cores[w.ID()]
		s.send(w, core, core.n, (*dataplane.Worker).SendWaiting)
	}
}
