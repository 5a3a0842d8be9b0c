package dataplane

import (
	"context"
	"errors"
	"fmt"
	"math"
	"syscall"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/queue"
)

// Discipline is the queueing discipline of a port's send queue, if_snd in BSD's struct
// ifnet: [queue.Discipline] with what workers and the account need besides. A port has a
// [queue.Classic], until SetSendQueue gives it another.
//
// Workers put in by Offer and OfferBulk, all of them at any time, and the one that owns the
// port's first queue takes out by DequeueBurst. None of it may block, lock or allocate. What
// a discipline has taken and does not deliver it frees with [Dataplane.Free] and counts in
// Drops: it shows as send_queue_full.
type Discipline interface {
	queue.Discipline[mbuf.Frame]
	// OfferBulk takes all of src, which come out one behind the other, or nothing: the
	// frames of a packet that has several.
	OfferBulk(src []mbuf.Frame) bool
	// Snapshot copies what waits to dst, which has room for Limit, and returns how many.
	// Everything stands still meanwhile.
	Snapshot(dst []mbuf.Frame) int
}

// SetSendQueue gives a port's send queue another discipline, or with nil the classic one that
// it came with. What waits in the former one is dropped as not_polled, on the worker that
// drains it, and nothing is put into that one or taken out any more when SetSendQueue returns.
//
// q has to be empty, of no other port, and for no more than 2^20 frames, else the error wraps
// EINVAL. A port that was closed since its worker failed is left alone.
func (d *Dataplane) SetSendQueue(id PortID, q Discipline) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	p, err := d.knownPort(id)
	if err != nil || p.gone {
		return err
	}
	if q == nil {
		q = p.classic
	}
	if q == p.send {
		return nil
	}
	if err := d.fits(p, q); err != nil {
		return fmt.Errorf("dataplane: port %s: send queue: %w", p.info.Name, err)
	}
	// Who drains the queue changes it last, when nobody else puts into the former one.
	drainer := p.drainer.Load()
	ctx := context.Background()
	for _, w := range d.workers {
		if w != drainer {
			err = errors.Join(err, d.do(ctx, w, func(w *Worker) { w.tx[id].send = q }))
		}
	}
	if p.polled() {
		err = errors.Join(err, d.purgeSendQueue(p, math.MaxInt))
	}
	err = errors.Join(err, d.do(ctx, drainer, func(w *Worker) {
		t := &w.tx[id]
		for n := 1; n > 0; p.purged += uint64(n) { // what it put there itself since
			n = w.discard(t, math.MaxInt)
		}
		t.send = q
	}))
	p.lost = p.lostFrames()
	p.send, p.spared, p.scratch = q, q.Drops(), make([]mbuf.Frame, q.Limit())
	return err
}

// fits checks that q can become the send queue of p. d.mu is held.
func (d *Dataplane) fits(p *port, q Discipline) error {
	if n := q.Limit(); n < 1 || n > maxSendQueue {
		return fmt.Errorf("a limit of %d frames is out of range, use 1 to %d: %w", n, maxSendQueue, syscall.EINVAL)
	}
	if n := q.Len(); n > 0 {
		return fmt.Errorf("%d frames wait in it already: %w", n, syscall.EINVAL)
	}
	for _, o := range d.ports {
		if o.send == q || o != p && o.classic == q {
			return fmt.Errorf("it is that of port %s: %w", o.info.Name, syscall.EINVAL)
		}
	}
	return nil
}

// lostFrames returns how many frames the port's disciplines took and dropped.
func (p *port) lostFrames() uint64 {
	if p.send == nil {
		return p.lost
	}
	return p.lost + p.send.Drops() - p.spared
}

// Free takes frames back that a [Discipline] does not deliver. It may be called on any
// goroutine.
func (d *Dataplane) Free(frames []mbuf.Frame) { d.space.Free(frames) }

// SendQueue is a port's send queue as control sees it, with the discipline that it had when
// it was asked for: once that has been replaced, nothing waits there. Its calls may be made
// from any goroutine that is no worker, and stay valid when the port is gone.
type SendQueue struct {
	d *Dataplane
	p *port
	q Discipline
}

// SendQueue returns the send queue of a port: where other workers than the one that
// drains it put frames for it.
func (d *Dataplane) SendQueue(id PortID) (SendQueue, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.livePort(id)
	if err != nil {
		return SendQueue{}, err
	}
	return SendQueue{d, p, p.send}, nil
}

// Request carries out [queue.RequestPurge], on the worker that drains the queue: what
// waits there is dropped and counted as not_polled. Any other request is an error that
// wraps EINVAL.
func (q SendQueue) Request(op queue.Request) error {
	if op != queue.RequestPurge {
		return fmt.Errorf("dataplane: port %s: its send queue does not know %v, only %v: %w", q.p.info.Name, op, queue.RequestPurge, syscall.EINVAL)
	}
	q.d.mu.Lock()
	defer q.d.mu.Unlock()
	if q.p.send != q.q || !q.p.polled() {
		return nil // it is empty, and nobody fills it
	}
	return q.d.purgeSendQueue(q.p, q.p.send.Len())
}

// purgeSendQueue drops at least n frames that wait in p's send queue, or all, on the
// worker that drains it, some a turn. d.mu is held.
func (d *Dataplane) purgeSendQueue(p *port, n int) error {
	for left := 1; left > 0; {
		var gone int
		err := d.do(context.Background(), p.drainer.Load(), func(w *Worker) {
			gone = w.discard(&w.tx[p.id], n)
			left = min(n-gone, w.tx[p.id].held+p.send.Len())
		})
		if err != nil {
			return err
		}
		n -= gone
		p.purged += uint64(gone)
	}
	return nil
}

// discard drops what waits to be sent on t, up to n frames and at most maxSettle, and
// returns how many. The queue's consumer calls it.
func (w *Worker) discard(t *txPort, n int) int {
	w.dropFor(t, pmd.ReasonNotPolled, t.hold[:t.held])
	gone := t.held
	t.held = 0
	for gone < min(n, maxSettle) {
		t.held = t.send.DequeueBurst(t.hold[:pmd.MaxBurst])
		if t.held == 0 {
			break
		}
		t.completeHold()
		w.dropFor(t, pmd.ReasonNotPolled, t.hold[:t.held])
		gone += t.held
		t.held = 0
	}
	return gone
}

// Len returns how many frames wait.
func (q SendQueue) Len() int {
	q.d.mu.Lock()
	defer q.d.mu.Unlock()
	if q.p.send != q.q {
		return 0
	}
	return q.q.Len()
}

// Limit returns how many may wait: Config.SendQueue, unless SetSendQueue changed it.
func (q SendQueue) Limit() int { return q.q.Limit() }

// Drops returns how many frames were dropped because the port's queue was full, or by its
// discipline: send_queue_full.
func (q SendQueue) Drops() uint64 {
	q.d.mu.Lock()
	n := q.p.lostFrames()
	q.d.mu.Unlock()
	for _, w := range q.d.workers {
		_ = q.d.do(context.Background(), w, func(w *Worker) { n += w.tx[q.p.id].drops[pmd.ReasonSendQueueFull] })
	}
	return n
}

// Purged returns how many waiting frames Request, Unpoll and SetSendQueue have dropped.
func (q SendQueue) Purged() uint64 {
	q.d.mu.Lock()
	defer q.d.mu.Unlock()
	return q.p.purged
}
