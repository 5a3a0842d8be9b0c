package pmdtest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

func checkInfo(t testing.TB, h Harness) {
	s := newStand(t, h)
	dev := s.setup.Device
	s.eventually("the device to be up", func() bool { return dev.Info().Up })
	info := dev.Info()
	assert.NotEmpty(t, info.Name, "name")
	assert.NotEmpty(t, info.Driver, "driver")
	assert.GreaterOrEqual(t, info.MTU, 68, "MTU: IPv4 asks for 68 bytes (RFC 791)")
	assert.GreaterOrEqual(t, info.NUMANode, -1, "NUMA node")
	if assert.Len(t, info.MAC, 6, "MAC") {
		assert.Zero(t, info.MAC[0]&1, "the MAC must be that of one station, not a group")
	}
	queues := dev.Queues()
	require.NotEmpty(t, queues, "queues")
	assert.True(t, slices.Equal(queues, dev.Queues()), "the queues must not change")
	s.finish()
	require.False(t, dev.Info().Up, "a closed device must not be up")
}

func checkBurstLimits(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 7)
	require.Zero(t, p.rx(nil), "frames received into nil")
	require.Zero(t, p.rx([]mbuf.Frame{}), "frames received into nothing")
	require.Zero(t, p.tx(nil), "frames taken of nil")
	require.Zero(t, p.tx([]mbuf.Frame{}), "frames taken of nothing")
	for _, n := range []int{1, 2, burst - 1, pmd.MaxBurst, pmd.MaxBurst + 1, 2*pmd.MaxBurst + 3} {
		if s.receives() {
			// port.rx checks that no more come than asked for. A burst of
			// exactly this size is for what is there after the first.
			s.held = append(s.held, p.receive(n)...)
			dst := make([]mbuf.Frame, n)
			s.held = append(s.held, dst[:p.rx(dst)]...)
			s.balanced("after receiving")
			s.give(p)
		}
		// In one call as far as the device goes, then what is left.
		frames := p.packets(n)
		before := slices.Clone(frames)
		k := p.tx(frames)
		require.Equal(t, before[k:], frames[k:], "TxBurst changed the tail that it did not take")
		p.settle()
		p.send(frames[k:])
		s.balanced("after sending")
	}
	s.finish()
}

// maxCall is how long a call that never blocks may take, as the median of many:
// a preempted test is not a device that blocks.
const maxCall = 5 * time.Millisecond

func checkNeverBlocks(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 1)
	dst := make([]mbuf.Frame, burst)
	send := func() int {
		frames := p.packets(burst)
		n := p.tx(frames)
		p.local.Free(frames[n:])
		return n
	}
	calls := []struct {
		name string
		call func()
	}{
		{"RxBurst", func() { p.local.Free(dst[:p.rx(dst)]) }},
		{"TxBurst", func() { send() }},
		{"Flush and Reclaim", p.settle},
		{"Counters", func() { p.counters() }},
	}
	// A queue that is full, if that can be, is where a device would wait.
	for sent := 0; sent < s.pool.Frames()/2; sent += burst {
		if send() < burst {
			break
		}
	}
	for _, c := range calls {
		took := make([]time.Duration, 15)
		for i := range took {
			start := time.Now()
			c.call()
			took[i] = time.Since(start)
		}
		slices.Sort(took)
		require.Less(t, took[len(took)/2], maxCall, "%s took too long", c.name)
	}
	p.flushed()
	s.finish()
}

func checkContent(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 3)
	for range 4 {
		if s.receives() {
			s.held = append(s.held, p.receive(3*burst)...) // looks at the bytes itself
			s.give(p)
		}
		s.collect()
		s.collected = s.collected[:0]
		first := s.seq
		p.send(p.packets(3 * burst))
		if s.setup.Collect == nil {
			continue
		}
		s.eventually("packets at the far side", func() bool {
			return len(s.collected) >= 3*burst || h.Lossy && len(s.collected) > 0
		})
		for i, seq := range s.collected {
			require.Less(t, seq-first, uint32(3*burst), "packet %d was not sent now", seq)
			require.True(t, i == 0 || seq > s.collected[i-1], "packet %d came out twice, or after a later one", seq)
		}
	}
	s.finish()
}
