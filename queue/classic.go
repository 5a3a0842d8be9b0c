package queue

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
)

// maxLimit bounds the limit of a Classic: a million frames is a tenth of a
// second at 10 Mpps, and far more than a send queue should ever hold.
const maxLimit = 1 << 20

// refusals is how many goroutines can be in the middle of having a single
// element refused before another one has to allocate.
const refusals = 64

// Classic is the plain send queue of an interface: first in, first out, up to
// a limit that is exact, with many producers and one consumer and no lock.
//
// Exact means that never more than Limit elements wait, and that one is
// refused only if at some moment of the call Limit elements were waiting or
// being put in. The limit need not be a power of two; the ring beneath is
// rounded up, the positions are held to the limit.
//
// The consumer is the worker that owns the device queue. Control may be the
// consumer instead once a barrier has shown that the worker no longer is one,
// never beside it. Make one with [NewClassic].
type Classic[T any] struct {
	// Constant.
	slots slots[T]
	limit uint32
	free  func([]T)
	boxes *MPMC[*[1]T]
	_     pad

	prod multi  // the producers'
	cons single // the consumer's

	// Statistics. Apart from prod, so that producers that are refused do not
	// slow down the consumer, or those that are not.
	drops  atomic.Uint64 // written by producers
	purged atomic.Uint64 // written by the consumer
	_      pad
}

var _ Discipline[uint64] = (*Classic[uint64])(nil)

// NewClassic returns an empty queue for up to limit elements, 1 to 2^20; any
// other limit, or a free that is nil, is an error that wraps EINVAL.
//
// free takes back elements that the queue has taken over and will not deliver.
// It is called on the goroutine of the producer that was refused, so it may
// run many times at once, or on that of the consumer that purges. It must not
// keep the slice, nor call the consumer's part of this queue.
func NewClassic[T any](limit int, free func([]T)) (*Classic[T], error) {
	return newClassic(limit, free, 0)
}

// newClassic lets tests begin shortly before the positions wrap.
func newClassic[T any](limit int, free func([]T), start uint32) (*Classic[T], error) {
	if limit < 1 || limit > maxLimit {
		return nil, fmt.Errorf("queue: limit %d of a send queue is out of range, use 1 to %d: %w",
			limit, maxLimit, syscall.EINVAL)
	}
	if free == nil {
		return nil, fmt.Errorf("queue: a send queue needs a function that frees what it refuses: %w", syscall.EINVAL)
	}
	s, err := newSlots[T]("send queue", max(ceilPow2(limit), minSize))
	boxes, boxesErr := NewMPMC[*[1]T](refusals)
	if err := errors.Join(err, boxesErr); err != nil {
		return nil, err
	}
	for range refusals {
		boxes.Enqueue(new([1]T))
	}
	q := &Classic[T]{slots: s, limit: uint32(limit), free: free, boxes: boxes}
	q.prod.startAt(start)
	q.cons.startAt(start)
	return q, nil
}

// Enqueue puts v in. If the queue is full v goes to the free function, is
// counted as a drop, and the error is [ErrNoBufs]. To a worker that has many,
// EnqueueBurst and Offer are cheaper by the length of the burst.
func (q *Classic[T]) Enqueue(v T) error {
	pos, n := q.prod.claim(1, 1, q.limit, &q.cons.shared)
	if n == 0 {
		q.refuse(v)
		return ErrNoBufs
	}
	q.slots.buf[pos&q.slots.mask] = v
	q.prod.announce(pos, pos+1)
	return nil
}

// EnqueueBurst puts in as many elements of src as fit, from the first on, and
// returns how many. The rest goes to the free function in one call and is
// counted as drops; nothing of src is the caller's any more.
func (q *Classic[T]) EnqueueBurst(src []T) int {
	n := q.Offer(src)
	if n < len(src) {
		q.drop(src[n:])
	}
	return n
}

// Offer puts in as many elements of src as fit, from the first on, and returns
// how many. The rest stays the caller's, and is not counted as drops.
func (q *Classic[T]) Offer(src []T) int {
	if len(src) == 0 {
		return 0
	}
	pos, n := q.prod.claim(1, uint32(min(len(src), int(q.limit))), q.limit, &q.cons.shared)
	if n == 0 {
		return 0
	}
	q.slots.put(pos, src[:n])
	q.prod.announce(pos, pos+n)
	return int(n)
}

