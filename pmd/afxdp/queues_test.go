//go:build linux

package afxdp_test

import (
	"fmt"
	"net/netip"
	"os"
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
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// Two workers, each with a queue of either port: every datagram of every flow
// arrives, in order, every frame is accounted for, and no worker has to send on
// another's queue.
func TestTwoQueuesTwoWorkers(t *testing.T) {
	r := newWideRig(t, 2, 2, "")
	r.spreads(0, 1)
	p := r.Port(0)
	assert.Equal(t, "0-1 of 2", p.Obtained["channels"])
	assert.Empty(t, p.UnpolledQueues)
	assert.Empty(t, p.Drops)
	r.Balanced()
}

// What happens to interfaces in real life happens to all queues of one, and all
// work again.
func TestQueuesSurvive(t *testing.T) {
	r := newWideRig(t, 2, 2, "")
	r.spreads(0, 1)

	link(t, r.ports, "p0", (*netlink.Handle).LinkSetDown)
	r.WaitUp(0, false)
	link(t, r.ports, "p0", (*netlink.Handle).LinkSetUp)
	r.WaitUp(0, true)
	r.spreads(0, 1)
	r.Balanced()

	require.NoError(t, r.veths[0].Close())
	r.WaitUp(0, false)
	r.Balanced()
	r.veths[0] = r.veth(0)
	r.WaitUp(0, true)
	r.spreads(0, 1)
	r.Balanced()

	require.NoError(t, r.hosts[0].Close())
	r.WaitUp(0, false)
	r.Balanced()
	r.hosts[0] = r.namespace("again")
	r.veths[0] = r.veth(0)
	r.WaitUp(0, true)
	r.spreads(0, 1)
	r.Balanced()

	path := r.ports.Path()
	if !strings.HasPrefix(path, "/run/netns/") {
		t.Skipf("the namespace has no name on this machine (%s)", path)
	}
	require.NoError(t, unix.Unmount(path, unix.MNT_DETACH))
	require.NoError(t, os.Remove(path))
	r.WaitUp(0, false)
	r.WaitUp(1, false)
	r.Balanced()
}

// ethtool -L under traffic: more queues are announced with what to do, a queue that
// is polled cannot be taken, and every frame is accounted for. A veth loses frames
// while its queues change, since it has no carrier meanwhile (veth_set_channels).
func TestChannelsChanged(t *testing.T) {
	r := newWideRig(t, 2, 4, "queues=2")
	// Nobody sends on queues 2 and 3, which nobody polls.
	for i, h := range r.hosts {
		setChannels(t, h, fmt.Sprintf("h%d", i), 4, 2)
	}
	require.Eventually(t, func() bool { return r.Said(dataplane.EventQueuesUnpolled, "p0", "queues 2-3 are not forwarded") }, 30*time.Second, 5*time.Millisecond)
	p := r.Port(0)
	assert.Equal(t, "0-1 of 4", p.Obtained["channels"])
	assert.Equal(t, []int{2, 3}, p.UnpolledQueues)
	assert.Contains(t, p.Remedy, "queues=all polls them")
	assert.Contains(t, p.Remedy, "nsenter --net="+r.ports.Path()+" ethtool -L p0 rx 2 tx 2")

	r.reaches(0, 1)
	done := make(chan error, 1)
	go func() {
		res, err := netlab.UDPNumbered(t.Context(), r.hosts[0], r.hosts[1], netlab.UDPConfig{
			A: netip.AddrPortFrom(addr(0), 0), B: netip.AddrPortFrom(addr(1), 0), Count: 10_000, Rate: 10_000,
		})
		if err == nil && res.AtoB.Received+res.BtoA.Received < 10_000 {
			err = fmt.Errorf("most were lost: %+v", res)
		}
		done <- err
	}()
	// The remedy as announced.
	setChannels(t, r.ports, "p0", 2, 2)
	require.Eventually(t, func() bool { return r.Port(0).Obtained["channels"] == "0-1 of 2" }, 30*time.Second, 5*time.Millisecond)
	assert.Empty(t, r.Port(0).UnpolledQueues)
	assert.Empty(t, r.Port(0).Remedy)
	// Fewer than are polled: the kernel refuses, whatever the peer sends on.
	setChannels(t, r.hosts[0], "h0", 4, 1)
	require.ErrorIs(t, tryChannels(r.ports, "p0", 1, 1), unix.EINVAL)
	setChannels(t, r.ports, "p0", 3, 3)
	require.Eventually(t, func() bool { return r.Said("", "p0", "queues changed: 0-1 of 3") }, 30*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool { return r.Said(dataplane.EventQueuesUnpolled, "p0", "queue 2 are not forwarded") }, 30*time.Second, 5*time.Millisecond)
	assert.Equal(t, []int{2}, r.Port(0).UnpolledQueues)
	require.NoError(t, <-done)
	r.reaches(0, 1)
	r.Balanced()
}

// An interface that comes back with fewer queues is left alone, and taken once it
// has as many as before.
func TestFewerQueuesThanBefore(t *testing.T) {
	r := newWideRig(t, 2, 2, "")
	r.reaches(0, 1)
	require.NoError(t, r.veths[0].Close())
	r.WaitUp(0, false)
	r.veths[0] = r.veth(0)
	r.WaitUp(0, true)
	require.NoError(t, r.veths[0].Close())
	r.WaitUp(0, false)
	// Made with two queues, of which one is live before the port can see it.
	other := r.namespace("other")
	_, err := r.lab.Veth(netlab.VethEnd{Namespace: r.hosts[0], Name: "h0", Queues: 2, Addrs: []netip.Prefix{netip.PrefixFrom(addr(0), 24)}},
		netlab.VethEnd{Namespace: other, Name: "p0"})
	require.NoError(t, err)
	setChannels(t, r.hosts[0], "h0", 2, 1)
	setChannels(t, other, "p0", 1, 1)
	moveTo(t, other, "p0", r.ports)
	link(t, r.ports, "p0", (*netlink.Handle).LinkSetUp)
	require.Eventually(t, func() bool { return strings.Contains(r.Port(0).Detail, "the interface has queues 0 to 0") }, 30*time.Second, 5*time.Millisecond)
	assert.Contains(t, r.Port(0).Detail, "ethtool -L p0 rx 2, or start again")
	assert.False(t, r.Port(0).Up)
	r.Balanced()
	setChannels(t, r.ports, "p0", 2, 2)
	setChannels(t, r.hosts[0], "h0", 2, 2)
	r.WaitUp(0, true)
	r.spreads(0, 1)
	r.Balanced()
}

// One queue of several, by number: the others go to the kernel, which is told.
func TestOneQueue(t *testing.T) {
	ns := wideLink(t, 3)
	for options, want := range map[string]struct{ queues, unpolled, remedy string }{
		"queue=1":          {"1 of 3", "queues 0,2", "queues=all"},
		"queues=1":         {"0 of 3", "queues 1-2", "ethtool -L p0 rx 1 tx 1"},
		"queue=1,queues=2": {"1-2 of 3", "queue 0", "queues=all"},
		"queues=all":       {"0-2 of 3", "", ""},
		"":                 {"0-2 of 3", "", ""},
	} {
		info := obtained(t, ns, options)
		assert.Equal(t, want.queues, info.Obtained["channels"], options)
		assert.Contains(t, info.Remedy, want.unpolled, options)
		assert.Contains(t, info.Remedy, want.remedy, options)
		if want.unpolled == "" {
			assert.Empty(t, info.Remedy, options)
			assert.Empty(t, info.Unpolled, options)
		}
	}
	err := open(t, ns, ",queues=4")
	require.ErrorContains(t, err, "the interface has queues 0 to 2: use queues=all")
	setChannels(t, ns, "h0", 3, 2)
	// The kernel lets go of closed sockets in the background.
	require.Eventually(t, func() bool { return tryChannels(ns, "p0", 2, 2) == nil }, 30*time.Second, time.Millisecond)
	require.ErrorContains(t, open(t, ns, ",queue=2"), "ethtool -L p0 rx 3, or use queues=all")
}

// The driver tells before it opens what opening will take.
func TestProbe(t *testing.T) {
	ns := wideLink(t, 2)
	r := pmd.NewRegistry(afxdp.NewDriver())
	for options, want := range map[string]pmd.Estimate{
		"":                        {Queues: 2, NUMANode: -1, Frames: 2 * 4096},
		",queue=1":                {Queues: 1, NUMANode: -1, Frames: 4096},
		",rx-ring=64,tx-ring=128": {Queues: 2, NUMANode: -1, Frames: 2 * (2048 + 128)},
		",queues=9":               {Queues: 1, NUMANode: -1}, // Open will say why not
	} {
		spec, err := pmd.ParseSpec("p0,netns=" + ns.Path() + options)
		require.NoError(t, err)
		assert.Equal(t, want, r.Probe(t.Context(), spec), options)
	}
}

// A core may sleep on a queue's descriptor: it is readable while a frame waits.
func TestWaitFD(t *testing.T) {
	ns := wideLink(t, 2)
	d, dev := openPort(t, ns, "")
	defer func() {
		require.NoError(t, dev.Close())
		require.NoError(t, d.Close())
	}()
	setChannels(t, ns, "h0", 2, 1) // all frames come on queue 0
	readable := func(q pmd.Queue) bool {
		w, ok := q.(pmd.Waiter)
		require.True(t, ok)
		require.GreaterOrEqual(t, w.WaitFD(), 0)
		fds := []unix.PollFd{{Fd: int32(w.WaitFD()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		for err == unix.EINTR { // the runtime's own signals
			n, err = unix.Poll(fds, 0)
		}
		require.NoError(t, err)
		return n == 1 && fds[0].Revents&unix.POLLIN != 0
	}
	local := mbuf.NewLocal()
	qs := dev.Queues()
	for _, q := range qs {
		q.Bind(pmd.Binding{Local: local, Port: 0})
	}
	burst := make([]mbuf.Frame, 64)
	require.Eventually(t, func() bool {
		for n := 1; n > 0; {
			n = qs[0].RxBurst(burst)
			local.Free(burst[:n])
		}
		return !readable(qs[0])
	}, 30*time.Second, time.Millisecond, "not readable once all are taken")
	gen, err := ns.Generator("h0", netlab.GeneratorConfig{})
	require.NoError(t, err)
	_, err = gen.Run(t.Context(), 0, 8)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return readable(qs[0]) || readable(qs[1]) }, 30*time.Second, time.Millisecond)
	for _, q := range qs {
		local.Free(burst[:q.RxBurst(burst)])
		q.Unbind()
	}
	local.Drain()
	require.NoError(t, dev.Close())
	assert.Equal(t, -1, qs[0].(pmd.Waiter).WaitFD(), "no socket, nothing to wait on")
}

// wideLink makes p0 with a peer h0 in a namespace, both with this many queues.
func wideLink(t *testing.T, queues int) *netlab.Namespace {
	t.Helper()
	lab := netlabtest.New(t)
	ns, err := lab.Namespace("one")
	require.NoError(t, err)
	_, err = lab.Veth(netlab.VethEnd{Namespace: ns, Name: "p0", Queues: queues}, netlab.VethEnd{Namespace: ns, Name: "h0"})
	require.NoError(t, err)
	return ns
}

// openPort opens p0 with these options.
func openPort(t *testing.T, ns *netlab.Namespace, options string) (*dataplane.Dataplane, pmd.Device) {
	t.Helper()
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	spec, err := pmd.ParseSpec(strings.TrimSuffix("p0,netns="+ns.Path()+","+options, ","))
	require.NoError(t, err)
	drv := afxdp.NewDriver()
	drv.JournalDir = t.TempDir()
	dev, err := drv.Open(t.Context(), spec, d.Env())
	require.NoError(t, err)
	return d, dev
}

// obtained opens p0 and returns what it got.
func obtained(t *testing.T, ns *netlab.Namespace, options string) pmd.Info {
	t.Helper()
	d, dev := openPort(t, ns, options)
	info := dev.Info()
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())
	return info
}

// moveTo moves an interface to another namespace.
func moveTo(t *testing.T, from *netlab.Namespace, name string, to *netlab.Namespace) {
	t.Helper()
	f, err := os.Open(to.Path())
	require.NoError(t, err)
	defer f.Close()
	link(t, from, name, func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetNsFd(l, int(f.Fd())) })
}
