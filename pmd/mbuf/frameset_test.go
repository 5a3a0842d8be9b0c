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

// The calls for bursts do what the calls for one chunk do one after the other.
func TestFrameSetBurstsAgainstSingles(t *testing.T) {
	p := newPool(t, 128)
	size := uint64(p.FrameSize())
	rapid.Check(t, func(t *rapid.T) {
		s, twin := NewFrameSet(p), NewFrameSet(p)
		lens := map[uint64]uint64{} // by chunk, of frames that AddFrames added
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			addrs := rapid.SliceOfN(rapid.Uint64Range(0, 140*size), 0, 40).Draw(t, "addrs")
			frames := make([]Frame, len(addrs))
			for i, a := range addrs {
				length := rapid.Uint32Range(0, uint32(size)+1).Draw(t, "len")
				frames[i] = Frame{Addr: a, Len: length, Meta: Meta(rapid.Uint32().Draw(t, "meta"))}
			}
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				var want []uint64
				for _, a := range addrs {
					if twin.Add(a) {
						want = append(want, a)
					}
				}
				n := s.AddAddrs(addrs)
				require.True(t, slices.Equal(want, addrs[:n]))
			case 1:
				var want []uint64
				sum := uint64(0)
				for _, a := range addrs {
					if twin.Remove(a) {
						want = append(want, a)
						sum += lens[p.Base(a)]
						delete(lens, p.Base(a))
					}
				}
				dst := make([]uint64, len(addrs))
				n, bytes := s.RemoveAddrs(dst, addrs)
				require.True(t, slices.Equal(want, dst[:n]))
				require.Equal(t, sum, bytes)
			case 2:
				frames = slices.DeleteFunc(frames, func(f Frame) bool { return !valid(f, size) })
				want := 0
				for want < len(frames) && twin.Add(frames[want].Addr) {
					lens[p.Base(frames[want].Addr)] = uint64(frames[want].Len)
					want++
				}
				dst := make([]Frame, len(frames))
				require.Equal(t, want, s.AddFrames(dst, frames))
				for i, f := range frames[:want] {
					require.Equal(t, Frame{Addr: f.Addr, Len: f.Len}, dst[i])
				}
			case 3:
				var want []Frame
				for _, f := range frames {
					if valid(f, size) && twin.Remove(f.Addr) {
						delete(lens, p.Base(f.Addr))
						want = append(want, Frame{Addr: f.Addr, Len: f.Len, Meta: 7<<8 | f.Meta&FlagMore})
					}
				}
				dst := make([]Frame, len(frames))
				n := s.RemoveFrames(dst, frames, 7<<8, FlagMore)
				require.True(t, slices.Equal(want, dst[:n]))
			}
			require.Equal(t, twin.Len(), s.Len())
			require.True(t, slices.Equal(slices.Collect(twin.All()), slices.Collect(s.All())))
		}
	})
}

// valid says the long way whether all bytes of a frame lie in one chunk.
func valid(f Frame, size uint64) bool {
	return f.Len > 0 && f.Addr/size == (f.Addr+uint64(f.Len)-1)/size
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
