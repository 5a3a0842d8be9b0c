//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Lab owns namespaces, veth pairs, generators, sinks and processes, and
// removes them all in Close. It may be used from several goroutines.
type Lab struct {
	name string
	// root is the namespace New was called in.
	root *Namespace

	mu     sync.Mutex
	closed bool
	// owned is what Close closes, in the order it was made.
	owned []io.Closer
	// pairs finds the peer of an interface.
	pairs  map[ifKey]*Veth
	serial int
}

// ifKey names an interface on this machine.
type ifKey struct {
	ns   *Namespace
	name string
}

// Check reports what keeps a lab from being made here: nil, or an error that
// says what is missing and what to do. It makes one network namespace, which
// is gone when it returns.
func Check() error { return Throwaway(func() error { return nil }) }

// Throwaway runs fn on a thread inside a new network namespace that has no name
// and goes, with every interface made in it, when fn has returned and closed what
// it opened. Like a function given to Namespace.Do, fn must not start goroutines
// and expect them to be inside. The error says what is missing if the namespace
// cannot be made, and is fn's otherwise.
func Throwaway(fn func() error) error {
	errc := make(chan error, 1)
	go func() {
		// Never unlocked: the thread is inside the new namespace and ends
		// with this goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			errc <- lacksNamespaces(err)
			return
		}
		errc <- fn()
	}()
	return <-errc
}

// lacksNamespaces says why unshare(2) failed, and what to do.
func lacksNamespaces(err error) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("netlab: network namespaces need root, run with sudo: unshare: %w", err)
	}
	return fmt.Errorf("netlab: network namespaces need CAP_SYS_ADMIN, in a container run it with --privileged: unshare: %w", err)
}

// New makes an empty lab. All it makes is named after prefix, 1 to 6 letters
// and digits, and a random part. Close must be called. The error says what is
// missing if the process may not make namespaces.
func New(prefix string) (*Lab, error) {
	if err := validWord("lab prefix", prefix, maxPrefix); err != nil {
		return nil, fmt.Errorf("netlab: %w", err)
	}
	if err := Check(); err != nil {
		return nil, err
	}
	l := &Lab{name: labName(prefix), pairs: map[ifKey]*Veth{}}
	root, err := l.here()
	if err != nil {
		return nil, err
	}
	l.root = root
	l.owned = append(l.owned, root)
	return l, nil
}

// Name returns the name of the lab followed by suffix: a name for an interface
// in a namespace that others use as well. With up to 4 bytes of suffix it fits
// an interface.
func (l *Lab) Name(suffix string) string { return l.name + suffix }

// Root returns the namespace New was called in. Closing it before the lab is
// allowed, and leaves the namespace itself alone.
func (l *Lab) Root() *Namespace { return l.root }

// Close removes everything made through the lab, last made first: processes
// are killed, generators stopped, programs detached, pairs deleted, namespaces
// given up. A second call does nothing. It goes on after an error and returns
// all of them joined.
func (l *Lab) Close() error {
	l.mu.Lock()
	owned := l.owned
	l.owned, l.closed = nil, true
	l.mu.Unlock()

	var errs []error
	for _, c := range slices.Backward(owned) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// own makes Close close c. If the lab is closed already, c is closed here and
// the error says so.
func (l *Lab) own(c io.Closer) error {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.owned = append(l.owned, c)
	}
	l.mu.Unlock()
	if closed {
		return errors.Join(fmt.Errorf("netlab: lab %s: %w", l.name, os.ErrClosed), c.Close())
	}
	return nil
}

// disown forgets c, which is closed or about to be.
func (l *Lab) disown(c io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owned = slices.DeleteFunc(l.owned, func(o io.Closer) bool { return o == c })
}

// in returns n, or the lab's own namespace for nil.
func (l *Lab) in(n *Namespace) *Namespace {
	if n == nil {
		return l.root
	}
	return n
}
