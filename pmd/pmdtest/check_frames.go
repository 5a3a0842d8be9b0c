package pmdtest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

func checkUnsentTail(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 1)
	// Nobody flushes, reclaims or collects, so sooner or later the queue is full.
	taken := 0
	var tail []mbuf.Frame
	for len(tail) == 0 && taken+burst <= s.pool.Frames()/2 {
		frames := p.packets(burst)
		before := slices.Clone(frames)
		n := p.tx(frames)
		taken += n
		tail = frames[n:]
		require.Equal(t, before[n:], tail, "TxBurst changed the tail that it did not take")
	}
	if h.Sink {
		require.Empty(t, tail, "the harness says that the device takes every frame")
		s.finish()
		return
	}
	require.NotEmpty(t, tail, "the queue never filled up with half the pool; is it a Sink?")
	s.held = append(s.held, tail...)
	s.balanced("with the unsent tail in hand")
	// The tail is ours: write into it, and free it.
	for _, f := range s.held {
		clear(p.local.Bytes(f))
	}
	s.give(p)
	s.balanced("with the unsent tail freed")

	s.collect()
	p.flushed()
	if s.setup.Collect != nil && !h.Lossy {
		s.eventually("every frame taken at the far side", func() bool { return len(s.collected) >= taken })
		s.collect()
		require.Len(t, s.collected, taken, "packets that came out, for as many taken")
	}
	p.send(p.packets(burst)) // a queue that was full goes on
	s.finish()
}

func checkInvalidFrames(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 1)
	size, chunk := uint64(len(s.pool.Mem())), uint32(s.pool.FrameSize())
	const rounds = 3
	for range rounds {
		s.collect()
		s.collected = s.collected[:0]
		frames := p.packets(burst)
		first := s.seq - burst
		before := p.counters()
		// These own their chunk, which goes home with the drop.
		frames[0].Len = 0
		frames[5].Len = chunk + 1
		frames[6].Len = chunk - uint32(s.pool.DataOffset()) + 1 // one byte into the next chunk
		frames[burst-1].Len = ^uint32(0)
		invalid := []int{0, 5, 6, burst - 1}
		// These are strays that own nothing. A device must not believe them.
		for _, f := range []mbuf.Frame{
			{Addr: size, Len: 64, Meta: p.meta},
			{Addr: size + uint64(s.pool.DataOffset()), Len: 64, Meta: p.meta},
			{Addr: ^uint64(0) - 20, Len: 64, Meta: p.meta},
		} {
			frames = slices.Insert(frames, 3, f)
		}
		const strays = 3
		p.send(frames)
		after := p.counters()
		got := after.Drops[pmd.ReasonTxInvalid] - before.Drops[pmd.ReasonTxInvalid]
		require.Equal(t, uint64(len(invalid)+strays), got, "frames counted as %v", pmd.ReasonTxInvalid)
		sent := after.TxPackets - before.TxPackets + drops(after) - drops(before) - got
		require.Equal(t, uint64(burst-len(invalid)), sent, "good frames sent among invalid ones")
		s.balanced("after invalid frames")
		if s.setup.Collect == nil || h.Lossy {
			continue
		}
		var want []uint32
		for i := range uint32(burst) {
			if !slices.Contains(invalid, int(i)) {
				want = append(want, first+i)
			}
		}
		s.eventually("the good frames at the far side", func() bool { return len(s.collected) >= len(want) })
		require.Equal(t, want, s.collected, "packets that came out")
	}
	s.finish()
}

func checkExhaustion(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 1)
	// Everything the pool and the caches can give, into the check's hands.
	hoard := func() {
		frames := make([]mbuf.Frame, 64)
		for {
			n := p.cache.TakeFrames(frames, uint32(s.pool.DataOffset()), minPacket, p.meta)
			if n == 0 {
				return
			}
			s.held = append(s.held, frames[:n]...)
		}
	}
	hoard()
	require.NotEmpty(t, s.held)
	s.balanced("with no free frame")
	// Receiving goes on with what the device has, and ends.
	dst := make([]mbuf.Frame, burst)
	for range 200 {
		if s.setup.Inject != nil {
			s.setup.Inject([][]byte{packet(s.seq, minPacket, s.mac)})
			s.seq++
		}
		s.held = append(s.held, dst[:p.rx(dst)]...)
		p.settle()
		hoard()
	}
	s.balanced("after receiving with no free frame")
	// Sending needs no free frame.
	k := len(s.held) - burst
	out := slices.Clone(s.held[k:])
	s.held = s.held[:k]
	for i := range out {
		out[i] = mbuf.Frame{Addr: s.pool.Base(out[i].Addr) + uint64(s.pool.DataOffset()), Len: minPacket, Meta: p.meta}
		fill(p.local.Bytes(out[i]), s.seq, s.mac)
		s.seq++
	}
	p.send(out)
	s.balanced("after sending with no free frame")
	// With frames back it recovers.
	s.give(p)
	p.settle()
	if s.receives() {
		s.held = append(s.held, p.receive(4*burst)...)
		s.balanced("after recovery")
		s.give(p)
	}
	p.send(p.packets(burst))
	s.finish()
}

func checkStatistics(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 1)
	require.Zero(t, p.counters(), "counters of a queue that has done nothing")
	for round := range 6 {
		if s.receives() {
			s.held = append(s.held, p.receive(burst+round)...)
			c := p.counters()
			require.Equal(t, p.rxPackets, c.RxPackets, "packets received")
			require.Equal(t, p.rxBytes, c.RxBytes, "bytes received")
			s.give(p)
		}
		p.send(p.packets(2*burst + round)) // port.tx checks the sum after each burst
		c := p.counters()
		require.Zero(t, c.InFlight, "frames in flight when all have left")
		require.Equal(t, p.txPackets, c.TxPackets+drops(c), "packets sent and dropped")
		require.Equal(t, p.txInvalid, c.Drops[pmd.ReasonTxInvalid], "invalid packets, of which there were none")
		if drops(c) == 0 {
			require.Equal(t, p.txBytes, c.TxBytes, "bytes sent")
		}
		require.Equal(t, p.rxPackets, p.counters().RxPackets, "packets received, after sending")
		s.balanced("after a round")
	}
	if s.setup.Collect != nil && !h.Lossy {
		c := p.counters()
		s.eventually("as many packets at the far side as were counted", func() bool { return len(s.collected) >= int(c.TxPackets) })
		require.Len(t, s.collected, int(c.TxPackets), "packets at the far side")
	}
	s.finish()
}
