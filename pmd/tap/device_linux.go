package tap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/internal/netif"
	"example.org/pmd/pmd/mbuf"
)

// Driver opens tap ports. The zero value is ready.
type Driver struct {
	// JournalDir is where settings of interfaces are written down while they are
	// changed, see package journal. Default: journal.DefaultDir.
	JournalDir string
}

var (
	_ pmd.Driver = Driver{}
	_ pmd.Prober = Driver{}
)

// Kind implements pmd.Driver.
func (Driver) Kind() string { return Kind }

// Open implements pmd.Driver.
func (d Driver) Open(_ context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	cfg, err := configFromSpec(spec)
	if err != nil {
		return nil, err
	}
	cfg.JournalDir = d.JournalDir
	return New(cfg, env)
}

// Probe implements pmd.Prober. The queues hold no frame of the pool.
func (Driver) Probe(_ context.Context, spec pmd.Spec) (pmd.Estimate, error) {
	cfg, err := configFromSpec(spec)
	if err != nil {
		return pmd.Estimate{}, err
	}
	return pmd.Estimate{Queues: cfg.Queues, NUMANode: -1}, nil
}

// port is what the Keeper asks to hold the interface. Its calls come from one
// goroutine at a time.
type port struct {
	cfg    Config
	env    pmd.Env
	pool   *mbuf.Pool
	mac    net.HardwareAddr
	queues []*queue
	fds    []int
	// stats sums what the kernel dropped in front of the port.
	stats dropCount
}

// dropCount makes one total of a counter of the kernel that begins anew with each
// interface of a name, and that others may have moved before us.
type dropCount struct {
	// total is written by the watching goroutine and read by the owner of the first
	// queue; nothing else hangs on it.
	total atomic.Uint64
	last  uint64
}

// begin notes where the counter of an interface just taken stands.
func (c *dropCount) begin(l netlink.Link) { c.last = txDropped(l) }

// read adds what came since.
func (c *dropCount) read(l netlink.Link) {
	now := txDropped(l)
	if now > c.last {
		c.total.Add(now - c.last)
	}
	c.last = now
}

// txDropped is what the kernel counts when it sends on the interface and the port's
// queue has no room.
func txDropped(l netlink.Link) uint64 {
	if s := l.Attrs().Statistics; s != nil {
		return s.TxDropped
	}
	return 0
}

// New opens a port. Errors name interface, queue and step, carry the errno, and say
// what to do.
func New(cfg Config, env pmd.Env) (pmd.Device, error) {
	if cfg.Queues == 0 {
		cfg.Queues = 1
	}
	if cfg.Queues < 0 || cfg.Queues > MaxQueues {
		return nil, fmt.Errorf("%w: tap %s: queues=%d: use 1 to %d", pmd.ErrSpec, cfg.Interface, cfg.Queues, MaxQueues)
	}
	pool, err := env.Pool(pmd.Class{NUMANode: -1})
	if err != nil {
		return nil, fmt.Errorf("tap: %s: %w", cfg.Interface, err)
	}
	p := &port{cfg: cfg, env: env, pool: pool}
	if limit := mtuLimit(pool); cfg.MTU > limit {
		return nil, fmt.Errorf("%w: tap %s: mtu=%d: more than the %d that fit frames of %d bytes", pmd.ErrSpec, cfg.Interface, cfg.MTU, limit, pool.FrameSize())
	}
	ns := netif.NewNamespace(cfg.Netns)
	if cfg.Interface == "" {
		// The name must be known before the interface can be followed.
		if err := ns.Do(p.findName); err != nil {
			return nil, err
		}
	}
	if p.cfg.Name == "" {
		p.cfg.Name = p.cfg.Interface
	}
	p.mac = pmd.LocalMAC(Kind, p.cfg.Name)
	queues := make([]pmd.Queue, cfg.Queues)
	for i := range queues {
		q := newQueue(pool)
		p.queues, queues[i] = append(p.queues, q), q
	}
	p.queues[0].stats = &p.stats
	d, err := netif.Hold(netif.Config{
		Driver: Kind, Interface: p.cfg.Interface, Namespace: ns, Queues: queues, Host: env.Host, JournalDir: cfg.JournalDir,
		Device: func(k *netif.Keeper) pmd.Device { return &device{k, p} },
	}, p)
	if err != nil {
		return nil, fmt.Errorf("tap: %s: %w", p.cfg.Interface, err)
	}
	return d, nil
}

