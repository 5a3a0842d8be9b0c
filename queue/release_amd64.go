//go:build !race

package queue

// release publishes a position. Pairs with load. Only a function that is not
// inlined may call it.
//
// It is a plain store. On amd64 that is a release to the hardware: a store is
// seen only after the loads and stores before it (Intel SDM volume 3, 9.2.2).
// What is left is the compiler, which moves nothing across a call that it does
// not inline. The store of sync/atomic is an XCHG here, which also waits until
// the copy just made has reached the cache: measured, it doubles the cost of a
// burst. The race detector gets the atomic store.
func (p *position) release(at uint32) { p.at = at }
