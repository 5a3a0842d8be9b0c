//go:build linux

package afxdp_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/safchain/ethtool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/internal/netiftest"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// rig is a running dataplane with AF_XDP ports p0, p1, … in a namespace of their
// own. The other end of port i is interface h<i> in a host's namespace; ports are
// cross-connected in pairs, and so are their hosts.
type rig struct {
	*netiftest.Rig
	t     *testing.T
	lab   *netlab.Lab
	ports *netlab.Namespace
	hosts []*netlab.Namespace
	veths []*netlab.Veth
	// queues is the number of queues of each veth and of workers.
	queues int
	// journal is where the ports write down what they change.
	journal string
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
	return buildRigWith(t, n, queues, options, ready, func(*afxdp.Driver) {})
}

// buildRigWith is buildRig; change is called with the ports' driver.
func buildRigWith(t *testing.T, n, queues int, options string, ready func(*rig), change func(*afxdp.Driver)) *rig {
	t.Helper()
	r := &rig{t: t, lab: netlabtest.New(t), queues: queues}
	r.ports = r.namespace("ports")
	for i := range n {
		r.hosts = append(r.hosts, r.namespace(fmt.Sprintf("h%d", i)))
		r.veths = append(r.veths, r.veth(i))
	}
	ready(r)
	drv := afxdp.NewDriver()
	change(drv)
	r.journal = t.TempDir()
	drv.JournalDir = r.journal
	specs := make([]string, n)
	for i := range specs {
		specs[i] = r.spec(i, options).String()
	}
	r.Rig = netiftest.StartWide(t, queues, drv, specs...)
	return r
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
	netiftest.Reaches(r.t, r.host(a), r.host(b))
}

// host is host i as package netiftest has it.
func (r *rig) host(i int) netiftest.Host { return netiftest.Host{Namespace: r.hosts[i], Addr: addr(i)} }

// spreads checks that many flows between hosts a and b arrive whole and in order,
// and that every queue of both ports had a share of them.
func (r *rig) spreads(a, b int) {
	r.t.Helper()
	r.reaches(a, b)
	before := []dataplane.PortStats{r.Port(a), r.Port(b)}
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
	for i, p := range []dataplane.PortStats{r.Port(a), r.Port(b)} {
		require.Len(r.t, p.Queues, r.queues)
		for q := range p.Queues {
			require.Greater(r.t, p.Queues[q].RxPackets, before[i].Queues[q].RxPackets, "port %s queue %d received nothing of %d flows", p.Name, q, flows)
		}
	}
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
