package dataplane

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// How a port is given up by the cores without being closed, and taken up again.
//
// A round of the workers closes the way to the port: what they would send there is
// dropped as not_polled, so nothing is put into its send queue any more. The worker
// that drains the queue then empties it, some frames a turn. What the device has taken
// it is left to send while its owners still poll it, for as long as that gets on: control
// waits for it, and no core does. Then each owner lets go of its queues between two bursts,
// and a stage that holds frames gives them up, on every core. Frames still on a ring then
// stay the device's: they are in the account, and in what is in flight.

const (
	// sendPause is how long control waits before it looks again at what a port
	// that is given up has still to send.
	sendPause = 100 * time.Microsecond
	// maxLooks bounds how often it looks, and idleLooks how often in a row it may
	// see that nothing has left.
	maxLooks  = 200
	idleLooks = 50
)

// ErrNotPolled is wrapped by the errors of calls that need a port to be polled.
var ErrNotPolled = errors.New("no core polls the port")

// polled reports whether workers own the queues of p.
func (p *port) polled() bool { return p.before == nil }

func (p *port) notPolled() error {
	return fmt.Errorf("dataplane: port %s: %w: take it up again first", p.info.Name, ErrNotPolled)
}

// livePort returns a port that is not closed. d.mu is held.
func (d *Dataplane) livePort(id PortID) (*port, error) {
	if d.closed {
		return nil, ErrClosed
	}
	p, err := d.knownPort(id)
	if err == nil && p.gone {
		return nil, fmt.Errorf("dataplane: port %s is closed: %s", p.info.Name, p.info.Detail)
	}
	return p, err
}

// knownPort returns a port that was not removed: one that was closed because its worker
// failed, too. d.mu is held.
func (d *Dataplane) knownPort(id PortID) (*port, error) {
	if int(id) >= len(d.ports) || d.ports[id].removed {
		return nil, fmt.Errorf("dataplane: port %d: there is none, or it was removed", id)
	}
	return d.ports[id], nil
}

// Unpoll takes a port from the cores and keeps it open. When it returns no worker polls
// a queue of the port, sends on one, or holds a frame for it, and every worker has
// finished the burst it was in; what a FrameHolder held has been released. What is sent
// there is dropped as not_polled, and so is what waited in the send queue. Frames that
// the device has taken leave first, if it sends them within some milliseconds, else when it
// can: they stay in the account. What comes in waits in the device, and what that has no room for
// is lost there and counted as missed. Statistics, accounts and RemovePort know the port
// as ever; MoveQueue and SendControl refuse it.
//
// A port that is not polled already is left alone, and so is one whose worker failed: it is
// closed. If ctx is done before all workers
// have begun, the port is polled as before. Any other error comes with the port
// unpolled.
func (d *Dataplane) Unpoll(ctx context.Context, id PortID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	p, err := d.knownPort(id)
	if err != nil || p.gone || !p.polled() {
		return err
	}
	for i, w := range d.workers {
		err := d.do(ctx, w, func(w *Worker) { w.shut(id) })
		if err == nil {
			continue
		}
		for _, w := range d.workers[:i] {
			_ = d.do(context.Background(), w, func(w *Worker) { w.tx[id].carries(p.info.Up, pmd.ReasonPortDown) })
		}
		return fmt.Errorf("dataplane: port %s is polled as before: %w", p.info.Name, err)
	}
	err = d.quiesce(p)
	queues := p.dev.Queues()
	for i, owner := range p.owners {
		err = errors.Join(err, d.do(context.Background(), d.workers[owner], func(w *Worker) { w.letGo(id, queues[i]) }))
	}
	d.ownMu.Lock()
	for _, q := range queues {
		delete(d.owner, q)
	}
	d.ownMu.Unlock()
	p.before = p.owners
	p.owners = make([]int, len(queues))
	for i := range p.owners {
		p.owners[i] = -1
	}
	for _, w := range d.workers {
		err = errors.Join(err, d.do(context.Background(), w, (*Worker).releaseHeld))
	}
	d.emit(Event{Kind: EventPortChanged, Port: p.info.Name, CPU: Unpinned, Text: "no core polls it any more"})
	return err
}

