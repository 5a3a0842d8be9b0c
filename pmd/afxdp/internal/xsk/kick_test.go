package xsk

import (
	"syscall"
	"testing"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestKickBudget sends more than the kernel takes in a call.
func TestKickBudget(t *testing.T) {
	for name, late := range map[string]bool{"publishes": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			cfg := SimConfig{RxRing: 64, TxRing: 256, FillRing: 64, CompRing: 256, Start: ^uint32(0) - 100, Late: late}
			q := newTestQueue(t, 512, cfg)
			burst := make([]mbuf.Frame, 200)
			require.Equal(t, 200, q.cache.TakeFrames(burst, 256, 60, 0))
			n, _ := q.Tx.Post(burst, q.txPosted)
			require.Equal(t, 200, n)
			assert.Equal(t, KickResult{Calls: 7}, q.sim.Kick(), "200 frames, 32 a call")
			assert.Zero(t, q.Tx.Pending())
			assert.Equal(t, KickResult{}, q.sim.Kick(), "nothing to send, no call")
			done, _, _ := q.Comp.Complete(q.cache, q.txPosted)
			assert.Equal(t, 200, done)
		})
	}
}

// TestKickStuck ends when nothing moves, whatever kernel it is.
func TestKickStuck(t *testing.T) {
	for name, late := range map[string]bool{"publishes": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			cfg := SimConfig{RxRing: 64, TxRing: 128, FillRing: 64, CompRing: 64, Late: late}
			q := newTestQueue(t, 512, cfg)
			burst := make([]mbuf.Frame, 100)
			require.Equal(t, 100, q.cache.TakeFrames(burst, 256, 60, 0))
			q.Tx.Post(burst, q.txPosted)
			res := q.sim.Kick()
			assert.LessOrEqual(t, res.Calls, 5)
			assert.Zero(t, res.Errno)
			done, _, _ := q.Comp.Complete(q.cache, q.txPosted)
			assert.Equal(t, 64, done)
			q.sim.Kick()
			done, _, _ = q.Comp.Complete(q.cache, q.txPosted)
			assert.Equal(t, 36, done)
			assert.Zero(t, q.Tx.Pending())
		})
	}
}

// script answers system calls from a list, moving the consumer index with each.
type script struct {
	tx    *TxRing
	steps []step
	calls int
}

type step struct {
	moves uint32
	errno syscall.Errno
}

func (s *script) send() syscall.Errno {
	if s.calls >= len(s.steps) {
		panic("more calls than the script has")
	}
	st := s.steps[s.calls]
	s.calls++
	*s.tx.peerIdx += st.moves
	return st.errno
}

// TestKickAnswers takes every answer the kernel has.
func TestKickAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		zeroCopy bool
		old      bool
		steps    []step
		want     KickResult
	}{
		{name: "all at once", steps: []step{{moves: 40}}, want: KickResult{Calls: 1}},
		{name: "budget", steps: []step{{32, syscall.EAGAIN}, {8, 0}}, want: KickResult{Calls: 2}},
		{name: "stuck", steps: []step{{32, syscall.EAGAIN}, {0, syscall.EAGAIN}}, want: KickResult{Calls: 2}},
		{name: "nothing moves", steps: []step{{0, 0}}, want: KickResult{Calls: 1}},
		{name: "interrupted", steps: []step{{0, syscall.EINTR}, {40, 0}}, want: KickResult{Calls: 2}},
		{name: "shortage", steps: []step{{32, syscall.EAGAIN}, {0, syscall.ENOBUFS}}, want: KickResult{Calls: 2}},
		{name: "no memory", steps: []step{{0, syscall.ENOMEM}}, want: KickResult{Calls: 1}},
		{name: "down", steps: []step{{0, syscall.ENETDOWN}}, want: KickResult{Calls: 1, Errno: syscall.ENETDOWN}},
		{name: "gone", steps: []step{{0, syscall.ENXIO}}, want: KickResult{Calls: 1, Errno: syscall.ENXIO}},
		{name: "closed", steps: []step{{0, syscall.EBADF}}, want: KickResult{Calls: 1, Errno: syscall.EBADF}},
		{
			// Frame i is 100+i bytes long. The third is dropped, then the
			// fourth with nothing sent before it, so unpublished.
			name:  "drops",
			steps: []step{{3, syscall.EBUSY}, {0, syscall.EBUSY}, {37, 0}},
			want:  KickResult{Calls: 3, Dropped: 2, DroppedBytes: 102 + 103},
		},
		{
			name:  "drops until the end",
			steps: []step{{39, syscall.EBUSY}, {0, syscall.EBUSY}, {1, 0}},
			want:  KickResult{Calls: 3, Dropped: 2, DroppedBytes: 138 + 139},
		},
		{
			name: "old kernel", old: true,
			steps: []step{{0, syscall.EAGAIN}, {40, 0}},
			want:  KickResult{Calls: 2},
		},
		{
			name: "old kernel stuck", old: true,
			steps: []step{{0, syscall.EAGAIN}, {0, syscall.EAGAIN}, {0, syscall.EAGAIN}},
			want:  KickResult{Calls: 3},
		},
		{name: "zero-copy", zeroCopy: true, steps: []step{{0, 0}}, want: KickResult{Calls: 1}},
		{name: "zero-copy busy", zeroCopy: true, steps: []step{{0, syscall.EBUSY}}, want: KickResult{Calls: 1}},
		{name: "zero-copy interrupted", zeroCopy: true, steps: []step{{0, syscall.EINTR}, {0, 0}}, want: KickResult{Calls: 2}},
		{name: "zero-copy down", zeroCopy: true, steps: []step{{0, syscall.ENETDOWN}}, want: KickResult{Calls: 1, Errno: syscall.ENETDOWN}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := newTestQueue(t, 128, rings64(^uint32(0)-20))
			burst := make([]mbuf.Frame, 40)
			require.Equal(t, 40, q.cache.TakeFrames(burst, 256, 60, 0))
			for i := range burst {
				burst[i].Len = uint32(100 + i)
			}
			n, _ := q.Tx.Post(burst, q.txPosted)
			require.Equal(t, 40, n)
			s := &script{tx: &q.Tx, steps: c.steps}
			k := kicker{send: s.send, zeroCopy: c.zeroCopy, publishes: !c.old, budget: minBudget}
			assert.Equal(t, c.want, k.kick(&q.Tx))
			assert.Equal(t, len(c.steps), s.calls)
		})
	}
}

