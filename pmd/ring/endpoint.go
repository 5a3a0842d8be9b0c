package ring

import (
	"fmt"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Endpoint works one end of a pair by hand: it puts packets in as bytes and gets
// them out as bytes. It copies and allocates, and is for tests, demonstrations
// and slow paths. It belongs to one goroutine.
type Endpoint struct {
	dev   *Device
	queue pmd.Queue
	local *mbuf.Local
	cache *mbuf.Cache
}

// NewEndpoint binds the queue of d to the caller. Close gives it back.
func NewEndpoint(d *Device) *Endpoint {
	e := &Endpoint{dev: d, queue: d.queues[0], local: mbuf.NewLocal()}
	e.cache = e.local.Add(e.queue.Pool())
	e.queue.Bind(pmd.Binding{Local: e.local})
	return e
}

// Send puts packets in, from the first on, and returns how many: fewer than
// given if the ring is full, the pool is empty or the other end is not open. The
// error names a packet that does not fit into a frame; it and those behind it
// are not sent.
func (e *Endpoint) Send(packets ...[]byte) (int, error) {
	pool := e.queue.Pool()
	var f [1]mbuf.Frame
	for i, p := range packets {
		if len(p) == 0 || len(p) > pool.MaxLen() {
			return i, fmt.Errorf("ring %s: packet %d of %d bytes: a frame of pool %s holds 1 to %d", e.dev.name, i, len(p), pool.Name(), pool.MaxLen())
		}
		if e.cache.TakeFrames(f[:], uint32(pool.DataOffset()), uint32(len(p)), pool.Meta(0)) == 0 {
			return i, nil
		}
		copy(pool.Mem().Bytes(f[0]), p)
		if e.queue.TxBurst(f[:]) == 0 {
			e.cache.PutFrames(f[:])
			return i, nil
		}
	}
	return len(packets), nil
}

// Receive returns what has arrived, up to limit packets, each in memory of its
// own. nil means that nothing has.
func (e *Endpoint) Receive(limit int) [][]byte {
	var out [][]byte
	var burst [64]mbuf.Frame
	for len(out) < limit {
		n := e.queue.RxBurst(burst[:min(limit-len(out), len(burst))])
		if n == 0 {
			break
		}
		for _, f := range burst[:n] {
			out = append(out, append([]byte(nil), e.local.Bytes(f)...))
		}
		e.local.Free(burst[:n])
	}
	return out
}

// Walk enters the frames this end has into the account of the pool: its cache,
// and those on their way to it.
func (e *Endpoint) Walk(l *mbuf.Ledger) {
	e.local.Walk(l)
	e.queue.Walk(l)
}

// Close gives the queue and the cache back and closes the device.
func (e *Endpoint) Close() error {
	e.queue.Unbind()
	e.local.Drain()
	return e.dev.Close()
}
