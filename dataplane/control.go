package dataplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Do runs fn on a worker between two bursts, and returns when it has run. It is
// the only way to touch what a worker owns. fn must be short: it delays the
// packets of that core. If ctx is done before fn began, fn never runs and the
// error wraps ctx's; a panic in fn is returned as an error. It must not be called
// on a worker, neither by a stage nor by fn: a worker cannot wait for itself.
func (d *Dataplane) Do(ctx context.Context, worker int, fn func(*Worker)) error {
	if worker < 0 || worker >= len(d.workers) {
		return fmt.Errorf("dataplane: worker %d: there are workers 0 to %d", worker, len(d.workers)-1)
	}
	return d.do(ctx, d.workers[worker], fn)
}

func (d *Dataplane) do(ctx context.Context, w *Worker, fn func(*Worker)) error {
	late := func() error {
		return fmt.Errorf("dataplane: worker %d on CPU %d has not answered: %w", w.id, w.cpu, ctx.Err())
	}
	if ctx.Err() != nil {
		return late() // a worker might be quicker than the select below
	}
	msg := &message{fn: fn, done: make(chan struct{})}
	w.post(msg)
	w.serveIfUnmanned()
	select {
	case <-msg.done:
	case <-ctx.Done():
		if msg.state.CompareAndSwap(msgPending, msgCancelled) { // pairs with serve
			return late()
		}
		<-msg.done
	}
	return msg.err
}

// serveIfUnmanned serves the mail of a worker that nobody runs. It is called
// after a push: a worker that leaves sets unmanned and then serves once more, we
// push and then look. So either it sees our message or we see that it left.
func (w *Worker) serveIfUnmanned() {
	if !w.unmanned.Load() {
		return
	}
	w.serveMu.Lock()
	defer w.serveMu.Unlock()
	if w.unmanned.Load() {
		w.mail.serve(w)
	}
}

// Workers returns the number of workers.
func (d *Dataplane) Workers() int { return len(d.workers) }

// Barrier returns when every worker has finished the turn it was in: nothing it
// did before is still going on.
func (d *Dataplane) Barrier(ctx context.Context) error {
	for _, w := range d.workers {
		if err := d.do(ctx, w, func(*Worker) {}); err != nil {
			return err
		}
	}
	return nil
}

// host is the dataplane as devices see it.
type host struct{ d *Dataplane }

// Exclusive implements pmd.Host.
func (h host) Exclusive(q pmd.Queue, fn func()) {
	for {
		h.d.ownMu.Lock()
		w := h.d.owner[q]
		if w == nil {
			// Nobody can be given the queue while we hold the lock.
			defer h.d.ownMu.Unlock()
			fn()
			return
		}
		h.d.ownMu.Unlock()
		ran := false
		_ = h.d.do(context.Background(), w, func(w *Worker) {
			for i := range w.rx {
				if w.rx[i].q == q {
					ran = true
					fn()
					return
				}
			}
		})
		if ran {
			return
		}
		// The queue changed hands meanwhile; ask again. It cannot do so for
		// long, as each change is a person's command.
		time.Sleep(time.Millisecond)
	}
}

// Notify implements pmd.Host.
func (h host) Notify(dev pmd.Device, what string) {
	n := notice{dev, dev.Info(), what}
	h.d.noticeMu.Lock()
	if len(h.d.notices) == maxNotices {
		h.d.notices = slices.Delete(h.d.notices, 0, 1)
	}
	h.d.notices = append(h.d.notices, n)
	h.d.noticeMu.Unlock()
	select {
	case h.d.ring <- struct{}{}:
	default: // somebody is on the way and will see this one too
	}
}

// watch carries devices' notices to the workers until stop is closed.
func (d *Dataplane) watch(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-d.ring:
		}
		d.noticeMu.Lock()
		notices := d.notices
		d.notices = nil
		d.noticeMu.Unlock()
		for _, n := range notices {
			d.refresh(n)
		}
	}
}

