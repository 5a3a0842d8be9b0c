package queue

// MPMC is a bounded ring for many producers and many consumers.
//
// Any goroutine may call anything. The elements of one call stay together and
// in order, and so do the calls of one producer: a consumer never sees a later
// element of it before an earlier one. Make one with [NewMPMC].
type MPMC[T any] struct {
	slots slots[T] // constant
	_     pad
	prod  multi // the producers'
	cons  multi // the consumers'
}

// NewMPMC returns an empty ring that holds exactly size elements. size is a
// power of two from 2 to 2^30; any other is an error that wraps EINVAL.
func NewMPMC[T any](size int) (*MPMC[T], error) { return newMPMC[T](size, 0) }

// newMPMC lets tests begin shortly before the positions wrap.
func newMPMC[T any](size int, start uint32) (*MPMC[T], error) {
	if err := checkSize("MPMC", size); err != nil {
		return nil, err
	}
	s, err := newSlots[T]("MPMC", size)
	if err != nil {
		return nil, err
	}
	r := &MPMC[T]{slots: s}
	r.prod.startAt(start)
	r.cons.startAt(start)
	return r, nil
}

// Enqueue puts v in and reports whether there was room.
func (r *MPMC[T]) Enqueue(v T) bool {
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
func (r *MPMC[T]) EnqueueBulk(src []T) bool {
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
func (r *MPMC[T]) EnqueueBurst(src []T) int {
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
func (r *MPMC[T]) Dequeue() (v T, ok bool) {
	pos, n := r.cons.claim(1, 1, 0, &r.prod.shared)
	if n == 0 {
		return v, false
	}
	v = r.slots.buf[pos&r.slots.mask]
	r.cons.publish(pos, pos+1)
	return v, true
}

// DequeueBulk fills all of dst with the oldest elements, in order, or takes
// nothing, and reports which.
func (r *MPMC[T]) DequeueBulk(dst []T) bool {
	if len(dst) == 0 || len(dst) > len(r.slots.buf) {
		return len(dst) == 0
	}
	want := uint32(len(dst))
	pos, n := r.cons.claim(want, want, 0, &r.prod.shared)
	if n == 0 {
		return false
	}
	r.slots.get(pos, dst)
	r.cons.publish(pos, pos+n)
	return true
}

// DequeueBurst takes out up to len(dst) of the oldest elements, in order, and
// returns how many; 0 means that the ring was empty.
func (r *MPMC[T]) DequeueBurst(dst []T) int {
	if len(dst) == 0 {
		return 0
	}
	pos, n := r.cons.claim(1, uint32(min(len(dst), len(r.slots.buf))), 0, &r.prod.shared)
	if n == 0 {
		return 0
	}
	r.slots.get(pos, dst[:n])
	r.cons.publish(pos, pos+n)
	return int(n)
}

// Len returns how many elements are in the ring; one counts from the end of
// its enqueue to the end of its dequeue.
func (r *MPMC[T]) Len() int {
	return length(&r.prod.shared, &r.cons.shared, uint32(len(r.slots.buf)))
}

// Cap returns how many elements the ring holds at most.
func (r *MPMC[T]) Cap() int { return len(r.slots.buf) }

// Free returns for how many elements there is room: Cap less Len.
func (r *MPMC[T]) Free() int { return r.Cap() - r.Len() }
