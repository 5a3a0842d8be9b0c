package afpacket_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
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
	"example.org/pmd/pmd/afpacket"
	"example.org/pmd/pmd/internal/netiftest"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// bed is two hosts, each joined by a veth pair to a port, and the ports to each
// other: h0 — p0, p1 — h1.
type bed struct {
	*netiftest.Rig
	t     *testing.T
	lab   *netlab.Lab
	ports *netlab.Namespace
	hosts [2]netiftest.Host
	veths [2]*netlab.Veth
	// offload leaves checksums of the hosts to the device.
	offload bool
}

func newBed(t *testing.T, options string, offload bool) *bed {
	t.Helper()
	b := &bed{t: t, lab: netlabtest.New(t), offload: offload}
	var err error
	b.ports, err = b.lab.Namespace("ports")
	require.NoError(t, err)
	var specs []string
	for i := range b.hosts {
		ns, err := b.lab.Namespace(fmt.Sprintf("h%d", i))
		require.NoError(t, err)
		b.hosts[i] = netiftest.Host{Namespace: ns, Addr: netip.AddrFrom4([4]byte{10, 79, 0, byte(i + 1)})}
		b.veths[i] = b.veth(i)
		specs = append(specs, fmt.Sprintf("afpacket:p%d,netns=%s%s", i, b.ports.Path(), options))
	}
	b.Rig = netiftest.Start(t, afpacket.Driver{}, specs...)
	return b
}

// veth makes the pair of port i.
func (b *bed) veth(i int) *netlab.Veth {
	b.t.Helper()
	v, err := b.lab.Veth(
		netlab.VethEnd{
			Namespace: b.hosts[i].Namespace, Name: fmt.Sprintf("h%d", i), TxOffload: b.offload,
			Addrs: []netip.Prefix{netip.PrefixFrom(b.hosts[i].Addr, 24)},
		},
		netlab.VethEnd{Namespace: b.ports, Name: fmt.Sprintf("p%d", i)})
	require.NoError(b.t, err)
	return v
}

// reaches checks the way in both directions.
func (b *bed) reaches() {
	b.t.Helper()
	defer func() {
		if b.t.Failed() {
			b.t.Logf("ports: %+v %+v", b.Port(0), b.Port(1))
		}
	}()
	netiftest.Reaches(b.t, b.hosts[0], b.hosts[1])
}

// clean checks that nothing was lost, and everything is accounted for.
func (b *bed) clean() {
	b.t.Helper()
	b.Balanced()
	for i := range b.hosts {
		s := b.Port(i)
		assert.Empty(b.t, s.Drops, "port %d", i)
		assert.Empty(b.t, s.Missed, "port %d", i)
	}
}

// link does something with an interface in a namespace.
func link(t *testing.T, ns *netlab.Namespace, name string, fn func(*netlink.Handle, netlink.Link) error) {
	t.Helper()
	l, err := ns.Handle().LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, fn(ns.Handle(), l))
}

func TestTwoHosts(t *testing.T) {
	for _, options := range []string{"", ",ring=v2", ",queues=2", ",queues=2,ring=v2", ",queues=2,fanout=cpu", ",queues=2,fanout=cpu,ring=v2", ",qdisc-bypass=off,rx-ring=4096"} {
		t.Run("options="+options, func(t *testing.T) {
			b := newBed(t, options, false)
			b.reaches()
			netiftest.Transfers(t, b.hosts[0], b.hosts[1], 4<<20)
			netiftest.Transfers(t, b.hosts[1], b.hosts[0], 4<<20)
			b.clean()
		})
	}
}

// Between namespaces a sender leaves checksums to a device that there is not: the
// port finishes them, or the receiver would drop every datagram.
func TestUnfinishedChecksums(t *testing.T) {
	for _, options := range []string{"", ",ring=v2"} {
		b := newBed(t, options, true)
		b.reaches()
		b.clean()
	}
}

// The kernel takes a VLAN tag out of a frame before the port sees it, and tells it
// beside. It is in the frame that is forwarded, also if a checksum is to be finished in
// the same frame.
func TestVLAN(t *testing.T) {
	for _, options := range []string{"", ",ring=v2"} {
		b := newBed(t, options, true)
		for i := range b.hosts {
			in := netiftest.PacketSocket(t, b.hosts[i].Namespace, fmt.Sprintf("h%d", i))
			out := listen(t, b.hosts[1-i].Namespace, fmt.Sprintf("h%d", 1-i))
			require.NoError(t, unix.SetsockoptInt(in, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1))
			for n, tag := range [][]byte{
				nil,
				{0x81, 0x00, 0x60, 100}, // 802.1Q, priority 3, VLAN 100
				{0x88, 0xa8, 0x00, 200}, // 802.1ad
				{0x81, 0x00, 0x00, 0},   // priority tag
				{0x88, 0xa8, 0x00, 5, 0x81, 0x00, 0x00, 6}, // two
			} {
				partial, whole := udpFrame(byte(16*i+n), tag)
				// struct virtio_net_hdr: VIRTIO_NET_HDR_F_NEEDS_CSUM, and where.
				header := make([]byte, 10)
				header[0] = 1
				start := 14 + len(tag) + 20
				binary.NativeEndian.PutUint16(header[6:], uint16(start))
				binary.NativeEndian.PutUint16(header[8:], 6)
				_, err := unix.Write(in, slices.Concat(header, partial))
				require.NoError(t, err)
				assert.Equal(t, whole, hear(t, out, whole[6:12]), "tag % x", tag)
			}
			require.NoError(t, unix.Close(in))
			require.NoError(t, unix.Close(out))
		}
		b.clean()
	}
}

