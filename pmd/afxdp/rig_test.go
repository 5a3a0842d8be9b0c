//go:build linux

package afxdp_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safchain/ethtool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// rig is a running dataplane with AF_XDP ports p0, p1, … in a namespace of their
// own. The other end of port i is interface h<i> in a host's namespace; ports are
// cross-connected in pairs, and so are their hosts.
type rig struct {
	t     *testing.T
	lab   *netlab.Lab
	ports *netlab.Namespace
	hosts []*netlab.Namespace
	veths []*netlab.Veth
	// queues is the number of queues of each veth and of workers.
	queues int
	d      *dataplane.Dataplane
	devs   []pmd.Device
	stop   func()
	// journal is where the ports write down what they change.
	journal string

	mu     sync.Mutex
	events []dataplane.Event
}

// newRig makes n ports with these options and starts to poll them.
func newRig(t *testing.T, n int, options string) *rig {
	t.Helper()
	return newWideRig(t, n, 1, options)
}

// newWideRig makes n ports on veths with this many queues, and as many workers:
// queue i of each port is polled by worker i.
func newWideRig(t *testing.T, n, queues int, options string) *rig {
	t.Helper()
	return buildRig(t, n, queues, options, func(*rig) {})
}

// buildRig is newWideRig; ready is called before the ports are opened.
func buildRig(t *testing.T, n, queues int, options string, ready func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, lab: netlabtest.New(t), queues: queues}
	r.ports = r.namespace("ports")
	for i := range n {
		r.hosts = append(r.hosts, r.namespace(fmt.Sprintf("h%d", i)))
		r.veths = append(r.veths, r.veth(i))
	}
	ready(r)
	out, err := forward.Connect(n)
	require.NoError(t, err)
	stage, err := forward.New("io", forward.Config{Out: out})
	require.NoError(t, err)
	workers := make([]int, queues)
	cores := make([]int, queues)
	for i := range queues {
		workers[i], cores[i] = i, dataplane.Unpinned
	}
	r.d, err = dataplane.New(dataplane.Config{
		Stage: stage, OnEvent: r.event, Cores: cores, Pool: mbuf.Config{Frames: queues * mbuf.DefaultFrames},
	})
	require.NoError(t, err)
	drv := afxdp.NewDriver()
	r.journal = t.TempDir()
	drv.JournalDir = r.journal
	for i := range n {
		dev, err := drv.Open(t.Context(), r.spec(i, options), r.d.Env())
		require.NoError(t, err)
		pc := dataplane.PortConfig{}
		if len(dev.Queues()) == queues {
			pc.Workers = workers
		}
		r.devs = append(r.devs, dev)
		_, err = r.d.AddPort(dev, pc)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.d.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, r.d.Close())
	})
	t.Cleanup(r.stop)
	return r
}

func (r *rig) event(e dataplane.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *rig) namespace(name string) *netlab.Namespace {
	r.t.Helper()
	ns, err := r.lab.Namespace(name)
	require.NoError(r.t, err)
	return ns
}

// spec names port i.
func (r *rig) spec(i int, options string) pmd.Spec {
	r.t.Helper()
	text := fmt.Sprintf("p%d,netns=%s", i, r.ports.Path())
	if options != "" {
		text += "," + options
	}
	s, err := pmd.ParseSpec(text)
	require.NoError(r.t, err)
	return s
}

// addr is the address of host i: pairs share a network.
func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, byte(i / 2), byte(i%2 + 1)}) }

// veth makes the pair of port i.
func (r *rig) veth(i int) *netlab.Veth {
	r.t.Helper()
	v, err := r.lab.Veth(
		netlab.VethEnd{Namespace: r.hosts[i], Name: fmt.Sprintf("h%d", i), Addrs: []netip.Prefix{netip.PrefixFrom(addr(i), 24)}, Queues: r.queues},
		netlab.VethEnd{Namespace: r.ports, Name: fmt.Sprintf("p%d", i)})
	require.NoError(r.t, err)
	return v
}

// reaches checks that host a reaches host b and back, every datagram.
func (r *rig) reaches(a, b int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	// The first packets may meet an ARP entry of the past.
	require.Eventually(r.t, func() bool {
		p, err := netlab.Ping(ctx, r.hosts[a], addr(b), 1)
		return err == nil && p.Received == 1
	}, 30*time.Second, time.Millisecond, "host %d does not reach host %d", a, b)
	res, err := netlab.UDPNumbered(ctx, r.hosts[a], r.hosts[b], netlab.UDPConfig{
		A: netip.AddrPortFrom(addr(a), 0), B: netip.AddrPortFrom(addr(b), 0), Count: 500, Rate: 5000,
	})
	require.NoError(r.t, err)
	require.True(r.t, res.AtoB.Clean() && res.BtoA.Clean(), "%+v", res)
}