// OfferBulk puts in all of src, one element behind the other, or nothing: false
// means that there was no room for all. src then stays the caller's, and is not
// counted as drops.
func (q *Classic[T]) OfferBulk(src []T) bool {
	n := uint32(len(src))
	if len(src) == 0 || len(src) > int(q.limit) {
		return len(src) == 0
	}
	pos, got := q.prod.claim(n, n, q.limit, &q.cons.shared)
	if got == 0 {
		return false
	}
	q.slots.put(pos, src)
	q.prod.announce(pos, pos+n)
	return true
}

// refuse drops a single element. The free function wants a slice, and what a
// function value is given escapes to the heap: so there is a stock of boxes.
func (q *Classic[T]) refuse(v T) {
	box, ok := q.boxes.Dequeue()
	if !ok {
		box = new([1]T)
	}
	box[0] = v
	q.drop(box[:])
	*box = [1]T{}
	q.boxes.Enqueue(box) // no room: it was a new one, and is garbage
}

// drop counts elements that the queue had no room for, then frees them.
func (q *Classic[T]) drop(rest []T) {
	q.drops.Add(uint64(len(rest))) // pairs with the load in Drops
	q.free(rest)
}

// Poll returns the oldest element and leaves it where it is: it is the one that
// the next Remove, or DequeueBurst, takes. Consumer only.
func (q *Classic[T]) Poll() (v T, ok bool) {
	if q.cons.room(1, 0, &q.prod.shared) == 0 {
		return v, false
	}
	return q.slots.buf[q.cons.pos&q.slots.mask], true
}

// Remove takes the oldest element out; false means that there was none.
// Consumer only.
func (q *Classic[T]) Remove() (v T, ok bool) {
	if q.cons.room(1, 0, &q.prod.shared) == 0 {
		return v, false
	}
	v = q.slots.buf[q.cons.pos&q.slots.mask]
	q.cons.advance(1)
	return v, true
}

// DequeueBurst takes out up to len(dst) of the oldest elements, in order, and
// returns how many; 0 means that the queue was empty. Consumer only.
func (q *Classic[T]) DequeueBurst(dst []T) int {
	n := uint32(min(len(dst), int(q.limit)))
	n = min(n, q.cons.room(n, 0, &q.prod.shared))
	if n == 0 {
		return 0
	}
	q.slots.get(q.cons.pos, dst[:n])
	q.cons.advance(n)
	return int(n)
}

// Purge frees all elements that are waiting as it begins and returns how many.
// It leaves the queue empty if no producer is at work meanwhile. Consumer only:
// the worker that drains the queue calls it, or control once a barrier has shown
// that no worker does.
func (q *Classic[T]) Purge() int {
	n := q.cons.room(q.limit, 0, &q.prod.shared)
	if n == 0 {
		return 0
	}
	// Freed in place: producers keep off these slots until advance.
	first, second := q.slots.span(q.cons.pos, n)
	q.free(first)
	if len(second) > 0 {
		q.free(second)
	}
	q.purged.Add(uint64(n)) // pairs with the load in Purged
	q.cons.advance(n)
	return int(n)
}

// Request carries out [RequestPurge] as Purge does; any other is refused with
// an error that wraps EINVAL and changes nothing. Consumer only.
func (q *Classic[T]) Request(op Request) error {
	if op != RequestPurge {
		return fmt.Errorf("queue: the classic discipline does not know %v, only %v: %w", op, RequestPurge, syscall.EINVAL)
	}
	q.Purge()
	return nil
}

// Len returns how many elements are waiting, 0 to Limit; one counts from the
// end of its enqueue until it is taken out.
func (q *Classic[T]) Len() int {
	return length(&q.prod.shared, &q.cons.shared, q.limit)
}

// Limit returns how many elements may wait. It never changes: with producers
// at work a lower one could not be exact.
func (q *Classic[T]) Limit() int { return int(q.limit) }

// Drops returns how many elements have been freed because the queue was full.
func (q *Classic[T]) Drops() uint64 {
	return q.drops.Load() // pairs with the add in drop
}

// Purged returns how many elements have been freed by Purge.
func (q *Classic[T]) Purged() uint64 {
	return q.purged.Load() // pairs with the add in Purge
}
