package queue

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// No call allocates, whether it succeeds or is refused.
func TestRingAllocatesNothing(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			r, err := kind.make(64, 0)
			require.NoError(t, err)
			burst := make([]uint64, 48)
			assert.Zero(t, testing.AllocsPerRun(1000, func() {
				r.EnqueueBulk(burst)
				r.EnqueueBulk(burst) // refused
				r.EnqueueBurst(burst)
				r.Enqueue(1) // refused
				r.DequeueBulk(burst)
				r.DequeueBurst(burst)
				r.DequeueBulk(burst) // refused
				r.Dequeue()          // refused
				r.Enqueue(1)
				r.Dequeue()
				_ = r.Len() + r.Cap() + r.Free()
			}))
		})
	}
}

func TestClassicAllocatesNothing(t *testing.T) {
	freed := 0
	q, err := NewClassic(50, func(vs []uint64) { freed += len(vs) })
	require.NoError(t, err)
	burst := make([]uint64, 48)
	refused := 0
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		q.EnqueueBurst(burst)
		q.EnqueueBurst(burst) // mostly freed
		q.Offer(burst)        // refused
		if q.Enqueue(1) != nil {
			refused++
		}
		q.Poll()
		q.Remove()
		if q.Enqueue(1) != nil {
			refused++
		}
		q.DequeueBurst(burst)
		if q.Request(RequestPurge) != nil {
			refused++
		}
		_ = q.Len() + q.Limit() + int(q.Drops()+q.Purged())
	}))
	assert.Equal(t, 1001, refused, "one a run, and a warm-up")
	assert.EqualValues(t, freed, q.Drops()+q.Purged())
}
