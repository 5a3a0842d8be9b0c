package afxdp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp/internal/xsk"
	"example.org/pmd/pmd/internal/netif"
	"example.org/pmd/pmd/mbuf"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// connection is what holds an interface: all of it goes when the interface does.
type connection struct {
	link    netlink.Link // as it was when it was taken
	ifindex int
	pool    *mbuf.Pool
	prog    *program
	generic bool
	quirks
	// features is what the kernel says the driver offers, nil if it cannot tell.
	features *XDPFeatures
	// socks are the sockets of Device.queues, all of one mode; nil where one is
	// not open.
	socks    []*xsk.Socket
	zeroCopy bool
	multi    bool      // packets may have several frames
	settings *settings // nil if nothing had to change
	refused  string    // why zero-copy is not to be had, if it was wanted
	promisc  netif.Membership
	channels channels
	unpolled []int  // the queues that nobody polls
	remedy   string // what to do about them
	info     pmd.Info
}

// count returns how many queues the port takes of these channels. Once it has
// queues it needs as many as before: workers send on them.
func (d *Device) count(c channels) (int, error) {
	first, n := d.cfg.Queue, d.cfg.Queues
	if n == 0 {
		n = min(c.live, MaxQueues) - first
	}
	advice := "use queues=all"
	if len(d.queues) > 0 {
		n, advice = len(d.queues), "start again"
	}
	if n > 0 && first+n <= c.live {
		return n, nil
	}
	last := first + max(n, 1) - 1
	if last < c.most && c.unit != "" {
		advice = fmt.Sprintf("make more with %s, or %s", d.ethtool("-L", c.set(last+1)), advice)
	}
	return 0, fmt.Errorf("afxdp: %s queue %d: the interface has queues 0 to %d: %s: %w",
		d.cfg.Interface, last, c.live-1, advice, unix.EINVAL)
}

// connect takes the interface, all but the last step: see begin. It is called
// inside the namespace. The first time it makes the queues as well.
func (d *Device) connect(ctx context.Context) (*connection, error) {
	name := d.cfg.Interface
	l, err := netlink.LinkByName(name)
	if err != nil {
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil, fmt.Errorf("afxdp: %s: no such interface; see ip link: %w", name, unix.ENODEV)
		}
		return nil, d.failed("look up the interface", err)
	}
	attrs := l.Attrs()
	if err := netif.CheckEthernet(l); err != nil {
		return nil, fmt.Errorf("afxdp: %s: %w", name, err)
	}
	if !d.cfg.TakeManagement {
		if err := netif.CheckManagement(l); err != nil {
			return nil, fmt.Errorf("afxdp: %s: %w", name, err)
		}
	}
	if err := foreignProgram(l); err != nil {
		return nil, err
	}
	conn := &connection{link: l, ifindex: attrs.Index, channels: d.readChannels(l), quirks: quirksOf(driverName(name))}
	n, err := d.count(conn.channels)
	if err != nil {
		return nil, err
	}
	conn.socks = make([]*xsk.Socket, n)
	fail := func(err error) (*connection, error) {
		return nil, errors.Join(err, d.hangUp(conn))
	}
	// Before the program: drivers refuse one while LRO is on.
	if conn.settings, err = d.adjust(l); err != nil {
		return fail(d.failed("settings", err))
	}
	conn.features = xdpFeatures(conn.ifindex)
	hints, err := d.hints(conn.features)
	if err != nil {
		return fail(err)
	}
	prog, err := loadProgram(max(conn.channels.most, d.cfg.Queue+n), conn.ifindex, hints)
	if err != nil {
		return fail(d.failed("XDP program", err))
	}
	if err := d.attachProgram(conn, prog); err != nil {
		return fail(errors.Join(err, prog.Close()))
	}
	if err := d.openSockets(ctx, conn); err != nil {
		return fail(err)
	}
	if !d.cfg.NoPromisc {
		if err := conn.promisc.Add(attrs.Index, unix.PACKET_MR_PROMISC, nil); err != nil {
			return fail(d.failed("promiscuous mode", err))
		}
	}
	if err := d.powers.Take(l); err != nil {
		return fail(d.failed("what was asked of the interface before", err))
	}
	if len(d.queues) == 0 {
		d.queues = make([]*queue, n)
		for i := range d.queues {
			d.queues[i] = newQueue(conn.pool, d.posted(conn.pool, n))
			if len(hints) > 0 {
				d.queues[i].flags = mbuf.FlagRxMeta
			}
			if d.cfg.TxTimestamp {
				d.queues[i].stamps = newStamps(conn.pool, d.cfg.Queue+i, d.cfg.OnTxStamp)
			}
		}
	}
	conn.info.MTU = attrs.MTU
	conn.unpolled, conn.remedy = d.unpolled(l, conn.channels)
	return conn, nil
}

