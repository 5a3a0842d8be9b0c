package queue

import (
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"syscall"
)

// Bounds of a ring's size. Two is the least at which a bulk can straddle the
// end; the most leaves the difference of two positions far from wrapping.
const (
	minSize = 2
	maxSize = 1 << 30
)

// checkSize says what is wrong with the size of a ring, and which size to ask
// for instead.
func checkSize(kind string, size int) error {
	switch {
	case size < minSize || size > maxSize:
		return fmt.Errorf("queue: %s size %d is out of range, use a power of two from %d to %d: %w",
			kind, size, minSize, maxSize, syscall.EINVAL)
	case size&(size-1) != 0:
		return fmt.Errorf("queue: %s size %d is not a power of two, use %d: %w",
			kind, size, ceilPow2(size), syscall.EINVAL)
	}
	return nil
}

// maxBytes bounds the memory of a ring: far beyond any use, and within what make
// accepts, which panics where we want an error.
const maxBytes = min(math.MaxInt, uint64(1)<<40)

// ceilPow2 returns the least power of two that is not below n, for n >= 1.
func ceilPow2(n int) int { return 1 << bits.Len(uint(n-1)) }

// slots is the memory of a ring. It has no idea of who may touch which slot;
// the positions say so. The fields are constant after construction and so may
// be shared by all cores.
type slots[T any] struct {
	buf  []T
	mask uint32 // len(buf) - 1
}

// newSlots returns size slots, a power of two. Spare elements before and
// behind keep the neighbours on the heap out of the cache lines of the first
// and the last slot.
func newSlots[T any](kind string, size int) (slots[T], error) {
	elem := int(reflect.TypeFor[T]().Size())
	guard := 0
	if elem > 0 {
		guard = (int(reflect.TypeFor[pad]().Size()) + elem - 1) / elem
		if uint64(guard+size+guard) > maxBytes/uint64(elem) {
			return slots[T]{}, fmt.Errorf("queue: %s of %d elements of %d bytes needs more than %d bytes, use a smaller size: %w",
				kind, size, elem, maxBytes, syscall.ENOMEM)
		}
	}
	buf := make([]T, guard+size+guard)
	return slots[T]{buf: buf[guard : guard+size : guard+size], mask: uint32(size - 1)}, nil
}

// smallBulk is the number of elements that is copied without the call that copy makes: for
// elements of 8 bytes a cache line, of which the call would be a sixth of the cost of going in
// or out.
const smallBulk = 8

// put copies src to the slots from position pos on. len(src) <= len(s.buf).
func (s *slots[T]) put(pos uint32, src []T) {
	to := s.buf[pos&s.mask:]
	if len(src) == smallBulk && len(to) >= smallBulk {
		*(*[smallBulk]T)(to) = *(*[smallBulk]T)(src)
		return
	}
	n := copy(to, src)
	if n < len(src) {
		copy(s.buf, src[n:])
	}
}

// get copies the slots from position pos on to dst. len(dst) <= len(s.buf).
func (s *slots[T]) get(pos uint32, dst []T) {
	from := s.buf[pos&s.mask:]
	if len(dst) == smallBulk && len(from) >= smallBulk {
		*(*[smallBulk]T)(dst) = *(*[smallBulk]T)(from)
		return
	}
	n := copy(dst, from)
	if n < len(dst) {
		copy(dst[n:], s.buf)
	}
}

// span returns the slots from position pos on in place, in two pieces of which
// the second is empty unless the range goes round the end. n <= len(s.buf).
func (s *slots[T]) span(pos, n uint32) (first, second []T) {
	i := int(pos & s.mask)
	if end := i + int(n); end > len(s.buf) {
		return s.buf[i:], s.buf[:end-len(s.buf)]
	}
	return s.buf[i : i+int(n)], nil
}