// shut closes the way to a port.
func (w *Worker) shut(id PortID) {
	t := &w.tx[id]
	t.carries(false, pmd.ReasonNotPolled)
	if t.n > 0 {
		w.flushBuffer(t)
	}
}

// quiesce empties the send queue of a port that nobody can send to, on the worker that
// drains it, and waits for the device to send what it has.
func (d *Dataplane) quiesce(p *port) error {
	if err := d.purgeSendQueue(p, math.MaxInt); err != nil {
		return err
	}
	queues := p.dev.Queues()
	before, idle := uint64(0), 0
	for look := 0; look < maxLooks && idle < idleLooks; look++ {
		busy := uint64(0)
		for i, owner := range p.owners {
			if err := d.do(context.Background(), d.workers[owner], func(*Worker) {
				queues[i].Flush()
				queues[i].Reclaim()
				busy += queues[i].Counters().InFlight
			}); err != nil {
				return err
			}
		}
		if busy == 0 {
			break
		}
		if idle++; busy != before {
			before, idle = busy, 0
		}
		time.Sleep(sendPause)
	}
	return nil
}

// letGo gives up a queue of a port.
func (w *Worker) letGo(id PortID, q pmd.Queue) {
	t := &w.tx[id]
	if t.dirty {
		t.flush()
	}
	w.unregister(q)
	t.q, t.direct, t.drains = nil, nil, false
	q.Unbind()
}

// releaseHeld has a stage that holds frames give them up. A stage that has panicked is
// not asked: whoever buries its worker does.
func (w *Worker) releaseHeld() {
	if h, ok := w.stage.(FrameHolder); ok && !w.failed {
		h.Release(w)
		w.transmit()
	}
}

// Repoll has the cores take up a port again that Unpoll took from them: queue i is polled
// by workers[i], or if there are none by whom it was polled before. It returns when
// frames flow. A port that is polled has its queues moved to these workers, as by
// MoveQueue.
//
// A worker that is not there, has failed, or polls as many queues as it can is an error,
// and then nothing has changed, or the queues before it have been moved.
func (d *Dataplane) Repoll(ctx context.Context, id PortID, workers []int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.livePort(id)
	if err != nil {
		return err
	}
	if len(workers) == 0 {
		workers = p.before
	}
	if p.polled() {
		return d.moveTo(ctx, p, workers)
	}
	if err := d.fit(ctx, p, workers); err != nil {
		return err
	}
	// The order is that of connect: first the queues, then the way to them.
	p.drainer.Store(d.workers[p.owners[0]])
	for i, q := range p.dev.Queues() {
		if err = d.bind(p, i, q); err != nil {
			break
		}
	}
	p.before = nil
	if err == nil {
		err = d.do(context.Background(), d.workers[p.owners[0]], func(w *Worker) { w.tx[id].drains = true })
	}
	if err != nil {
		return d.giveUp(p, fmt.Errorf("dataplane: port %s: %w; the port is closed", p.info.Name, err))
	}
	for _, w := range d.workers {
		err = errors.Join(err, d.do(context.Background(), w, func(w *Worker) { w.tx[id].carries(p.info.Up, pmd.ReasonPortDown) }))
	}
	d.emit(Event{Kind: EventPortChanged, Port: p.info.Name, CPU: Unpinned, Text: "polled on CPU " + cpuName(d.workers[p.owners[0]].cpu)})
	return err
}

// moveTo moves the queues of a port that is polled.
func (d *Dataplane) moveTo(ctx context.Context, p *port, workers []int) error {
	if len(workers) == 0 {
		return nil
	}
	if err := p.checkCount(workers); err != nil {
		return err
	}
	for i, w := range workers {
		if err := d.moveQueue(ctx, p, i, w); err != nil {
			return err
		}
	}
	return nil
}

