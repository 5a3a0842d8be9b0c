package queue

// SPSC is a bounded ring for one producer and one consumer.
//
// The Enqueue calls belong to the producer, the Dequeue calls to the consumer;
// the two may be different goroutines or the same one. All calls return at
// once. Make one with [NewSPSC].
type SPSC[T any] struct {
	slots slots[T] // constant
	_     pad
	prod  single // the producer's
	cons  single // the consumer's
}

// NewSPSC returns an empty ring that holds exactly size elements. size is a
// power of two from 2 to 2^30; any other is an error that wraps EINVAL.
func NewSPSC[T any](size int) (*SPSC[T], error) { return newSPSC[T](size, 0) }

// newSPSC lets tests begin shortly before the positions wrap.
func newSPSC[T any](size int, start uint32) (*SPSC[T], error) {
	if err := checkSize("SPSC", size); err != nil {
		return nil, err
	}
	s, err := newSlots[T]("SPSC", size)
	if err != nil {
		return nil, err
	}
	r := &SPSC[T]{slots: s}
	r.prod.startAt(start)
	r.cons.startAt(start)
	return r, nil
}

// Enqueue puts v in and reports whether there was room. Producer only.
func (r *SPSC[T]) Enqueue(v T) bool {
	if r.prod.room(1, uint32(len(r.slots.buf)), &r.cons.shared) == 0 {
		return false
	}
	r.slots.buf[r.prod.pos&r.slots.mask] = v
	r.prod.advance(1)
	return true
}

// EnqueueBulk puts all of src in, in order, or nothing, and reports which. A
// src longer than the ring never fits; an empty one always does. Producer only.
func (r *SPSC[T]) EnqueueBulk(src []T) bool {
	size := uint32(len(r.slots.buf))
	if len(src) > int(size) {
		return false
	}
	n := uint32(len(src))
	if r.prod.room(n, size, &r.cons.shared) < n {
		return false
	}
	r.slots.put(r.prod.pos, src)
	r.prod.advance(n)
	return true
}

// EnqueueBurst puts in as many elements of src as fit, from the first on, and
// returns how many. The rest stays the caller's. Producer only.
func (r *SPSC[T]) EnqueueBurst(src []T) int {
	size := uint32(len(r.slots.buf))
	n := uint32(min(len(src), int(size)))
	n = min(n, r.prod.room(n, size, &r.cons.shared))
	if n == 0 {
		return 0
	}
	r.slots.put(r.prod.pos, src[:n])
	r.prod.advance(n)
	return int(n)
}

// Dequeue takes the oldest element out; false means that there was none.
// Consumer only.
func (r *SPSC[T]) Dequeue() (v T, ok bool) {
	if r.cons.room(1, 0, &r.prod.shared) == 0 {
		return v, false
	}
	v = r.slots.buf[r.cons.pos&r.slots.mask]
	r.cons.advance(1)
	return v, true
}

// DequeueBulk fills all of dst with the oldest elements, in order, or takes
// nothing, and reports which. Consumer only.
func (r *SPSC[T]) DequeueBulk(dst []T) bool {
	if len(dst) > len(r.slots.buf) {
		return false
	}
	n := uint32(len(dst))
	if r.cons.room(n, 0, &r.prod.shared) < n {
		return false
	}
	r.slots.get(r.cons.pos, dst)
	r.cons.advance(n)
	return true
}

// DequeueBurst takes out up to len(dst) of the oldest elements, in order, and
// returns how many; 0 means that the ring was empty. Consumer only.
func (r *SPSC[T]) DequeueBurst(dst []T) int {
	n := uint32(min(len(dst), len(r.slots.buf)))
	n = min(n, r.cons.room(n, 0, &r.prod.shared))
	if n == 0 {
		return 0
	}
	r.slots.get(r.cons.pos, dst[:n])
	r.cons.advance(n)
	return int(n)
}

// Len returns how many elements are in the ring. For the producer it may be
// too high, for the consumer too low, by what the other is doing meanwhile.
func (r *SPSC[T]) Len() int {
	return length(&r.prod.shared, &r.cons.shared, uint32(len(r.slots.buf)))
}

// Cap returns how many elements the ring holds at most.
func (r *SPSC[T]) Cap() int { return len(r.slots.buf) }

// Free returns for how many elements there is room: Cap less Len.
func (r *SPSC[T]) Free() int { return r.Cap() - r.Len() }
