//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netlinkTimeout bounds every netlink call. The kernel's routing lock can be
// held for long by the removal of other namespaces, but not for this long.
const netlinkTimeout = 10 * time.Second

// threadNetNS is the network namespace of the calling thread.
const threadNetNS = "/proc/thread-self/ns/net"

// Namespace is a network namespace. It may be used from several goroutines.
type Namespace struct {
	lab  *Lab
	name string
	// path is where the namespace is mounted; empty if it is not.
	path string
	// file holds the namespace. Its descriptor is only used through
	// SyscallConn, which cannot meet a descriptor that was closed and given
	// to something else.
	file   *os.File
	handle *netlink.Handle

	closeOnce sync.Once
	closeErr  error
	// closed is set before the handle goes; what finds it set leaves the
	// handle alone.
	closed atomic.Bool
}

// Namespace makes a network namespace with its loopback interface up. name is
// 1 to 32 letters, digits, - and _; it must be new in this lab.
func (l *Lab) Namespace(name string) (*Namespace, error) {
	if err := validWord("namespace name", name, maxNamespace); err != nil {
		return nil, fmt.Errorf("netlab: %w", err)
	}
	n := &Namespace{lab: l, name: name}
	errc := make(chan error, 1)
	go func() {
		// Never unlocked: the thread belongs to the new namespace and ends
		// with this goroutine, so no other goroutine can be run on it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = n.open()
		}
		if err == nil {
			n.path, err = mountNamespace(l.name + "-" + name)
		}
		if err == nil {
			err = n.loopbackUp()
		}
		errc <- err
	}()
	if err := <-errc; err != nil {
		return nil, errors.Join(fmt.Errorf("netlab: namespace %s: %w", name, err), n.release())
	}
	return n, l.own(n)
}

// here returns the namespace of the calling thread.
func (l *Lab) here() (*Namespace, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n := &Namespace{lab: l}
	if err := n.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("netlab: the caller's namespace: %w", err), n.release())
	}
	return n, nil
}

// open takes hold of the namespace of the calling thread.
func (n *Namespace) open() (err error) {
	if n.file, err = os.Open(threadNetNS); err != nil {
		return fmt.Errorf("is /proc mounted?: %w", err)
	}
	if n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	if err = n.handle.SetSocketTimeout(netlinkTimeout); err != nil {
		return fmt.Errorf("netlink timeout: %w", err)
	}
	return nil
}

func (n *Namespace) loopbackUp() error {
	lo, err := n.handle.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("interface lo: %w", err)
	}
	if err := n.handle.LinkSetUp(lo); err != nil {
		return fmt.Errorf("interface lo up: %w", err)
	}
	return nil
}

// Name returns the name given to Lab.Namespace; it is empty for Lab.Root.
func (n *Namespace) Name() string { return n.name }

// Path returns a path that names the namespace to other programs, such as
// `nsenter --net=PATH`. For a namespace of the lab's own it is normally
// /run/netns/<lab>-<name>, whose last part `ip netns exec` takes.
func (n *Namespace) Path() string {
	if n.path != "" {
		return n.path
	}
	path := ""
	_ = n.withFD(func(fd int) error {
		path = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
		return nil
	})
	return path
}

// Handle returns a netlink (NETLINK_ROUTE) handle inside the namespace. It is
// the namespace's own: do not close it.
func (n *Namespace) Handle() *netlink.Handle { return n.handle }

// Close gives the namespace up: the name goes, and with the last socket and
// process inside so does the namespace, and every interface in it. A second
// call does nothing. Lab.Close does it too.
func (n *Namespace) Close() error {
	n.closeOnce.Do(func() {
		n.lab.disown(n)
		n.closed.Store(true) // pairs with the Load in Veth.remove
		n.closeErr = n.release()
	})
	return n.closeErr
}

// release undoes whatever of the namespace was made.
func (n *Namespace) release() error {
	var errs []error
	if n.path != "" {
		errs = append(errs, unmountNamespace(n.path))
	}
	if n.handle != nil {
		n.handle.Close()
	}
	if n.file != nil {
		errs = append(errs, n.file.Close())
	}
	return errors.Join(errs...)
}

// withFD calls fn with the descriptor of the namespace, which stays open until
// fn returns.
func (n *Namespace) withFD(fn func(fd int) error) error {
	return withFD(n.file, fn)
}

