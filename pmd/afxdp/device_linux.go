package afxdp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp/internal/xsk"
	"example.org/pmd/pmd/mbuf"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Driver opens AF_XDP ports. It knows which sockets share a pool's memory.
type Driver struct {
	mu sync.Mutex
	// umems are the live sockets by the memory they share and their mode: any
	// of them can be named in a bind to share it. Guarded by mu.
	umems map[umemKey]map[*xsk.Socket]struct{}
}

type umemKey struct {
	pool     *mbuf.Pool
	zeroCopy bool
}

// NewDriver returns a driver with no port open.
func NewDriver() *Driver {
	return &Driver{umems: map[umemKey]map[*xsk.Socket]struct{}{}}
}

// Kind implements pmd.Driver.
func (*Driver) Kind() string { return Kind }

// Open implements pmd.Driver.
func (d *Driver) Open(ctx context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	cfg, err := configFromSpec(spec)
	if err != nil {
		return nil, err
	}
	return d.OpenConfig(ctx, cfg, env)
}

// Device is a network interface as a port.
type Device struct {
	cfg Config
	drv *Driver
	env pmd.Env
	ns  namespace
	q   *queue

	// conn is nil while the interface is gone. It and nsID belong to the
	// watching goroutine, and to Close once that has ended.
	conn    *connection
	nsID    string
	stop    chan struct{}
	stopped sync.WaitGroup

	// mu guards what follows. It is never held while waiting for the kernel.
	mu     sync.Mutex
	info   pmd.Info
	closed bool
}

// connection is what holds an interface: all of it goes when the interface does.
type connection struct {
	ifindex int
	pool    *mbuf.Pool
	prog    *program
	sock    *xsk.Socket
	zc      bool
	promisc int // packet socket, -1 if none
	info    pmd.Info
}

// OpenConfig opens a port. Errors name interface, queue and step, carry the
// errno, and say what to do.
func (d *Driver) OpenConfig(ctx context.Context, cfg Config, env pmd.Env) (*Device, error) {
	if cfg.Name == "" {
		cfg.Name = cfg.Interface
	}
	if cfg.Mode == "" {
		cfg.Mode = ModeAuto
	}
	for _, ring := range []*int{&cfg.RxRing, &cfg.TxRing, &cfg.FillRing, &cfg.CompRing} {
		if *ring == 0 {
			*ring = defaultRing
		}
	}
	dev := &Device{cfg: cfg, drv: d, env: env, ns: newNamespace(cfg.Netns), stop: make(chan struct{})}
	var conn *connection
	var watcher *watcher
	err := dev.ns.do(func() (err error) {
		// The watcher listens before the port is made, so no change is missed.
		if watcher, err = newWatcher(); err != nil {
			return fmt.Errorf("afxdp: %s: watch the interface: %w", cfg.Interface, err)
		}
		conn, err = dev.connect(ctx, nil)
		return err
	})
	if err != nil {
		if watcher != nil {
			watcher.close()
		}
		return nil, err
	}
	dev.nsID = dev.ns.id()
	dev.q = newQueue(conn.pool, cfg.FillRing)
	dev.conn, dev.info = conn, conn.info
	dev.q.attach(conn.sock, conn.zc, conn.info.MTU)
	if err := dev.receive(); err != nil {
		watcher.close()
		return nil, errors.Join(err, dev.disconnect())
	}
	dev.stopped.Go(func() { dev.watch(watcher) })
	return dev, nil
}

// receive lets frames come to the socket of the present connection. The queue has
// it by then, with chunks posted, so that the first frames are not lost.
func (d *Device) receive() error {
	if err := d.conn.prog.register(d.cfg.Queue, d.conn.sock.FD()); err != nil {
		return explain(d.cfg.Interface, d.cfg.Queue, "enter the socket into the program's map", err)
	}
	return nil
}

// Info implements pmd.Device.
func (d *Device) Info() pmd.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info
}

// Queues implements pmd.Device.
func (d *Device) Queues() []pmd.Queue { return []pmd.Queue{d.q} }

// Close implements pmd.Device.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	close(d.stop)
	d.stopped.Wait()
	d.setState(false, "closed")
	return d.disconnect()
}

// setState changes what Info says of the link.
func (d *Device) setState(up bool, detail string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.info.Up, d.info.Detail = up, detail
}

