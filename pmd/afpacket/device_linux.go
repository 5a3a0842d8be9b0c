package afpacket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/vishvananda/netlink"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/internal/netif"
	"example.org/pmd/pmd/mbuf"
)

// Driver opens ports on packet sockets. The zero value is ready.
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
	return pmd.Estimate{Queues: cfg.Queues, NUMANode: numaNode(netif.NewNamespace(cfg.Netns), cfg.Interface)}, nil
}

// numaNode returns the node of an interface on a machine with several, else -1.
func numaNode(ns netif.Namespace, ifname string) int {
	node := -1
	// Opening tells what is wrong with a namespace.
	_ = ns.Do(func() error {
		node = ns.NUMANode(ifname)
		return nil
	})
	return node
}

// port holds the interface for netif.Keeper. Its calls come from one goroutine at a
// time.
type port struct {
	cfg    Config
	env    pmd.Env
	pool   *mbuf.Pool
	queues []*queue
	socks  []*socket
	// numaNode is the interface's, or -1.
	numaNode int
}

// New opens a port. Errors name interface, queue and step, carry the errno, and say
// what to do.
func New(cfg Config, env pmd.Env) (pmd.Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ns := netif.NewNamespace(cfg.Netns)
	node := numaNode(ns, cfg.Interface)
	pool, err := env.Pool(pmd.Class{NUMANode: node})
	if err != nil {
		return nil, fmt.Errorf("afpacket: %s: %w", cfg.Interface, err)
	}
	p := &port{cfg: cfg, env: env, pool: pool, numaNode: node}
	queues := make([]pmd.Queue, cfg.Queues)
	for i := range queues {
		q := newQueue(pool)
		p.queues, queues[i] = append(p.queues, q), q
	}
	d, err := netif.Hold(netif.Config{
		Driver: Kind, Interface: cfg.Interface, Namespace: ns, Queues: queues, Host: env.Host, JournalDir: cfg.JournalDir,
		Device: func(k *netif.Keeper) pmd.Device { return &netif.Powered{Keeper: k, Limit: mtuLimit(pool)} },
	}, p)
	if err != nil {
		return nil, fmt.Errorf("afpacket: %s: %w", cfg.Interface, err)
	}
	return d, nil
}

// vlanHeader is the Ethernet header with one 802.1Q tag, in bytes.
const vlanHeader = 18

// mtuLimit returns the largest MTU whose frames fit into one frame of the pool.
func mtuLimit(pool *mbuf.Pool) int { return pool.MaxLen() - vlanHeader }

// Take implements netif.Holder.
func (p *port) Take() (ifindex int, info pmd.Info, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Leave())
		}
	}()
	l, err := netif.Find(p.cfg.Interface)
	if err != nil {
		return 0, info, fmt.Errorf("look up the interface: %w", err)
	}
	a := l.Attrs()
	if !p.cfg.TakeManagement {
		if err := netif.CheckManagement(l); err != nil {
			return 0, info, err
		}
	}
	if err := netif.CheckEthernet(l); err != nil {
		return 0, info, err
	}
	if limit := mtuLimit(p.pool); a.MTU > limit {
		return 0, info, fmt.Errorf("MTU %d is more than the %d that fit frames of %d bytes; ip link set dev %s mtu %d",
			a.MTU, limit, p.pool.FrameSize(), a.Name, min(limit, 1500))
	}
	if err := p.open(a.Index, a.MTU); err != nil {
		return 0, info, err
	}
	info = pmd.Info{
		Name: p.cfg.Name, Driver: Kind, MAC: append(net.HardwareAddr(nil), a.HardwareAddr...), MTU: a.MTU,
		NUMANode: p.numaNode, Promiscuity: a.Promisc,
		Obtained: map[string]string{
			"interface": a.Name,
			"ring":      p.cfg.Ring + ", " + strconv.Itoa(p.cfg.RxRing) + " frames",
			"pool":      p.pool.Name(),
		},
	}
	if !p.cfg.NoPromisc {
		info.Promiscuity++ // since the link was read
	}
	if len(p.queues) > 1 {
		info.Obtained["fanout"] = p.cfg.Fanout
	}
	if p.cfg.Netns != "" {
		info.Obtained["netns"] = p.cfg.Netns
	}
	info.Up, info.Detail = netif.LinkState(l)
	return a.Index, info, nil
}

// open opens the sockets of all queues and lets frames come.
func (p *port) open(ifindex, mtu int) error {
	for i := range p.queues {
		s, err := openSocket(p.cfg, ifindex, p.pool.MaxLen())
		if err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
		p.socks = append(p.socks, s)
	}
	if err := join(p.socks, p.cfg.Fanout); err != nil {
		return err
	}
	if !p.cfg.NoPromisc {
		if err := p.socks[0].promiscuous(ifindex); err != nil {
			return err
		}
	}
	for i, q := range p.queues {
		p.env.Host.Exclusive(q, func() { q.attach(p.socks[i], mtu) })
	}
	for i, s := range p.socks {
		if err := s.start(); err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
	}
	return nil
}

// Look implements netif.Holder.
func (p *port) Look(l netlink.Link, info *pmd.Info) (lost string) {
	for _, q := range p.queues {
		if q.fault.Swap(0) != 0 { // pairs with Store in queue.stop
			return "the kernel let go of the interface; taking it again"
		}
	}
	a := l.Attrs()
	if a.MTU != info.MTU {
		for _, q := range p.queues {
			p.env.Host.Exclusive(q, func() { q.setMTU(a.MTU) })
		}
	}
	info.MTU = a.MTU
	info.MAC = append(net.HardwareAddr(nil), a.HardwareAddr...)
	info.Promiscuity = a.Promisc
	if info.Up, info.Detail = netif.LinkState(l); !info.Up {
		for _, s := range p.socks {
			s.clearError()
		}
	}
	if limit := mtuLimit(p.pool); info.Up && a.MTU > limit {
		info.Detail = fmt.Sprintf("MTU %d is more than the %d that fit a frame: longer packets are lost, counted as rx_oversize", a.MTU, limit)
	}
	return ""
}

// Leave implements netif.Holder.
func (p *port) Leave() (err error) {
	for _, q := range p.queues {
		p.env.Host.Exclusive(q, q.detach)
	}
	for _, s := range p.socks {
		err = errors.Join(err, s.close())
	}
	p.socks = p.socks[:0]
	return err
}
