package afxdp

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp/internal/xsk"
	"example.org/pmd/pmd/internal/netif"
	"example.org/pmd/pmd/mbuf"

	"github.com/vishvananda/netlink"
)

// Driver opens AF_XDP ports. It knows which sockets share a pool's memory. Make one
// with NewDriver.
type Driver struct {
	// JournalDir is where settings of interfaces are written down while they
	// are changed, see package journal. Set it before the first Open. Default:
	// journal.DefaultDir.
	JournalDir string

	// released is waitReleased, or a driver's in tests that is late.
	released func(d *Device, c *connection, i int) error
	// recovered: what killed processes have left was put back, once.
	recovered sync.Once

	mu sync.Mutex
	// umems are the live sockets by the memory they share and their mode: any
	// of them can be named in a bind to share it. Guarded by mu.
	umems map[umemKey]map[*xsk.Socket]struct{}
}

// umemKey tells sockets apart that cannot share a UMEM: one that joins inherits
// mode and wakeups, and may pass no flag of its own (xp_assign_dev_shared,
// net/xdp/xsk_buff_pool.c).
type umemKey struct {
	pool       *mbuf.Pool
	zeroCopy   bool
	needWakeup bool
	// txMeta: it was registered with room for requests.
	txMeta bool
}

// NewDriver returns a driver with no port open.
func NewDriver() *Driver {
	return &Driver{umems: map[umemKey]map[*xsk.Socket]struct{}{}, released: (*Device).waitReleased}
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

// Probe implements pmd.Prober.
func (d *Driver) Probe(_ context.Context, spec pmd.Spec) (pmd.Estimate, error) {
	cfg, err := configFromSpec(spec)
	if err == nil {
		cfg, err = cfg.withDefaults()
	}
	if err != nil {
		return pmd.Estimate{}, err
	}
	dev := &Device{cfg: cfg, ns: netif.NewNamespace(cfg.Netns)}
	var e pmd.Estimate
	err = dev.ns.Do(func() error {
		l, err := netlink.LinkByName(cfg.Interface)
		if err != nil {
			return err
		}
		if e.Queues, err = dev.count(dev.readChannels(l)); err != nil {
			return err
		}
		e.NUMANode = dev.ns.NUMANode(dev.cfg.Interface)
		e.Frames = e.Queues * cfg.ringFrames()
		return nil
	})
	return e, err
}

// open opens a socket that shares the pool's memory with another of the same
// mode, if there is one.
func (d *Driver) open(key umemKey, cfg xsk.Config) (*xsk.Socket, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
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

// close closes a socket that open has opened.
func (d *Driver) close(s *xsk.Socket) error {
	d.mu.Lock()
	for key, socks := range d.umems {
		delete(socks, s)
		if len(socks) == 0 {
			delete(d.umems, key)
		}
	}
	d.mu.Unlock()
	return s.Close()
}
