package ring

import (
	"fmt"
	"sync"
	"sync/atomic"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/queue"
)

// link is what lies between two ends: the rings, and who is there. It outlives
// an end that is closed and opened again.
type link struct {
	pool *mbuf.Pool
	// wires[i] carries frames towards end i. A loop has one wire, used twice.
	wires [2]*queue.SPSC[mbuf.Frame]
	loop  bool
	// open[i] tells whether end i is there. Written under mu; read by the
	// other end once a burst, which costs nothing while nobody writes it.
	open [2]atomic.Bool
	// bells[i] wakes the owner of end i. It has a descriptor while the end is
	// open; without one, as where there are too many open files, the owner sleeps
	// for short times instead.
	bells [2]queue.Bell

	mu   sync.Mutex
	ends [2]*Device // nil: not open
}

// newLink makes the rings.
func newLink(pool *mbuf.Pool, cfg Config, loop bool) (*link, error) {
	l := &link{pool: pool, loop: loop}
	for i := range l.wires {
		w, err := queue.NewSPSC[mbuf.Frame](cfg.Size)
		if err != nil {
			return nil, fmt.Errorf("ring %s: size=%d: %w", cfg.Name, cfg.Size, err)
		}
		l.wires[i] = w
		if loop {
			l.wires[1] = w
			break
		}
	}
	return l, nil
}

// peer returns the number of the end that hears what end i sends.
func (l *link) peer(i int) int {
	if l.loop {
		return i
	}
	return 1 - i
}

// free returns the number of an end that is not open, or -1.
func (l *link) free() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, d := range l.ends {
		if d == nil {
			return i
		}
	}
	return -1
}

// attach opens end i under this name. The caller has made sure that it is free,
// and tells other, if there is one, once it holds no lock.
func (l *link) attach(i int, name, pair string, host pmd.Host) (d, other *Device) {
	d = newDevice(l, i, name, pair, host)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[i] = d
	_ = l.bells[i].Open()
	// Pairs with the load in TxBurst and Info: whoever sees it true may use the
	// wire, whose ends' former users have let go of it under mu.
	l.open[i].Store(true)
	return d, l.ends[1-i]
}

// detach closes end i. What it would have received goes back to the pool; so
// does what it sent if nobody is left to receive that.
func (l *link) detach(i int) (last bool) {
	l.mu.Lock()
	l.open[i].Store(false) // pairs with the load in TxBurst and Info
	l.ends[i] = nil
	_ = l.bells[i].Close() // nobody owns the queue, so it is not armed
	other := l.ends[1-i]
	cache := mbuf.NewCache(l.pool)
	drain(l.wires[i], cache)
	if other == nil {
		drain(l.wires[1-i], cache)
	}
	cache.Drain()
	l.mu.Unlock()
	other.notify("peer closed")
	return other == nil
}

// drain takes everything out of w, as its consumer.
func drain(w *queue.SPSC[mbuf.Frame], cache *mbuf.Cache) {
	var buf [64]mbuf.Frame
	for {
		n := w.DequeueBurst(buf[:])
		if n == 0 {
			return
		}
		cache.PutFrames(buf[:n])
	}
}
