package tap_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/internal/netiftest"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
	"example.org/pmd/pmd/tap"
)

// pair starts two tap ports that are joined, one in each host's namespace.
func pair(t *testing.T, options string) (r *netiftest.Rig, a, b netiftest.Host) {
	t.Helper()
	lab := netlabtest.New(t)
	hosts := make([]netiftest.Host, 2)
	var specs []string
	for i := range hosts {
		ns, err := lab.Namespace(fmt.Sprintf("h%d", i))
		require.NoError(t, err)
		hosts[i] = netiftest.Host{Namespace: ns, Addr: netip.AddrFrom4([4]byte{10, 78, 0, byte(i + 1)})}
		specs = append(specs, fmt.Sprintf("tap:tap0,name=t%d,netns=%s,addr=%v/24%s", i, ns.Path(), hosts[i].Addr, options))
	}
	return netiftest.Start(t, tap.Driver{}, specs...), hosts[0], hosts[1]
}

// Two hosts talk through their taps: ping, numbered UDP, and TCP with a hash. The
// kernel's stack checks every checksum, so this also shows that it was asked to
// finish its own.
func TestTwoHosts(t *testing.T) {
	for _, options := range []string{"", ",queues=2,mtu=1400"} {
		t.Run("options="+options, func(t *testing.T) {
			r, a, b := pair(t, options)
			netiftest.Reaches(t, a, b)
			netiftest.Transfers(t, a, b, 4<<20)
			netiftest.Transfers(t, b, a, 4<<20)
			r.Balanced()
			s := r.Port(0)
			assert.Equal(t, tap.Kind, s.Driver)
			assert.Equal(t, strings.Contains(options, "mtu"), s.MTU == 1400)
			for _, name := range []string{"tx_invalid", "tx_full", "port_down"} {
				assert.Zero(t, s.Drops[name], name)
			}
		})
	}
}

func TestInterfaceDownAndUp(t *testing.T) {
	r, a, b := pair(t, "")
	netiftest.Reaches(t, a, b)
	h := a.Namespace.Handle()
	l, err := h.LinkByName("tap0")
	require.NoError(t, err)
	require.NoError(t, h.LinkSetDown(l))
	r.WaitUp(0, false)
	assert.Contains(t, r.Port(0).Detail, "ip link set dev tap0 up", "the user is told what to do")
	require.NoError(t, h.LinkSetUp(l))
	r.WaitUp(0, true)
	netiftest.Reaches(t, a, b)
	r.Balanced()
}

// An interface that somebody deletes is made again, with its address.
func TestInterfaceDeleted(t *testing.T) {
	r, a, b := pair(t, "")
	netiftest.Reaches(t, a, b)
	h := a.Namespace.Handle()
	for range 3 {
		l, err := h.LinkByName("tap0")
		require.NoError(t, err)
		index := l.Attrs().Index
		require.NoError(t, h.LinkDel(l))
		require.Eventually(t, func() bool {
			l, err := h.LinkByName("tap0")
			return err == nil && l.Attrs().Index != index && r.Port(0).Up
		}, 30*time.Second, 5*time.Millisecond)
		netiftest.Reaches(t, a, b)
		r.Balanced()
	}
	var told []string
	for _, e := range r.Events() {
		if e.Port == "t0" {
			told = append(told, e.Kind)
		}
	}
	assert.Contains(t, told, dataplane.EventPortDown)
	assert.Contains(t, told, dataplane.EventPortUp)
}

func TestMTUChanged(t *testing.T) {
	r, a, b := pair(t, "")
	h := a.Namespace.Handle()
	l, err := h.LinkByName("tap0")
	require.NoError(t, err)
	require.NoError(t, h.LinkSetMTU(l, 1300))
	require.Eventually(t, func() bool { return r.Port(0).MTU == 1300 }, 30*time.Second, 5*time.Millisecond)
	netiftest.Reaches(t, a, b)
	// Longer than a frame holds: the port says so, counts those, and goes on.
	require.NoError(t, h.LinkSetMTU(l, 4000))
	require.Eventually(t, func() bool { return strings.Contains(r.Port(0).Detail, "MTU 4000") }, 30*time.Second, 5*time.Millisecond)
	fd := netiftest.PacketSocket(t, a.Namespace, "tap0")
	defer unix.Close(fd)
	long := make([]byte, 3000)
	copy(long, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5})
	_, err = unix.Write(fd, long)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.Port(0).Missed["rx_oversize"] == 1 }, 30*time.Second, 5*time.Millisecond)
	netiftest.Reaches(t, a, b)
	r.Balanced()
}

// open opens one port.
func open(t *testing.T, text string) (pmd.Device, error) {
	t.Helper()
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Close()) })
	spec, err := pmd.ParseSpec(text)
	require.NoError(t, err)
	return tap.Driver{}.Open(t.Context(), spec, d.Env())
}

// namespace makes one.
func namespace(t *testing.T) *netlab.Namespace {
	t.Helper()
	ns, err := netlabtest.New(t).Namespace("tap")
	require.NoError(t, err)
	return ns
}

