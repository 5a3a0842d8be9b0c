package queue

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSeed has a subtest for each function of the send queue in DragonFly BSD's net/if.c.
func TestSeed(t *testing.T) {
	var freed []int
	fresh := func(t *testing.T, limit int) *Classic[int] {
		t.Helper()
		freed = nil
		q, err := NewClassic(limit, func(vs []int) { freed = append(freed, vs...) })
		require.NoError(t, err)
		return q
	}
	t.Run("ifq_set_classic", func(t *testing.T) {
		// The discipline an interface begins with does all that one must.
		var d Discipline[int] = fresh(t, 3)
		require.Equal(t, 3, d.Limit())
		_, err := NewClassic(0, func([]int) {})
		require.ErrorIs(t, err, syscall.EINVAL)
		_, err = NewClassic[int](1, nil)
		require.ErrorIs(t, err, syscall.EINVAL)
	})
	t.Run("ifq_classic_enqueue", func(t *testing.T) {
		q := fresh(t, 2)
		require.NoError(t, q.Enqueue(1))
		require.NoError(t, q.Enqueue(2))
		require.ErrorIs(t, q.Enqueue(3), syscall.ENOBUFS, "full")
		require.Equal(t, []int{3}, freed, "what does not fit is freed")
		require.EqualValues(t, 1, q.Drops(), "and counted")
		require.Equal(t, 2, q.Len())
		require.Zero(t, q.EnqueueBurst([]int{4, 5}))
		require.Equal(t, []int{3, 4, 5}, freed)
		require.Zero(t, q.Offer([]int{6}))
		require.Zero(t, q.Offer(nil))
		require.Len(t, freed, 3, "what is offered stays the caller's")
		_, ok := q.Remove()
		require.True(t, ok)
		require.Equal(t, 1, q.EnqueueBurst([]int{7, 8}), "as many as fit")
		require.Equal(t, 8, freed[3])

		// Many may be refused at a time, as on many cores.
		deep := 0
		q, err := NewClassic(1, func(vs []int) {
			if deep++; deep < 2*refusals {
				require.ErrorIs(t, q.Enqueue(vs[0]+1), syscall.ENOBUFS)
			}
		})
		require.NoError(t, err)
		require.NoError(t, q.Enqueue(1))
		require.ErrorIs(t, q.Enqueue(1), syscall.ENOBUFS)
		require.EqualValues(t, 2*refusals, q.Drops())
	})
	t.Run("ifq_classic_dequeue", func(t *testing.T) {
		q := fresh(t, 3)
		_, ok := q.Poll()
		require.False(t, ok)
		_, ok = q.Remove()
		require.False(t, ok)
		for v := 1; v <= 3; v++ {
			require.NoError(t, q.Enqueue(v))
		}
		for v := 1; v <= 3; v++ {
			polled, ok := q.Poll()
			require.True(t, ok)
			require.Equal(t, v, polled)
			require.Equal(t, 4-v, q.Len(), "POLL looks")
			removed, ok := q.Remove()
			require.True(t, ok)
			require.Equal(t, polled, removed, "what was polled is what is removed")
		}
		// Several at once: the one that was polled comes first.
		require.Equal(t, 3, q.EnqueueBurst([]int{4, 5, 6}))
		polled, ok := q.Poll()
		require.True(t, ok)
		var dst [2]int
		require.Equal(t, 2, q.DequeueBurst(dst[:]))
		require.Equal(t, [2]int{polled, 5}, dst)
		require.Equal(t, 1, q.DequeueBurst(dst[:]))
		require.Zero(t, q.DequeueBurst(dst[:]))
		require.Empty(t, freed)
	})
	t.Run("ifq_classic_request", func(t *testing.T) {
		q := fresh(t, 3)
		require.NoError(t, q.Request(RequestPurge), "of an empty one")
		require.NoError(t, q.Enqueue(1))
		require.NoError(t, q.Enqueue(2))
		require.ErrorIs(t, q.Request(99), syscall.EINVAL, "one that it does not know")
		require.Equal(t, 2, q.Len())
		require.NoError(t, q.Request(RequestPurge))
		require.Equal(t, []int{1, 2}, freed)
		require.EqualValues(t, 2, q.Purged())
		require.Zero(t, q.Len())
	})
}
