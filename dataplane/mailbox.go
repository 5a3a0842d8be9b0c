package dataplane

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// message is a function on its way to a worker.
type message struct {
	next *message
	fn   func(*Worker)
	// state decides who wins when a caller gives up while the worker begins:
	// both exchange it from msgPending, and one of them succeeds.
	state atomic.Int32
	// done is closed when the function has run, unless the caller has given up.
	done chan struct{}
	// err is set before done is closed.
	err error
}

const (
	msgPending int32 = iota
	msgTaken
	msgCancelled
)

// mailbox is a lock-free stack of messages: any goroutine pushes, the worker takes
// all of them at once.
type mailbox struct {
	// head: the worker's Load each turn pairs with nothing, it is a hint; the
	// Swap of take pairs with the CompareAndSwap of push, so that what was written
	// before the push is seen by the function.
	head atomic.Pointer[message]
}

func (m *mailbox) push(msg *message) {
	for {
		old := m.head.Load()
		msg.next = old
		if m.head.CompareAndSwap(old, msg) { // pairs with the Swap in take
			return
		}
	}
}

// take returns all messages, oldest first, by next.
func (m *mailbox) take() *message {
	var list *message
	for msg := m.head.Swap(nil); msg != nil; { // pairs with push
		next := msg.next
		msg.next = list
		list, msg = msg, next
	}
	return list
}

// serve runs the waiting messages on w, oldest first.
func (m *mailbox) serve(w *Worker) {
	running := !w.unmanned.Load() // it is the worker's own, or its lock is held
	for msg := m.take(); msg != nil; {
		next := msg.next
		if msg.state.CompareAndSwap(msgPending, msgTaken) { // pairs with the one in Do
			msg.run(w)
			if running {
				w.answers.give(msg)
			} else {
				close(msg.done)
			}
		}
		msg = next
	}
	if running {
		w.answers.bell.Ring()
	}
}

// run calls the function. A panic in control code is the caller's error; the
// worker goes on.
func (msg *message) run(w *Worker) {
	defer func() {
		if r := recover(); r != nil {
			msg.err = fmt.Errorf("dataplane: panic in a control function on CPU %d: %v\n%s", w.cpu, r, debug.Stack())
		}
	}()
	msg.fn(w)
}
