//go:build pmddebug

package mbuf

import (
	"fmt"
	"sync"
)

// Debug reports whether the build checks every take and put of a frame.
const Debug = true

// debugState remembers which frames of a pool are out, so that a frame put twice
// or taken twice panics where it happens and not where it hurts.
type debugState struct {
	mu  sync.Mutex
	out *FrameSet
}

func debugTake(p *Pool, addrs []uint64) {
	d := &p.debug
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out == nil {
		d.out = NewFrameSet(p)
	}
	for _, a := range addrs {
		if !d.out.Add(a) {
			panic(fmt.Sprintf("mbuf: pool %s: frame %#x handed out twice", p.name, a))
		}
	}
}

func debugPut(p *Pool, addrs []uint64) {
	d := &p.debug
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range addrs {
		if d.out == nil || !d.out.Remove(a) {
			panic(fmt.Sprintf("mbuf: pool %s: frame %#x freed but not out: freed twice?", p.name, a))
		}
	}
}
