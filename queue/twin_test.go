package queue

import (
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ring is what the three rings have in common.
type ring interface {
	Enqueue(v uint64) bool
	EnqueueBulk(src []uint64) bool
	EnqueueBurst(src []uint64) int
	Dequeue() (uint64, bool)
	DequeueBulk(dst []uint64) bool
	DequeueBurst(dst []uint64) int
	Len() int
	Cap() int
	Free() int
}

// kinds are the rings under test, made to begin at a given position.
var kinds = []struct {
	name string
	make func(size int, start uint32) (ring, error)
}{
	{"SPSC", func(size int, start uint32) (ring, error) { return newSPSC[uint64](size, start) }},
	{"MPSC", func(size int, start uint32) (ring, error) { return newMPSC[uint64](size, start) }},
	{"MPMC", func(size int, start uint32) (ring, error) { return newMPMC[uint64](size, start) }},
}

// startPosition draws a position to begin at: often so near 2^32 that the
// positions wrap within a few calls.
func startPosition() *rapid.Generator[uint32] {
	return rapid.OneOf(
		rapid.Just(uint32(0)),
		rapid.Map(rapid.Uint32Range(1, 64), func(n uint32) uint32 { return -n }),
		rapid.Map(rapid.Uint32Range(0, 64), func(n uint32) uint32 { return 1<<31 - n }),
		rapid.Uint32(),
	)
}

// sequence hands out values that never repeat, so that a mix-up shows.
type sequence uint64

func (s *sequence) take(n int) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		*s++
		out[i] = uint64(*s)
	}
	return out
}

// same fails the test unless both hold the same values; nil is as good as empty.
func same(t require.TestingT, want, got []uint64) {
	if !slices.Equal(want, got) {
		require.Equal(t, want, got)
	}
}

// A ring does what a slice with a bound on its length does, for any sequence of
// calls, any burst (also longer than the ring), and across the wrap.
func TestRingAgainstSlice(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				size := 1 << rapid.IntRange(1, 6).Draw(t, "log2 size")
				r, err := kind.make(size, startPosition().Draw(t, "start"))
				require.NoError(t, err)
				var (
					twin []uint64
					seq  sequence
				)
				burst := rapid.IntRange(0, size+5)
				t.Repeat(map[string]func(*rapid.T){
					"Enqueue": func(t *rapid.T) {
						v := seq.take(1)
						fits := len(twin) < size
						require.Equal(t, fits, r.Enqueue(v[0]))
						if fits {
							twin = append(twin, v...)
						}
					},
					"EnqueueBulk": func(t *rapid.T) {
						src := seq.take(burst.Draw(t, "n"))
						fits := len(twin)+len(src) <= size
						require.Equal(t, fits, r.EnqueueBulk(src))
						if fits {
							twin = append(twin, src...)
						}
					},
					"EnqueueBurst": func(t *rapid.T) {
						src := seq.take(burst.Draw(t, "n"))
						n := min(len(src), size-len(twin))
						require.Equal(t, n, r.EnqueueBurst(src))
						twin = append(twin, src[:n]...)
					},
					"Dequeue": func(t *rapid.T) {
						v, ok := r.Dequeue()
						require.Equal(t, len(twin) > 0, ok)
						if !ok {
							require.Zero(t, v)
							return
						}
						require.Equal(t, twin[0], v)
						twin = twin[1:]
					},
					"DequeueBulk": func(t *rapid.T) {
						dst := make([]uint64, burst.Draw(t, "n"))
						fits := len(dst) <= len(twin)
						require.Equal(t, fits, r.DequeueBulk(dst))
						if !fits {
							same(t, make([]uint64, len(dst)), dst) // a refused bulk writes nothing
							return
						}
						same(t, twin[:len(dst)], dst)
						twin = twin[len(dst):]
					},
					"DequeueBurst": func(t *rapid.T) {
						dst := make([]uint64, burst.Draw(t, "n"))
						n := min(len(dst), len(twin))
						require.Equal(t, n, r.DequeueBurst(dst))
						same(t, twin[:n], dst[:n])
						same(t, make([]uint64, len(dst)-n), dst[n:]) // nor is anything behind what is returned
						twin = twin[n:]
					},
					"": func(t *rapid.T) {
						require.Equal(t, len(twin), r.Len())
						require.Equal(t, size, r.Cap())
						require.Equal(t, size-len(twin), r.Free())
					},
				})
			})
		})
	}
}

// Full and empty are told apart at every position around the wrap.
func TestRingFillsAndEmptiesAcrossWrap(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			const size = 8
			for back := uint32(0); back <= 2*size; back++ {
				r, err := kind.make(size, -back)
				require.NoError(t, err)
				var seq sequence
				for round := range 4 {
					src := seq.take(size)
					require.True(t, r.EnqueueBulk(src), "start -%d round %d", back, round)
					require.False(t, r.Enqueue(1))
					require.Zero(t, r.EnqueueBurst([]uint64{1}))
					require.Zero(t, r.Free())
					dst := make([]uint64, size)
					require.True(t, r.DequeueBulk(dst))
					require.Equal(t, src, dst)
					_, ok := r.Dequeue()
					require.False(t, ok)
					require.Zero(t, r.DequeueBurst(dst))
					require.Equal(t, size, r.Free())
				}
			}
		})
	}
}

// Element types other than a word: a frame handle, nothing at all, a pointer.
func TestRingElementTypes(t *testing.T) {
	type frame struct {
		addr     uint64
		len, opt uint32
	}
	f, err := NewMPMC[frame](4)
	require.NoError(t, err)
	want := []frame{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}
	require.True(t, f.EnqueueBulk(want))
	got := make([]frame, 3)
	require.True(t, f.DequeueBulk(got))
	require.Equal(t, want, got)

	e, err := NewSPSC[struct{}](2)
	require.NoError(t, err)
	require.Equal(t, 2, e.EnqueueBurst(make([]struct{}, 5)))
	require.Equal(t, 2, e.DequeueBurst(make([]struct{}, 5)))

	p, err := NewMPSC[*string](2)
	require.NoError(t, err)
	s := "kept"
	require.True(t, p.Enqueue(&s))
	q, ok := p.Dequeue()
	require.True(t, ok)
	require.Same(t, &s, q)
}

func TestConstructorsRefuse(t *testing.T) {
	ctors := map[string]func(int) error{
		"SPSC": func(n int) error { _, err := NewSPSC[uint64](n); return err },
		"MPSC": func(n int) error { _, err := NewMPSC[uint64](n); return err },
		"MPMC": func(n int) error { _, err := NewMPMC[uint64](n); return err },
	}
	for name, ctor := range ctors {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{-1 << 31, -1, 0, 1, 3, 1000, 1<<30 - 1, 1<<30 + 1} {
				err := ctor(n)
				require.ErrorIs(t, err, syscall.EINVAL, "size %d", n)
				require.ErrorContains(t, err, fmt.Sprintf("%s size %d ", name, n))
				require.NotContains(t, err.Error(), "\n")
			}
			require.ErrorContains(t, ctor(1000), "use 1024")
			for _, n := range []int{2, 4, 1 << 16} {
				require.NoError(t, ctor(n))
			}
		})
	}
	_, err := NewSPSC[[4096]byte](1 << 30)
	require.ErrorIs(t, err, syscall.ENOMEM, "4 TiB of slots")
}
