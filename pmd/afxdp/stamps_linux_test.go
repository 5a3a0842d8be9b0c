package afxdp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp/internal/xsk"
	"example.org/pmd/pmd/mbuf"
)

// stampedQueue is a queue with stamps over a simulated kernel whose clock is now.
func stampedQueue(t *testing.T, multi bool, now *uint64, tell func(TxStamp)) (*queue, *xsk.Sim, *mbuf.Cache) {
	t.Helper()
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: 256, HugePages: mbuf.HugeOff, MultiBuffer: multi})
	require.NoError(t, err)
	side, err := xsk.NewSim(xsk.SimConfig{
		Mem: pool.Mem(), FrameSize: uint32(pool.FrameSize()), RxRing: 64, TxRing: 64, FillRing: 64, CompRing: 64,
		MultiBuffer: multi, TxMetadata: true, Clock: func() uint64 { return *now },
	})
	require.NoError(t, err)
	q := newQueue(pool, 0)
	q.stamps = newStamps(pool, 5, tell)
	q.rings = side.Rings()
	q.rings.Comp.Observe(q.stamps.done)
	local := mbuf.NewLocal()
	q.Bind(pmd.Binding{Local: local})
	return q, side, local.Cache(pool.ID())
}

// A NIC's stamps are of its own clock: they are told and counted, and give no delay; one that
// has too many to stamp leaves some out.
func TestStampsOfANIC(t *testing.T) {
	now := uint64(7) << 40
	var told []TxStamp
	q, side, cache := stampedQueue(t, false, &now, func(s TxStamp) { told = append(told, s) })
	send := func(n int, ask ...int) {
		burst := make([]mbuf.Frame, n)
		require.Equal(t, n, cache.TakeFrames(burst, uint32(q.pool.DataOffset()), 60, q.pool.Meta(0)))
		for _, i := range ask {
			q.pool.Mem().RequestTimestamp(&burst[i])
		}
		require.Equal(t, n, q.TxBurst(burst))
		require.Zero(t, side.Kick().Errno)
		require.Equal(t, n, q.Reclaim())
	}
	send(8, 3, 7)
	require.Len(t, told, 3, "the first of the burst, and two that ask")
	require.Equal(t, []uint64{now, now, now}, []uint64{told[0].Sent, told[1].Sent, told[2].Sent})
	require.Equal(t, 5, told[0].Queue)
	require.Len(t, told[0].Packet, 60)
	require.Equal(t, pmd.TxStamps{Asked: 3, Stamped: 3, Last: now}, q.Counters().TxStamps)
	now = 0 // no stamp
	send(1)
	require.Len(t, told, 3)
	require.Equal(t, pmd.TxStamps{Asked: 4, Stamped: 3, Last: 7 << 40}, q.Counters().TxStamps)
	send(0)

	// What a socket that is gone had on its way is nobody's stamp later.
	now = 9 << 40
	burst := make([]mbuf.Frame, 1)
	cache.TakeFrames(burst, uint32(q.pool.DataOffset()), 60, q.pool.Meta(0))
	require.Equal(t, 1, q.TxBurst(burst))
	q.stamps.reset()
	require.Zero(t, side.Kick().Errno)
	require.Equal(t, 1, q.Reclaim())
	require.Len(t, told, 3)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		q.stamps.mark(burst)
		q.stamps.tell = nil
		q.stamps.done([]uint64{burst[0].Addr})
	}))
}

// The stamp of a packet of several frames is its first one's.
func TestStampsOfSeveralFrames(t *testing.T) {
	now := tai() + 5e9
	q, side, cache := stampedQueue(t, true, &now, nil)
	q.stamps.sameClock = true
	burst := make([]mbuf.Frame, 3)
	require.Equal(t, 3, cache.TakeFrames(burst, uint32(q.pool.DataOffset()), 1500, q.pool.Meta(0)|mbuf.FlagMore))
	burst[2].Meta &^= mbuf.FlagMore
	require.Equal(t, 3, q.TxBurst(burst))
	require.Zero(t, side.Kick().Errno)
	require.Equal(t, 3, q.Reclaim())
	s := q.Counters().TxStamps
	require.Equal(t, []uint64{1, 1, 1, now}, []uint64{s.Asked, s.Stamped, s.Delays, s.Last})
	require.Equal(t, []uint64{s.Sum, s.Sum}, []uint64{s.Min, s.Max})
	require.NotZero(t, s.Sum)
	require.LessOrEqual(t, s.Sum, uint64(5e9))
}

// A request that cannot be done is a frame that cannot be sent: counted, and home again.
func TestBadRequestIsDropped(t *testing.T) {
	for _, multi := range []bool{false, true} {
		now := uint64(1) << 40
		q, side, cache := stampedQueue(t, multi, &now, nil)
		burst := make([]mbuf.Frame, 3)
		require.Equal(t, 3, cache.TakeFrames(burst, uint32(q.pool.DataOffset()), 60, q.pool.Meta(0)))
		q.pool.Mem().RequestChecksum(&burst[1], 50, 10)
		require.Equal(t, 3, q.TxBurst(burst))
		require.Zero(t, side.Kick().Errno)
		require.Equal(t, 2, q.Reclaim())
		c := q.Counters()
		require.Equal(t, []uint64{1, 2, 0}, []uint64{c.Drops[pmd.ReasonTxInvalid], c.TxPackets, c.InFlight})
	}
}

func TestKernelBefore(t *testing.T) {
	require.False(t, kernelBefore(2, 6))
	require.False(t, kernelBefore(4, 0))
	require.True(t, kernelBefore(1000, 0))
}

func TestQuirks(t *testing.T) {
	require.Equal(t, quirks{1, mbuf.MaxSegments}, quirksOf("veth"))
	require.Equal(t, quirks{1024, mbuf.MaxSegments}, quirksOf("igb"))
	require.Equal(t, quirks{1, mbuf.MaxSegments - 1}, quirksOf("virtio_net"))
}
