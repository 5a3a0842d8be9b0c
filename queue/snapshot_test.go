package queue

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// snapshotRing is what the test needs of each ring, whatever it is called there.
type snapshotRing struct {
	put  func(src []uint64) int
	take func(dst []uint64) int
	snap func(dst []uint64) int
}

func snapshotRings(t require.TestingT, size int, start uint32) map[string]snapshotRing {
	s, err := newSPSC[uint64](size, start)
	require.NoError(t, err)
	m, err := newMPMC[uint64](size, start)
	require.NoError(t, err)
	c, err := newClassic(size, func([]uint64) {}, start)
	require.NoError(t, err)
	return map[string]snapshotRing{
		"spsc":    {s.EnqueueBurst, s.DequeueBurst, s.Snapshot},
		"mpmc":    {m.EnqueueBurst, m.DequeueBurst, m.Snapshot},
		"classic": {c.Offer, c.DequeueBurst, c.Snapshot},
	}
}

// A snapshot equals the naive twin at any fill level and across the wrap of the
// positions, takes nothing out, and never exceeds the room it is given.
func TestSnapshotAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 8
		start := ^uint32(0) - uint32(rapid.IntRange(0, 20).Draw(t, "before wrap"))
		for name, r := range snapshotRings(t, size, start) {
			var twin []uint64
			next := uint64(1)
			for range rapid.IntRange(1, 12).Draw(t, "steps") {
				src := make([]uint64, rapid.IntRange(0, size+2).Draw(t, "put"))
				for i := range src {
					src[i] = next
					next++
				}
				twin = append(twin, src[:r.put(src)]...)
				room := rapid.IntRange(0, size+2).Draw(t, "room")
				got := make([]uint64, room)
				for range 2 { // twice: the first one must have taken nothing
					n := r.snap(got)
					want := twin[:min(room, len(twin))]
					require.Equal(t, len(want), n, name)
					require.True(t, slices.Equal(want, got[:n]), name)
				}
				dst := make([]uint64, rapid.IntRange(0, size+2).Draw(t, "take"))
				n := r.take(dst)
				require.True(t, slices.Equal(twin[:n], dst[:n]), name)
				twin = twin[n:]
			}
		}
	})
}

func TestSnapshotAllocatesNothing(t *testing.T) {
	for name, r := range snapshotRings(t, 64, 0) {
		r.put(make([]uint64, 40))
		dst := make([]uint64, 64)
		assert.Zero(t, testing.AllocsPerRun(100, func() { r.snap(dst) }), name)
	}
}