// failed is explain for a step that concerns the whole interface: it names the
// first queue.
func (d *Device) failed(step string, err error) error {
	return explain(d.cfg.Interface, d.cfg.Queue, step, err)
}

// posted is how many chunks each of n queues keeps posted for receiving: a full
// fill ring, but all queues together no more than a quarter of the pool, which
// other ports need as well.
func (d *Device) posted(pool *mbuf.Pool, n int) int {
	return max(min(d.cfg.FillRing, pool.Frames()/(4*n)), fillBatch)
}

// mtuLimit returns the largest MTU whose packets the pool's frames can hold.
func (c *connection) mtuLimit() int {
	if c.multi {
		return c.segments*c.pool.MaxLen() - vlanHeader
	}
	return c.whole(c.pool.MaxLen()) - vlanHeader
}

// errMTU is wrapped by errors of an MTU that is too large for the pool's frames.
var errMTU = errors.New("MTU")

// checkMTU refuses an interface with packets that the pool's frames cannot hold.
func (c *connection) checkMTU() error {
	a := c.link.Attrs()
	limit := c.mtuLimit()
	if a.MTU <= limit {
		return nil
	}
	return fmt.Errorf("afxdp: %s: %w %d is more than the %d that fit %s; %s", a.Name, errMTU, a.MTU, limit, c.chunks(), mtuAdvice(a.Name, a.MTU, limit))
}

// chunks words what a packet can have of the pool.
func (c *connection) chunks() string {
	if c.multi {
		return fmt.Sprintf("%d frames of %d bytes", c.segments, c.pool.FrameSize())
	}
	text := fmt.Sprintf("frames of %d bytes", c.pool.FrameSize())
	if c.zeroCopy && c.granule > 1 {
		text += fmt.Sprintf(", of which driver %s uses whole KiB in zero-copy mode", driverName(c.link.Attrs().Name))
	}
	return text
}

// whole cuts a packet's length to what the NIC fills of a frame of that much room.
func (c *connection) whole(n int) int {
	if c.zeroCopy {
		n -= n % c.granule
	}
	return n
}

// quirks are what drivers take otherwise than most.
type quirks struct {
	// granule is in what units, in bytes, a driver tells its NIC how much room a frame has
	// in zero-copy mode: what does not fill one is not used, and a packet that is longer
	// comes in pieces, each as if it were a packet. It is BSIZEPKT of SRRCTL, in KiB
	// (igb_setup_srrctl, drivers/net/ethernet/intel/igb/igb_main.c, and igc_configure_rx_ring).
	granule int
	// segments is the most frames that a packet may have which is sent.
	segments int
}

func quirksOf(driver string) quirks {
	q := quirks{granule: 1, segments: mbuf.MaxSegments}
	switch driver {
	case "igb", "igc":
		q.granule = 1024
	case noLinearDriver:
		// Without a linear part there are the others alone. Of a packet with more the
		// kernel never completes the frames (xsk_build_skb_zerocopy, -EOVERFLOW).
		q.segments--
	}
	return q
}

// noLinearDriver is the one driver for which the kernel, in copy mode, makes packets
// without a linear part (IFF_TX_SKB_NO_LINEAR, which nothing that can be asked tells of).
const noLinearDriver = "virtio_net"

// mtuAdvice says how to make it fit.
func mtuAdvice(name string, mtu, limit int) string {
	set := fmt.Sprintf("ip link set dev %s mtu %d", name, min(limit, 1500))
	if wider := wider(mtu, limit); wider != "" {
		return "use " + wider + ", or " + set
	}
	return set
}