// refresh takes over a device's state and tells the workers whether to send there.
func (d *Dataplane) refresh(n notice) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		if p.dev != n.dev || p.gone {
			continue
		}
		was, unpolled, mtu := p.info.Up, p.info.Unpolled, p.info.MTU
		name := p.info.Name // which RenamePort may have changed
		p.info = n.info
		p.info.Name = name
		kind, text := EventPortChanged, n.what
		if p.info.MTU > mtu && p.info.Up && p.info.Detail != "" { // which is of that
			kind = EventMTUExceeded
		}
		if up := p.info.Up; up != was {
			for _, w := range d.workers {
				if p.polled() {
					_ = d.do(context.Background(), w, func(w *Worker) { w.tx[p.id].carries(up, pmd.ReasonPortDown) })
				}
			}
			kind, text = EventPortDown, p.info.Detail
			if up {
				kind, text = EventPortUp, "the port carries traffic"
			}
		}
		d.emit(Event{Kind: kind, Port: p.info.Name, CPU: Unpinned, Text: text})
		if !slices.Equal(p.info.Unpolled, unpolled) || p.info.Up && !was {
			d.warnUnpolled(p)
		}
	}
}

// emit tells the program.
func (d *Dataplane) emit(e Event) {
	if d.cfg.OnEvent == nil {
		return
	}
	d.eventMu.Lock()
	defer d.eventMu.Unlock()
	e.Time = time.Now()
	d.cfg.OnEvent(e)
}

// bury deals with a worker whose stage panicked. Its goroutine has ended and its
// mail is served by senders, so its state can be reached by do as ever.
func (d *Dataplane) bury(w *Worker, crash error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx := context.Background()
	// The burst the stage had: some frames may have been sent or freed before
	// the panic. The account knows: what nobody has is what it still held.
	var held []mbuf.Frame
	_ = d.do(ctx, w, func(w *Worker) {
		held = append(held, w.burst[:w.inHand]...)
		held = append(held, w.spill[:w.spilled]...)
		w.inHand, w.spilled = 0, 0
	})
	var down []*port
	for _, p := range d.ports {
		for _, o := range p.owners {
			if o == w.id && !p.gone {
				down = append(down, p)
				break
			}
		}
	}
	lost := d.recoverFrames(w, held)
	_ = d.do(ctx, w, func(w *Worker) { w.DropBurst(pmd.ReasonStagePanic, lost) })
	text := fmt.Sprintf("worker %d stopped: panic in the stage: %v (%d frames recovered)", w.id, crash, len(lost))
	// What the stage held before that burst is given up in its own way, if it
	// still can.
	err := d.do(ctx, w, func(w *Worker) {
		if h, ok := w.stage.(FrameHolder); ok {
			h.Release(w)
		}
	})
	if err != nil {
		text += "; and when it was to release the frames it held: " + err.Error()
	}
	_ = d.do(ctx, w, func(w *Worker) { w.abandon(pmd.ReasonStopped) })
	d.emit(Event{Kind: EventWorkerFailed, CPU: w.cpu, Text: text})
	for _, p := range down {
		text := fmt.Sprintf("the worker on CPU %d that polled it failed", w.cpu)
		if err := d.closePort(p); err != nil {
			text += ": " + err.Error()
		}
		p.info.Detail = text
		d.emit(Event{Kind: EventPortDown, Port: p.info.Name, CPU: Unpinned, Text: text})
	}
}

// recoverFrames returns those of the held frames that no owner has.
func (d *Dataplane) recoverFrames(w *Worker, held []mbuf.Frame) []mbuf.Frame {
	if len(held) == 0 {
		return nil
	}
	missing := map[uint8]*mbuf.FrameSet{}
	err := d.standstill(func() {
		for pool, led := range d.ledgers {
			d.walk(led)
			s := mbuf.NewFrameSet(pool)
			led.Missing(s)
			missing[pool.ID()] = s
		}
	})
	if err != nil {
		return nil // the account will show them missing
	}
	var lost []mbuf.Frame
	for _, f := range held {
		if s := missing[f.Meta.Pool()]; s != nil && s.Remove(f.Addr) {
			lost = append(lost, f)
		}
	}
	return lost
}
