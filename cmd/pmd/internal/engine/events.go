package engine

import (
	"fmt"
	"sync"
	"time"

	"example.org/pmd/dataplane"
)

// EventsLost is the kind of the event that tells how many could not be told.
const EventsLost = "events_lost"

// maxEvents is how many events may wait for a slow listener.
const maxEvents = 256

// events carries events to the program on a goroutine of its own. The dataplane
// tells them with its control lock held, so a log that blocks must not block it.
type events struct {
	queue chan dataplane.Event
	done  chan struct{}

	mu   sync.Mutex
	lost int // of events since the last that was queued
	shut bool
}

func newEvents(fn func(dataplane.Event)) *events {
	e := &events{queue: make(chan dataplane.Event, maxEvents), done: make(chan struct{})}
	go func() {
		defer close(e.done)
		for ev := range e.queue {
			if fn != nil {
				fn(ev)
			}
		}
	}()
	return e
}

// tell queues an event. It never blocks, and does nothing after close.
func (e *events) tell(ev dataplane.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut {
		return
	}
	if e.lost > 0 {
		gap := dataplane.Event{
			Time: time.Now(), Kind: EventsLost, CPU: dataplane.Unpinned,
			Text: fmt.Sprintf("%d events were not told: the log was too slow", e.lost),
		}
		select {
		case e.queue <- gap:
			e.lost = 0
		default:
		}
	}
	select {
	case e.queue <- ev:
	default:
		e.lost++
	}
}

// lastWords bounds how long the end waits for events to be told.
const lastWords = time.Second

// close returns when every queued event was told, or when that takes too long: a
// log that hangs does not keep the process from ending.
func (e *events) close() {
	e.mu.Lock()
	e.shut = true
	e.mu.Unlock()
	close(e.queue)
	select {
	case <-e.done:
	case <-time.After(lastWords):
	}
}