// wider names the options of a port that takes a larger MTU than one with this limit, or
// is empty.
func wider(mtu, limit int) string {
	large := MaxMTU(4096)
	switch {
	case limit < large && mtu <= large:
		return fmt.Sprintf("frame-size=4096 (MTU up to %d), or frags=on", large)
	case limit <= large:
		return "frags=on"
	case mtu <= MaxFragsMTU(4096):
		return "frame-size=4096"
	}
	return ""
}

// wantsMulti tells whether packets of an interface with this MTU may have several
// frames, of pools of this class.
func (d *Device) wantsMulti(class pmd.Class, mtu int) bool {
	switch d.cfg.Frags {
	case FragsOn:
		return true
	case FragsOff:
		return false
	}
	return mtu > d.env.MaxLen(class)-vlanHeader
}

// attachProgram puts prog on the interface in the best mode allowed. On an error
// prog is still the caller's.
func (d *Device) attachProgram(conn *connection, prog *xdp.Program) (err error) {
	if d.cfg.Mode != ModeGeneric {
		conn.prog, err = attach(prog, conn.ifindex, link.XDPDriverMode)
		if err == nil {
			return nil
		}
		if d.cfg.Mode != ModeAuto || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
			return d.attachError("driver", err)
		}
	}
	conn.prog, err = attach(prog, conn.ifindex, link.XDPGenericMode)
	if err != nil {
		return d.attachError("generic", err)
	}
	conn.generic = true
	return nil
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
	err = d.failed("attach the XDP program in "+mode+" mode", err)
	if l, lerr := netlink.LinkByName(d.cfg.Interface); lerr == nil && errors.Is(err, unix.EINVAL) && l.Attrs().MTU > 1500 {
		err = fmt.Errorf("%w; the driver may not take one at an MTU of %d: ip link set dev %s mtu 1500", err, l.Attrs().MTU, d.cfg.Interface)
	}
	return err
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

// bindTime bounds how long queues that are being given up elsewhere are waited
// for: the kernel tears a closed socket down in the background.
const bindTime = 2 * time.Second

// openSockets opens the sockets of all queues in the best mode allowed, the same
// for all: they share a pool, and a pool has one mode.
func (d *Device) openSockets(ctx context.Context, conn *connection) error {
	tryZeroCopy := !conn.generic && (d.cfg.Mode == ModeZeroCopy || d.cfg.Mode == ModeAuto)
	if tryZeroCopy && d.cfg.Mode == ModeAuto {
		if f := conn.features; f != nil && !f.ZeroCopy {
			tryZeroCopy = false // the driver says no: spare the attempt
			conn.refused = fmt.Sprintf("not offered by driver %s: %v", driverName(d.cfg.Interface), unix.EOPNOTSUPP)
		} else if f != nil && f.ZeroCopyBuffers < 2 && d.wantsMulti(d.class(true), conn.link.Attrs().MTU) {
			tryZeroCopy = false // the same, and a pool that nobody would use
			conn.refused = fmt.Sprintf("not offered by driver %s for packets of several frames: %v", driverName(d.cfg.Interface), unix.EOPNOTSUPP)
		}
	}
	requests := d.requests()
	if tryZeroCopy {
		if err := requests.refuseZeroCopy(d, conn.features); err != nil {
			if d.cfg.Mode == ModeZeroCopy {
				return err
			}
			tryZeroCopy = false
			conn.refused = err.Error()
		}
	}
	if tryZeroCopy {
		err := d.openSocketsMode(ctx, conn, true)
		if d.cfg.Mode == ModeZeroCopy && errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("%w (driver %s)", err, driverName(d.cfg.Interface))
		}
		if err == nil || d.cfg.Mode == ModeZeroCopy || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
			return err
		}
		var step *xsk.Error
		if errors.As(err, &step) {
			err = step.Err // without the advice: it has been taken
		}
		conn.refused = fmt.Sprintf("refused by driver %s: %v", driverName(d.cfg.Interface), err)
		if errors.Is(err, errMTU) {
			conn.refused = err.Error()
		}
		if conn.multi {
			conn.refused += fmt.Sprintf(" (for packets of several frames; %s)", withoutFrags(conn))
		}
	}
	if err := requests.refuseCopy(d); err != nil {
		return err
	}
	err := d.openSocketsMode(ctx, conn, false)
	if len(requests) > 0 && errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w; %s=on needs Linux 6.8: %s=off does without", err, requests[0].option, requests[0].option)
	}
	if conn.multi && errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w; %s", err, withoutFrags(conn))
	}
	return err
}