// spreads checks that many flows between hosts a and b arrive whole and in order,
// and that every queue of both ports had a share of them.
func (r *rig) spreads(a, b int) {
	r.t.Helper()
	r.reaches(a, b)
	before := []dataplane.PortStats{r.port(a), r.port(b)}
	const flows = 16
	var wg sync.WaitGroup
	for range flows {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
			defer cancel()
			res, err := netlab.UDPNumbered(ctx, r.hosts[a], r.hosts[b], netlab.UDPConfig{
				A: netip.AddrPortFrom(addr(a), 0), B: netip.AddrPortFrom(addr(b), 0), Count: 200, Rate: 2000,
			})
			assert.NoError(r.t, err)
			for _, d := range []netlab.UDPDirection{res.AtoB, res.BtoA} {
				assert.True(r.t, d.Clean() && d.Reordered == 0, "%+v", d)
			}
		})
	}
	wg.Wait()
	for i, p := range []dataplane.PortStats{r.port(a), r.port(b)} {
		require.Len(r.t, p.Queues, r.queues)
		for q := range p.Queues {
			require.Greater(r.t, p.Queues[q].RxPackets, before[i].Queues[q].RxPackets, "port %s queue %d received nothing of %d flows", p.Name, q, flows)
		}
	}
}

// said reports whether an event of a port has these words.
func (r *rig) said(port, words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.events, func(e dataplane.Event) bool { return e.Port == port && strings.Contains(e.Text, words) })
}

// warned reports whether a port has announced, with these words, that nobody polls some
// queues.
func (r *rig) warned(port, words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.events, func(e dataplane.Event) bool {
		return e.Kind == dataplane.EventQueuesUnpolled && e.Port == port && strings.Contains(e.Text, words)
	})
}

// setChannels does what ethtool -L does.
func setChannels(t *testing.T, ns *netlab.Namespace, name string, rx, tx int) {
	t.Helper()
	require.NoError(t, tryChannels(ns, name, rx, tx))
}

func tryChannels(ns *netlab.Namespace, name string, rx, tx int) error {
	return ns.Do(func() error {
		e, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer e.Close()
		_, err = e.SetChannels(name, ethtool.Channels{RxCount: uint32(rx), TxCount: uint32(tx)})
		return err
	})
}

// port returns the statistics of port i.
func (r *rig) port(i int) dataplane.PortStats {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := r.d.Stats(ctx)
	require.NoError(r.t, err)
	return s.Ports[i]
}

// waitUp waits until port i is up, or down.
func (r *rig) waitUp(i int, up bool) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.port(i).Up == up }, 30*time.Second, 5*time.Millisecond,
		"port %d: up should become %v", i, up)
}

// balanced checks that every frame is accounted for: those received, and all of
// every pool.
func (r *rig) balanced() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := r.d.StatsWithAccounts(ctx)
	require.NoError(r.t, err)
	for _, p := range s.Pools {
		require.True(r.t, p.Balanced(), "%+v", p)
	}
	var received, sent, dropped, inHand uint64
	for _, p := range s.Ports {
		received += p.RxPackets
		sent += p.TxPackets
		inHand += p.InHand
		for _, n := range p.Drops {
			dropped += n
		}
	}
	for _, c := range s.Cores {
		inHand += c.Held
	}
	require.Equal(r.t, received, sent+dropped+inHand, "received = sent + dropped + in hand: %+v", s.Ports)
}

// flood sends numbered datagrams from host 2i to 2i+1 and back until the returned
// function is called, which checks that none was lost.
func (r *rig) flood(a, b int) (check func()) {
	r.t.Helper()
	r.reaches(a, b)
	type answer struct {
		res netlab.UDPResult
		err error
	}
	answers := make(chan answer, 1)
	quit := make(chan struct{})
	go func() {
		for {
			res, err := netlab.UDPNumbered(context.Background(), r.hosts[a], r.hosts[b], netlab.UDPConfig{
				A: netip.AddrPortFrom(addr(a), 0), B: netip.AddrPortFrom(addr(b), 0), Count: 500, Rate: 5000,
			})
			select {
			case <-quit:
				answers <- answer{res, err}
				return
			default:
			}
			if err != nil || !res.AtoB.Clean() || !res.BtoA.Clean() {
				answers <- answer{res, err}
				return
			}
		}
	}()
	return func() {
		r.t.Helper()
		close(quit)
		a := <-answers
		require.NoError(r.t, a.err)
		require.True(r.t, a.res.AtoB.Clean() && a.res.BtoA.Clean(), "the other ports lost packets: %+v", a.res)
	}
}

// link does something with an interface in a namespace.
func link(t *testing.T, ns *netlab.Namespace, name string, fn func(*netlink.Handle, netlink.Link) error) {
	t.Helper()
	l, err := ns.Handle().LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, fn(ns.Handle(), l))
}
