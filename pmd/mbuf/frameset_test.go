package mbuf

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A FrameSet behaves as a map of chunk addresses does.
func TestFrameSetAgainstMap(t *testing.T) {
	p := newPool(t, 128)
	size := uint64(p.FrameSize())
	rapid.Check(t, func(t *rapid.T) {
		sets := [2]*FrameSet{NewFrameSet(p), NewFrameSet(p)}
		twins := [2]map[uint64]bool{{}, {}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "set")
			s, twin := sets[i], twins[i]
			// Anywhere in a chunk, and beyond the pool too.
			addr := rapid.Uint64Range(0, 140*size).Draw(t, "addr")
			if rapid.IntRange(0, 20).Draw(t, "huge") == 0 {
				addr = ^addr
			}
			base, inside := p.Base(addr), addr < 128*size
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			default:
				require.Equal(t, inside && !twin[base], s.Add(addr))
				if inside {
					twin[base] = true
				}
			case 5, 6, 7:
				require.Equal(t, twin[base], s.Remove(addr))
				delete(twin, base)
			case 8:
				s.Merge(sets[1-i])
				maps.Copy(twin, twins[1-i])
				clear(twins[1-i])
			case 9:
				s.Clear()
				clear(twin)
			}
			for k := range sets {
				require.Equal(t, len(twins[k]), sets[k].Len())
				require.True(t, slices.Equal(slices.Sorted(maps.Keys(twins[k])), slices.Collect(sets[k].All())))
			}
		}
	})
}

func TestFrameSetAllStops(t *testing.T) {
	p := newPool(t, 64)
	s := NewFrameSet(p)
	for i := range uint64(10) {
		require.True(t, s.Add(i*2048))
	}
	n := 0
	for range s.All() {
		if n++; n == 3 {
			break
		}
	}
	assert.Equal(t, 3, n)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		s.Add(40 * 2048)
		s.Remove(40 * 2048)
	}))
}