// withoutFrags says what can be done without packets of several frames.
func withoutFrags(conn *connection) string {
	a := conn.link.Attrs()
	one := conn.pool.MaxLen() - vlanHeader
	if a.MTU <= one {
		return "frags=off does without"
	}
	return fmt.Sprintf("without, the MTU, now %d, may be %d at most: frags=off, and %s", a.MTU, one, mtuAdvice(a.Name, a.MTU, one))
}

// class is what pool the port asks for, but for MultiBuffer.
func (d *Device) class(zeroCopy bool) pmd.Class {
	return pmd.Class{
		NUMANode: d.ns.NUMANode(d.cfg.Interface), ZeroCopy: zeroCopy,
		FrameSize: d.cfg.FrameSize, Headroom: d.cfg.Headroom, Pages: d.cfg.Pages,
	}
}

// openSocketsMode opens the sockets in one mode, or none.
func (d *Device) openSocketsMode(ctx context.Context, conn *connection, zeroCopy bool) error {
	conn.zeroCopy = zeroCopy
	if len(d.queues) > 0 {
		conn.pool = d.queues[0].pool
	} else {
		class := d.class(zeroCopy)
		mtu := conn.link.Attrs().MTU
		class.MultiBuffer = d.wantsMulti(class, mtu)
		if n := d.env.MaxLen(class); class.FrameSize == 0 && !class.MultiBuffer && mtu <= n-vlanHeader && mtu > conn.whole(n)-vlanHeader {
			class.FrameSize = 4096 // the larger of the two there are
		}
		p, err := d.env.Pool(class)
		if err != nil {
			return fmt.Errorf("afxdp: %s: %w", d.cfg.Interface, err)
		}
		conn.pool = p
	}
	conn.multi = conn.pool.MultiBuffer()
	if err := conn.checkMTU(); err != nil {
		return err
	}
	deadline := time.Now().Add(bindTime)
	for i := range conn.socks {
		if err := d.openSocket(ctx, conn, i, deadline); err != nil {
			return errors.Join(err, d.closeSockets(conn))
		}
	}
	return nil
}

