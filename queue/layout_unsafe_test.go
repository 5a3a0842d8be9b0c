package queue

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// pair is what hardware that fetches adjacent lines moves at once.
const pair = 128

// region is a group of fields that one party writes, as bytes of a struct.
type region struct {
	name       string
	first, end uintptr // end is behind the last byte
}

// Regions of different owners are so far apart that no aligned pair of lines
// holds bytes of two, wherever the struct begins; and none is the last thing in
// its struct, where the next object of the heap would be its neighbour.
func requireApart(t *testing.T, size uintptr, regions []region) {
	t.Helper()
	for i, r := range regions {
		require.Less(t, r.first, r.end, r.name)
		next := size
		what := "the end"
		if i+1 < len(regions) {
			next, what = regions[i+1].first, regions[i+1].name
		}
		require.GreaterOrEqual(t, next, r.end+pair-1, "%s and %s", r.name, what)
	}
}

func singleRegions(name string, at uintptr, s *single) []region {
	return []region{
		{name + ", private", at + unsafe.Offsetof(s.pos), at + unsafe.Offsetof(s.peer) + unsafe.Sizeof(s.peer)},
		{name + ", shared", at + unsafe.Offsetof(s.shared), at + unsafe.Offsetof(s.shared) + unsafe.Sizeof(s.shared)},
	}
}

func multiRegions(name string, at uintptr, m *multi) []region {
	return []region{
		{name + ", claimed", at + unsafe.Offsetof(m.claimed), at + unsafe.Offsetof(m.claimed) + unsafe.Sizeof(m.claimed)},
		{name + ", shared", at + unsafe.Offsetof(m.shared), at + unsafe.Offsetof(m.shared) + unsafe.Sizeof(m.shared)},
	}
}

func TestLayout(t *testing.T) {
	t.Run("SPSC", func(t *testing.T) {
		var r SPSC[uint64]
		regions := []region{{"constant", 0, unsafe.Sizeof(r.slots)}}
		regions = append(regions, singleRegions("producer", unsafe.Offsetof(r.prod), &r.prod)...)
		regions = append(regions, singleRegions("consumer", unsafe.Offsetof(r.cons), &r.cons)...)
		requireApart(t, unsafe.Sizeof(r), regions)
	})
	t.Run("MPSC", func(t *testing.T) {
		var r MPSC[uint64]
		regions := []region{{"constant", 0, unsafe.Sizeof(r.slots)}}
		regions = append(regions, multiRegions("producers", unsafe.Offsetof(r.prod), &r.prod)...)
		regions = append(regions, singleRegions("consumer", unsafe.Offsetof(r.cons), &r.cons)...)
		requireApart(t, unsafe.Sizeof(r), regions)
	})
	t.Run("MPMC", func(t *testing.T) {
		var r MPMC[uint64]
		regions := []region{{"constant", 0, unsafe.Sizeof(r.slots)}}
		regions = append(regions, multiRegions("producers", unsafe.Offsetof(r.prod), &r.prod)...)
		regions = append(regions, multiRegions("consumers", unsafe.Offsetof(r.cons), &r.cons)...)
		requireApart(t, unsafe.Sizeof(r), regions)
	})
	t.Run("Classic", func(t *testing.T) {
		var q Classic[uint64]
		regions := []region{{"constant", 0, unsafe.Offsetof(q.boxes) + unsafe.Sizeof(q.boxes)}}
		regions = append(regions, multiRegions("producers", unsafe.Offsetof(q.prod), &q.prod)...)
		regions = append(regions, singleRegions("consumer", unsafe.Offsetof(q.cons), &q.cons)...)
		regions = append(regions, region{"statistics", unsafe.Offsetof(q.drops), unsafe.Offsetof(q.purged) + unsafe.Sizeof(q.purged)})
		requireApart(t, unsafe.Sizeof(q), regions)
	})
}

// The slots have memory of their own around them.
func TestSlotsLayout(t *testing.T) {
	s, err := newSlots[[3]uint64]("test", 4)
	require.NoError(t, err)
	require.Len(t, s.buf, 4)
	require.Equal(t, 4, cap(s.buf))
	// Twice in a row from one size class: were there no guard, the slots of
	// one could end right where those of the other begin.
	o, err := newSlots[[3]uint64]("test", 4)
	require.NoError(t, err)
	a, b := uintptr(unsafe.Pointer(&s.buf[0])), uintptr(unsafe.Pointer(&o.buf[0]))
	require.GreaterOrEqual(t, max(a, b)-min(a, b), uintptr(4*24+pair))
}
