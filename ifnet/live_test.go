package ifnet_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"example.org/pmd/ifnet"
)

// liveCores are goroutines that loop as poll cores do: mail, then work, over and over.
type liveCores struct {
	boxes []chan func()
	// work is one burst of a core. It is nil until the core has something to do.
	work []func()
	stop atomic.Bool
	wg   sync.WaitGroup
}

func newLive(t testing.TB, n int) *liveCores {
	c := &liveCores{boxes: make([]chan func(), n), work: make([]func(), n)}
	for i := range c.boxes {
		c.boxes[i] = make(chan func(), 1)
		c.wg.Go(func() { c.loop(i) })
	}
	t.Cleanup(func() {
		c.stop.Store(true)
		c.wg.Wait()
	})
	return c
}

func (c *liveCores) loop(core int) {
	for !c.stop.Load() {
		select {
		case msg := <-c.boxes[core]:
			msg()
		default:
		}
		if work := c.work[core]; work != nil {
			work()
		}
		runtime.Gosched() // there may be fewer processors than cores
	}
	for { // what is still sent is served, as by whoever serves a core that has died
		select {
		case msg := <-c.boxes[core]:
			msg()
		default:
			return
		}
	}
}

func (c *liveCores) Len() int { return len(c.boxes) }

func (c *liveCores) Round(visit func(core int)) {
	for i, box := range c.boxes {
		if c.stop.Load() {
			c.wg.Wait()
			visit(i)
			continue
		}
		done := make(chan struct{})
		box <- func() {
			defer close(done)
			visit(i)
		}
		<-done
	}
}

// give lets every core do a burst of fn with its own replica from now on.
func (c *liveCores) give(s *ifnet.System, fn func(core int, r *ifnet.Replica)) {
	s.Bind(func(core int, r *ifnet.Replica) { c.work[core] = func() { fn(core, r) } })
}
