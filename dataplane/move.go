package dataplane

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// How a queue changes hands, and why no frame of a flow overtakes another.
//
// The queue goes from worker to worker: the message that takes it from the old
// owner pushes the one that gives it to the new owner, so it is without one for a
// turn or two and its receive ring need not hold more than arrives in that time.
//
// Frames of one flow come in on one queue and leave by one port. Until the queue is
// released they went the old owner's way to that port, afterwards they go the new
// owner's. A way is either direct, onto a transmit queue that the worker owns, or
// across: onto the port's send queue, which one worker drains onto a queue of its
// own. What is on a ring or on a send queue stays in order there, so what matters is
// where the two ways differ:
//
//	old      new      what is done
//	across   across   nothing: both are in the send queue one after the other
//	direct   across   nothing if the port has one queue: the old owner drains
//	                  the send queue onto the very ring that has the older
//	                  frames. Else the old owner empties its ring first
//	across   direct   if the new owner drains that send queue: it goes on
//	                  sending across, behind the older frames, and changes to
//	                  the direct way in a turn in which it has drained them
//	                  (txPort.direct is nil meanwhile). Else the worker that
//	                  drains settles: it moves what waits onto its ring and
//	                  empties that, before the new owner receives from the queue
//	direct   direct   the old owner empties its ring first
//
// The same table holds for what the two workers themselves send on the port whose
// queue moves, as their ways change too. A queue that is the first of its port takes
// along the duty to drain the port's send queue, and what the old owner had taken off
// it but not sent yet.
//
// To empty a ring is to wait until the device has sent everything: it ends after
// emptyTime and minTries looks, since a device may be stuck. The order of frames is not
// kept then.

const (
	// emptyTime bounds the time that a worker waits for a device to send.
	emptyTime = 2 * time.Millisecond
	// settleTime bounds the time that the new owner waits for other workers.
	settleTime = 10 * time.Millisecond
	// minTries is how often either is looked for at least: a worker that was kept
	// from its CPU for that time has not waited.
	minTries = 64
	// maxSettle bounds the frames that are moved from a send queue to a ring in
	// one turn.
	maxSettle = 1024
)

// MoveQueue gives a queue of a port to another worker while traffic flows. No frame
// is lost by it, and frames of a flow stay in order as long as the devices send within
// some milliseconds what they have taken. A FrameHolder's frames on the old owner are
// released first. It returns when the new owner polls the queue; nothing has changed
// if ctx is done before the old owner began, or if there is an error but for one that
// says that the port was closed.
func (d *Dataplane) MoveQueue(ctx context.Context, port PortID, queue, worker int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.livePort(port)
	if err != nil {
		return err
	}
	return d.moveQueue(ctx, p, queue, worker)
}

// moveQueue is MoveQueue. d.mu is held.
func (d *Dataplane) moveQueue(ctx context.Context, p *port, queue, worker int) error {
	if !p.polled() {
		return p.notPolled()
	}
	if queue < 0 || queue >= len(p.owners) {
		return fmt.Errorf("dataplane: port %s queue %d: there are queues 0 to %d", p.info.Name, queue, len(p.owners)-1)
	}
	if worker == p.owners[queue] {
		return nil
	}
	if err := d.canPoll(ctx, p, queue, worker); err != nil {
		return err
	}
	from, to := d.workers[p.owners[queue]], d.workers[worker]
	m := d.newMove(p, queue, from, to)
	if err := d.handOver(ctx, m); err != nil {
		return err
	}
	d.emit(Event{Kind: EventPortChanged, Port: p.info.Name, CPU: Unpinned, Text: m.report()})
	return nil
}

// move is a queue on its way. It belongs to the worker that has the queue, or to
// control before and after.
type move struct {
	port     PortID
	q        pmd.Queue
	index    int
	from, to *Worker
	// first says that the duty to drain the port's send queue goes along.
	first bool
	// several tells, by port, whether it has more than one queue; drainer who
	// drains its send queue after the move, nil if the port is gone or
	// unpolled.
	several []bool
	drainer []*Worker
	// direct tells, by port, whether the old owner's way was direct.
	direct []bool
	// hold are frames that the old owner had taken off the send queue.
	hold []mbuf.Frame
	held int
	// given gives the queue to the new owner. The old owner pushes it.
	given *message
	// settles has a message for each worker that drains a send queue, and left
	// counts those that have not settled: their Add pairs with the new owner's
	// Load.
	settles []*message
	left    atomic.Int32
	// late says that something did not settle in time.
	late atomic.Bool
}

