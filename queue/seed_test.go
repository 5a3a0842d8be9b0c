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
