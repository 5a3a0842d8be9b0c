package pmdtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// checkWholePackets is about packets of several frames: bursts hold them whole, wherever
// they end; they are counted as one; and what cannot be sent is not sent in part.
func checkWholePackets(t testing.TB, h Harness) {
	if !h.Pool.MultiBuffer {
		return
	}
	s := newStand(t, h)
	p := s.bind(0, 5)
	long := s.pool.MaxLen() * 4
	if h.MaxPacket > 0 {
		long = h.MaxPacket
	}
	for round := range 6 {
		room := mbuf.MaxSegments + 7*round
		if s.setup.Inject != nil {
			p.receiveRuns(40, room, long)
		}
		s.collect()
		s.collected = s.collected[:0]
		var want []uint32
		for range 3 {
			want = append(want, p.sendRuns(17+round, long)...)
		}
		if s.setup.Collect != nil && !h.Lossy {
			s.eventually("all packets at the far side", func() bool { return len(s.collected) >= len(want) })
			require.Equal(t, want, s.collected, "packets that came out")
		}
	}
	// What has no end, a hole, or too many frames.
	before := p.counters()
	s.collected = s.collected[:0]
	hole := p.run(3*s.pool.MaxLen(), s.pool.MaxLen())
	hole[1].Len = 0
	many := p.run((mbuf.MaxSegments+1)*64, 64)
	endless := p.run(3*s.pool.MaxLen(), s.pool.MaxLen())
	endless[len(endless)-1].Meta |= mbuf.FlagMore
	good := s.seq
	var burst []mbuf.Frame
	for _, run := range [][]mbuf.Frame{hole, p.run(2*s.pool.MaxLen(), s.pool.MaxLen()), many, endless} {
		burst = append(burst, run...)
	}
	s.eventually("bad packets taken", func() bool {
		burst = burst[p.txRuns(burst):]
		p.settle()
		return len(burst) == 0
	})
	p.flushed()
	after := p.counters()
	// One without an end is none: it is told by its last frame.
	require.Equal(t, uint64(2), after.Drops[pmd.ReasonTxInvalid]-before.Drops[pmd.ReasonTxInvalid], "packets counted as %v", pmd.ReasonTxInvalid)
	if s.setup.Collect != nil && !h.Lossy {
		s.eventually("the good packet", func() bool { return len(s.collected) >= 1 })
		require.Equal(t, []uint32{good}, s.collected, "packets that came out beside bad ones")
	}
	s.finish()
}

// run makes the next test packet, of size bytes, in frames of at most part bytes.
func (p *port) run(size, part int) []mbuf.Frame {
	p.t.Helper()
	s := p.s
	frames := make([]mbuf.Frame, (size+part-1)/part)
	got := p.cache.TakeFrames(frames, uint32(s.pool.DataOffset()), uint32(part), p.meta|mbuf.FlagMore)
	require.Equal(p.t, len(frames), got, "the pool has too few frames: make Harness.Pool larger")
	b := packet(s.seq, size, s.mac)
	s.seq++
	for i := range frames {
		frames[i].Len = uint32(min(part, len(b)))
		b = b[copy(p.local.Bytes(frames[i]), b):]
	}
	frames[len(frames)-1].Meta = p.meta
	return frames
}

// sendRuns sends n packets of one frame and of several, in one go as far as that is
// possible, and returns their numbers.
func (p *port) sendRuns(n, long int) (seqs []uint32) {
	p.t.Helper()
	var frames []mbuf.Frame
	for range n {
		seqs = append(seqs, p.s.seq)
		frames = append(frames, p.run(sizeOf(p.s.seq, long), p.s.pool.MaxLen())...)
	}
	p.s.eventually("room for packets to send", func() bool {
		frames = frames[p.txRuns(frames):]
		p.settle()
		return len(frames) == 0
	})
	p.flushed()
	return seqs
}

// txRuns sends one burst; it may end nowhere but where a packet does, and the counters
// must have it at once, in packets.
func (p *port) txRuns(src []mbuf.Frame) int {
	p.t.Helper()
	p.lock.Lock()
	n := p.q.TxBurst(src)
	c := p.q.Counters()
	p.lock.Unlock()
	if n < 0 || n > len(src) || n > 0 && n < len(src) && src[n-1].Meta&mbuf.FlagMore != 0 {
		require.Fail(p.t, "TxBurst", "took %d of %d frames, which is not where a packet ends", n, len(src))
	}
	p.txPackets += uint64(mbuf.Packets(src[:n]))
	if got := c.TxPackets + c.InFlight + drops(c); got != p.txPackets {
		require.Fail(p.t, "statistics", "after TxBurst: sent %d + in flight %d + dropped %d = %d, want the %d packets taken",
			c.TxPackets, c.InFlight, drops(c), got, p.txPackets)
	}
	return n
}

// receiveRuns makes n packets arrive and takes them in bursts of room frames.
func (p *port) receiveRuns(n, room, long int) {
	p.t.Helper()
	s := p.s
	var in [][]byte
	first := s.seq
	for range n {
		in = append(in, packet(s.seq, sizeOf(s.seq, long), s.mac))
		s.seq++
	}
	before := p.counters()
	dst := make([]mbuf.Frame, room)
	got, others, bytes := 0, uint64(0), uint64(0)
	s.eventually("arrival of packets", func() bool {
		if len(in) > 0 {
			in = in[s.setup.Inject(in):]
		}
		p.lock.Lock()
		k := p.q.RxBurst(dst)
		p.lock.Unlock()
		require.LessOrEqual(p.t, k, room)
		require.True(p.t, mbuf.Sound(dst[:k]), "RxBurst returned a packet in part, or of more than %d frames", mbuf.MaxSegments)
		for rest := dst[:k]; len(rest) > 0; {
			run := rest[:mbuf.FirstPacket(rest)]
			rest = rest[len(run):]
			var b []byte
			for _, f := range run {
				require.True(p.t, p.cache.Valid(f) && f.Meta&^mbuf.FlagMore == p.meta, "RxBurst returned frame %+v", f)
				b = append(b, p.local.Bytes(f)...)
			}
			bytes += uint64(len(b))
			seq, whole, ours := parse(b)
			if !ours || seq-first >= uint32(n) {
				others++
				continue
			}
			require.True(p.t, whole, "packet %d of %d bytes was changed on its way in", seq, len(b))
			require.Equal(p.t, sizeOf(seq, long), len(b), "length of packet %d", seq)
			got++
		}
		p.local.Free(dst[:k])
		p.settle()
		return got == n || s.h.Lossy && len(in) == 0 && got > 0
	})
	after := p.counters()
	require.Equal(p.t, uint64(got)+others, after.RxPackets-before.RxPackets, "packets counted as received")
	require.Equal(p.t, bytes, after.RxBytes-before.RxBytes, "bytes counted as received")
	s.balanced("after receiving packets of several frames")
}
