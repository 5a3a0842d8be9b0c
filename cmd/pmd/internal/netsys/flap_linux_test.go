package netsys_test

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// openAFXDP opens an interface in a namespace.
func (f *flood) openAFXDP(ns *netlab.Namespace, ifname, options string) pmd.Device {
	f.t.Helper()
	spec, err := pmd.ParseSpec(ifname + ",netns=" + ns.Path() + options)
	require.NoError(f.t, err)
	drv := afxdp.NewDriver()
	drv.JournalDir = f.t.TempDir()
	dev, err := drv.Open(ctx, spec, f.dp.Env())
	require.NoError(f.t, err)
	return dev
}

// A peer in the kernel has the link-level address of a port's addresses in its caches, and
// gets the new one when the port's changes: by a gratuitous ARP and an unsolicited
// neighbour advertisement on the wire.
func TestNeighboursLearnANewAddress(t *testing.T) {
	lab := netlabtest.New(t)
	ports, err := lab.Namespace("ports")
	require.NoError(t, err)
	host, err := lab.Namespace("host")
	require.NoError(t, err)
	_, err = lab.Veth(
		netlab.VethEnd{Namespace: host, Name: "h0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")}},
		netlab.VethEnd{Namespace: ports, Name: "p0"})
	require.NoError(t, err)

	f := newFlood(t, []int{dataplane.Unpinned}, 4096)
	dev := f.openAFXDP(ports, "p0", "")
	f.port(dev, "p0", 0)
	yes, no := true, false
	require.NoError(t, f.ctl.Set(ctx, "p0", ifnet.Settings{Promisc: &yes}))
	err = f.ctl.Set(ctx, "p0", ifnet.Settings{Promisc: &no})
	require.ErrorContains(t, err, "set on p0: the driver could not")
	require.ErrorContains(t, err, "open it with promisc=off", "what the kernel's interface keeps is not said to be off")
	f.run()

	was := dev.Info().MAC
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	peer, err := host.Handle().LinkByName("h0")
	require.NoError(t, err)
	for _, a := range addrs {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		require.NoError(t, f.ctl.AddAddr(ctx, "p0", ifnet.AddrSpec{Prefix: netip.PrefixFrom(a, bits)}))
		require.NoError(t, host.Handle().NeighSet(&netlink.Neigh{
			LinkIndex: peer.Attrs().Index, State: unix.NUD_REACHABLE, IP: a.AsSlice(), HardwareAddr: was,
		}))
	}
	cached := func(a netip.Addr) string {
		family := netlink.FAMILY_V4
		if a.Is6() {
			family = netlink.FAMILY_V6
		}
		list, err := host.Handle().NeighList(peer.Attrs().Index, family)
		require.NoError(t, err)
		for _, n := range list {
			if got, _ := netip.AddrFromSlice(n.IP); got.Unmap() == a {
				return n.HardwareAddr.String()
			}
		}
		return "none"
	}
	for _, mac := range []net.HardwareAddr{{2, 0, 0, 0x11, 0x22, 0x33}, {2, 0, 0, 0x11, 0x22, 0x44}} {
		for _, a := range addrs {
			require.Equal(t, was.String(), cached(a))
		}
		made := f.stats().Ports[0].Generated
		require.NoError(t, f.ctl.Set(ctx, "p0", ifnet.Settings{LLAddr: mac}))
		require.Equal(t, made+2, f.stats().Ports[0].Generated, "one frame for each address")
		require.Equal(t, mac, dev.Info().MAC)
		l, err := ports.Handle().LinkByName("p0")
		require.NoError(t, err)
		require.Equal(t, mac, l.Attrs().HardwareAddr, "the kernel's interface has it")
		for _, a := range addrs {
			require.Eventually(t, func() bool { return cached(a) == mac.String() }, 20*time.Second, time.Millisecond, "the peer has %s for %v", cached(a), a)
		}
		was = mac
	}
	f.stop()
	l, err := ports.Handle().LinkByName("p0")
	require.NoError(t, err)
	require.NotEqual(t, was, l.Attrs().HardwareAddr, "it is given back")
}

// window is how long a rate is taken.
const window = 100 * time.Millisecond

