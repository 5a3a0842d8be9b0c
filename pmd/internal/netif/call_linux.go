package netif

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Calls carries calls of control to the goroutine that follows an interface, so that
// what they change and what that goroutine does about a change cannot meet. Make one
// with NewCalls.
type Calls struct {
	ch   chan Call
	stop <-chan struct{}
}

// Call is one call on its way. Fn is run by the goroutine, then Done is told.
type Call struct {
	Fn   func() error
	done chan error
}

// Done tells the caller how it went. It comes once the goroutine has looked at the
// interface again, so that Info tells of the change.
func (c Call) Done(err error) { c.done <- err }

// NewCalls returns the way to a goroutine that ends when stop is closed.
func NewCalls(stop <-chan struct{}) *Calls { return &Calls{ch: make(chan Call), stop: stop} }

// Next is where the goroutine takes calls.
func (c *Calls) Next() <-chan Call { return c.ch }

// Do has fn run there and returns what it returned.
func (c *Calls) Do(fn func() error) error {
	call := Call{fn, make(chan error, 1)}
	select {
	case c.ch <- call:
		return <-call.done
	case <-c.stop:
		return fmt.Errorf("the port is closed: %w", unix.ENODEV)
	}
}

// OnLink runs fn inside the namespace, with an interface as it is now.
func (n Namespace) OnLink(ifindex int, fn func(l netlink.Link) error) error {
	return n.Do(func() error {
		l, err := netlink.LinkByIndex(ifindex)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return Gone()
		}
		if err != nil {
			return fmt.Errorf("look up the interface: %w", err)
		}
		return fn(l)
	})
}

// Gone is the error of calls that need an interface which is not there.
func Gone() error { return fmt.Errorf("the interface is gone for now: %w", unix.ENODEV) }
