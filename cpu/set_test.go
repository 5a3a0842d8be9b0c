package cpu

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ids draws CPU ids with word boundaries and the ends of the range well represented.
func ids() *rapid.Generator[[]int] {
	return rapid.SliceOfN(rapid.OneOf(
		rapid.IntRange(0, 130),
		rapid.IntRange(0, MaxCPUs-1),
		rapid.SampledFrom([]int{0, 63, 64, 4095, 4096, MaxCPUs - 1}),
	), 0, 40)
}

// model is the naive twin of a Set.
func model(ids []int) []int {
	m := slices.Clone(ids)
	slices.Sort(m)
	return slices.Compact(m)
}

func filter(ids []int, keep func(int) bool) []int {
	return slices.DeleteFunc(slices.Clone(ids), func(id int) bool { return !keep(id) })
}

func TestSetAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ia, ib := ids().Draw(t, "a"), ids().Draw(t, "b")
		ma, mb := model(ia), model(ib)
		a, b := SetOf(ia...), SetOf(ib...)
		inA := func(id int) bool { return slices.Contains(ma, id) }
		inB := func(id int) bool { return slices.Contains(mb, id) }

		same := func(what string, want []int, got Set) {
			if !slices.Equal(want, got.Slice()) {
				t.Fatalf("%s: want %v, got %v", what, want, got.Slice())
			}
			// One form per set: Equal compares words, so a stray zero word would show.
			if !got.Equal(SetOf(want...)) {
				t.Fatalf("%s: not in normal form: %v", what, got.words)
			}
		}
		same("SetOf", ma, a)
		same("And", filter(ma, inB), a.And(b))
		same("AndNot", filter(ma, func(id int) bool { return !inB(id) }), a.AndNot(b))
		same("Or", model(append(slices.Clone(ia), ib...)), a.Or(b))
		same("operands untouched", ma, a)
		same("operands untouched", mb, b)

		if a.Len() != len(ma) || a.IsEmpty() != (len(ma) == 0) {
			t.Fatalf("Len %d, IsEmpty %v for %v", a.Len(), a.IsEmpty(), ma)
		}
		if len(ma) > 0 && a.Min() != ma[0] {
			t.Fatalf("Min %d of %v", a.Min(), ma)
		}
		probe := rapid.IntRange(-70, MaxCPUs+70).Draw(t, "probe")
		if a.Has(probe) != inA(probe) {
			t.Fatalf("Has(%d) = %v", probe, a.Has(probe))
		}
		back, err := ParseList(a.String())
		if err != nil {
			t.Fatal(err)
		}
		same("String and back", ma, back)
	})
}

func TestSetZeroValue(t *testing.T) {
	var s Set
	assert.True(t, s.IsEmpty())
	assert.Equal(t, 0, s.Len())
	assert.Equal(t, -1, s.Min())
	assert.False(t, s.Has(0))
	assert.False(t, s.Has(-1))
	assert.Nil(t, s.Slice())
	assert.Equal(t, "", s.String())
	assert.True(t, s.Equal(SetOf()))
	assert.True(t, s.Equal(SetOf(7).AndNot(SetOf(7))), "an emptied set is the empty set")
	assert.True(t, rangeSet(0).IsEmpty())
}

// A set that was handed on must not change when another is derived from it.
func TestSetResultsDoNotAlias(t *testing.T) {
	a := SetOf(1, 2)
	or := a.Or(Set{})
	or.words[0] = 0
	assert.Equal(t, "1-2", a.String())
	not := a.AndNot(Set{})
	not.words[0] = 0
	assert.Equal(t, "1-2", a.String())
}

func TestSetOfPanicsOutOfRange(t *testing.T) {
	assert.Panics(t, func() { SetOf(-1) })
	assert.Panics(t, func() { SetOf(MaxCPUs) })
	require.NotPanics(t, func() { SetOf(MaxCPUs - 1) })
}

func TestSetAllStopsEarly(t *testing.T) {
	var seen []int
	for id := range SetOf(3, 70, 200).All() {
		seen = append(seen, id)
		if id == 70 {
			break
		}
	}
	assert.Equal(t, []int{3, 70}, seen)
}