// rates takes the rate of some ports over window after window, until end is closed, in
// packets a second.
func (f *flood) rates(ports []int, end <-chan struct{}) (list []float64) {
	sample := func() (sent uint64, at time.Time) {
		s, err := f.dp.Stats(ctx)
		if err != nil {
			return 0, time.Now()
		}
		for _, p := range ports {
			sent += s.Ports[p].TxPackets
		}
		return sent, s.Time
	}
	n, at := sample()
	for {
		select {
		case <-end:
			return list
		case <-time.After(window):
		}
		m, now := sample()
		list = append(list, float64(m-n)/now.Sub(at).Seconds())
		n, at = m, now
	}
}

// flaps takes an interface down and up so many times, one flap every period at most, and
// returns how long each down took.
func (f *flood) flaps(name string, count int, period time.Duration) (downs []time.Duration) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for range count {
		<-tick.C
		start := time.Now()
		f.set(name, false)
		downs = append(downs, time.Since(start))
		f.set(name, true)
	}
	return downs
}

// cycles tells what those of the first core were spent on.
func (f *flood) cycles() dataplane.Cycles {
	f.t.Helper()
	s, err := f.dp.Stats(ctx)
	require.NoError(f.t, err)
	return s.Cores[0].Cycles
}

// during returns the rates while fn runs.
func (f *flood) during(ports []int, fn func()) []float64 {
	end, got := make(chan struct{}), make(chan []float64, 1)
	go func() { got <- f.rates(ports, end) }()
	fn()
	close(end)
	return <-got
}

// BenchmarkFlaps takes one interface down and up a thousand times, fifty times a second,
// under a flood, and looks at the other ports of the same core: their rate in each window
// with flaps, as part of the median of those without. A second of the one follows a second
// of the other, so that the machine is the same for both; how uneven it is by itself is what
// the least window without flaps tells. Null ports, since they are flat out on one core: with
// veth pairs the generator in the kernel, which needs the other CPU that control has, sets
// the rate. The rate is a figure and not a demand.
func BenchmarkFlaps(b *testing.B) {
	topo, err := cpu.Local()
	require.NoError(b, err)
	usable := topo.Allowed.And(topo.Online)
	poll := usable.Min()
	if rest := usable.AndNot(cpu.SetOf(poll)); !rest.IsEmpty() {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 3))
		restore, err := cpu.Confine(rest) // as pmd run does
		require.NoError(b, err)
		defer func() { assert.NoError(b, restore()) }()
	}
	for range b.N {
		f := newFlood(b, []int{poll}, 4096)
		for i := range 4 {
			f.null(fmt.Sprint("n", i), 0)
		}
		f.run()
		var quiet, flapping []float64
		var downs []time.Duration
		var control, all float64 // of the core's cycles while the interface flaps
		for range 20 {
			quiet = append(quiet, f.during([]int{0, 1}, func() { time.Sleep(time.Second) })...)
			before := f.cycles()
			flapping = append(flapping, f.during([]int{0, 1}, func() {
				downs = append(downs, f.flaps("n3", 50, 20*time.Millisecond)...)
			})...)
			c := f.cycles().Since(before)
			control += float64(c.Control)
			all += float64(c.Receive + c.Stage + c.Transmit + c.Idle + c.Control)
		}
		rx, _, drops := f.stop()
		slices.Sort(quiet)
		slices.Sort(flapping)
		slices.Sort(downs)
		median := quiet[len(quiet)/2]
		under := func(list []float64) (n float64) {
			for _, r := range list {
				if r < 0.95*median {
					n++
				}
			}
			return 100 * n / float64(len(list))
		}
		b.ReportMetric(100*flapping[len(flapping)/2]/median, "median-%")
		b.ReportMetric(100*flapping[0]/median, "least-%")
		b.ReportMetric(100*quiet[0]/median, "least-quiet-%")
		b.ReportMetric(under(flapping), "%-under-95%")
		b.ReportMetric(under(quiet), "%-under-95%-quiet")
		b.ReportMetric(100*control/all, "control-%")
		b.ReportMetric(float64(downs[len(downs)/2].Microseconds()), "µs/down")
		b.Logf("%d packets, every frame accounted for; drops %v", rx, drops)
	}
}
