package queue

// single is one side of a ring, producer or consumer, that one goroutine owns.
//
// Producer and consumer are the same thing seen from two ends: a position that
// may run ahead of the other side's by no more than span. For a producer span
// is the capacity, for a consumer it is 0, since it may catch up but not pass.
type single struct {
	// Private to the owner. They are apart from shared so that a peer that
	// polls shared does not take the line the owner works on.
	pos  uint32 // the next position to use
	peer uint32 // the other side's position when last seen; it may be further
	_    pad

	// Written by the owner, once a call; read by the other side.
	shared position // equals pos between calls
	_      pad
}

// startAt sets the first position. Only for construction.
func (s *single) startAt(pos uint32) {
	s.pos, s.peer = pos, pos
	s.shared.store(pos) // pairs with nothing: nobody else has the ring yet
}

// room returns how many positions the owner may use now. If it is less than
// want, it is exact as of a look at the other side; else it may be too low.
func (s *single) room(want, span uint32, other *position) uint32 {
	if n := span + s.peer - s.pos; n >= want {
		return n
	}
	// Pairs with the store in advance, or in multi.publish, of the other
	// side: its copies in or out of the slots up to here are done.
	s.peer = other.load()
	return span + s.peer - s.pos
}

// advance hands the next n positions to the other side. It is not inlined, for
// release.
//
//go:noinline
func (s *single) advance(n uint32) {
	s.pos += n
	// Pairs with the load in room, or in multi.claim, of the other side: our
	// copies in or out of these slots come before it.
	s.shared.release(s.pos)
}