// connect takes the interface, all but the last step: see receive. It is called
// inside the namespace. With need set
// the port's pool is given: this is not its first connection.
func (d *Device) connect(ctx context.Context, need *mbuf.Pool) (*connection, error) {
	name, q := d.cfg.Interface, d.cfg.Queue
	l, err := netlink.LinkByName(name)
	if err != nil {
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil, fmt.Errorf("afxdp: %s: no such interface; see ip link: %w", name, unix.ENODEV)
		}
		return nil, explain(name, q, "look up the interface", err)
	}
	attrs := l.Attrs()
	if !d.cfg.TakeManagement {
		if err := checkManagement(l); err != nil {
			return nil, fmt.Errorf("afxdp: %s: %w", name, err)
		}
	}
	if err := foreignProgram(l); err != nil {
		return nil, err
	}
	queues := max(attrs.NumRxQueues, 1)
	if q >= queues {
		return nil, fmt.Errorf("afxdp: %s queue %d: the interface has queues 0 to %d: %w", name, q, queues-1, unix.EINVAL)
	}
	conn := &connection{ifindex: attrs.Index, promisc: -1}
	fail := func(err error) (*connection, error) {
		return nil, errors.Join(err, d.drv.hangUp(conn))
	}
	prog, err := loadProgram(queues)
	if err != nil {
		return nil, explain(name, q, "XDP program", err)
	}
	generic, err := d.attachProgram(conn, prog)
	if err != nil {
		return nil, errors.Join(err, prog.Close())
	}
	if err := d.openSocket(ctx, conn, generic, need); err != nil {
		return fail(err)
	}
	if limit := mtuLimit(conn.pool); attrs.MTU > limit {
		return fail(fmt.Errorf("afxdp: %s: MTU %d is more than the %d that fit frames of %d bytes; %s",
			name, attrs.MTU, limit, conn.pool.FrameSize(), mtuAdvice(name, attrs.MTU, limit)))
	}
	if !d.cfg.NoPromisc {
		if conn.promisc, err = promiscuous(attrs.Index); err != nil {
			return fail(explain(name, q, "promiscuous mode", err))
		}
	}
	conn.info = d.describe(l, conn, generic)
	return conn, nil
}

// vlanHeader is the Ethernet header with one 802.1Q tag, in bytes.
const vlanHeader = 18

// mtuLimit returns the largest MTU whose frames fit into one chunk.
func mtuLimit(pool *mbuf.Pool) int { return pool.MaxLen() - vlanHeader }

// mtuAdvice says how to make it fit.
func mtuAdvice(name string, mtu, limit int) string {
	const large = 4096 - mbuf.KernelHeadroom - vlanHeader
	set := fmt.Sprintf("ip link set dev %s mtu %d", name, min(limit, 1500))
	if limit < large && mtu <= large {
		return fmt.Sprintf("use frame-size=4096 (MTU up to %d), or %s", large, set)
	}
	return set
}

// attachProgram puts prog on the interface in the best mode allowed and reports
// whether that is generic mode. On an error prog is still the caller's.
func (d *Device) attachProgram(conn *connection, prog *xdp.Program) (generic bool, err error) {
	if d.cfg.Mode != ModeGeneric {
		conn.prog, err = attach(prog, conn.ifindex, link.XDPDriverMode)
		if err == nil {
			return false, nil
		}
		if d.cfg.Mode != ModeAuto || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
			return false, d.attachError("driver", err)
		}
	}
	conn.prog, err = attach(prog, conn.ifindex, link.XDPGenericMode)
	if err != nil {
		return false, d.attachError("generic", err)
	}
	return true, nil
}

// attachError explains why the program could not be attached.
func (d *Device) attachError(mode string, err error) error {
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		if l, lerr := netlink.LinkByName(d.cfg.Interface); lerr == nil {
			if ferr := foreignProgram(l); ferr != nil {
				return ferr
			}
		}
	}
	return explain(d.cfg.Interface, d.cfg.Queue, "attach the XDP program in "+mode+" mode", err)
}

// foreignProgram refuses an interface with an XDP program that is not ours.
func foreignProgram(l netlink.Link) error {
	x := l.Attrs().Xdp
	if x == nil || !x.Attached {
		return nil
	}
	name := l.Attrs().Name
	return fmt.Errorf("afxdp: %s: an XDP program is attached already (id %d, name %s) and stays: end the program that owns it, or if nobody does: ip link set dev %s xdp off: %w",
		name, x.ProgId, programName(x.ProgId), name, unix.EBUSY)
}

