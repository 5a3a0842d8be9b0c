//go:build linux

package afxdp_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/afxdp/internal/xsk"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// Each test here does to port p0 what happens to interfaces in real life, while
// p2 and p3 carry traffic that must not notice, and then sees p0 work again.

func TestInterfaceDownAndUp(t *testing.T) {
	r := newRig(t, 4, "")
	check := r.flood(2, 3)
	r.reaches(0, 1)
	link(t, r.ports, "p0", (*netlink.Handle).LinkSetDown)
	r.WaitUp(0, false)
	assert.Contains(t, r.Port(0).Detail, "ip link set dev p0 up", "the user is told what to do")
	// Frames for a port that is down are counted, not lost.
	require.Eventually(t, func() bool {
		_, err := netlab.Ping(t.Context(), r.hosts[1], addr(0), 1)
		return err == nil && r.Port(0).Drops["port_down"] > 0
	}, 30*time.Second, time.Millisecond)
	link(t, r.ports, "p0", (*netlink.Handle).LinkSetUp)
	r.WaitUp(0, true)
	r.reaches(0, 1)
	check()
	r.Balanced()
}

func TestCarrierLost(t *testing.T) {
	r := newRig(t, 4, "")
	check := r.flood(2, 3)
	link(t, r.hosts[0], "h0", (*netlink.Handle).LinkSetDown)
	r.WaitUp(0, false)
	link(t, r.hosts[0], "h0", (*netlink.Handle).LinkSetUp)
	r.WaitUp(0, true)
	r.reaches(0, 1)
	check()
	r.Balanced()
}

func TestInterfaceDeletedAndRemade(t *testing.T) {
	r := newRig(t, 4, "")
	check := r.flood(2, 3)
	r.reaches(0, 1)
	for range 3 {
		require.NoError(t, r.veths[0].Close())
		r.WaitUp(0, false)
		r.Balanced()
		r.veths[0] = r.veth(0)
		r.WaitUp(0, true)
		r.reaches(0, 1)
	}
	check()
	r.Balanced()
	assert.Equal(t, afxdp.ModeCopy, r.Port(0).Mode)
}

func TestPeerNamespaceRemoved(t *testing.T) {
	r := newRig(t, 4, "")
	check := r.flood(2, 3)
	r.reaches(0, 1)
	// With the host's namespace its interface goes, and with that p0.
	require.NoError(t, r.hosts[0].Close())
	r.WaitUp(0, false)
	r.Balanced()
	r.hosts[0] = r.namespace("again")
	r.veths[0] = r.veth(0)
	r.WaitUp(0, true)
	r.reaches(0, 1)
	check()
	r.Balanced()
}

func TestOwnNamespaceRemoved(t *testing.T) {
	r := newRig(t, 2, "")
	r.reaches(0, 1)
	path := r.ports.Path()
	if !strings.HasPrefix(path, "/run/netns/") {
		t.Skipf("the namespace has no name on this machine (%s)", path)
	}
	require.NoError(t, unix.Unmount(path, unix.MNT_DETACH))
	require.NoError(t, os.Remove(path))
	r.WaitUp(0, false)
	r.WaitUp(1, false)
	assert.Contains(t, r.Port(0).Detail, "removed")
	r.Balanced()
}

func TestMTUChanged(t *testing.T) {
	r := newRig(t, 4, "")
	check := r.flood(2, 3)
	setMTU := func(mtu int) func(*netlink.Handle, netlink.Link) error {
		return func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetMTU(l, mtu) }
	}
	link(t, r.ports, "p0", setMTU(1400))
	require.Eventually(t, func() bool { return r.Port(0).MTU == 1400 }, 30*time.Second, 5*time.Millisecond)
	r.reaches(0, 1)
	// Beyond what a frame holds: the port says so and goes on with the rest.
	link(t, r.ports, "p0", setMTU(3000))
	require.Eventually(t, func() bool { return strings.Contains(r.Port(0).Detail, "MTU 3000") }, 30*time.Second, 5*time.Millisecond)
	assert.True(t, r.Port(0).Up)
	for _, words := range []string{"more than the 1774 that fit frames of 2048 bytes", "rx_dropped", "ip link set dev p0 mtu 1500", "with frags=on"} {
		assert.Contains(t, r.Port(0).Detail, words)
	}
	require.Eventually(t, func() bool { return r.Said(dataplane.EventMTUExceeded, "p0", "with frags=on") }, 30*time.Second, 5*time.Millisecond,
		"it is an event of its own")
	r.reaches(0, 1)
	// What is too long is counted under the name that the words give.
	link(t, r.hosts[0], "h0", setMTU(3000))
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = netlab.UDPNumbered(ctx, r.hosts[0], r.hosts[1], netlab.UDPConfig{
			A: netip.AddrPortFrom(addr(0), 0), B: netip.AddrPortFrom(addr(1), 0), Count: 5, Rate: 1000, Size: 2500,
		})
		return r.Port(0).Missed["rx_dropped"] > 0
	}, 30*time.Second, 5*time.Millisecond)
	link(t, r.hosts[0], "h0", setMTU(1500))
	link(t, r.ports, "p0", setMTU(1500))
	require.Eventually(t, func() bool { return r.Port(0).Detail == "" }, 30*time.Second, 5*time.Millisecond)
	r.reaches(0, 1)
	check()
	r.Balanced()
}