// openSocket opens the socket of queue i, in the connection's mode, and reads back
// what it became.
func (d *Device) openSocket(ctx context.Context, conn *connection, i int, deadline time.Time) error {
	flags := uint16(unix.XDP_COPY)
	if conn.zeroCopy {
		flags = unix.XDP_ZEROCOPY
	}
	if !d.cfg.NoNeedWakeup {
		flags |= unix.XDP_USE_NEED_WAKEUP
	}
	if conn.multi {
		flags |= unix.XDP_USE_SG
	}
	pool := conn.pool
	cfg := xsk.Config{
		Name: d.cfg.Interface, Ifindex: uint32(conn.ifindex), Queue: uint32(d.cfg.Queue + i),
		RxRing: uint32(d.cfg.RxRing), TxRing: uint32(d.cfg.TxRing), FillRing: uint32(d.cfg.FillRing), CompRing: uint32(d.cfg.CompRing),
		Bind: flags, Mem: pool.Mem(), FrameSize: uint32(pool.FrameSize()), Headroom: uint32(pool.Headroom()),
		TxMetadata: len(d.requests()) > 0,
	}
	for {
		s, err := d.drv.open(umemKey{pool, conn.zeroCopy, !d.cfg.NoNeedWakeup, cfg.TxMetadata}, cfg)
		if err == nil {
			if err := d.prepare(conn, s); err != nil {
				return errors.Join(err, d.drv.close(s))
			}
			conn.socks[i] = s
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

// prepare sets a socket's options and checks its mode.
func (d *Device) prepare(conn *connection, s *xsk.Socket) error {
	// In copy mode a call sends 32 frames unless told otherwise; a burst
	// should need one call. Kernels before 6.17 know no better.
	_ = s.SetTxBudget(min(txBudget, d.cfg.TxRing))
	if d.cfg.BusyPoll > 0 {
		if err := s.SetBusyPoll(busyPollTime, d.cfg.BusyPoll); err != nil {
			return err
		}
	}
	zeroCopy, err := s.Options()
	if err == nil && zeroCopy != conn.zeroCopy {
		err = d.failed(fmt.Sprintf("bind: asked for zero-copy %v and got %v", conn.zeroCopy, zeroCopy), unix.EOPNOTSUPP)
	}
	return err
}

// closeSockets closes the sockets there are.
func (d *Device) closeSockets(c *connection) error {
	var err error
	for i, s := range c.socks {
		if s != nil {
			err = errors.Join(err, d.drv.close(s))
			c.socks[i] = nil
		}
	}
	return err
}

// hangUp gives up whatever of a connection there is. It is called inside the
// namespace, if that can be entered.
func (d *Device) hangUp(c *connection) error {
	var err error
	if c.prog != nil {
		err = c.prog.close()
		c.prog = nil
	}
	err = errors.Join(err, d.closeSockets(c))
	err = errors.Join(err, c.promisc.Close(), d.powers.Leave())
	if c.settings != nil {
		err = errors.Join(err, d.ns.PutBack(c.settings.note))
		c.settings = nil
	}
	return err
}

// quarantineTime bounds how long frames wait for hardware to let go of them.
const quarantineTime = 5 * time.Second

// disconnect gives the interface up and brings the frames home. The queues' owners,
// if they have any, are asked through the host.
func (d *Device) disconnect() error {
	c := d.conn
	if c == nil {
		return nil
	}
	d.conn = nil
	for _, q := range d.queues {
		d.env.Host.Exclusive(q, q.detach)
	}
	entered := false
	err := d.ns.Do(func() error {
		entered = true
		return d.hangUp(c)
	})
	if !entered {
		// The namespace has gone, and the interface and its settings with it.
		if c.settings != nil {
			err = c.settings.note.Remove()
			c.settings = nil
		}
		err = errors.Join(err, d.powers.Forget(), d.hangUp(c))
	}
	for i, q := range d.queues {
		if entered {
			if werr := d.ns.Do(func() error { return d.drv.released(d, c, i) }); werr != nil {
				err = errors.Join(err, werr)
				continue // its frames stay in quarantine, until the queue is bound again
			}
		}
		d.env.Host.Exclusive(q, q.release)
	}
	return err
}

// waitReleased returns when nobody writes to the frames of queue i of a closed connection
// any more. In copy mode that is so once close has returned. In zero-copy mode the NIC may,
// until the kernel has torn the queue down: then a new bind succeeds, or the interface is
// gone. It is called inside the namespace.
func (d *Device) waitReleased(c *connection, i int) error {
	if !c.zeroCopy {
		return nil
	}
	const size = 4096 // a page, and a chunk
	mem, err := unix.Mmap(-1, 0, 64*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(mem) }()
	err = untilFree(quarantineTime, func() error {
		s, err := xsk.Open(xsk.Config{
			Name: d.cfg.Interface, Ifindex: uint32(c.ifindex), Queue: uint32(d.cfg.Queue + i),
			RxRing: minRing, TxRing: minRing, FillRing: minRing, CompRing: minRing,
			Bind: unix.XDP_COPY, Mem: mem, FrameSize: size,
		})
		if err != nil {
			return err
		}
		return s.Close()
	})
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("afxdp: %s queue %d: the driver has not let go of the queue for %v; its frames stay in quarantine: %w",
			d.cfg.Interface, d.cfg.Queue+i, quarantineTime, err)
	}
	return nil // it was free, or the interface is gone, or cannot be bound for another reason
}

// untilFree calls bind until its answer is not EBUSY, and for so long at most. It returns
// the last answer.
func untilFree(limit time.Duration, bind func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if err := bind(); !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}