// vlanHeader is the Ethernet header with one 802.1Q tag, in bytes.
const vlanHeader = 18

// mtuLimit returns the largest MTU whose frames fit into one frame of the pool.
func mtuLimit(pool *mbuf.Pool) int { return pool.MaxLen() - vlanHeader }

// findName takes the first name tapN that no interface has.
func (p *port) findName() error {
	const most = 4096
	for i := range most {
		name := "tap" + strconv.Itoa(i)
		if _, err := netif.Find(name); errors.Is(err, unix.ENODEV) {
			p.cfg.Interface = name
			return nil
		}
	}
	return fmt.Errorf("tap: there are tap0 to tap%d already; name one with iface=", most-1)
}

// Take implements netif.Holder: it makes the interface, or joins it.
func (p *port) Take() (ifindex int, info pmd.Info, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, p.hangUp())
		}
	}()
	_, err = netif.Find(p.cfg.Interface)
	joined := err == nil
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return 0, info, fmt.Errorf("look up the interface: %w", err)
	}
	for i := range p.queues {
		fd, err := p.openQueue()
		if err != nil {
			return 0, info, fmt.Errorf("queue %d: %w", i, err)
		}
		p.fds = append(p.fds, fd)
	}
	if p.cfg.Persist {
		if err := unix.IoctlSetInt(p.fds[0], unix.TUNSETPERSIST, 1); err != nil {
			return 0, info, step("make it persistent", err)
		}
	}
	l, err := p.configure()
	if err != nil {
		return 0, info, err
	}
	a := l.Attrs()
	if limit := mtuLimit(p.pool); a.MTU > limit {
		return 0, info, fmt.Errorf("MTU %d is more than the %d that fit frames of %d bytes; use mtu=%d", a.MTU, limit, p.pool.FrameSize(), min(limit, 1500))
	}
	p.stats.begin(l)
	for i, q := range p.queues {
		p.env.Host.Exclusive(q, func() { q.attach(p.fds[i], a.MTU) })
	}
	info = pmd.Info{
		Name: p.cfg.Name, Driver: Kind, MAC: p.mac, MTU: a.MTU, NUMANode: -1,
		Obtained: map[string]string{
			"interface":     a.Name,
			"interface mac": a.HardwareAddr.String(),
			"pool":          p.pool.Name(),
			"made":          "by the port, goes with it",
		},
	}
	switch {
	case joined:
		info.Obtained["made"] = "before, joined"
	case p.cfg.Persist:
		info.Obtained["made"] = "by the port, stays"
	}
	if p.cfg.Netns != "" {
		info.Obtained["netns"] = p.cfg.Netns
	}
	info.Up, info.Detail = netif.LinkState(l)
	return a.Index, info, nil
}

// openQueue opens a descriptor and makes it a queue of the interface, which the
// first makes if need be.
func (p *port) openQueue() (fd int, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		// Not wrapped: ENODEV would mean that there is no such interface.
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
			return -1, fmt.Errorf("open /dev/net/tun: %s; load the module (modprobe tun), or give the container the device", err.Error())
		}
		return -1, step("open /dev/net/tun", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	ifr, err := unix.NewIfreq(p.cfg.Interface)
	if err != nil {
		return -1, fmt.Errorf("name of the interface: at most %d bytes: %w", unix.IFNAMSIZ-1, err)
	}
	const flags = unix.IFF_TAP | unix.IFF_NO_PI
	ifr.SetUint16(flags | unix.IFF_MULTI_QUEUE)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	if errors.Is(err, unix.EINVAL) && len(p.queues) == 1 {
		// It is there, and was made for one queue only.
		ifr.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		if errors.Is(err, unix.EINVAL) {
			return -1, fmt.Errorf("take the interface: %w; one of this name is there and is no tap device of several queues: use another name, or make it with ip tuntap add dev %s mode tap multi_queue",
				err, p.cfg.Interface)
		}
		return -1, step("take the interface", err)
	}
	// No offloads: whole frames with finished checksums.
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return -1, step("switch offloads off", err)
	}
	return fd, nil
}