func TestEvents(t *testing.T) {
	r := newRig(t, 2, "")
	link(t, r.ports, "p0", (*netlink.Handle).LinkSetDown)
	r.WaitUp(0, false)
	link(t, r.ports, "p0", (*netlink.Handle).LinkSetUp)
	r.WaitUp(0, true)
	require.Eventually(t, func() bool {
		var kinds []string
		for _, e := range r.Events() {
			if e.Port == "p0" {
				kinds = append(kinds, e.Kind)
			}
		}
		down, up := slices.Index(kinds, dataplane.EventPortDown), slices.Index(kinds, dataplane.EventPortUp)
		return down >= 0 && up > down
	}, 30*time.Second, 5*time.Millisecond)
}

// open opens one port in a fresh namespace and returns the error.
func open(t *testing.T, ns *netlab.Namespace, options string) error {
	t.Helper()
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	spec, err := pmd.ParseSpec("p0,netns=" + ns.Path() + options)
	require.NoError(t, err)
	dev, err := afxdp.NewDriver().Open(t.Context(), spec, d.Env())
	if err != nil {
		return err
	}
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())
	return nil
}

// onePort makes p0 with a peer in a namespace.
func onePort(t *testing.T, mtu int) *netlab.Namespace {
	t.Helper()
	lab := netlabtest.New(t)
	ns, err := lab.Namespace("one")
	require.NoError(t, err)
	_, err = lab.Veth(netlab.VethEnd{Namespace: ns, Name: "p0", MTU: mtu}, netlab.VethEnd{Namespace: ns, Name: "h0", MTU: mtu})
	require.NoError(t, err)
	return ns
}

func TestForeignProgramStays(t *testing.T) {
	ns := onePort(t, 0)
	foreign, err := ns.PassProgram("p0")
	require.NoError(t, err)
	err = open(t, ns, "")
	require.ErrorIs(t, err, unix.EBUSY)
	require.ErrorContains(t, err, "id ")
	l, lerr := ns.Handle().LinkByName("p0")
	require.NoError(t, lerr)
	require.True(t, l.Attrs().Xdp.Attached, "the program is still there")
	require.NoError(t, foreign.Close())
	require.NoError(t, open(t, ns, ""), "and once it is gone the port opens")
}

func TestManagementInterfaceRefused(t *testing.T) {
	ns := onePort(t, 0)
	l, err := ns.Handle().LinkByName("p0")
	require.NoError(t, err)
	a, err := netlink.ParseAddr("192.0.2.1/24")
	require.NoError(t, err)
	require.NoError(t, ns.Handle().AddrAdd(l, a))
	require.NoError(t, open(t, ns, ""), "an address alone is no reason")
	t.Setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 22")
	require.ErrorContains(t, open(t, ns, ""), "SSH session")
	t.Setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.77 22")
	require.NoError(t, open(t, ns, ""))
	_, gw, _ := strings.Cut("via 192.0.2.2", " ")
	require.NoError(t, ns.Handle().RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: addrBytes(t, gw)}))
	err = open(t, ns, "")
	require.ErrorContains(t, err, "default route")
	require.ErrorContains(t, err, "--take-management")
	require.NoError(t, open(t, ns, ",take-management=on"))
}

func addrBytes(t *testing.T, s string) []byte {
	t.Helper()
	a, err := netlink.ParseIPNet(s + "/32")
	require.NoError(t, err)
	return a.IP.To4()
}

func TestMTUTooLarge(t *testing.T) {
	ns := onePort(t, 3400)
	err := open(t, ns, ",frags=off")
	require.ErrorContains(t, err, "MTU 3400 is more than the 1774")
	require.ErrorContains(t, err, "frame-size=4096")
	require.NoError(t, open(t, ns, ",frame-size=4096"))
}

func TestZeroCopyRefusedOnVeth(t *testing.T) {
	ns := onePort(t, 0)
	err := open(t, ns, ",mode=zerocopy")
	require.ErrorIs(t, err, unix.EOPNOTSUPP)
	require.ErrorContains(t, err, "p0 queue 0: bind")
	require.ErrorContains(t, err, "no zero-copy mode here; use copy mode (driver veth)")
}

// Mode auto tells what it could not have.
func TestZeroCopyNotToBeHad(t *testing.T) {
	r := newRig(t, 2, "")
	p := r.Port(0)
	assert.Equal(t, afxdp.ModeCopy, p.Mode)
	assert.Contains(t, p.Obtained["zerocopy"], "veth")
	assert.Contains(t, p.Obtained["zerocopy"], "operation not supported; copy mode taken")
	r.Stop()
	r = newRig(t, 2, "mode=copy")
	assert.NotContains(t, r.Port(0).Obtained, "zerocopy", "nobody asked for it")
}

