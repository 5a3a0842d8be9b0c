package netsys_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
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
	"example.org/pmd/pmd/mbuf"
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

// window is how long a rate is taken, and longTurn what is no turn's own: one takes 1 µs, with
// a tick of the kernel in it 100.
const (
	window   = 100 * time.Millisecond
	longTurn = time.Millisecond
)

// share is what a core did in a part of a window: packets received on the ports that are
// looked at, and cycles from turn to turn, those beyond longTurn left out of kept.
type share struct{ packets, kept, all, long uint64 }

// rate is in packets a cycle that was kept.
func (s share) rate() float64 { return float64(s.packets) / float64(s.kept) }

// turnMeter is a stage that does what across does, and counts what became of the first two
// ports, apart while marked is set and while it is not. It belongs to the core, but for
// marked, which pairs with nothing: a turn more or less in a part is the same.
type turnMeter struct {
	last, limit uint64
	parts       [2]share // not marked, marked
	marked      atomic.Bool
}

func (m *turnMeter) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	if in <= 1 {
		p := &m.parts[0]
		if m.marked.Load() {
			p = &m.parts[1]
		}
		p.packets += uint64(len(burst))
		if in == 0 {
			now := cpu.Cycles()
			d := now - m.last
			m.last = now
			p.all += d
			if d > m.limit {
				p.long++
				d = m.limit
			}
			p.kept += d
		}
	}
	across(w, in, burst)
}

// taken is what was counted since the last call.
func (m *turnMeter) taken(f *flood) (parts [2]share) {
	f.t.Helper()
	require.NoError(f.t, f.dp.Do(ctx, 0, func(*dataplane.Worker) { parts, m.parts = m.parts, parts }))
	return parts
}

// BenchmarkFlaps takes one interface down and up a thousand times, fifty times a second,
// under a flood, and looks at the other ports of the same core. Windows of 100 ms with five
// flaps each take turns with windows in which an interface of another dataplane, which no
// core runs, flaps for as long instead: control's CPU is as busy.
//
// A virtual CPU is now slow and now not there at all, whoever runs on it, by more than the 5 %
// that are asked about. So a window is compared with itself: the rate in all of it with the
// rate in those parts of it in which nothing flapped, which it would have had throughout. What
// a flap does to the core is in its own part: its messages, and caches that they leave cold.
// Where a turn took more than a millisecond the CPU was not there: its rest is left out, and
// such turns are counted, in the parts with flaps and in those without. least-% is the least of
// all windows; of those without flaps it tells how exact that is.
//
// Null ports, since they are flat out on one core: with veth pairs the generator in the
// kernel, which needs the other CPU that control has, sets the rate. The figures are no
// demand: a benchmark has none.
func BenchmarkFlaps(b *testing.B) {
	topo, err := cpu.Local()
	require.NoError(b, err)
	usable := topo.Allowed.And(topo.Online)
	poll := usable.Min()
	if rest := usable.AndNot(cpu.SetOf(poll)); !rest.IsEmpty() {
		restore, err := cpu.Confine(rest) // as pmd run does
		require.NoError(b, err)
		defer func() { assert.NoError(b, restore()) }()
	}
	for range b.N {
		meter := &turnMeter{}
		f := newFloodOf(b, []int{poll}, 4096, meter, dataplane.IdleAdaptive)
		meter.limit = f.dp.Clock().Cycles(longTurn)
		for i := range 4 {
			f.null(fmt.Sprint("n", i), 0)
		}
		f.run()
		time.Sleep(window)
		meter.taken(f)
		other := newFlood(b, []int{dataplane.Unpinned}, 4096)
		other.null("o0", 0)
		var downs []time.Duration
		took := time.Millisecond // a flap of the last window
		elsewhere := func() {
			for start := time.Now(); time.Since(start) < took; {
				other.set("o0", false)
				other.set("o0", true)
			}
		}
		flap := func() {
			start := time.Now()
			f.set("n3", false)
			downs = append(downs, time.Since(start))
			f.set("n3", true)
		}
		var own, wall [2][]float64 // by window: without flaps, with
		var long [2]uint64
		for range 200 {
			for kind, do := range []func(){elsewhere, flap} {
				tick := time.NewTicker(window / 5)
				marked := time.Duration(0)
				for range 5 {
					<-tick.C
					start := time.Now()
					meter.marked.Store(true)
					do()
					meter.marked.Store(false)
					marked += time.Since(start)
				}
				tick.Stop()
				took = marked / 5
				p := meter.taken(f)
				all := share{p[0].packets + p[1].packets, p[0].kept + p[1].kept, p[0].all + p[1].all, 0}
				own[kind] = append(own[kind], 100*all.rate()/p[0].rate())
				wall[kind] = append(wall[kind], float64(all.packets)/float64(all.all))
				long[kind] += p[1].long
			}
		}
		rx, _, drops := f.stop()
		other.run()
		other.stop()
		for kind := range own {
			slices.Sort(own[kind])
			slices.Sort(wall[kind])
		}
		slices.Sort(downs)
		for kind, name := range []string{"-quiet", ""} {
			n := len(own[kind])
			under, _ := slices.BinarySearch(wall[kind], 0.95*wall[0][n/2])
			b.ReportMetric(own[kind][0], "least"+name+"-%")
			b.ReportMetric(own[kind][n/2], "median"+name+"-%")
			b.ReportMetric(float64(long[kind]), "long-turns"+name)
			b.ReportMetric(100*float64(under)/float64(n), "wall-under-95%"+name+"-%")
		}
		b.ReportMetric(float64(downs[len(downs)/2].Microseconds()), "µs/down")
		b.Logf("%d packets, every frame accounted for; drops %v", rx, drops)
	}
}
