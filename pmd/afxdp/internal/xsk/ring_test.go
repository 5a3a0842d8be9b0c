package xsk

import (
	"encoding/binary"
	"testing"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nearWrap is a start from which every index wraps within a few bursts.
const nearWrap = ^uint32(0) - 40

// numbered returns a packet of length bytes that begins with n.
func numbered(n uint32, length int) []byte {
	p := make([]byte, length)
	binary.BigEndian.PutUint32(p, n)
	return p
}

// TestRoundTrip takes packets through all four rings in order, over the wrap.
func TestRoundTrip(t *testing.T) {
	var sent []uint32
	cfg := rings64(nearWrap)
	cfg.Sink = func(p []byte) { sent = append(sent, binary.BigEndian.Uint32(p)) }
	q := newTestQueue(t, 256, cfg)
	meta := q.pool.Meta(7)
	burst := make([]mbuf.Frame, 32)
	var want []uint32
	var bytes uint64
	for turn := range 40 {
		q.Fill.Fill(q.cache, 48, q.rxPosted)
		for i := range 20 {
			v := uint32(turn*100 + i)
			require.Equal(t, 1, q.sim.Deliver(numbered(v, 60+i), 1))
			want = append(want, v)
		}
		n, foreign := q.Rx.Receive(burst, meta, q.rxPosted)
		require.Equal(t, [2]int{20, 0}, [2]int{n, foreign})
		for i, f := range burst[:n] {
			require.Equal(t, uint32(60+i), f.Len)
			require.Equal(t, meta, f.Meta)
			require.Equal(t, uint64(q.pool.DataOffset()), f.Addr-q.pool.Base(f.Addr))
		}
		n, why := q.Tx.Post(burst[:n], q.txPosted)
		require.Equal(t, 20, n)
		require.Equal(t, Accepted, why)
		require.Equal(t, 20, q.Tx.Pending())
		require.True(t, q.Tx.NeedWakeup())
		assert.Equal(t, KickResult{Calls: 1}, q.sim.Kick())
		require.Zero(t, q.Tx.Pending())
		done, b, foreign := q.Comp.Complete(q.cache, q.txPosted)
		require.Equal(t, [2]int{20, 0}, [2]int{done, foreign})
		bytes += b
	}
	assert.Equal(t, want, sent)
	assert.Equal(t, uint64(40*(20*60+19*20/2)), bytes)
	assert.Zero(t, q.txPosted.Len())
	assert.Zero(t, q.sim.Statistics())
}

// TestFullRings meets each ring at its limit.
func TestFullRings(t *testing.T) {
	q := newTestQueue(t, 512, rings64(nearWrap))
	n, foreign := q.Fill.Fill(q.cache, 1000, q.rxPosted)
	assert.Equal(t, [2]int{64, 0}, [2]int{n, foreign}, "a fill ring takes its size")
	n, _ = q.Fill.Fill(q.cache, 1, q.rxPosted)
	assert.Zero(t, n, "a full fill ring takes nothing")
	n, _ = q.Fill.Fill(q.cache, -1, q.rxPosted)
	assert.Zero(t, n)

	assert.Equal(t, 64, q.sim.Deliver(numbered(1, 60), 100))
	assert.EqualValues(t, 36, q.sim.Statistics().RxFillRingEmptyDescs)
	n, _ = q.Fill.Fill(q.cache, 1000, q.rxPosted)
	assert.Equal(t, 64, n)
	assert.Zero(t, q.sim.Deliver(numbered(1, 60), 3))
	assert.EqualValues(t, 3, q.sim.Statistics().RxRingFull)
	assert.Equal(t, 64, q.Rx.Waiting())

	burst := make([]mbuf.Frame, 100)
	n, _ = q.Rx.Receive(nil, 0, q.rxPosted)
	assert.Zero(t, n)
	n, foreign = q.Rx.Receive(burst, 0, q.rxPosted)
	assert.Equal(t, [2]int{64, 0}, [2]int{n, foreign})
	assert.Equal(t, 64, q.rxPosted.Len())

	extra := make([]mbuf.Frame, 6)
	require.Equal(t, 6, q.cache.TakeFrames(extra, 256, 60, 0))
	n, why := q.Tx.Post(append(burst[:n:n], extra...), q.txPosted)
	assert.Equal(t, 64, n)
	assert.Equal(t, Full, why)
	n, why = q.Tx.Post(extra, q.txPosted)
	assert.Zero(t, n)
	assert.Equal(t, Full, why)
	n, why = q.Tx.Post(nil, q.txPosted)
	assert.Zero(t, n)
	assert.Equal(t, Accepted, why)

	// Completions nobody reads hold up sending: 64 of them fit.
	assert.Equal(t, KickResult{Calls: 2}, q.sim.Kick())
	n, _ = q.Tx.Post(extra, q.txPosted)
	assert.Equal(t, 6, n)
	assert.Equal(t, KickResult{Calls: 1}, q.sim.Kick(), "no progress, no second call")
	assert.Equal(t, 6, q.Tx.Pending())
	done, bytes, _ := q.Comp.Complete(q.cache, q.txPosted)
	assert.Equal(t, 64, done)
	assert.EqualValues(t, 64*60, bytes)
	assert.Equal(t, KickResult{Calls: 1}, q.sim.Kick())
	done, _, _ = q.Comp.Complete(q.cache, q.txPosted)
	assert.Equal(t, 6, done)
}

// TestPostRefuses checks where a burst stops and why.
func TestPostRefuses(t *testing.T) {
	q := newTestQueue(t, 128, rings64(0))
	good := make([]mbuf.Frame, 3)
	require.Equal(t, 3, q.cache.TakeFrames(good, 256, 60, q.pool.Meta(1)|mbuf.FlagMore))
	bad := func(change func(f *mbuf.Frame)) []mbuf.Frame {
		burst := append([]mbuf.Frame(nil), good...)
		change(&burst[1])
		return burst
	}
	top := uint64(len(q.pool.Mem()))
	for name, c := range map[string]struct {
		burst []mbuf.Frame
		want  Refusal
	}{
		"empty":              {bad(func(f *mbuf.Frame) { f.Len = 0 }), BadLength},
		"over the limit":     {bad(func(f *mbuf.Frame) { f.Len = 1515 }), BadLength},
		"longest number":     {bad(func(f *mbuf.Frame) { f.Len = ^uint32(0) }), BadLength},
		"out of its chunk":   {bad(func(f *mbuf.Frame) { f.Addr += 2048 - 256 - 59 }), BadLength},
		"behind the memory":  {bad(func(f *mbuf.Frame) { f.Addr = top }), NotOurs},
		"far outside":        {bad(func(f *mbuf.Frame) { f.Addr = ^uint64(0) - 100 }), NotOurs},
		"twice in one burst": {bad(func(f *mbuf.Frame) { *f = good[0] }), NotOurs},
	} {
		t.Run(name, func(t *testing.T) {
			q.Tx.SetMaxLen(1514)
			n, why := q.Tx.Post(c.burst, q.txPosted)
			assert.Equal(t, 1, n)
			assert.Equal(t, c.want, why, "%v", why)
			n, why = q.Tx.Post(c.burst[1:], q.txPosted)
			assert.Zero(t, n)
			assert.Equal(t, c.want, why)
			assert.Equal(t, 1, q.txPosted.Len())
			q.sim.Kick()
			done, _, foreign := q.Comp.Complete(q.cache, q.txPosted)
			assert.Equal(t, [2]int{1, 0}, [2]int{done, foreign})
			got := make([]uint64, 1)
			require.Equal(t, 1, q.cache.Take(got))
		})
	}
	assert.Zero(t, q.sim.Statistics().TxInvalidDescs, "the kernel saw a bad descriptor, or options")

	t.Run("to the end of the chunk", func(t *testing.T) {
		q.Tx.SetMaxLen(1 << 20)
		f := good[2]
		f.Len = 2048 - 256
		n, why := q.Tx.Post([]mbuf.Frame{f}, q.txPosted)
		assert.Equal(t, 1, n)
		assert.Equal(t, Accepted, why)
		assert.Equal(t, KickResult{Calls: 1}, q.sim.Kick())
		_, bytes, _ := q.Comp.Complete(q.cache, q.txPosted)
		assert.EqualValues(t, 2048-256, bytes)
		assert.Zero(t, q.sim.Statistics().TxInvalidDescs)
	})
}

// TestForeign hands over what was never posted.
func TestForeign(t *testing.T) {
	q := newTestQueue(t, 128, rings64(0))
	q.Fill.Fill(q.cache, 4, q.rxPosted)
	var posted []uint64
	for a := range q.rxPosted.All() {
		posted = append(posted, a)
	}
	mine := make([]uint64, 1)
	require.Equal(t, 1, q.cache.Take(mine))
	for _, d := range []mbuf.Frame{
		{Addr: mine[0] + 256, Len: 60},                   // not posted
		{Addr: posted[0] + 256, Len: 60},                 // good
		{Addr: posted[0] + 256, Len: 60},                 // the same again
		{Addr: uint64(len(q.pool.Mem())) + 256, Len: 60}, // outside
		{Addr: ^uint64(0), Len: ^uint32(0)},              // nonsense
		{Addr: posted[1] + 256, Len: 2048},               // leaves its chunk
		{Addr: posted[2] + 256, Len: 0},                  // empty
		{Addr: posted[3] + 256, Len: 64, Meta: ^mbuf.Meta(0)},
	} {
		require.True(t, q.sim.InjectRx(d))
	}
	burst := make([]mbuf.Frame, 16)
	meta := q.pool.Meta(3)
	n, foreign := q.Rx.Receive(burst, meta, q.rxPosted)
	assert.Equal(t, [2]int{2, 6}, [2]int{n, foreign})
	assert.Equal(t, []mbuf.Frame{
		{Addr: posted[0] + 256, Len: 60, Meta: meta},
		{Addr: posted[3] + 256, Len: 64, Meta: meta | mbuf.FlagMore},
	}, burst[:n])
	assert.Equal(t, 2, q.rxPosted.Len(), "chunks of broken descriptors stay posted")

	n, _ = q.Tx.Post(burst[:1], q.txPosted)
	require.Equal(t, 1, n)
	q.sim.Kick()
	require.True(t, q.sim.InjectCompletion(mine[0]))
	require.True(t, q.sim.InjectCompletion(burst[0].Addr))
	require.True(t, q.sim.InjectCompletion(^uint64(0)))
	before := q.cache.Len()
	n, bytes, foreign := q.Comp.Complete(q.cache, q.txPosted)
	assert.Equal(t, [2]int{1, 3}, [2]int{n, foreign})
	assert.EqualValues(t, 60, bytes)
	assert.Equal(t, before+1, q.cache.Len())
}

// TestFillTwice gives the fill ring a chunk that is with the kernel already.
func TestFillTwice(t *testing.T) {
	if mbuf.Debug {
		t.Skip("a debug build panics where the frame is freed twice")
	}
	// After one chunk, four entries are left before the ring's end.
	q := newTestQueue(t, 128, rings64(^uint32(0)-4))
	n, _ := q.Fill.Fill(q.cache, 1, q.rxPosted)
	require.Equal(t, 1, n)
	for a := range q.rxPosted.All() {
		q.cache.Put([]uint64{a})
	}
	n, foreign := q.Fill.Fill(q.cache, 8, q.rxPosted)
	assert.Equal(t, [2]int{3, 1}, [2]int{n, foreign}, "nothing is posted behind a gap")
	n, foreign = q.Fill.Fill(q.cache, 8, q.rxPosted)
	assert.Equal(t, [2]int{8, 0}, [2]int{n, foreign})
	assert.Equal(t, 12, q.rxPosted.Len())
	assert.Equal(t, 12, q.sim.Deliver(numbered(0, 60), 13))
	burst := make([]mbuf.Frame, 16)
	n, foreign = q.Rx.Receive(burst, 0, q.rxPosted)
	assert.Equal(t, [2]int{12, 0}, [2]int{n, foreign}, "12 different chunks")
}

// TestCompleteMany completes more at once than a pass holds, over the wrap.
func TestCompleteMany(t *testing.T) {
	const frames = 900
	q := newTestQueue(t, 1024, SimConfig{
		RxRing: 64, TxRing: 1024, FillRing: 64, CompRing: 1024, Start: ^uint32(0) - 300, Budget: 1024,
	})
	burst := make([]mbuf.Frame, frames)
	require.Equal(t, frames, q.cache.TakeFrames(burst, 256, 60, 0))
	n, why := q.Tx.Post(burst, q.txPosted)
	require.Equal(t, frames, n)
	require.Equal(t, Accepted, why)
	require.Equal(t, KickResult{Calls: 1}, q.sim.Kick())
	n, bytes, foreign := q.Comp.Complete(q.cache, q.txPosted)
	assert.Equal(t, [2]int{frames, 0}, [2]int{n, foreign})
	assert.EqualValues(t, frames*60, bytes)
	q.cache.Drain()
	assert.Equal(t, q.pool.Frames(), q.pool.Available())
}

// TestDetached uses rings after their memory is gone.
func TestDetached(t *testing.T) {
	q := newTestQueue(t, 128, rings64(0))
	q.Fill.Fill(q.cache, 10, q.rxPosted)
	q.sim.Deliver(numbered(0, 60), 5)
	q.detach()
	burst := make([]mbuf.Frame, 8)
	require.Equal(t, 8, q.cache.TakeFrames(burst, 256, 60, 0))
	n, foreign := q.Rx.Receive(burst, 0, q.rxPosted)
	assert.Zero(t, n+foreign)
	n, foreign = q.Fill.Fill(q.cache, 8, q.rxPosted)
	assert.Zero(t, n+foreign)
	n, why := q.Tx.Post(burst, q.txPosted)
	assert.Zero(t, n)
	assert.Equal(t, Full, why)
	n, _, foreign = q.Comp.Complete(q.cache, q.txPosted)
	assert.Zero(t, n+foreign)
	assert.Zero(t, q.Tx.Pending()+q.Tx.Room()+q.Fill.Room()+q.Rx.Waiting()+q.Comp.Waiting())
	assert.False(t, q.Tx.NeedWakeup() || q.Fill.NeedWakeup())
	assert.Equal(t, 10, q.rxPosted.Len(), "what was posted stays so")
}

func TestRefusalNames(t *testing.T) {
	seen := map[string]bool{}
	for r := Accepted; r <= NotOurs+1; r++ {
		assert.NotEmpty(t, r.String())
		assert.False(t, seen[r.String()], r.String())
		seen[r.String()] = true
	}
}

func TestViewDoesNotFit(t *testing.T) {
	o := offsets{producer: 0, consumer: 64, flags: 68, entries: 128}
	mem := heapRing(o.size(64, descSize))
	_, err := newView(mem, o, 64, descSize)
	require.NoError(t, err)
	for _, bad := range []struct {
		o offsets
		n uint32
	}{
		{o, 65},
		{offsets{consumer: 64, flags: 68, entries: 129}, 32},
		{offsets{producer: uint64(len(mem)), entries: 128}, 32},
		{offsets{flags: 67, entries: 128}, 32},
	} {
		_, err := newView(mem, bad.o, bad.n, descSize)
		assert.Error(t, err, "%+v", bad)
	}
}

// TestSimRefuses checks the simulation's own bounds.
func TestSimRefuses(t *testing.T) {
	mem := make([]byte, 4096)
	for _, c := range []SimConfig{
		{},
		{Mem: mem, FrameSize: 1000, RxRing: 64, TxRing: 64, FillRing: 64, CompRing: 64},
		{Mem: mem[:3000], FrameSize: 2048, RxRing: 64, TxRing: 64, FillRing: 64, CompRing: 64},
		{Mem: mem, FrameSize: 2048, RxRing: 64, TxRing: 65, FillRing: 64, CompRing: 64},
	} {
		_, err := NewSim(c)
		assert.Error(t, err)
	}
}
