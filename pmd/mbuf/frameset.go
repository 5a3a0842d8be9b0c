package mbuf

import (
	"iter"
	"math/bits"
)

// FrameSet is a set of frames of one pool: one bit a chunk. A queue keeps the
// frames it has posted to the kernel in one, so that they can be given back when
// the queue is lost, and so that an address the kernel hands out is believed
// only if it was posted. It belongs to one goroutine.
type FrameSet struct {
	words []uint64
	shift uint
	n     int
}

// NewFrameSet returns an empty set for frames of p.
func NewFrameSet(p *Pool) *FrameSet {
	return &FrameSet{words: make([]uint64, p.frames/64), shift: p.shift}
}

// Add puts the chunk that addr lies in into the set. It reports false, and
// changes nothing, if it is in already or addr is outside the pool.
func (s *FrameSet) Add(addr uint64) bool {
	i := addr >> s.shift
	w := i / 64
	if w >= uint64(len(s.words)) {
		return false
	}
	bit := uint64(1) << (i % 64)
	if s.words[w]&bit != 0 {
		return false
	}
	s.words[w] |= bit
	s.n++
	return true
}

// Remove takes the chunk that addr lies in out of the set. It reports false, and
// changes nothing, if it is not in.
func (s *FrameSet) Remove(addr uint64) bool {
	i := addr >> s.shift
	w := i / 64
	if w >= uint64(len(s.words)) {
		return false
	}
	bit := uint64(1) << (i % 64)
	if s.words[w]&bit == 0 {
		return false
	}
	s.words[w] &^= bit
	s.n--
	return true
}

// Len returns the number of frames in the set.
func (s *FrameSet) Len() int { return s.n }

// Clear empties the set.
func (s *FrameSet) Clear() {
	clear(s.words)
	s.n = 0
}

// Merge moves every frame of o into s.
func (s *FrameSet) Merge(o *FrameSet) {
	for i, w := range o.words {
		s.n += bits.OnesCount64(w &^ s.words[i])
		s.words[i] |= w
	}
	o.Clear()
}

// All yields the address of each chunk in the set, in rising order.
func (s *FrameSet) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i, w := range s.words {
			for w != 0 {
				b := bits.TrailingZeros64(w)
				w &= w - 1
				if !yield(uint64(i*64+b) << s.shift) {
					return
				}
			}
		}
	}
}