func withFD(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := conn.Control(func(fd uintptr) { ferr = fn(int(fd)) }); err != nil {
		// Control fails for closed files only, with an error of its own.
		return fmt.Errorf("%s: %w", f.Name(), os.ErrClosed)
	}
	return ferr
}

// enter moves the calling thread, which must be locked, into the namespace.
func (n *Namespace) enter() error {
	return n.withFD(func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNET) })
}

// String names the namespace in errors.
func (n *Namespace) String() string {
	if n.name == "" {
		return "root"
	}
	return n.name
}

// Do runs fn inside the namespace, on a thread that is locked meanwhile, and
// returns its error. Sockets that fn makes stay in the namespace. Goroutines
// that it starts do not run there. Calls may be nested.
//
// If the thread cannot be brought back, the error says so and the goroutine
// stays locked to it: the thread ends when the goroutine does, and nothing
// else ever runs in the wrong namespace.
func (n *Namespace) Do(fn func() error) (err error) {
	runtime.LockOSThread()
	back, err := os.Open(threadNetNS)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("netlab: the caller's namespace: %w", err)
	}
	defer back.Close()
	if err := n.enter(); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("netlab: enter namespace %s: %w", n, err)
	}
	// Deferred, so that a panic or a failed test leaves the thread right.
	defer func() {
		if e := withFD(back, func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNET) }); e != nil {
			err = errors.Join(err, fmt.Errorf("netlab: leave namespace %s: %w", n, e))
			return
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}

// Listen opens a TCP listener inside the namespace. addr is a literal address
// and port: resolving a name happens on other threads, and so elsewhere.
func (n *Namespace) Listen(ctx context.Context, network, addr string) (l net.Listener, err error) {
	if err := literal(network, addr); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	// Multipath TCP would add options and packets of its own.
	lc.SetMultipathTCP(false)
	err = n.Do(func() (err error) {
		l, err = lc.Listen(ctx, network, addr)
		return err
	})
	return l, n.wrap(err)
}

// ListenPacket opens a datagram or raw IP socket ("udp", "ip4:icmp") inside
// the namespace. addr is a literal.
func (n *Namespace) ListenPacket(ctx context.Context, network, addr string) (c net.PacketConn, err error) {
	if err := literal(network, addr); err != nil {
		return nil, err
	}
	err = n.Do(func() (err error) {
		c, err = new(net.ListenConfig).ListenPacket(ctx, network, addr)
		return err
	})
	return c, n.wrap(err)
}

// Dial connects from inside the namespace to addr, a literal address and port.
func (n *Namespace) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	if err := literal(network, addr); err != nil {
		return nil, err
	}
	// For one literal address net.Dialer makes the socket on the calling
	// goroutine, and so on this thread; a test holds it to that.
	var d net.Dialer
	d.SetMultipathTCP(false)
	err = n.Do(func() (err error) {
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, n.wrap(err)
}

func (n *Namespace) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("netlab: in namespace %s: %w", n, err)
}

// literal refuses what net would have to resolve.
func literal(network, addr string) error {
	var err error
	if strings.HasPrefix(network, "ip") {
		_, err = netip.ParseAddr(addr)
	} else {
		_, err = netip.ParseAddrPort(addr)
	}
	if err != nil {
		return fmt.Errorf("netlab: %s %q must be a literal address, names cannot be resolved in a namespace: %w", network, addr, err)
	}
	return nil
}

// Start starts cmd inside the namespace. Lab.Close kills it if it still runs,
// and waits for it; the caller may Wait for it itself.
func (n *Namespace) Start(cmd *exec.Cmd) (*Process, error) {
	if err := n.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("netlab: start %s in namespace %s: %w", cmd.Path, n, err)
	}
	p := &Process{lab: n.lab, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, n.lab.own(p)
}

// Process is a program started by Namespace.Start.
type Process struct {
	lab  *Lab
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; set before done is closed
}

// Wait waits until the process has ended or ctx is done, and returns the error
// of exec.Cmd.Wait or of ctx. It may be called more than once.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close kills the process if it still runs and waits for its end. It returns
// nil also if the process had ended by itself, in whatever way.
func (p *Process) Close() error {
	p.lab.disown(p)
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("netlab: kill %s: %w", p.cmd.Path, err)
	}
	<-p.done
	return nil
}