func TestOptions(t *testing.T) {
	ns := namespace(t)
	dev, err := open(t, "tap:mac=02:00:00:00:00:77,mtu=1280,addr=2001:db8::1/64,queues=4,netns="+ns.Path())
	require.NoError(t, err)
	info := dev.Info()
	assert.Equal(t, "tap0", info.Name, "the first that is free")
	assert.Equal(t, 1280, info.MTU)
	assert.Equal(t, "02:00:00:00:00:77", info.Obtained["interface mac"])
	assert.NotEqual(t, "02:00:00:00:00:77", info.MAC.String(), "the port is the other end of the wire")
	require.Len(t, dev.Queues(), 4)
	l, err := ns.Handle().LinkByName("tap0")
	require.NoError(t, err)
	assert.Equal(t, "02:00:00:00:00:77", l.Attrs().HardwareAddr.String())
	assert.NotZero(t, l.Attrs().Flags&net.FlagUp)
	addrs, err := ns.Handle().AddrList(l, netlink.FAMILY_V6)
	require.NoError(t, err)
	assert.Contains(t, fmt.Sprint(addrs), "2001:db8::1/64")
	require.NoError(t, dev.Close())
	_, err = ns.Handle().LinkByName("tap0")
	require.ErrorAs(t, err, &netlink.LinkNotFoundError{}, "the interface goes with the port")
}

func TestUpOff(t *testing.T) {
	ns := namespace(t)
	dev, err := open(t, "tap:tap0,up=off,netns="+ns.Path())
	require.NoError(t, err)
	assert.False(t, dev.Info().Up)
	assert.Contains(t, dev.Info().Detail, "ip link set dev tap0 up")
	require.NoError(t, dev.Close())
}

// A persistent interface stays, and is joined: by one queue or by several.
func TestPersist(t *testing.T) {
	ns := namespace(t)
	dev, err := open(t, "tap:tap0,persist=on,netns="+ns.Path())
	require.NoError(t, err)
	assert.Equal(t, "by the port, stays", dev.Info().Obtained["made"])
	require.NoError(t, dev.Close())
	l, err := ns.Handle().LinkByName("tap0")
	require.NoError(t, err)
	dev, err = open(t, "tap:tap0,queues=3,netns="+ns.Path())
	require.NoError(t, err)
	assert.Equal(t, "before, joined", dev.Info().Obtained["made"])
	require.NoError(t, dev.Close())
	again, err := ns.Handle().LinkByName("tap0")
	require.NoError(t, err)
	assert.Equal(t, l.Attrs().Index, again.Attrs().Index)

	// As ip tuntap add makes it without multi_queue.
	require.NoError(t, ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "one"}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_ONE_QUEUE | netlink.TUNTAP_VNET_HDR})
	}))
	dev, err = open(t, "tap:one,netns="+ns.Path())
	require.NoError(t, err)
	_, busy := open(t, "tap:one,name=second,netns="+ns.Path())
	require.ErrorIs(t, busy, unix.EBUSY)
	require.ErrorContains(t, busy, "another program has the interface")
	require.NoError(t, dev.Close())
	_, err = open(t, "tap:one,queues=2,netns="+ns.Path())
	require.ErrorIs(t, err, unix.EINVAL)
	require.ErrorContains(t, err, "multi_queue")
}

func TestBadPorts(t *testing.T) {
	ns := namespace(t)
	_, err := netlabtest.New(t).Veth(netlab.VethEnd{Namespace: ns, Name: "v0"}, netlab.VethEnd{Namespace: ns, Name: "v1"})
	require.NoError(t, err)
	for text, want := range map[string]string{
		"tap:tap0,queues=65":                   "use a number from 1 to 64",
		"tap:tap0,mac=01:00:00:00:00:00":       "the Ethernet address of one station",
		"tap:tap0,mac=x":                       "the Ethernet address of one station",
		"tap:tap0,addr=10.0.0.1":               "an address and its prefix length",
		"tap:tap0,mtu=9000":                    "mtu=9000: more than the 1774 that fit frames of 2048 bytes",
		"tap:tap0,netns=no-such-namespace":     "ip netns list",
		"tap:far-too-long-a-name":              "at most 15 bytes",
		"tap:v0,netns=" + ns.Path():            "tap: v0: queue 0: take the interface",
		"tap:tap0,speed=fast":                  `no option "speed"`,
		"tap:tap0,up=perhaps":                  "use on or off",
		"tap:tap0,queues=2,netns=/dev/null":    "/dev/null",
		"tap:tap0,persist=,netns=" + ns.Path(): "use on or off",
	} {
		_, err := open(t, text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "\n", "one line")
	}
}

// A port that was closed has nothing to wait on.
func TestWaitFDOfAClosedPort(t *testing.T) {
	ns := namespace(t)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	spec, err := pmd.ParseSpec("tap:tap0,netns=" + ns.Path())
	require.NoError(t, err)
	dev, err := tap.Driver{}.Open(t.Context(), spec, d.Env())
	require.NoError(t, err)
	require.NoError(t, dev.Close())
	assert.Equal(t, -1, dev.Queues()[0].(pmd.Waiter).WaitFD())
	require.NoError(t, d.Close())
}