// configure gives the interface what the options say and returns it as it is then.
func (p *port) configure() (netlink.Link, error) {
	l, err := netif.Find(p.cfg.Interface)
	if err != nil {
		return nil, step("look up the interface", err)
	}
	if p.cfg.MAC != nil && p.cfg.MAC.String() != l.Attrs().HardwareAddr.String() {
		if err := netlink.LinkSetHardwareAddr(l, p.cfg.MAC); err != nil {
			return nil, step("set mac="+p.cfg.MAC.String(), err)
		}
	}
	if p.cfg.MTU != 0 && p.cfg.MTU != l.Attrs().MTU {
		if err := netlink.LinkSetMTU(l, p.cfg.MTU); err != nil {
			return nil, step(fmt.Sprintf("set mtu=%d", p.cfg.MTU), err)
		}
	}
	if p.cfg.Addr.IsValid() {
		addr := &netlink.Addr{IPNet: &net.IPNet{
			IP: p.cfg.Addr.Addr().AsSlice(), Mask: net.CIDRMask(p.cfg.Addr.Bits(), p.cfg.Addr.Addr().BitLen()),
		}}
		if err := netlink.AddrReplace(l, addr); err != nil {
			return nil, step("set addr="+p.cfg.Addr.String(), err)
		}
	}
	if !p.cfg.Down {
		if err := netlink.LinkSetUp(l); err != nil {
			return nil, step("set the interface up", err)
		}
	}
	if l, err = netif.Find(p.cfg.Interface); err != nil {
		return nil, step("look up the interface", err)
	}
	return l, nil
}

// step wraps an error of the machine with the step and what the user can do.
func step(what string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		advice = "; tap devices need CAP_NET_ADMIN: run as root, or give the binary this capability"
	case errors.Is(err, unix.EBUSY):
		advice = "; another program has the interface: end it, or use another name"
	case errors.Is(err, unix.E2BIG):
		advice = "; the interface has no more queues: use fewer with queues="
	}
	return fmt.Errorf("%s: %w%s", what, err, advice)
}

// Look implements netif.Holder.
func (p *port) Look(l netlink.Link, info *pmd.Info) (lost string) {
	for _, q := range p.queues {
		if q.fault.Swap(0) != 0 { // pairs with Store in queue.stop
			return "the kernel let go of the queue; taking it again"
		}
	}
	p.stats.read(l)
	a := l.Attrs()
	if a.MTU != info.MTU {
		for _, q := range p.queues {
			p.env.Host.Exclusive(q, func() { q.setMTU(a.MTU) })
		}
	}
	info.MTU, info.MAC = a.MTU, p.mac
	info.Up, info.Detail = netif.LinkState(l)
	if limit := mtuLimit(p.pool); info.Up && a.MTU > limit {
		info.Detail = fmt.Sprintf("MTU %d is more than the %d that fit a frame: longer packets are lost, counted as rx_oversize", a.MTU, limit)
	}
	return ""
}

// Leave implements netif.Holder.
func (p *port) Leave() error {
	for _, q := range p.queues {
		p.env.Host.Exclusive(q, q.detach)
	}
	return p.hangUp()
}

// hangUp closes what descriptors there are.
func (p *port) hangUp() (err error) {
	for _, fd := range p.fds {
		err = errors.Join(err, unix.Close(fd))
	}
	p.fds = p.fds[:0]
	return err
}
