package cpu

import (
	"fmt"
	"iter"
	"math/bits"
	"slices"
)

// MaxCPUs is the number of CPUs a [Set] can tell apart: ids run from 0 to MaxCPUs-1. It is
// the largest NR_CPUS that a Linux configuration offers (arch/x86/Kconfig, MAXSMP).
const MaxCPUs = 8192

// Set is a set of CPU ids. The zero value is the empty set. Apart from decoding into one
// ([Set.UnmarshalText]) no method changes a Set, so it may be copied and shared freely.
// == does not compile for it, use [Set.Equal].
type Set struct {
	// words is a bitmap, CPU i being bit i%64 of words[i/64]. The last word is never
	// zero, so that equal sets have equal words and the empty set is nil.
	words []uint64
}

// SetOf returns the set of the given ids. It panics if an id is negative or not below
// [MaxCPUs]; ids that come from outside the program belong in [ParseList].
func SetOf(ids ...int) Set {
	var words []uint64
	for _, id := range ids {
		if id < 0 || id >= MaxCPUs {
			panic(fmt.Sprintf("cpu: SetOf: id %d is outside 0-%d", id, MaxCPUs-1))
		}
		words = setRange(words, id, id)
	}
	return Set{words}
}

// rangeSet returns the set of the ids 0 to n-1.
func rangeSet(n int) Set {
	if n <= 0 {
		return Set{}
	}
	return Set{setRange(nil, 0, min(n, MaxCPUs)-1)}
}

// setRange sets the bits first to last, both included, and returns the bitmap, grown if
// it was too short. It works by words: a range costs the same as a single id.
func setRange(words []uint64, first, last int) []uint64 {
	if need := last/64 + 1; need > len(words) {
		words = append(words, make([]uint64, need-len(words))...)
	}
	for w := first / 64; w <= last/64; w++ {
		mask := ^uint64(0)
		if w == first/64 {
			mask &= ^uint64(0) << (first % 64)
		}
		if w == last/64 {
			mask &= ^uint64(0) >> (63 - last%64)
		}
		words[w] |= mask
	}
	return words
}

// normal drops trailing zero words; see the invariant at Set.words.
func normal(words []uint64) Set {
	n := len(words)
	for n > 0 && words[n-1] == 0 {
		n--
	}
	if n == 0 {
		return Set{}
	}
	return Set{words[:n:n]}
}

// Has reports whether id is in the set. Any int may be asked about.
func (s Set) Has(id int) bool {
	return id >= 0 && id/64 < len(s.words) && s.words[id/64]&(1<<(id%64)) != 0
}

// Len returns the number of CPUs in the set.
func (s Set) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// IsEmpty reports whether the set holds no CPU.
func (s Set) IsEmpty() bool { return len(s.words) == 0 }

// All yields the ids in ascending order.
func (s Set) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s.words {
			for ; w != 0; w &= w - 1 {
				if !yield(i*64 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// Slice returns the ids in ascending order, in a slice of the caller's own. It is nil for
// the empty set.
func (s Set) Slice() []int {
	if s.IsEmpty() {
		return nil
	}
	return slices.AppendSeq(make([]int, 0, s.Len()), s.All())
}

// Min returns the lowest id, or -1 if the set is empty.
func (s Set) Min() int {
	for id := range s.All() {
		return id
	}
	return -1
}

// Equal reports whether both sets hold the same CPUs.
func (s Set) Equal(o Set) bool { return slices.Equal(s.words, o.words) }

// And returns the CPUs that are in both sets.
func (s Set) And(o Set) Set {
	words := make([]uint64, min(len(s.words), len(o.words)))
	for i := range words {
		words[i] = s.words[i] & o.words[i]
	}
	return normal(words)
}

// Or returns the CPUs that are in at least one of the sets.
func (s Set) Or(o Set) Set {
	if len(s.words) < len(o.words) {
		s, o = o, s
	}
	words := slices.Clone(s.words)
	for i, w := range o.words {
		words[i] |= w
	}
	return Set{words}
}

// AndNot returns the CPUs of s that are not in o.
func (s Set) AndNot(o Set) Set {
	words := slices.Clone(s.words)
	for i := range min(len(s.words), len(o.words)) {
		words[i] &^= o.words[i]
	}
	return normal(words)
}
