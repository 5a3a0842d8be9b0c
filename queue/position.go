package queue

import "sync/atomic"

// position is a position that one side of a ring publishes and the other reads:
// how far the copies into the slots, or out of them, are done.
//
// Publishing it is a release and no more. Unlike a store of package sync/atomic
// it does not order what the publisher reads afterwards, so whoever publishes
// and then must look whether the other side sleeps puts a read-modify-write of
// sync/atomic in between.
type position struct {
	at uint32 // written by release and startAt, read by load
}

// load is an acquire: what was copied before the release of the value it returns
// is done.
func (p *position) load() uint32 { return atomic.LoadUint32(&p.at) }
