package dataplane_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/queue"
)

// stack is a discipline that serves the last one first. Of every third frame that it took it
// thinks better, and drops it. It is for workers that are stepped.
type stack struct {
	frames []mbuf.Frame
	limit  int
	taken  int
	drops  uint64
	free   func([]mbuf.Frame)
}

func (s *stack) Enqueue(v mbuf.Frame) error {
	if s.EnqueueBurst([]mbuf.Frame{v}) == 0 {
		return queue.ErrNoBufs
	}
	return nil
}

func (s *stack) EnqueueBurst(src []mbuf.Frame) int {
	n := s.Offer(src)
	s.free(src[n:])
	s.drops += uint64(len(src) - n)
	return n
}

func (s *stack) Offer(src []mbuf.Frame) int {
	n := min(len(src), s.limit-len(s.frames))
	for i := range src[:n] {
		if s.taken++; s.taken%3 == 0 {
			s.free(src[i : i+1])
			s.drops++
			continue
		}
		s.frames = append(s.frames, src[i])
	}
	return n
}

func (s *stack) OfferBulk(src []mbuf.Frame) bool {
	return len(src) <= s.limit-len(s.frames) && s.Offer(src) == len(src)
}

func (s *stack) Poll() (v mbuf.Frame, ok bool) {
	if len(s.frames) == 0 {
		return v, false
	}
	return s.frames[len(s.frames)-1], true
}

func (s *stack) Remove() (mbuf.Frame, bool) {
	v, ok := s.Poll()
	if ok {
		s.frames = s.frames[:len(s.frames)-1]
	}
	return v, ok
}

func (s *stack) DequeueBurst(dst []mbuf.Frame) (n int) {
	for ; n < len(dst) && len(s.frames) > 0; n++ {
		dst[n], _ = s.Remove()
	}
	return n
}

func (s *stack) Request(queue.Request) error   { return nil }
func (s *stack) Len() int                      { return len(s.frames) }
func (s *stack) Limit() int                    { return s.limit }
func (s *stack) Drops() uint64                 { return s.drops }
func (s *stack) Purged() uint64                { return 0 }
func (s *stack) Snapshot(dst []mbuf.Frame) int { return copy(dst, s.frames) }
func newClassic(l *lab, limit int) dataplane.Discipline {
	q, err := queue.NewClassic(limit, l.Free)
	require.NoError(l.t, err)
	return q
}

// A port's send queue serves in the order of its discipline, and every frame is accounted
// for: what the discipline took and dropped, what waits, and what is dropped with a
// discipline that gives way.
func TestSetSendQueue(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), Burst: 16, SendQueue: 20})
	l.one(16)
	_, a := l.port("a", 0)
	id, b := l.port("b", 1)
	classic, err := l.SendQueue(id)
	require.NoError(t, err)
	send := func(first, n int) {
		a.rx = burstOf(1, first, n)
		for len(a.rx) > 0 {
			l.turn(0)
		}
	}

	send(0, 5)
	s := &stack{limit: 12, free: l.Free}
	require.NoError(t, l.SetSendQueue(id, s))
	require.NoError(t, l.SetSendQueue(id, s), "it is that already")
	require.Equal(t, map[string]uint64{"not_polled": 5}, l.balanced(0).drops, "what waited in the former one")
	require.EqualValues(t, 5, classic.Purged())
	require.Zero(t, classic.Len())
	handle, err := l.SendQueue(id)
	require.NoError(t, err)
	require.Equal(t, 12, handle.Limit())
	require.Equal(t, 20, classic.Limit())

	send(10, 6) // 12 and 15 are dropped
	require.Equal(t, 4, handle.Len())
	require.Equal(t, 4, l.stats().Pools[0].ByOwner[mbuf.OwnerSendQueue])
	require.NoError(t, classic.Request(queue.RequestPurge), "which is of the other one")
	require.Equal(t, 4, handle.Len())
	l.turn(1)
	require.Equal(t, []uint64{14, 13, 11, 10}, seqs(b.sent, 1))
	require.Equal(t, map[string]uint64{"not_polled": 5, "send_queue_full": 2}, l.balanced(0).drops)

	send(20, 3)
	require.NoError(t, l.SetSendQueue(id, nil))
	require.Equal(t, map[string]uint64{"not_polled": 7, "send_queue_full": 3}, l.balanced(0).drops)
	require.Zero(t, handle.Len())
	require.Zero(t, s.Len())
	send(30, 2)
	require.Equal(t, 2, classic.Len())
	l.turn(1)
	require.Equal(t, []uint64{30, 31}, seqs(b.sent, 1)[4:])

	// One that was used before counts from there.
	require.NoError(t, l.SetSendQueue(id, s))
	send(40, 3)
	require.Equal(t, map[string]uint64{"not_polled": 7, "send_queue_full": 4}, l.balanced(0).drops)
	require.NoError(t, l.Unpoll(t.Context(), id))
	require.Equal(t, map[string]uint64{"not_polled": 9, "send_queue_full": 4}, l.balanced(0).drops)
	require.NoError(t, l.SetSendQueue(id, nil), "of a port that is not polled")
	require.NoError(t, l.Repoll(t.Context(), id, []int{0}))
	require.NoError(t, l.SetSendQueue(id, s))
	require.NoError(t, l.RemovePort(id))
	require.Equal(t, map[string]uint64{"not_polled": 9, "send_queue_full": 4}, l.balanced(0).drops, "totals stay")
	require.ErrorContains(t, l.SetSendQueue(id, nil), "there is none")
}

func TestSetSendQueueRefusals(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(1)})
	a, _ := l.port("a", 0)
	b, _ := l.port("b", 0)
	s := &stack{limit: 12, free: l.Free}
	require.NoError(t, l.SetSendQueue(a, s))
	for name, q := range map[string]dataplane.Discipline{
		"port b: send queue: it is that of port a":                      s,
		"port b: send queue: a limit of 0 frames is out of range":       &stack{},
		"port b: send queue: a limit of 1048577 frames is out of range": &stack{limit: 1<<20 + 1},
		"port b: send queue: 2 frames wait in it already":               &stack{limit: 3, frames: make([]mbuf.Frame, 2)},
	} {
		err := l.SetSendQueue(b, q)
		require.ErrorContains(t, err, name)
		require.ErrorIs(t, err, syscall.EINVAL)
	}
}

// Disciplines that come and go under traffic cost what waited in them, and nothing else.
func TestSetSendQueueUnderTraffic(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2), SendQueue: 64})
	ida, a := l.port("a", 0)
	idb, b := l.port("b", 1)
	a.endless, b.endless, a.record, b.record = true, true, false, false
	stop := l.start(t)
	for i := range 100 {
		q := newClassic(l, 1+i)
		require.NoError(t, l.SetSendQueue(ida, q))
		other := newClassic(l, 7)
		require.NoError(t, l.SetSendQueue(idb, other))
		if i%3 == 0 {
			require.NoError(t, l.SetSendQueue(ida, nil))
		}
	}
	require.NoError(t, stop())
	got := l.balanced(0)
	require.NotZero(t, got.tx)
	for reason := range got.drops {
		require.True(t, slices.Contains([]string{"not_polled", "send_queue_full", "stopped", "no_frame", "tx_full"}, reason), fmt.Sprint(got.drops))
	}
}