// udpFrame returns a frame number n with these VLAN tags: with the checksum that a
// sender leaves to the device, and with the finished one.
func udpFrame(n byte, tag []byte) (partial, whole []byte) {
	f := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 9, n}
	f = append(append(f, tag...), 0x08, 0x00)
	// To an address that no host here has; the IPv4 checksum does not matter.
	f = append(f, 0x45, 0, 0, 48, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
	udp := append([]byte{0x12, 0x34, 0, 9, 0, 28, 0, 0}, "twenty bytes of data"...)
	udp[27] = n
	sum := func(b []byte, s uint32) uint16 {
		for i := 0; i < len(b); i += 2 {
			s += uint32(b[i])<<8 | uint32(b[i+1])
		}
		for s > 0xffff {
			s = s>>16 + s&0xffff
		}
		return uint16(s)
	}
	pseudo := sum([]byte{192, 0, 2, 1, 192, 0, 2, 2, 0, 17, 0, 28}, 0)
	binary.BigEndian.PutUint16(udp[6:], pseudo)
	partial = append(slices.Clone(f), udp...)
	binary.BigEndian.PutUint16(udp[6:], ^sum(udp, 0))
	return partial, append(f, udp...)
}

// listen opens a socket for all frames of an interface, tags told beside.
func listen(t *testing.T, ns *netlab.Namespace, ifname string) (fd int) {
	t.Helper()
	require.NoError(t, ns.Do(func() error {
		ifi, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: ifi.Index}) // ETH_P_ALL
	}))
	return fd
}

// hear returns the frame from this source as it was on the wire: a packet socket
// gets it without its outer tag, with that in struct tpacket_auxdata.
func hear(t *testing.T, fd int, src []byte) (got []byte) {
	t.Helper()
	buf, oob := make([]byte, 2048), make([]byte, 256)
	require.Eventually(t, func() bool {
		n, on, _, _, err := unix.Recvmsg(fd, buf, oob, 0)
		if err != nil || n < 14 || string(buf[6:12]) != string(src) {
			return false
		}
		got = slices.Clone(buf[:n])
		msgs, err := unix.ParseSocketControlMessage(oob[:on])
		if err != nil || len(msgs) != 1 || len(msgs[0].Data) < 20 {
			return true
		}
		if d := msgs[0].Data; binary.NativeEndian.Uint32(d)&unix.TP_STATUS_VLAN_VALID != 0 {
			tag := binary.BigEndian.AppendUint16(nil, binary.NativeEndian.Uint16(d[18:]))
			tag = binary.BigEndian.AppendUint16(tag, binary.NativeEndian.Uint16(d[16:]))
			got = slices.Insert(got, 12, tag...)
		}
		return true
	}, 30*time.Second, time.Millisecond)
	return got
}

func TestInterfaceDownAndUp(t *testing.T) {
	for _, options := range []string{"", ",ring=v2,queues=2"} {
		b := newBed(t, options, false)
		b.reaches()
		link(t, b.ports, "p0", (*netlink.Handle).LinkSetDown)
		b.WaitUp(0, false)
		assert.Contains(t, b.Port(0).Detail, "ip link set dev p0 up", "the user is told what to do")
		link(t, b.ports, "p0", (*netlink.Handle).LinkSetUp)
		b.WaitUp(0, true)
		b.reaches()
		b.Balanced()
	}
}

func TestInterfaceDeletedAndRemade(t *testing.T) {
	b := newBed(t, ",queues=2", false)
	b.reaches()
	for range 3 {
		require.NoError(t, b.veths[0].Close())
		b.WaitUp(0, false)
		assert.Contains(t, b.Port(0).Detail, "waiting for p0")
		b.Balanced()
		b.veths[0] = b.veth(0)
		b.WaitUp(0, true)
		b.reaches()
	}
	b.Balanced()
}

