package queue

import (
	"fmt"
	"syscall"
)

// ErrNoBufs says that a send queue was full and the element has been freed.
// It wraps ENOBUFS, what if_output gives in that case on BSD. It is made once,
// so that refusing costs no allocation.
var ErrNoBufs = fmt.Errorf("queue: send queue is full, the element was dropped; raise its limit or drain it more often: %w", syscall.ENOBUFS)

// Discipline is a send queue as an interface sees it: who transmits puts in,
// the owner of the device queue takes out. It is the cut that ALTQ makes
// (enqueue, dequeue with poll or remove, request), with bursts added, so that
// an interface can be given another order of service than first in, first out.
//
// The calls that put in may come from any goroutine. Poll, Remove,
// DequeueBurst and Request belong to one consumer. Counters may be read by
// anybody. No call blocks.
//
// Every element offered is accounted for: it was taken, or is counted by
// Drops, or is still the caller's; every element taken comes out, or is counted
// by Purged, or is in Len.
type Discipline[T any] interface {
	// Enqueue takes v over whatever happens. If there is no room v is freed,
	// counted as a drop, and the error is one that wraps ENOBUFS.
	Enqueue(v T) error
	// EnqueueBurst takes all of src over. It keeps as many as there is room
	// for, from the first on, frees and counts the rest, and returns how many
	// it kept.
	EnqueueBurst(src []T) int
	// Offer takes src[:n] and returns n. The rest stays the caller's and is
	// not counted.
	Offer(src []T) int

	// Poll shows the element that the next Remove takes; false means that
	// there is none.
	Poll() (v T, ok bool)
	// Remove takes the next element out; false means that there was none.
	Remove() (v T, ok bool)
	// DequeueBurst takes out up to len(dst) elements in the order of Remove
	// and returns how many.
	DequeueBurst(dst []T) int
	// Request carries out op, or refuses it with an error that wraps EINVAL.
	Request(op Request) error

	// Len returns how many elements are waiting, 0 to Limit.
	Len() int
	// Limit returns how many elements may wait.
	Limit() int
	// Drops returns how many elements have been freed for lack of room.
	Drops() uint64
	// Purged returns how many elements have been freed by a purge.
	Purged() uint64
}

// Request is something asked of a [Discipline] as a whole.
type Request uint8

const (
	// RequestPurge frees all elements that are waiting. Every discipline
	// knows it. Its value is that of ALTRQ_PURGE.
	RequestPurge Request = 1
)

// String returns the name of the request, for messages.
func (r Request) String() string {
	if r == RequestPurge {
		return "purge"
	}
	return fmt.Sprintf("request %d", uint8(r))
}