func TestBadPorts(t *testing.T) {
	ns := onePort(t, 0)
	require.NoError(t, ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun0"}, Mode: netlink.TUNTAP_MODE_TUN})
	}))
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	for spec, want := range map[string]string{
		"nope":                                  "nope: no such interface",
		"p0,netns=" + ns.Path() + ",queue=5":    "queues 0 to 0",
		"p0,netns=no-such-namespace":            "ip netns list",
		"p0,mode=fast":                          "use auto, zerocopy, copy, generic",
		"p0,rx-ring=100":                        "a power of two from 64 to 32768",
		"p0,tx-ring=32":                         "a power of two from 64 to 32768",
		"p0,frame-size=8192":                    "use 2048 or 4096",
		"p0,ring=100":                           "no option \"ring\"",
		"p0,frame-size=1024,netns=" + ns.Path(): "2048 or 4096",
		"p0,frame-size=3072,netns=" + ns.Path(): "2048 or 4096",
		"tun0,netns=" + ns.Path():               "afxdp: tun0: the interface has link type none, not Ethernet",
	} {
		s, err := pmd.ParseSpec(spec)
		require.NoError(t, err)
		_, err = afxdp.NewDriver().Open(t.Context(), s, d.Env())
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n", "one line")
	}
}

func TestQueueInUse(t *testing.T) {
	r := newRig(t, 2, "")
	// Another process would be refused by its own program's attachment; here
	// that is so as well.
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	_, err = afxdp.NewDriver().Open(t.Context(), r.spec(0, ""), d.Env())
	require.ErrorIs(t, err, unix.EBUSY)
	require.ErrorContains(t, err, "pmd_redirect", "the program that is there is named")
	r.reaches(0, 1)
}

// A queue that a socket holds: a while later the port takes it if it has become free, and
// otherwise says who may have it.
func TestQueueHeldByASocket(t *testing.T) {
	ns := onePort(t, 0)
	const size = 4096
	mem, err := unix.Mmap(-1, 0, 64*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(mem)) })
	p0 := func() netlink.Link {
		l, err := ns.Handle().LinkByName("p0")
		require.NoError(t, err)
		return l
	}
	hold := func() (s *xsk.Socket) {
		index := p0().Attrs().Index
		require.Eventually(t, func() bool {
			err := ns.Do(func() (err error) {
				s, err = xsk.Open(xsk.Config{
					Name: "p0", Ifindex: uint32(index), RxRing: 64, TxRing: 64, FillRing: 64, CompRing: 64,
					Bind: unix.XDP_COPY, Mem: mem, FrameSize: size,
				})
				return err
			})
			return !errors.Is(err, unix.EBUSY) // the one before may not be torn down
		}, 30*time.Second, 5*time.Millisecond)
		require.NotNil(t, s)
		return s
	}
	s := hold()
	begin := time.Now()
	err = open(t, ns, "")
	require.ErrorIs(t, err, unix.EBUSY)
	require.ErrorContains(t, err, "p0 queue 0: bind")
	require.ErrorContains(t, err, "the queue has an AF_XDP socket")
	require.Greater(t, time.Since(begin), time.Second, "it was waited for")
	require.False(t, p0().Attrs().Xdp.Attached, "and nothing is left behind")

	for range 10 {
		opened := make(chan error, 1)
		go func() { opened <- open(t, ns, "") }()
		var attached time.Time
		require.Eventually(t, func() bool {
			attached = time.Now()
			return p0().Attrs().Xdp.Attached // the sockets are next
		}, 30*time.Second, time.Millisecond)
		require.NoError(t, s.Close())
		inTime := time.Since(attached) < time.Second
		err = <-opened
		if err == nil || inTime {
			break
		}
		s = hold() // the machine had other things to do than to close a socket
	}
	require.NoError(t, err)
}

func TestPromiscuousIsCounted(t *testing.T) {
	ns := onePort(t, 0)
	promiscuity := func() int {
		l, err := ns.Handle().LinkByName("p0")
		require.NoError(t, err)
		return l.Attrs().Promisc
	}
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	for option, want := range map[string]int{"": 1, ",promisc=off": 0} {
		spec, err := pmd.ParseSpec("p0,netns=" + ns.Path() + option)
		require.NoError(t, err)
		dev, err := afxdp.NewDriver().Open(t.Context(), spec, d.Env())
		require.NoError(t, err)
		assert.Equal(t, want, promiscuity())
		require.NoError(t, dev.Close())
		require.NoError(t, dev.Close(), "closing twice is harmless")
		assert.Zero(t, promiscuity())
	}
	require.NoError(t, d.Close())
}

func TestGenericMode(t *testing.T) {
	r := newRig(t, 2, "mode=generic")
	assert.Equal(t, afxdp.ModeGeneric, r.Port(0).Mode)
	r.reaches(0, 1)
	r.Stop()
}

func TestCloseAndReopenAtOnce(t *testing.T) {
	ns := onePort(t, 0)
	for range 10 {
		require.NoError(t, open(t, ns, ""))
	}
}