func TestOwnNamespaceRemoved(t *testing.T) {
	b := newBed(t, "", false)
	b.reaches()
	path := b.ports.Path()
	if !strings.HasPrefix(path, "/run/netns/") {
		t.Skipf("the namespace has no name on this machine (%s)", path)
	}
	require.NoError(t, unix.Unmount(path, unix.MNT_DETACH))
	require.NoError(t, os.Remove(path))
	b.WaitUp(0, false)
	b.WaitUp(1, false)
	assert.Contains(t, b.Port(0).Detail, "removed")
	b.Balanced()
}

func TestMTUChanged(t *testing.T) {
	b := newBed(t, "", false)
	setMTU := func(mtu int) func(*netlink.Handle, netlink.Link) error {
		return func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetMTU(l, mtu) }
	}
	link(t, b.ports, "p0", setMTU(1400))
	require.Eventually(t, func() bool { return b.Port(0).MTU == 1400 }, 30*time.Second, 5*time.Millisecond)
	b.reaches()
	link(t, b.ports, "p0", setMTU(4000))
	link(t, b.hosts[0].Namespace, "h0", setMTU(4000))
	require.Eventually(t, func() bool { return strings.Contains(b.Port(0).Detail, "MTU 4000") }, 30*time.Second, 5*time.Millisecond)
	fd := netiftest.PacketSocket(t, b.hosts[0].Namespace, "h0")
	defer unix.Close(fd)
	long := make([]byte, 3000)
	copy(long, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5})
	_, err := unix.Write(fd, long)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return b.Port(0).Missed["rx_oversize"] == 1 }, 30*time.Second, 5*time.Millisecond)
	b.Balanced()
}

// What comes while nobody polls and the ring is full is counted by the kernel, and
// told.
func TestRingFull(t *testing.T) {
	for _, ring := range []string{"v2", "v3"} {
		lab, ns := onePort(t, 0)
		_ = lab
		d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
		require.NoError(t, err)
		spec, err := pmd.ParseSpec("afpacket:p0,rx-ring=64,ring=" + ring + ",netns=" + ns.Path())
		require.NoError(t, err)
		dev, err := afpacket.Driver{}.Open(t.Context(), spec, d.Env())
		require.NoError(t, err)
		fd := netiftest.PacketSocket(t, ns, "h0")
		frame := make([]byte, 1000)
		copy(frame, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5})
		const sent = 500
		for range sent {
			_, err := unix.Write(fd, frame)
			require.NoError(t, err)
		}
		require.NoError(t, unix.Close(fd))
		lost := dev.Queues()[0].(pmd.Missed).Missed()["tp_drops"]
		received := netiftest.Drain(t, dev.Queues()[0], sent-int(lost))
		assert.Positive(t, lost)
		assert.EqualValues(t, sent, uint64(received)+lost, "ring %s", ring)
		require.NoError(t, dev.Close())
		require.NoError(t, d.Close())
	}
}

// A port that was closed has nothing to wait on.
func TestWaitFDOfAClosedPort(t *testing.T) {
	for _, ring := range []string{"v2", "v3"} {
		_, ns := onePort(t, 0)
		d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
		require.NoError(t, err)
		spec, err := pmd.ParseSpec("afpacket:p0,ring=" + ring + ",netns=" + ns.Path())
		require.NoError(t, err)
		dev, err := afpacket.Driver{}.Open(t.Context(), spec, d.Env())
		require.NoError(t, err)
		require.NoError(t, dev.Close())
		assert.Equal(t, -1, dev.Queues()[0].(pmd.Waiter).WaitFD())
		require.NoError(t, d.Close())
	}
}

// onePort makes p0 and its peer h0 in a namespace.
func onePort(t *testing.T, mtu int) (*netlab.Lab, *netlab.Namespace) {
	t.Helper()
	lab := netlabtest.New(t)
	ns, err := lab.Namespace("one")
	require.NoError(t, err)
	_, err = lab.Veth(netlab.VethEnd{Namespace: ns, Name: "p0", MTU: mtu}, netlab.VethEnd{Namespace: ns, Name: "h0", MTU: mtu})
	require.NoError(t, err)
	return lab, ns
}

// open opens and closes one port.
func open(t *testing.T, text string) error {
	t.Helper()
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	spec, err := pmd.ParseSpec(text)
	require.NoError(t, err)
	dev, err := afpacket.Driver{}.Open(t.Context(), spec, d.Env())
	if err != nil {
		return err
	}
	return dev.Close()
}

func TestManagementInterfaceRefused(t *testing.T) {
	_, ns := onePort(t, 0)
	link(t, ns, "p0", func(h *netlink.Handle, l netlink.Link) error {
		a, err := netlink.ParseAddr("192.0.2.1/24")
		if err != nil {
			return err
		}
		if err := h.AddrAdd(l, a); err != nil {
			return err
		}
		return h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.IPv4(192, 0, 2, 2)})
	})
	err := open(t, "afpacket:p0,netns="+ns.Path())
	require.ErrorContains(t, err, "default route")
	require.ErrorContains(t, err, "--take-management")
	require.NoError(t, open(t, "afpacket:p0,take-management=on,netns="+ns.Path()))
}