// checkCount says that there must be as many workers as queues.
func (p *port) checkCount(workers []int) error {
	if len(workers) == len(p.owners) {
		return nil
	}
	return fmt.Errorf("dataplane: port %s: %d workers named for %d queues", p.info.Name, len(workers), len(p.owners))
}

// fit makes these workers the owners of an unpolled port, if each of them can be. They do
// not know yet.
func (d *Dataplane) fit(ctx context.Context, p *port, workers []int) error {
	if err := p.checkCount(workers); err != nil {
		return err
	}
	for i, worker := range workers {
		if err := d.canPoll(ctx, p, i, worker); err != nil {
			return err
		}
	}
	before := p.owners
	p.owners = append([]int(nil), workers...)
	if err := d.roomFor(p); err != nil {
		p.owners = before
		return err
	}
	return nil
}

// canPoll tells whether a worker is there, is alive, and has room for a queue.
func (d *Dataplane) canPoll(ctx context.Context, p *port, queue, worker int) error {
	if worker < 0 || worker >= len(d.workers) {
		return fmt.Errorf("dataplane: port %s queue %d: worker %d: there are workers 0 to %d", p.info.Name, queue, worker, len(d.workers)-1)
	}
	w := d.workers[worker]
	var failed, full bool
	if err := d.do(ctx, w, func(w *Worker) { failed, full = w.failed, len(w.rx) >= MaxHandlers }); err != nil {
		return err
	}
	if full {
		return fmt.Errorf("dataplane: port %s queue %d: %w", p.info.Name, queue, d.fullError(worker))
	}
	if failed {
		return fmt.Errorf("dataplane: port %s queue %d: the worker on CPU %s has failed: choose another one", p.info.Name, queue, cpuName(w.cpu))
	}
	return nil
}

// minFrame is an Ethernet header.
const minFrame = 14

// SendControl sends a whole Ethernet frame that control made, without its frame check
// sequence: it is copied into a frame of the port's pool, or several where the port has
// packets of several, on the worker that drains the
// port's send queue, counts as generated, and leaves like any other. The bytes are the
// caller's again when it returns. A port that is not polled (ErrNotPolled), down or gone,
// a frame too short or too long, and a pool or port without room are errors, and then
// nothing is sent.
func (d *Dataplane) SendControl(ctx context.Context, id PortID, frame []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.livePort(id)
	if err != nil {
		return err
	}
	if !p.polled() {
		return p.notPolled()
	}
	var failed error
	if err := d.do(ctx, p.drainer.Load(), func(w *Worker) { failed = w.sendControl(id, frame) }); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("dataplane: port %s: a frame of %d bytes was not sent: %w", p.info.Name, len(frame), failed)
	}
	return nil
}

// sendControl is SendControl on the port's worker.
func (w *Worker) sendControl(id PortID, frame []byte) error {
	t := &w.tx[id]
	pool := w.local.Cache(t.pool).Pool()
	switch {
	case !t.up:
		return errors.New("the port is down")
	case len(frame) < minFrame || len(frame) > pool.MaxPacket():
		return fmt.Errorf("use %d to %d bytes", minFrame, pool.MaxPacket())
	}
	var made [mbuf.MaxSegments]mbuf.Frame
	n := w.makePacket(pool, made[:], len(frame), pool.Meta(uint16(id)))
	if n == 0 {
		return fmt.Errorf("%s has not enough frames free", pool.Name())
	}
	packet := made[:n]
	w.Scatter(packet, frame)
	if t.n > 0 {
		w.flushBuffer(t)
	}
	if w.sendSome(t, packet) == 0 {
		w.local.Free(packet)
		return errors.New("the port has no room")
	}
	t.generated++
	return nil
}
