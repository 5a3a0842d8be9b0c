package dataplane

import (
	"context"
	"fmt"
	"syscall"

	"example.org/pmd/pmd"
	"example.org/pmd/queue"
)

// SendQueue is a port's send queue as control sees it. Its calls may be made from any
// goroutine that is no worker, and stay valid when the port is gone.
type SendQueue struct {
	d *Dataplane
	p *port
}

// SendQueue returns the send queue of a port: where other workers than the one that
// drains it put frames for it.
func (d *Dataplane) SendQueue(id PortID) (SendQueue, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.livePort(id)
	return SendQueue{d, p}, err
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
	if q.p.gone || !q.p.polled() {
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
	if q.p.send == nil {
		return 0
	}
	return q.p.send.Len()
}

// Limit returns how many may wait, Config.SendQueue.
func (q SendQueue) Limit() int { return q.d.cfg.SendQueue }

// Drops returns how many frames were dropped because the queue was full,
// send_queue_full.
func (q SendQueue) Drops() uint64 {
	n := uint64(0)
	for _, w := range q.d.workers {
		_ = q.d.do(context.Background(), w, func(w *Worker) { n += w.tx[q.p.id].drops[pmd.ReasonSendQueueFull] })
	}
	return n
}

// Purged returns how many waiting frames Request and Unpoll have dropped.
func (q SendQueue) Purged() uint64 {
	q.d.mu.Lock()
	defer q.d.mu.Unlock()
	return q.p.purged
}
