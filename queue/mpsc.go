package queue

// MPSC is a bounded ring for many producers and one consumer.
//
// Any goroutine may call Enqueue, EnqueueBulk and EnqueueBurst; elements of
// one call stay together and in order, and so do the calls of one goroutine.
// The Dequeue calls belong to one consumer. Make one with [NewMPSC].
type MPSC[T any] struct {
	slots slots[T] // constant
	_     pad
	prod  multi  // the producers'
	cons  single // the consumer's
}

// NewMPSC returns an empty ring that holds exactly size elements. size is a
// power of two from 2 to 2^30; any other is an error that wraps EINVAL.
func NewMPSC[T any](size int) (*MPSC[T], error) { return newMPSC[T](size, 0) }

// newMPSC lets tests begin shortly before the positions wrap.
func newMPSC[T any](size int, start uint32) (*MPSC[T], error) {
	if err := checkSize("MPSC", size); err != nil {
		return nil, err
	}
	s, err := newSlots[T]("MPSC", size)
	if err != nil {
		return nil, err
	}
	r := &MPSC[T]{slots: s}
	r.prod.startAt(start)
	r.cons.startAt(start)
	return r, nil
}

// Enqueue puts v in and reports whether there was room.
func (r *MPSC[T]) Enqueue(v T) bool {
	pos, n := r.prod.claim(1, 1, uint32(len(r.slots.buf)), &r.cons.shared)
	if n == 0 {
		return false
	}
	r.slots.buf[pos&r.slots.mask] = v
	r.prod.publish(pos, pos+1)
	return true
}

// EnqueueBulk puts all of src in, in order and with nothing of other producers
// in between, or nothing, and reports which. A src longer than the ring never
// fits; an empty one always does.
func (r *MPSC[T]) EnqueueBulk(src []T) bool {
	size := uint32(len(r.slots.buf))
	if len(src) == 0 || len(src) > int(size) {
		return len(src) == 0
	}
	want := uint32(len(src))
	pos, n := r.prod.claim(want, want, size, &r.cons.shared)
	if n == 0 {
		return false
	}
	r.slots.put(pos, src)
	r.prod.publish(pos, pos+n)
	return true
}

// EnqueueBurst puts in as many elements of src as fit, from the first on, and
// returns how many. The rest stays the caller's.
func (r *MPSC[T]) EnqueueBurst(src []T) int {
	if len(src) == 0 {
		return 0
	}
	size := uint32(len(r.slots.buf))
	pos, n := r.prod.claim(1, uint32(min(len(src), int(size))), size, &r.cons.shared)
	if n == 0 {
		return 0
	}
	r.slots.put(pos, src[:n])
	r.prod.publish(pos, pos+n)
	return int(n)
}

// Dequeue takes the oldest element out; false means that there was none.
// Consumer only.
func (r *MPSC[T]) Dequeue() (v T, ok bool) {
	if r.cons.room(1, 0, &r.prod.shared) == 0 {
		return v, false
	}
	v = r.slots.buf[r.cons.pos&r.slots.mask]
	r.cons.advance(1)
	return v, true
}

// DequeueBulk fills all of dst with the oldest elements, in order, or takes
// nothing, and reports which. Consumer only.
func (r *MPSC[T]) DequeueBulk(dst []T) bool {
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
func (r *MPSC[T]) DequeueBurst(dst []T) int {
	n := uint32(min(len(dst), len(r.slots.buf)))
	n = min(n, r.cons.room(n, 0, &r.prod.shared))
	if n == 0 {
		return 0
	}
	r.slots.get(r.cons.pos, dst[:n])
	r.cons.advance(n)
	return int(n)
}

// Len returns how many elements are in the ring; one counts from the end of
// its enqueue to the end of its dequeue.
func (r *MPSC[T]) Len() int {
	return length(&r.prod.shared, &r.cons.shared, uint32(len(r.slots.buf)))
}

// Cap returns how many elements the ring holds at most.
func (r *MPSC[T]) Cap() int { return len(r.slots.buf) }

// Free returns for how many elements there is room: Cap less Len.
func (r *MPSC[T]) Free() int { return r.Cap() - r.Len() }