// newMove prepares everything, so that the workers need not allocate.
func (d *Dataplane) newMove(p *port, index int, from, to *Worker) *move {
	m := &move{
		port: p.id, q: p.dev.Queues()[index], index: index, from: from, to: to, first: index == 0,
		several: make([]bool, len(d.ports)), drainer: make([]*Worker, len(d.ports)), direct: make([]bool, len(d.ports)),
		hold: make([]mbuf.Frame, holdFrames), settles: make([]*message, len(d.ports)),
	}
	for i, o := range d.ports {
		if o.gone || !o.polled() {
			continue
		}
		m.several[i], m.drainer[i] = len(o.owners) > 1, d.workers[o.owners[0]]
		m.settles[i] = &message{done: make(chan struct{}), fn: func(w *Worker) { m.settled(w, PortID(i)) }}
	}
	if m.first {
		m.drainer[p.id] = to
	}
	m.given = &message{done: make(chan struct{}), fn: m.take}
	return m
}

// handOver carries out the move. d.mu is held.
func (d *Dataplane) handOver(ctx context.Context, m *move) error {
	// Whoever asks for the queue from now on asks the new owner, and asks again
	// until that has it.
	d.setOwner(m.q, m.to)
	if err := d.do(ctx, m.from, m.release); err != nil {
		d.setOwner(m.q, m.from)
		return err
	}
	d.ports[m.port].owners[m.index] = m.to.id
	for waiting := true; waiting; {
		m.to.serveIfUnmanned()
		select {
		case <-m.given.done:
			waiting = false
		case <-time.After(time.Millisecond): // the worker may have left meanwhile
		}
	}
	if m.given.err == nil {
		return nil
	}
	p := d.ports[m.port]
	return d.giveUp(p, fmt.Errorf("dataplane: port %s queue %d: %w; the port is closed", p.info.Name, m.index, m.given.err))
}

// giveUp closes a port whose queue is with no core, for this reason.
func (d *Dataplane) giveUp(p *port, err error) error {
	if cerr := d.closePort(p); cerr != nil {
		err = fmt.Errorf("%w: %w", err, cerr)
	}
	p.info.Detail = "a queue could not be given to another core"
	return err
}

// setOwner notes who polls q.
func (d *Dataplane) setOwner(q pmd.Queue, w *Worker) {
	d.ownMu.Lock()
	defer d.ownMu.Unlock()
	d.owner[q] = w
}

// report says what was done.
func (m *move) report() string {
	text := fmt.Sprintf("queue %d goes from CPU %s to CPU %s", m.index, cpuName(m.from.cpu), cpuName(m.to.cpu))
	if m.late.Load() {
		text += "; a port did not send in time what it had, so packets may have changed their order"
	}
	return text
}

// cpuName returns a CPU's number, "any" for a worker that is not pinned.
func cpuName(id int) string {
	if id == Unpinned {
		return "any"
	}
	return fmt.Sprint(id)
}

// release runs on the old owner.
func (m *move) release(w *Worker) {
	// First what may panic: nothing has changed yet.
	if h, ok := w.stage.(FrameHolder); ok {
		h.Release(w)
	}
	for _, id := range w.open {
		t := &w.tx[id]
		if t.n > 0 {
			w.flushBuffer(t)
		}
		if t.dirty {
			t.flush()
		}
		m.direct[id] = t.direct != nil
		if m.several[id] && t.q != nil {
			m.note(w.empty(t.q))
		}
	}
	t := &w.tx[m.port]
	if m.first {
		m.held = copy(m.hold, t.hold[:t.held])
		t.held, t.drains = 0, false
	}
	w.unregister(m.q)
	if t.q == m.q {
		t.q = w.queueOf(m.port)
		if t.direct != nil {
			t.direct = t.q
		}
	}
	m.q.Unbind()
	m.to.post(m.given)
}

