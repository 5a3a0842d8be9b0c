package dataplane_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Between ports of two pools frames are copied, by the burst and one by one, on
// the worker itself and on the way to another one.
func TestCopyBetweenPools(t *testing.T) {
	single := dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		for _, f := range burst {
			w.Send(in^1, f)
		}
	})
	for _, test := range []struct {
		name  string
		stage dataplane.Stage
		owner int
	}{
		{"burst", pairs, 0}, {"single", single, 0},
		{"burst across", pairs, 1}, {"single across", single, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, dataplane.Config{Stage: test.stage, Cores: unpinned(2), Burst: 32})
			_, a := l.portOf("a", 0, pmd.Class{NUMANode: -1})
			_, b := l.portOf("b", test.owner, pmd.Class{NUMANode: -1, ZeroCopy: true})
			require.NotSame(t, a.pool, b.pool)
			a.rx, b.rx = burstOf(1, 0, 100), burstOf(2, 0, 40)
			a.rx[7].size, a.rx[8].size = 1500, patternAt
			for range 8 {
				l.turn(0)
				l.turn(1)
			}
			require.Equal(t, count(100), seqs(b.sent, 1))
			require.Equal(t, count(40), seqs(a.sent, 2))
			require.Equal(t, 1500, b.sent[7].size)
			require.Zero(t, a.damaged+b.damaged, "every byte arrived")
			s := l.stats()
			require.Equal(t, uint64(140), s.Cores[0].Copies+s.Cores[1].Copies)
			require.Equal(t, uint64(140), l.balanced(0).tx)
			require.Len(t, s.Pools, 2)
		})
	}
}

// Frames of the right pool in the same burst are left where they are.
func TestOnlyForeignFramesAreCopied(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs})
	_, a := l.portOf("a", 0, pmd.Class{NUMANode: -1})
	id, b := l.portOf("b", 0, pmd.Class{NUMANode: -1, ZeroCopy: true})
	var burst [4]mbuf.Frame
	l.do(0, func(w *dataplane.Worker) {
		for i, q := range []*fakeQueue{b, a, b, a} {
			require.Equal(t, 1, w.Local().Cache(q.pool.ID()).TakeFrames(burst[i:i+1], uint32(q.pool.DataOffset()), packetSize, q.pool.Meta(uint16(i%2))))
			packet{9, uint64(i), packetSize}.write(w.Local().Bytes(burst[i]))
		}
		sent := burst
		w.SendBurst(id, sent[:])
		require.Len(t, b.posted, 4)
		for i, f := range b.posted {
			require.Equal(t, i%2 == 0, f.Addr == burst[i].Addr && f.Meta == burst[i].Meta, "frame %d", i)
			require.Equal(t, b.pool.ID(), f.Meta.Pool())
			require.Equal(t, uint16(i%2), f.Meta.Port(), "it still says where it came in")
		}
	})
	l.turn(0)
	require.Equal(t, count(4), seqs(b.sent, 9))
	require.Equal(t, uint64(2), l.stats().Cores[0].Copies)
}

// With no frame free in the other pool, and for a packet that does not fit into
// one, the frame is dropped at the output port.
func TestCopyWithoutAFrame(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Burst: 32})
	_, a := l.portOf("a", 0, pmd.Class{NUMANode: -1, FrameSize: 4096})
	_, b := l.portOf("b", 0, pmd.Class{NUMANode: -1})
	var all []mbuf.Frame
	l.do(0, func(w *dataplane.Worker) {
		all = make([]mbuf.Frame, b.pool.Frames()-5)
		require.Equal(t, len(all), w.Local().Cache(b.pool.ID()).TakeFrames(all, 0, 60, b.pool.Meta(1)))
	})
	b.stuck = true
	a.rx = burstOf(1, 0, 12)
	a.rx[3].size = b.pool.MaxLen() + 1
	l.turn(0)
	require.Equal(t, map[string]uint64{"no_frame": 7}, l.stats().Ports[1].Drops)
	b.stuck = false
	l.turn(0)
	require.Equal(t, []uint64{0, 1, 2, 4, 5}, seqs(b.sent, 1))
	l.do(0, func(w *dataplane.Worker) { w.Local().Free(all) })
	got := l.balanced(0)
	require.Equal(t, uint64(5), got.tx)

	a.rx = burstOf(1, 12, 1)
	a.rx[0].size = b.pool.MaxLen()
	l.turn(0)
	l.turn(0)
	require.Equal(t, b.pool.MaxLen(), b.sent[5].size, "the longest that fits")
	require.Zero(t, b.damaged)
}

// A copy asks for what the packet does: where its checksum goes, and that it be stamped.
// A packet that asks for nothing does so in the other pool too, whatever stands there.
func TestCopyCarriesRequests(t *testing.T) {
	for _, multi := range []bool{false, true} {
		l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(1)})
		_, a := l.portOf("a", 0, pmd.Class{NUMANode: -1})
		id, b := l.portOf("b", 0, pmd.Class{NUMANode: -1, ZeroCopy: true, MultiBuffer: multi})
		l.do(0, func(w *dataplane.Worker) {
			var burst [3]mbuf.Frame
			from := w.Local().Cache(a.pool.ID())
			require.Equal(t, 3, from.TakeFrames(burst[:], uint32(a.pool.DataOffset()), packetSize, a.pool.Meta(0)))
			for i, f := range burst {
				packet{9, uint64(i), packetSize}.write(w.Local().Bytes(f))
			}
			mem := a.pool.Mem()
			mem.RequestChecksum(&burst[0], 20, 6)
			mem.RequestTimestamp(&burst[0])
			mem.RequestTimestamp(&burst[1])
			want := append([]byte(nil), mem[burst[0].Addr-mbuf.MetaLen:burst[0].Addr]...)
			w.SendBurst(id, burst[:])
			require.Len(t, b.posted, 3)
			mem = b.pool.Mem()
			first := b.posted[0]
			require.Equal(t, b.pool.ID(), first.Meta.Pool())
			require.Equal(t, want, []byte(mem[first.Addr-mbuf.MetaLen:first.Addr]))
			require.Equal(t, []bool{true, true, false}, []bool{
				mem.WantsTimestamp(first), mem.WantsTimestamp(b.posted[1]), mem.WantsTimestamp(b.posted[2]),
			})
			require.True(t, mem.SoundRequest(first))
			require.Zero(t, b.posted[2].Meta&mbuf.FlagTxMeta)
		})
		l.turn(0)
		require.Equal(t, count(3), seqs(b.sent, 9))
	}
}
