package cpu

import "iter"

// PerCore holds one T for each of n cores, such that what one core writes to its own never
// disturbs another's cache: no two elements share a line of [LineSize] bytes, and none
// shares one with memory outside the PerCore.
//
// The index is whatever numbers the cores from 0, normally the worker, not the CPU id. The
// PerCore itself does not change once made; its elements are guarded by nothing but the
// convention that each belongs to one core.
type PerCore[T any] struct {
	slots []slot[T]
}

// slot is an element behind a whole line of padding. From the last byte of an element to the
// first of the next is then more than a line, wherever the allocator put the first one, so
// no line holds bytes of both. Aligning the elements would do as well with less memory, but
// Go has no way to ask for an alignment.
type slot[T any] struct {
	_ [LineSize]byte
	v T
}

// NewPerCore makes a PerCore of n zero elements. It panics if n is negative, as make does.
func NewPerCore[T any](n int) *PerCore[T] {
	// One slot more than is used: its padding protects the last element from what comes
	// after it in memory.
	return &PerCore[T]{make([]slot[T], n+1)[:n:n]}
}

// At returns the element of core i, from 0 to Len()-1. It panics outside that. Whoever uses
// an element on every packet keeps the pointer, which stays valid.
func (p *PerCore[T]) At(i int) *T { return &p.slots[i].v }

// Len returns the number of elements.
func (p *PerCore[T]) Len() int { return len(p.slots) }

// All yields the index and the element of each core in turn. To read elements other cores
// write, their fields must be atomic.
func (p *PerCore[T]) All() iter.Seq2[int, *T] {
	return func(yield func(int, *T) bool) {
		for i := range p.slots {
			if !yield(i, &p.slots[i].v) {
				return
			}
		}
	}
}