// unregister takes a queue from the worker's table. As in DragonFly's
// ifpoll_deregister, the last entry fills the hole.
func (w *Worker) unregister(q pmd.Queue) {
	for i := range w.rx {
		if w.rx[i].q == q {
			last := len(w.rx) - 1
			w.rx[i] = w.rx[last]
			w.rx[last] = rxQueue{}
			w.rx = w.rx[:last]
			w.register()
			return
		}
	}
}

// take runs on the new owner.
func (m *move) take(w *Worker) {
	t := &w.tx[m.port]
	if m.first {
		t.held = copy(t.hold, m.hold[:m.held])
	}
	m.await(w, t.q == nil)
	m.q.Bind(pmd.Binding{Local: w.local, Port: uint16(m.port)})
	w.rx = append(w.rx, newRxQueue(m.q, m.port, m.index))
	w.register()
	if t.q == nil {
		t.q, t.direct = m.q, m.q
	}
	if m.first {
		t.drains = true
		t.drainer.Store(w)
	}
	t.dirty = true // what the old owner left on the ring
	for _, id := range w.open {
		if t := &w.tx[id]; t.drains {
			t.direct = nil // behind what is on the send queue: see drainSendQueues
		}
	}
}

// await lets other workers settle the ports that w sends on directly, but that were
// sent to across before: by the old owner, or by w itself if the queue is its first
// of the port.
func (m *move) await(w *Worker, fresh bool) {
	asked := false
	for i, d := range m.drainer {
		if d == nil || d == w || !m.several[i] {
			continue
		}
		mine := PortID(i) == m.port && fresh
		if !mine && (w.tx[i].direct == nil || m.direct[i]) {
			continue
		}
		m.left.Add(1)
		d.post(m.settles[i])
		asked = true
	}
	if !asked {
		return
	}
	start, limit := w.clock.Now(), w.clock.Cycles(settleTime)
	for tries := 0; m.left.Load() > 0; tries++ {
		if tries >= minTries && w.clock.Now()-start > limit {
			m.note(false)
			return
		}
		for _, d := range m.drainer {
			if d != nil && d != w {
				d.serveIfUnmanned() // nobody else would
			}
		}
	}
}

// settled runs on a worker that drains a send queue.
func (m *move) settled(w *Worker, port PortID) {
	t := &w.tx[port]
	if t.drains {
		done := w.settleAll(t)
		if t.dirty {
			t.flush()
		}
		m.note(done && w.empty(t.q))
	}
	m.left.Add(-1) // pairs with the Load in await
}

// note remembers if something is late.
func (m *move) note(ok bool) {
	if !ok {
		m.late.Store(true)
	}
}

// queueOf returns the first queue of a port in the worker's table, nil if there is
// none.
func (w *Worker) queueOf(port PortID) pmd.Queue {
	for i := range w.rx {
		if w.rx[i].port == port {
			return w.rx[i].q
		}
	}
	return nil
}

// settle moves what waits in t's send queue onto the ring, and what it had taken off
// already. done says that all that was there when it began has gone on; else the
// device takes no more, or there is too much for one turn.
func (w *Worker) settle(t *txPort) (moved int, done bool) {
	for left := t.held + t.send.Len(); left > moved; {
		n := w.drain(t)
		if n == 0 && t.dirty {
			t.flush()
			t.q.Reclaim()
			n = w.drain(t)
		}
		moved += n
		if n == 0 || moved >= maxSettle && moved < left {
			return moved, false
		}
	}
	return moved, true
}

// settleAll settles t however often the device has to make room for it. false means
// that it has not within emptyTime and minTries.
func (w *Worker) settleAll(t *txPort) bool {
	start, limit := w.clock.Now(), w.clock.Cycles(emptyTime)
	for tries := 0; ; tries++ {
		if _, done := w.settle(t); done {
			return true
		}
		if tries >= minTries && w.clock.Now()-start > limit {
			return false
		}
	}
}

// empty waits until the device has sent what it has taken from q. false means that
// it has not within emptyTime, though it was looked for minTries times.
func (w *Worker) empty(q pmd.Queue) bool {
	start, limit := w.clock.Now(), w.clock.Cycles(emptyTime)
	for tries := 0; q.Counters().InFlight > 0; tries++ {
		if tries >= minTries && w.clock.Now()-start > limit {
			return false
		}
		q.Flush()
		q.Reclaim()
	}
	return true
}
