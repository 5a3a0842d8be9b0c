package queue

import "sync/atomic"

// Bell wakes a goroutine that sleeps until others have put something into its
// queues. Ringing costs the others a load while nobody sleeps, and one system call
// a sleep: that of the first who rings.
//
// The sleeper arms the bell, then looks whether there is something to do, and if
// not sleeps until [Bell.FD] is readable; then it disarms the bell, in either case.
// The others make visible what there is to do, then ring. All of it is sequentially
// consistent, so that either the sleeper sees what there is or the other sees that
// the bell is armed.
//
// Arm, Disarm, FD and Close belong to the sleeper, or to whoever it has handed them
// to; anybody may call Ring at any time. Make one with [NewBell]; the zero value
// and one that was closed cannot be armed.
type Bell struct {
	_ pad
	// state: Store in Arm pairs with the Load in Ring, as the package says; the
	// CompareAndSwap of Ring decides who makes the system call.
	state atomic.Uint32
	// open says that fd may be used. Written by the sleeper; others use fd only
	// once they have found the bell armed.
	open bool
	fd   int
	_    pad
}

const (
	bellStill uint32 = iota
	bellArmed
	// bellRung: somebody has promised to make FD readable.
	bellRung
)

// Arm lets the next Ring make FD readable. Look for work after it.
func (b *Bell) Arm() {
	if b.open {
		b.state.Store(bellArmed)
	}
}

// Ring wakes the sleeper if there is one. Call it after what there is to do has been
// made visible by an atomic operation.
func (b *Bell) Ring() {
	if b.state.Load() == bellArmed {
		b.ring()
	}
}

func (b *Bell) ring() {
	if b.state.CompareAndSwap(bellArmed, bellRung) {
		b.signal()
	}
}

// Disarm ends what Arm began and makes FD unreadable. It may wait for the moment that
// a Ring on its way needs.
func (b *Bell) Disarm() {
	if b.state.Load() == bellStill || b.state.CompareAndSwap(bellArmed, bellStill) {
		return
	}
	// Exactly one has rung, and nobody else will before the next Arm: so the
	// descriptor may be closed or used again once this has returned.
	b.await()
	b.state.Store(bellStill)
}

// FD returns the descriptor that polls readable (POLLIN) once the bell has rung, -1 if
// there is none: outside Linux, or after Close.
func (b *Bell) FD() int {
	if !b.open {
		return -1
	}
	return b.fd
}
