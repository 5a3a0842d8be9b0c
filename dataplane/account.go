package dataplane

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd/mbuf"
)

// rendezvous brings all workers to a stand between two bursts. The last to
// arrive does what there is to do, so nobody waits for a goroutine that may not
// be running.
type rendezvous struct {
	want    int32
	arrived atomic.Int32
	// state goes waiting → running → done, or waiting → aborted.
	state atomic.Int32
	limit uint64 // cycles an early worker waits
	run   func()
}

const (
	rvWaiting int32 = iota
	rvRunning
	rvDone
	rvAborted
)

// arrive is called on each worker.
func (r *rendezvous) arrive(clock cpu.Clock) {
	// Each Add publishes what the worker did; the last one sees them all.
	if r.arrived.Add(1) == r.want {
		if r.state.CompareAndSwap(rvWaiting, rvRunning) { // pairs with the abort below
			// Pairs with the Load of those who wait. Deferred, since run calls
			// a stage's Walk: if that panics, nobody may wait for ever.
			defer r.state.Store(rvDone)
			r.run()
		}
		return
	}
	start := clock.Now()
	for {
		switch r.state.Load() { // pairs with Store(rvDone)
		case rvDone, rvAborted:
			return
		case rvWaiting:
			if clock.Now()-start > r.limit && r.state.CompareAndSwap(rvWaiting, rvAborted) {
				return
			}
		}
	}
}

// ErrBusy is returned when the workers could not be brought to a stand within the
// time one may wait for another, in many tries.
var ErrBusy = errors.New("dataplane: the workers did not come to a stand at the same time; try again")

// maxStand bounds the time that one worker waits for another.
const maxStand = 10 * time.Millisecond

// standstill runs fn while every worker stands still between two bursts. d.mu is
// held. The time one worker waits for another is bounded: briefly at first,
// longer if that fails, as it will where workers have no CPU of their own.
func (d *Dataplane) standstill(fn func()) error {
	// A device's Exclusive on a queue that nobody polls runs beside the workers.
	d.ownMu.Lock()
	defer d.ownMu.Unlock()
	limit := 200 * time.Microsecond
	for range 24 {
		if done, err := d.gather(fn, d.clock.Cycles(limit)); done || err != nil {
			return err
		}
		limit = min(limit+limit/2, maxStand)
	}
	return ErrBusy
}

// gather is one try of standstill.
func (d *Dataplane) gather(fn func(), limit uint64) (done bool, err error) {
	r := &rendezvous{want: int32(len(d.workers)), run: fn, limit: limit}
	msgs := make([]*message, len(d.workers))
	missing := len(d.workers)
	for i, w := range d.workers {
		w.serveMu.Lock()
		if w.unmanned.Load() {
			// Nobody runs it. Holding its lock keeps others from starting it
			// and from serving its mail: so it stands still, and has arrived.
			defer w.serveMu.Unlock()
			r.arrived.Add(1)
			missing--
			continue
		}
		w.serveMu.Unlock()
		msgs[i] = &message{fn: func(w *Worker) { r.arrive(w.clock) }, done: make(chan struct{})}
	}
	if missing == 0 {
		m := message{fn: func(*Worker) { fn() }}
		m.run(d.workers[0])
		return true, m.err
	}
	for i, m := range msgs {
		if m != nil {
			d.workers[i].post(m)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for i, m := range msgs {
		if m == nil {
			continue
		}
		d.workers[i].serveIfUnmanned() // it may have left meanwhile
		select {
		case <-m.done:
		case <-ctx.Done():
			if m.state.CompareAndSwap(msgPending, msgCancelled) { // pairs with serve
				return false, fmt.Errorf("%w: worker %d on CPU %d has not answered for a second", ErrBusy, i, d.workers[i].cpu)
			}
			<-m.done
		}
		if m.err != nil {
			return false, m.err
		}
	}
	return r.state.Load() == rvDone, nil // pairs with the Store in arrive
}

// Accounts walks every owner of every frame of every pool, while all workers
// stand still, and returns what it found.
func (d *Dataplane) Accounts() ([]mbuf.Account, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accounts(d.space.Pools(), func() {})
}

// accounts takes the accounts of pools, and calls also at the same stand.
func (d *Dataplane) accounts(pools []*mbuf.Pool, also func()) ([]mbuf.Account, error) {
	if d.closed {
		return nil, ErrClosed
	}
	for _, pool := range pools {
		if d.ledgers[pool] == nil {
			d.ledgers[pool] = mbuf.NewLedger(pool)
		}
	}
	err := d.standstill(func() {
		for _, pool := range pools {
			d.walk(d.ledgers[pool])
		}
		also()
	})
	if err != nil {
		return nil, err
	}
	var out []mbuf.Account
	for _, pool := range pools {
		out = append(out, d.ledgers[pool].Account())
	}
	return out, nil
}

// walk visits every owner. Everything stands still.
func (d *Dataplane) walk(led *mbuf.Ledger) {
	led.Begin()
	for _, w := range d.workers {
		w.local.Walk(led)
		for _, id := range w.open {
			t := &w.tx[id]
			led.Frames(mbuf.OwnerBurst, t.buf[:t.n])
			led.Frames(mbuf.OwnerBurst, t.hold[:t.held])
		}
		if h, ok := w.stage.(FrameHolder); ok {
			h.Walk(w, led)
		}
	}
	for _, p := range d.ports {
		for _, q := range p.dev.Queues() {
			if q.Pool() == led.Pool() {
				q.Walk(led)
			}
		}
		led.Frames(mbuf.OwnerSendQueue, p.queued())
	}
	// Only a worker whose stage has just panicked has a burst in hand here. Part
	// of that was sent or dropped before, so it is asked last.
	for _, w := range d.workers {
		led.Rest(mbuf.OwnerBurst, w.burst[:w.inHand])
		led.Rest(mbuf.OwnerBurst, w.spill[:w.spilled])
	}
}