// TestKickEndless is answered by signals and drops that never end.
func TestKickEndless(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EINTR, syscall.EBUSY} {
		q := newTestQueue(t, 128, rings64(0))
		burst := make([]mbuf.Frame, 40)
		require.Equal(t, 40, q.cache.TakeFrames(burst, 256, 60, 0))
		q.Tx.Post(burst, q.txPosted)
		k := kicker{send: func() syscall.Errno { return errno }, publishes: true, budget: minBudget}
		res := k.kick(&q.Tx)
		assert.LessOrEqual(t, res.Calls, 40+maxInterrupts+1)
		k.zeroCopy = true
		assert.LessOrEqual(t, k.kick(&q.Tx).Calls, maxInterrupts)
	}
}

// TestKickDropsProperty sends frames of random lengths through a device that
// refuses random ones: what is reported as dropped must be exactly that, and
// what is left of the completed bytes what was sent.
func TestKickDropsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sent, dropped, sentBytes, droppedBytes uint64
		cfg := SimConfig{
			RxRing: 64, TxRing: 128, FillRing: 64, CompRing: 128,
			Start:  rapid.SampledFrom([]uint32{0, nearWrap}).Draw(t, "start"),
			Budget: rapid.Uint32Range(1, 64).Draw(t, "budget"),
			Drop: func(p []byte) bool {
				if p[0] == 0 {
					return false
				}
				dropped++
				droppedBytes += uint64(len(p))
				return true
			},
			Sink: func(p []byte) { sent++; sentBytes += uint64(len(p)) },
		}
		q := newTestQueue(t, 256, cfg)
		var doneBytes uint64
		var done, posted int
		var total KickResult
		for range rapid.IntRange(1, 8).Draw(t, "turns") {
			burst := make([]mbuf.Frame, rapid.IntRange(0, 128).Draw(t, "frames"))
			require.Equal(t, len(burst), q.cache.TakeFrames(burst, 256, 60, 0))
			refused := rapid.SliceOfN(rapid.Bool(), len(burst), len(burst)).Draw(t, "refused")
			for i := range burst {
				burst[i].Len = uint32(60 + i*7)
				q.pool.Mem().Bytes(burst[i])[0] = 0
				if refused[i] {
					q.pool.Mem().Bytes(burst[i])[0] = 1
				}
			}
			n, why := q.Tx.Post(burst, q.txPosted)
			require.Equal(t, Accepted, why)
			posted += n
			res := q.sim.Kick()
			total.Dropped += res.Dropped
			total.DroppedBytes += res.DroppedBytes
			require.Zero(t, q.Tx.Pending())
			n, b, foreign := q.Comp.Complete(q.cache, q.txPosted)
			require.Zero(t, foreign)
			done += n
			doneBytes += b
		}
		require.Equal(t, posted, done)
		require.EqualValues(t, dropped, total.Dropped)
		require.Equal(t, droppedBytes, total.DroppedBytes)
		require.Equal(t, sentBytes, doneBytes-total.DroppedBytes)
		require.EqualValues(t, done, sent+dropped)
	})
}
