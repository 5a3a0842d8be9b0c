package mbuf

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Where one core takes and another frees, the same frames come round and not all of the
// pool's, so that their bytes stay in a cache.
func TestFramesComeRoundSoon(t *testing.T) {
	p := newPool(t, 8192)
	taker, freer := NewCache(p), NewCache(p)
	used := map[uint64]bool{}
	for range 1000 {
		var burst [64]Frame
		require.Equal(t, len(burst), taker.TakeFrames(burst[:], 256, 60, p.Meta(0)))
		for _, f := range burst {
			used[p.Base(f.Addr)] = true
		}
		freer.PutFrames(burst[:])
	}
	// A bulk is on its way on either side, and the freer fills its stock first.
	assert.LessOrEqual(t, len(used), cap(taker.addrs)+3*cacheBulk)
	taker.Drain()
	freer.Drain()
	assert.Equal(t, p.Frames(), p.Available())
}

// However a pool's frames are spread over the two rings, all can be had.
func TestFreeListGivesAll(t *testing.T) {
	for _, frames := range []int{MinFrames, recentFrames, 4 * recentFrames} {
		l, err := newFreeList(frames)
		require.NoError(t, err)
		all := make([]uint64, frames)
		for i := range all {
			all[i] = uint64(i)
		}
		for i := 0; i < frames; i += MinFrames {
			require.True(t, l.put(all[i:i+MinFrames]))
		}
		assert.Equal(t, frames, l.len())
		got := make([]uint64, frames)
		assert.Equal(t, frames, l.snapshot(got))
		assert.ElementsMatch(t, all, got)
		clear(got)
		n := 0
		for n < frames {
			k := l.take(got[n:min(n+100, frames)], 1)
			require.NotZero(t, k)
			n += k
		}
		assert.ElementsMatch(t, all, got)
		assert.Zero(t, l.take(got, 1))
		// More than the pool has is noticed by the time that both are full.
		for range 2 * frames / MinFrames {
			if !l.put(all[:MinFrames]) {
				return
			}
		}
		assert.False(t, l.put(all[:MinFrames]))
	}
}