// txBudget is how many frames one system call may send in copy mode: enough for a
// burst, and little enough (some 250 µs) not to hold up the runtime.
const txBudget = 256

// bindTime bounds how long a queue that is being given up elsewhere is waited
// for: the kernel tears a closed socket down in the background.
const bindTime = 2 * time.Second

// openSocket opens the socket, in the best mode allowed.
func (d *Device) openSocket(ctx context.Context, conn *connection, generic bool, need *mbuf.Pool) error {
	tryZeroCopy := !generic && (d.cfg.Mode == ModeZeroCopy || d.cfg.Mode == ModeAuto)
	if tryZeroCopy && d.cfg.Mode == ModeAuto {
		if bits, known := xdpFeatures(conn.ifindex); known && bits&actZeroCopy == 0 {
			tryZeroCopy = false // the driver says no: spare the attempt
		}
	}
	if tryZeroCopy {
		err := d.openSocketMode(ctx, conn, true, need)
		if err == nil || d.cfg.Mode == ModeZeroCopy || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return d.openSocketMode(ctx, conn, false, need)
}

// openSocketMode opens the socket in one mode and reads back what it became.
func (d *Device) openSocketMode(ctx context.Context, conn *connection, zeroCopy bool, need *mbuf.Pool) error {
	conn.pool = need
	if need == nil {
		p, err := d.env.Pool(pmd.Class{NUMANode: numaNode(d.cfg.Interface), ZeroCopy: zeroCopy, FrameSize: d.cfg.FrameSize})
		if err != nil {
			return fmt.Errorf("afxdp: %s: %w", d.cfg.Interface, err)
		}
		conn.pool = p
	}
	flags := uint16(unix.XDP_USE_NEED_WAKEUP)
	if zeroCopy {
		flags |= unix.XDP_ZEROCOPY
	} else {
		flags |= unix.XDP_COPY
	}
	cfg := xsk.Config{
		Name: d.cfg.Interface, Ifindex: uint32(conn.ifindex), Queue: uint32(d.cfg.Queue),
		RxRing: uint32(d.cfg.RxRing), TxRing: uint32(d.cfg.TxRing), FillRing: uint32(d.cfg.FillRing), CompRing: uint32(d.cfg.CompRing),
		Bind: flags, Mem: conn.pool.Mem(), FrameSize: uint32(conn.pool.FrameSize()), Headroom: uint32(conn.pool.Headroom()),
	}
	deadline := time.Now().Add(bindTime)
	for {
		s, err := d.drv.open(conn.pool, zeroCopy, cfg)
		if err == nil {
			conn.sock = s
			// In copy mode a call sends 32 frames unless told otherwise; a burst
			// should need one call. Kernels before 6.17 know no better.
			_ = s.SetTxBudget(min(txBudget, d.cfg.TxRing))
			conn.zc, err = s.Options()
			if err != nil {
				return errors.Join(err, d.drv.closeSocket(conn))
			}
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// open opens a socket that shares the pool's memory with another of the same
// mode, if there is one.
func (d *Driver) open(pool *mbuf.Pool, zeroCopy bool, cfg xsk.Config) (*xsk.Socket, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := umemKey{pool, zeroCopy}
	for s := range d.umems[key] {
		cfg.SharedFD = s.FD()
		break
	}
	s, err := xsk.Open(cfg)
	if errors.Is(err, unix.EBADF) && cfg.SharedFD != 0 {
		// That socket's interface has just gone. Register the memory again.
		cfg.SharedFD = 0
		s, err = xsk.Open(cfg)
	}
	if err != nil {
		return nil, err
	}
	if d.umems[key] == nil {
		d.umems[key] = map[*xsk.Socket]struct{}{}
	}
	d.umems[key][s] = struct{}{}
	return s, nil
}

// closeSocket closes a connection's socket.
func (d *Driver) closeSocket(c *connection) error {
	if c.sock == nil {
		return nil
	}
	d.mu.Lock()
	for key, socks := range d.umems {
		delete(socks, c.sock)
		if len(socks) == 0 {
			delete(d.umems, key)
		}
	}
	d.mu.Unlock()
	err := c.sock.Close()
	c.sock = nil
	return err
}

// hangUp gives up whatever of a connection there is.
func (d *Driver) hangUp(c *connection) error {
	var err error
	if c.prog != nil {
		err = c.prog.close()
	}
	err = errors.Join(err, d.closeSocket(c))
	if c.promisc >= 0 {
		err = errors.Join(err, unix.Close(c.promisc))
		c.promisc = -1
	}
	return err
}

// quarantineTime bounds how long frames wait for hardware to let go of them.
const quarantineTime = 5 * time.Second

// disconnect gives the interface up and brings the frames home. The queue's owner,
// if it has one, is asked through the host.
func (d *Device) disconnect() error {
	c := d.conn
	if c == nil {
		return nil
	}
	d.conn = nil
	d.env.Host.Exclusive(d.q, func() { d.q.detach() })
	err := d.drv.hangUp(c)
	if c.zc {
		// In copy mode nobody writes to frames once close has returned. In
		// zero-copy mode the NIC may, until the kernel has torn the queue down:
		// then a new bind succeeds, or the interface is gone.
		if werr := d.ns.do(func() error { return d.waitReleased(c) }); werr != nil {
			return errors.Join(err, werr)
		}
	}
	d.env.Host.Exclusive(d.q, d.q.release)
	return err
}

// waitReleased returns when the queue of a closed zero-copy socket can be bound
// again. It is called inside the namespace.
func (d *Device) waitReleased(c *connection) error {
	const size = 4096 // a page, and a chunk
	mem, err := unix.Mmap(-1, 0, 64*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(mem) }()
	deadline := time.Now().Add(quarantineTime)
	for {
		s, err := xsk.Open(xsk.Config{
			Name: d.cfg.Interface, Ifindex: uint32(c.ifindex), Queue: uint32(d.cfg.Queue),
			RxRing: minRing, TxRing: minRing, FillRing: minRing, CompRing: minRing,
			Bind: unix.XDP_COPY, Mem: mem, FrameSize: size,
		})
		if err == nil {
			return s.Close()
		}
		if !errors.Is(err, unix.EBUSY) {
			return nil // the interface is gone, or cannot be bound for another reason
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("afxdp: %s queue %d: the driver has not let go of the queue for %v; its frames stay in quarantine: %w",
				d.cfg.Interface, d.cfg.Queue, quarantineTime, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// describe says what was obtained.
func (d *Device) describe(l netlink.Link, c *connection, generic bool) pmd.Info {
	a := l.Attrs()
	info := pmd.Info{
		Name: d.cfg.Name, Driver: Kind, Mode: ModeCopy,
		MAC: append(net.HardwareAddr(nil), a.HardwareAddr...), MTU: a.MTU, NUMANode: numaNode(d.cfg.Interface),
		Obtained: map[string]string{
			"interface": d.cfg.Interface,
			"queue":     fmt.Sprintf("%d of %d", d.cfg.Queue, max(a.NumRxQueues, 1)),
			"pages":     c.pool.Pages(),
			"pool":      c.pool.Name(),
		},
	}
	switch {
	case c.zc:
		info.Mode = ModeZeroCopy
	case generic:
		info.Mode = ModeGeneric
	}
	if d.ns.path != "" {
		info.Obtained["netns"] = d.ns.path
	}
	info.Up, info.Detail = linkState(l, c)
	return info
}

// linkState tells whether an interface can carry traffic, and if not, why.
func linkState(l netlink.Link, c *connection) (up bool, detail string) {
	a := l.Attrs()
	switch {
	case a.RawFlags&unix.IFF_UP == 0:
		return false, "the interface is down: ip link set dev " + a.Name + " up"
	case a.RawFlags&unix.IFF_RUNNING == 0:
		return false, "no carrier: the link or the peer is down"
	case c.pool != nil && a.MTU > mtuLimit(c.pool):
		return true, fmt.Sprintf("MTU %d is more than the %d that fit a frame: longer packets are lost, counted as rx_dropped", a.MTU, mtuLimit(c.pool))
	}
	return true, ""
}

// numaNode returns the node of an interface on a machine with several, else -1:
// so that one pool serves all ports where there is nothing to choose.
func numaNode(name string) int {
	nodes, err := filepath.Glob("/sys/devices/system/node/node[0-9]*")
	if err != nil || len(nodes) < 2 {
		return -1
	}
	node, err := cpu.InterfaceNode(os.DirFS("/sys"), name)
	if err != nil {
		return -1
	}
	return node
}
