package pmdtest

import (
	"sync"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// port is the owner of a queue, as a worker is. It belongs to one goroutine. It
// checks what must be true of every call, and counts for itself.
type port struct {
	s     *stand
	t     reporter
	q     pmd.Queue
	lock  *sync.Mutex
	local *mbuf.Local
	cache *mbuf.Cache
	meta  mbuf.Meta
	// What the calls returned.
	rxPackets, rxBytes uint64
	txPackets, txBytes uint64
	// Of these, frames that cannot be sent.
	txInvalid uint64
}

// reporter is what a port says failures to: the test, or on a goroutine of its
// own something that keeps them for the test.
type reporter interface {
	require.TestingT
	Helper()
}

// bind makes the caller the owner of queue i, whose frames will say port n.
func (s *stand) bind(i int, n uint16) *port {
	s.t.Helper()
	p := s.newPort(i, n)
	s.ports = append(s.ports, p)
	return p
}

// newPort is bind for checks with goroutines, which enter the ports themselves.
func (s *stand) newPort(i int, n uint16) *port {
	s.t.Helper()
	queues := s.setup.Device.Queues()
	require.Less(s.t, i, len(queues))
	q := queues[i]
	require.Same(s.t, s.pool, q.Pool(), "the queue must use the pool it was given")
	p := &port{s: s, t: s.t, q: q, lock: s.host.lock(q), local: mbuf.NewLocal(), meta: s.pool.Meta(n)}
	p.cache = p.local.Add(s.pool)
	p.do(func() { q.Bind(pmd.Binding{Local: p.local, Port: n}) })
	return p
}

// unbind ends the ownership.
func (p *port) unbind() {
	p.do(p.q.Unbind)
	p.local.Drain()
}

// do runs fn as the owner's.
func (p *port) do(fn func()) {
	p.lock.Lock()
	defer p.lock.Unlock()
	fn()
}

// rx receives one burst into dst.
func (p *port) rx(dst []mbuf.Frame) int {
	p.lock.Lock()
	n := p.q.RxBurst(dst)
	p.lock.Unlock()
	t := p.t
	if n < 0 || n > len(dst) {
		t.Helper()
		require.Fail(t, "RxBurst", "returned %d of %d frames", n, len(dst))
	}
	for _, f := range dst[:n] {
		if !p.cache.Valid(f) || f.Meta&^mbuf.FlagMore != p.meta {
			t.Helper()
			require.Fail(t, "RxBurst", "returned a frame at %#x of %d bytes, pool %d, port %d; want one inside a chunk, pool %d, port %d",
				f.Addr, f.Len, f.Meta.Pool(), f.Meta.Port(), p.meta.Pool(), p.meta.Port())
		}
		p.rxBytes += uint64(f.Len)
	}
	p.rxPackets += uint64(n)
	return n
}

// tx sends one burst; the counters must have it at once.
func (p *port) tx(src []mbuf.Frame) int {
	p.lock.Lock()
	n := p.q.TxBurst(src)
	c := p.q.Counters()
	p.lock.Unlock()
	t := p.t
	if n < 0 || n > len(src) {
		t.Helper()
		require.Fail(t, "TxBurst", "took %d of %d frames", n, len(src))
	}
	for _, f := range src[:n] {
		if p.cache.Valid(f) {
			p.txBytes += uint64(f.Len)
		} else {
			p.txInvalid++
		}
	}
	p.txPackets += uint64(n)
	if got := c.TxPackets + c.InFlight + drops(c); got != p.txPackets {
		t.Helper()
		require.Fail(t, "statistics", "after TxBurst: sent %d + in flight %d + dropped %d = %d, want the %d frames taken",
			c.TxPackets, c.InFlight, drops(c), got, p.txPackets)
	}
	return n
}

// drops returns the sum over all reasons.
func drops(c pmd.QueueCounters) uint64 {
	var sum uint64
	for _, n := range c.Drops {
		sum += n
	}
	return sum
}

// settle does what a worker does at the end of a turn.
func (p *port) settle() {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.q.Flush()
	if n := p.q.Reclaim(); n < 0 {
		require.Fail(p.t, "Reclaim", "returned %d", n)
	}
}

// counters returns the queue's totals.
func (p *port) counters() (c pmd.QueueCounters) {
	p.do(func() { c = p.q.Counters() })
	return c
}

// packets takes frames from the pool and writes the next test packets into them.
func (p *port) packets(n int) []mbuf.Frame {
	p.t.Helper()
	s := p.s
	frames := make([]mbuf.Frame, n)
	got := p.cache.TakeFrames(frames, uint32(s.pool.DataOffset()), minPacket, p.meta)
	require.Equal(p.t, n, got, "the pool has too few frames: make Harness.Pool larger")
	for i := range frames {
		frames[i].Len = uint32(sizeOf(s.seq, s.maxFrame()))
		fill(p.local.Bytes(frames[i]), s.seq, s.mac)
		s.seq++
	}
	return frames
}

// send sends all of the frames and waits until none is in flight.
func (p *port) send(frames []mbuf.Frame) {
	p.s.t.Helper()
	p.s.eventually("room for frames to send", func() bool {
		frames = frames[p.tx(frames):]
		p.settle()
		return len(frames) == 0
	})
	p.flushed()
}

// flushed waits until no frame is in flight.
func (p *port) flushed() {
	p.s.t.Helper()
	p.s.eventually("transmission of all frames", func() bool {
		p.settle()
		return p.counters().InFlight == 0
	})
}

// receives reports whether the device can be made to receive.
func (s *stand) receives() bool { return s.h.Source || s.setup.Inject != nil }

// receive makes n packets arrive and returns their frames, which are the
// caller's. From devices that lose some it may return fewer, but at least one.
func (p *port) receive(n int) []mbuf.Frame {
	s := p.s
	s.t.Helper()
	var in [][]byte
	first := s.seq
	if s.setup.Inject != nil {
		for range n {
			in = append(in, packet(s.seq, sizeOf(s.seq, s.maxFrame()), s.mac))
			s.seq++
		}
	}
	var got []mbuf.Frame
	last := -1
	dst := make([]mbuf.Frame, burst)
	poll := func() bool {
		if len(in) > 0 {
			in = in[s.setup.Inject(in):]
		}
		for _, f := range dst[:p.rx(dst[:min(burst, n-len(got))])] {
			if s.setup.Inject == nil {
				got = append(got, f)
				continue
			}
			seq, whole, ours := parse(p.local.Bytes(f))
			if !ours || seq-first >= uint32(n) {
				p.local.Free([]mbuf.Frame{f}) // somebody else's, or from before
				continue
			}
			require.True(s.t, whole, "packet %d of %d bytes was changed on its way in", seq, f.Len)
			require.Equal(s.t, sizeOf(seq, s.maxFrame()), int(f.Len), "length of packet %d", seq)
			require.Greater(s.t, int(seq-first), last, "packet %d came twice, or after a later one", seq)
			last = int(seq - first)
			got = append(got, f)
		}
		p.settle()
		return len(got) == n
	}
	if s.h.Lossy {
		s.eventually("arrival of packets", func() bool { return poll() || len(in) == 0 && last >= 0 })
		return got
	}
	s.eventually("arrival of all packets", poll)
	return got
}
