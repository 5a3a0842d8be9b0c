//go:build !amd64 || race

package queue

import "sync/atomic"

// release publishes a position. Pairs with load.
func (p *position) release(at uint32) { atomic.StoreUint32(&p.at, at) }
