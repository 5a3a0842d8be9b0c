package queue

import "sync/atomic"

// position is a position that one side of a ring publishes and the other reads:
// how far the copies into the slots, or out of them, are done.
//
// Publishing it with release is that and no more: unlike store it does not order
// what the publisher reads afterwards.
type position struct {
	at uint32 // written by release and store, read by load
}

// load is an acquire: what was copied before the release of the value it returns
// is done.
func (p *position) load() uint32 { return atomic.LoadUint32(&p.at) }

// store publishes a position, in one order with everything else in sync/atomic.
// Pairs with load.
func (p *position) store(at uint32) { atomic.StoreUint32(&p.at, at) }