func TestPromiscuousIsCounted(t *testing.T) {
	_, ns := onePort(t, 0)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	promiscuity := func() int {
		l, err := ns.Handle().LinkByName("p0")
		require.NoError(t, err)
		return l.Attrs().Promisc
	}
	for option, want := range map[string]int{"": 1, ",promisc=off": 0, ",queues=3": 1} {
		spec, err := pmd.ParseSpec("afpacket:p0,netns=" + ns.Path() + option)
		require.NoError(t, err)
		dev, err := afpacket.Driver{}.Open(t.Context(), spec, d.Env())
		require.NoError(t, err)
		assert.Equal(t, want, promiscuity(), option)
		require.NoError(t, dev.Close())
		assert.Zero(t, promiscuity())
	}
	require.NoError(t, d.Close())
}

func TestBadPorts(t *testing.T) {
	_, ns := onePort(t, 3400)
	in := ",netns=" + ns.Path()
	for text, want := range map[string]string{
		"afpacket:":                           "afpacket:eth1",
		"afpacket:nope" + in:                  "afpacket: nope: look up the interface: no such interface; see ip link",
		"afpacket:p0" + in:                    "MTU 3400 is more than the 1774 that fit frames of 2048 bytes; ip link set dev p0 mtu 1500",
		"afpacket:p0,netns=no-such-namespace": "ip netns list",
		"afpacket:p0,queues=0":                "use a number from 1 to 64",
		"afpacket:p0,fanout=random":           "use hash, cpu",
		"afpacket:p0,ring=v1":                 "use v3, v2",
		"afpacket:p0,rx-ring=100":             "a power of two from 64 to 32768",
		"afpacket:p0,block-timeout=0,ring=v3": "a number from 1 to 1000",
		"afpacket:p0,mode=copy":               `no option "mode"`,
		"afpacket:lo" + in:                    "MTU 65536 is more than",
	} {
		err := open(t, text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "\n", "one line")
	}
}

// The kernel's own stack receives too, and the filter that the documentation names
// stops that without stopping the port.
func TestKernelKeptOut(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("no nft on PATH (nftables)")
	}
	b := newBed(t, "", false)
	here := netip.AddrFrom4([4]byte{10, 79, 0, 9})
	link(t, b.ports, "p0", func(h *netlink.Handle, l netlink.Link) error {
		return h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: here.AsSlice(), Mask: net.CIDRMask(24, 32)}})
	})
	answered := func() bool {
		p, err := netlab.Ping(t.Context(), b.hosts[0].Namespace, here, 1)
		return err == nil && p.Received == 1
	}
	require.True(t, answered(), "the kernel answers for its address")
	for _, args := range [][]string{
		{"add", "table", "netdev", "pmd"},
		{"add", "chain", "netdev", "pmd", "p0", `{ type filter hook ingress device "p0" priority 0; policy drop; }`},
	} {
		out, err := exec.Command("nsenter", append([]string{"--net=" + b.ports.Path(), "nft"}, args...)...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	require.False(t, answered(), "the kernel's stack is kept out")
	b.reaches()
}

// The port needs CAP_NET_RAW and nothing else: the test runs itself with that alone.
func TestCapabilities(t *testing.T) {
	const inside = "PMD_TEST_NET_RAW_ONLY"
	if os.Getenv(inside) != "" {
		var data [2]unix.CapUserData
		require.NoError(t, unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]))
		require.Equal(t, uint32(1<<unix.CAP_NET_RAW), data[0].Effective, "only CAP_NET_RAW is left")
		require.Zero(t, data[1].Effective)
		for _, options := range []string{"", ",queues=2,ring=v2"} {
			d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
			require.NoError(t, err)
			spec, err := pmd.ParseSpec("afpacket:p0" + options)
			require.NoError(t, err)
			dev, err := afpacket.Driver{}.Open(t.Context(), spec, d.Env())
			require.NoError(t, err)
			assert.True(t, dev.Info().Up)
			require.NoError(t, dev.Close())
			require.NoError(t, d.Close())
		}
		return
	}
	_, ns := onePort(t, 0)
	for _, tool := range []string{"nsenter", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s on PATH (util-linux)", tool)
		}
	}
	cmd := exec.Command("nsenter", "--net="+ns.Path(), "setpriv", "--bounding-set=-all,+net_raw", "--inh-caps=-all",
		os.Args[0], "-test.run=^TestCapabilities$", "-test.count=1")
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "PASS")
}
