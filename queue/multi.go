package queue

import (
	"runtime"
	"sync/atomic"
)

// spinLimit bounds the loads with which a caller waits for an earlier one of
// its side before it starts to yield. Copying a burst takes tens of
// nanoseconds and a load of a line that another core is about to write about
// as much, so an earlier caller that is running is done well within it.
const spinLimit = 128

// multi is one side of a ring, producer or consumer, that many goroutines
// share. For span see single.
type multi struct {
	// Written by every caller of this side, once a call. The low half is the
	// next position to claim, the high half the other side's position when
	// last seen. They are one word so that the second can only ever be
	// replaced together with the first: a slow caller cannot put back an old
	// sighting, and one compare-and-swap pays for both.
	claimed atomic.Uint64
	_       pad

	// Written by every caller of this side, once a call and in order; read by
	// the other side. Apart from claimed, so that a peer that polls it does
	// not get in the way of claims.
	shared position // all positions before it are copied
	_      pad
}

// startAt sets the first position. Only for construction.
func (m *multi) startAt(pos uint32) {
	// Pair with nothing: nobody else has the ring yet.
	m.claimed.Store(uint64(pos)<<32 | uint64(pos))
	m.shared.store(pos)
}

// claim takes between least and most positions for the caller and returns the
// first of them and their number, or 0 if there is no room for least. What it
// returns must be published. 1 <= least <= most <= the ring's capacity.
//
// It is just short enough for the compiler to inline.
func (m *multi) claim(least, most, span uint32, other *position) (pos, n uint32) {
	for {
		// Pairs with the compare-and-swap below: whoever put the sighting
		// there had seen the other side's copies done, so now we have too.
		word := m.claimed.Load()
		pos = uint32(word)
		peer := uint32(word >> 32)
		if span+peer-pos < most {
			// Pairs with the store in publish, or in single.advance, of the
			// other side: its copies up to here are done. Coming after the
			// load of word, it makes the room below never too small: if others
			// have claimed in between, there is even less. Where it is too
			// large for the same reason, the compare-and-swap fails.
			peer = other.load()
		}
		n = min(span+peer-pos, most)
		if n < least {
			return 0, 0
		}
		// Pairs with the load above, of the next caller of this side.
		if m.claimed.CompareAndSwap(word, uint64(peer)<<32|uint64(pos+n)) {
			return pos, n
		}
	}
}

// publish hands the claimed positions from pos up to next to the other side. It
// is not inlined, for release.
//
//go:noinline
func (m *multi) publish(pos, next uint32) {
	// Pairs with the store below, of the caller that claimed just before us:
	// its copies come before our store, so the other side may trust all
	// positions up to ours.
	if m.shared.load() != pos {
		m.wait(pos)
	}
	// Pairs with the load in claim, or in single.room, of the other side, and
	// with the load above, of the caller that claimed just after us.
	m.shared.release(next)
}

// announce is publish with a full barrier behind it: whoever announces and then
// finds the consumer's "sleeping" flag clear has been seen by a consumer that set
// it and looked again.
func (m *multi) announce(pos, next uint32) {
	if m.shared.load() != pos {
		m.wait(pos)
	}
	m.shared.store(next) // pairs as the one in publish does
}

// wait returns once all positions before pos are published. It must yield: the
// goroutine it waits for may have been preempted and need this very processor
// to go on, and the runtime's own preemption of a spinning goroutine comes
// only after 10 ms.
func (m *multi) wait(pos uint32) {
	// Pairs as the load in publish does.
	for spins := 0; m.shared.load() != pos; spins++ {
		if spins >= spinLimit {
			runtime.Gosched()
		}
	}
}
