package demo

import (
	"runtime"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// end is the far end of a ring pair: a host's side of the cable. One goroutine at a
// time uses it.
type end struct {
	dev   pmd.Device
	queue pmd.Queue
	local *mbuf.Local
	cache *mbuf.Cache
	burst [endBurst]mbuf.Frame
}

// endBurst is the number of frames moved at once.
const endBurst = 64

// newEnd takes the queue of dev.
func newEnd(dev pmd.Device) *end {
	e := &end{dev: dev, queue: dev.Queues()[0], local: mbuf.NewLocal()}
	e.cache = e.local.Add(e.queue.Pool())
	e.queue.Bind(pmd.Binding{Local: e.local})
	return e
}

// send puts up to n frames of this size in, written by put, which is told their
// place in the burst. It returns how many the ring took: the first so many.
func (e *end) send(n, size int, put func(i int, b []byte)) int {
	pool := e.queue.Pool()
	b := e.burst[:min(n, endBurst)]
	b = b[:e.cache.TakeFrames(b, uint32(pool.DataOffset()), uint32(size), pool.Meta(0))]
	for i, f := range b {
		put(i, pool.Mem().Bytes(f))
	}
	took := e.queue.TxBurst(b)
	e.cache.PutFrames(b[took:])
	return took
}

// receive takes out what has arrived, up to a burst, shows each frame to look and
// returns how many there were.
func (e *end) receive(look func(b []byte)) int {
	n := e.queue.RxBurst(e.burst[:])
	for _, f := range e.burst[:n] {
		look(e.local.Bytes(f))
	}
	e.local.Free(e.burst[:n])
	return n
}

// rest gives the frames in the cache back, for the account of the dataplane walks
// its own owners only.
func (e *end) rest() { e.local.Drain() }

// close gives everything back and pulls the cable.
func (e *end) close() error {
	e.queue.Unbind()
	e.local.Drain()
	return e.dev.Close()
}

// idler makes a loop that polls go easy on the CPU when nothing moves: others may
// have work to do there, the poller itself on a machine with one CPU.
type idler struct{ rounds int }

// spins is the number of rounds without work before the loop sleeps between them.
const spins = 200

// after is told how much the round moved.
func (i *idler) after(moved int) {
	if moved > 0 {
		i.rounds = 0
		return
	}
	if i.rounds++; i.rounds < spins {
		runtime.Gosched()
		return
	}
	time.Sleep(20 * time.Microsecond)
}
