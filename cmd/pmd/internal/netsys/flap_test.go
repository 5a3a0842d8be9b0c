package netsys_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/netsys"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/ring"
)

// across sends what comes in on a port to its neighbour: 0 and 1, 2 and 3, ….
var across = dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	w.SendBurst(in^1, burst)
})

// flood is a running dataplane whose ports are interfaces, and which receive without end.
type flood struct {
	t    testing.TB
	dp   *dataplane.Dataplane
	net  *netsys.Net
	sys  *ifnet.System
	ctl  *ifnet.Control
	ifps []*ifnet.Interface // by port
	// replicas are those of the cores.
	replicas []*ifnet.Replica
	// stop ends the run and returns the totals, which it has found to balance.
	stop func() (rx, tx uint64, drops map[string]uint64)
}

// newFlood makes the System and the dataplane, whose workers are on these CPUs.
func newFlood(t testing.TB, cores []int, frames int) *flood {
	t.Helper()
	return newFloodOf(t, cores, frames, across, dataplane.IdleAdaptive)
}

// newFloodOf has another stage, and another policy for cores without frames.
func newFloodOf(t testing.TB, cores []int, frames int, stage dataplane.Stage, idle dataplane.Idle) *flood {
	t.Helper()
	dp, err := dataplane.New(dataplane.Config{Cores: cores, Stage: stage, Pool: mbuf.Config{Frames: frames, HugePages: mbuf.HugeOff}, Idle: idle})
	require.NoError(t, err)
	f := &flood{t: t, dp: dp, net: netsys.New(dp)}
	f.sys, err = ifnet.New(f.net.Config())
	require.NoError(t, err)
	f.ctl = f.sys.As(root)
	f.sys.Bind(func(_ int, r *ifnet.Replica) { f.replicas = append(f.replicas, r) })
	return f
}

// null adds the interface of a null port.
func (f *flood) null(name string, worker int) {
	f.t.Helper()
	dev, err := null.New(null.Config{Name: name}, f.dp.Env())
	require.NoError(f.t, err)
	f.port(dev, name, worker)
}

// port adds the interface of an open device: up, polled and settled.
func (f *flood) port(dev pmd.Device, name string, worker int) *netsys.Port {
	f.t.Helper()
	id, err := f.dp.AddPort(dev, dataplane.PortConfig{Workers: []int{worker}})
	require.NoError(f.t, err)
	p, params, err := f.net.Add(id, dev, name, []int{worker})
	require.NoError(f.t, err)
	ifp, err := f.sys.Attach(ctx, params)
	require.NoError(f.t, err)
	f.ifps = append(f.ifps, ifp)
	yes := true
	require.NoError(f.t, f.ctl.Set(ctx, name, ifnet.Settings{Up: &yes, Polling: &yes}))
	require.NoError(f.t, p.Settle())
	return p
}

// run lets frames flow.
func (f *flood) run() {
	runCtx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.dp.Run(runCtx) }()
	f.stop = func() (rx, tx uint64, drops map[string]uint64) {
		cancel()
		require.NoError(f.t, <-ended)
		s := f.stats()
		drops = map[string]uint64{}
		var made, inHand, dropped uint64
		for _, p := range s.Ports {
			rx, tx, made, inHand = rx+p.RxPackets, tx+p.TxPackets, made+p.Generated, inHand+p.InHand
			for r, n := range p.Drops {
				drops[r] += n
				dropped += n
			}
		}
		require.Equal(f.t, rx+made, tx+dropped+inHand, "received and made = sent + dropped + in hand: %+v", s.Ports)
		f.net.Close()
		assert.NoError(f.t, f.sys.Close())
		assert.NoError(f.t, f.dp.Close(), "every frame comes home")
		return rx, tx, drops
	}
}

// stats returns statistics, whose accounts balance.
func (f *flood) stats() *dataplane.Stats {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		s, err := f.dp.StatsWithAccounts(ctx)
		if err != nil && time.Now().Before(end) {
			continue // workers without a CPU of their own do not come to a stand at once
		}
		require.NoError(f.t, err)
		for _, p := range s.Pools {
			require.True(f.t, p.Balanced(), "%s: %d of %d frames found, %d twice: %v", p.Pool, p.Accounted, p.Frames, p.Duplicate, p.Owners)
		}
		return s
	}
}

// set takes an interface up or down.
func (f *flood) set(name string, up bool) {
	f.t.Helper()
	require.NoError(f.t, f.ctl.Set(ctx, name, ifnet.Settings{Up: &up}))
}

// onCores runs fn on each core with what that core has of interfaces and routes.
func (f *flood) onCores(fn func(core int, r *ifnet.Replica, table ifnet.RouteTable)) {
	f.t.Helper()
	routes := f.net.Config().Routes
	for core := range f.dp.Workers() {
		require.NoError(f.t, f.dp.Do(ctx, core, func(*dataplane.Worker) { fn(core, f.replicas[core], routes.Table(core)) }))
	}
}

// routed tells how many cores have a route to dst.
func (f *flood) routed(dst netip.Prefix) (n int) {
	f.t.Helper()
	f.onCores(func(_ int, _ *ifnet.Replica, table ifnet.RouteTable) {
		if table.Get(dst) != nil {
			n++
		}
	})
	return n
}

// weather is a flood over interfaces that come and go: its stage sends each burst on to the port
// after it, most of them on the other core, and looks at every burst whether its core still has
// what it may not have any more.
type weather struct {
	*flood
	ids   []dataplane.PortID // by slot, as are all lists
	names []string
	ifp   []*ifnet.Interface
	index []int
	gen   int // of addresses
	went  []weak.Pointer[ifnet.Interface]

	// What control tells the stage: where bursts of a port go, which ports are down, and
	// the last generation of addresses that is gone. Down and gone are stored when the call
	// has returned, and pair with the loads of the stage: what it then does is after that.
	to   [1 << 13]atomic.Uint32
	down [1 << 13]atomic.Bool
	gone atomic.Int64
	bad  atomic.Int64 // bursts for which a core had what was gone

	water atomic.Int64
}

const (
	slots    = 6
	ringSlot = 4 // and the one after it: the ends of a pair
)

func newWeather(t testing.TB) *weather {
	w := &weather{ids: make([]dataplane.PortID, slots), names: []string{"n0", "n1", "n2", "n3", "r.a", "r.b"},
		ifp: make([]*ifnet.Interface, slots), index: make([]int, slots)}
	w.flood = newFloodOf(t, []int{dataplane.Unpinned, dataplane.Unpinned}, 4096, dataplane.StageFunc(w.process), dataplane.IdleInterrupt)
	for slot := range ringSlot {
		w.open(slot)
	}
	w.openRing()
	return w
}

// process is the stage.
func (w *weather) process(worker *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	gone, r := w.gone.Load(), w.replicas[worker.ID()]
	if a := addrOf(int(gone)); w.down[in].Load() || r.WithAddr(a) != nil || r.WithNet(a) != nil {
		w.bad.Add(1)
	}
	worker.SendBurst(dataplane.PortID(w.to[in].Load()), burst)
}

// addrOf is the address of a generation, in a network of its own.
func addrOf(gen int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(gen >> 8), byte(gen), 1}) }

// open makes the null port of a slot, with an interface.
func (w *weather) open(slot int) {
	w.t.Helper()
	dev, err := null.New(null.Config{Name: w.names[slot]}, w.dp.Env())
	require.NoError(w.t, err)
	w.attach(slot, shower{dev, []pmd.Queue{&drizzle{dev.Queues()[0], &w.water}}})
}

// shower is a null port that receives when there is water. A core that never ran dry would
// seldom be told apart, on a machine with few CPUs, from one that does not answer: with this
// one there is a flood whenever control does something, and the cores sleep when it does not.
type shower struct {
	pmd.Device
	queues []pmd.Queue
}

func (s shower) Queues() []pmd.Queue { return s.queues }

type drizzle struct {
	pmd.Queue
	water *atomic.Int64 // packets to be received still; more is no matter
}

func (d *drizzle) RxBurst(dst []mbuf.Frame) int {
	if d.water.Load() <= 0 {
		return 0
	}
	n := d.Queue.RxBurst(dst)
	d.water.Add(int64(-n))
	return n
}

// rain lets the ports receive some bursts more, if they have not enough still.
func (w *weather) rain() { w.water.Store(rainfall) }

// rainfall is some bursts of every core.
const rainfall = 1024

// openRing makes the pair of ports of the last two slots: what is sent on the one is received on
// the other.
func (w *weather) openRing() {
	w.t.Helper()
	a, b, err := ring.NewPair(ring.Config{Name: "r", Size: 64}, w.dp.Env())
	require.NoError(w.t, err)
	w.attach(ringSlot, a)
	w.attach(ringSlot+1, b)
}

// attach makes an interface of a device. Its index is the one after the last in use.
func (w *weather) attach(slot int, dev pmd.Device) {
	w.t.Helper()
	w.ids[slot] = w.port(dev, w.names[slot], slot%2).ID()
	w.ifp[slot], w.ifps = w.ifps[0], nil // nobody else keeps it
	for i, id := range w.ids {
		w.to[id].Store(uint32(w.ids[(i+1)%slots]))
	}
	i, err := w.ctl.Info(ctx, w.names[slot])
	require.NoError(w.t, err)
	require.Equal(w.t, slices.Max(w.index)+1, i.Index, "the index after the last in use")
	require.Empty(w.t, i.Addresses)
	require.Empty(w.t, i.Groups)
	w.index[slot] = i.Index
}

// dress gives the interface of a slot an address, whose route every core has then.
func (w *weather) dress(slot int) (connected netip.Prefix) {
	w.t.Helper()
	w.gen++
	connected = netip.PrefixFrom(addrOf(w.gen), 24).Masked()
	require.NoError(w.t, w.ctl.AddAddr(ctx, w.names[slot], ifnet.AddrSpec{Prefix: netip.PrefixFrom(addrOf(w.gen), 24)}))
	return connected
}

// undress takes the address back.
func (w *weather) undress(slot int) {
	w.t.Helper()
	require.NoError(w.t, w.ctl.DelAddr(ctx, w.names[slot], addrOf(w.gen)))
	w.gone.Store(int64(w.gen))
}

// unpolled checks that the port of a slot has nothing left on any core, in its queue or with its
// device, and one time in four that every frame there is has an owner, for which all stand still.
func (w *weather) unpolled(slot int) {
	w.t.Helper()
	s, err := w.dp.Stats(ctx)
	require.NoError(w.t, err)
	if w.gen%4 == 0 {
		s = w.stats()
	}
	p := s.Ports[w.ids[slot]]
	require.True(w.t, p.Unpolled, "%s", p.Name)
	require.Zero(w.t, p.InHand, "%s", p.Name)
	for _, q := range p.Queues {
		require.Equal(w.t, -1, q.Worker, "%s", p.Name)
	}
}

// flap takes the interface of a slot down and up. Between the two no core works on a frame of
// it, and no core has its routes.
func (w *weather) flap(slot int) {
	w.t.Helper()
	connected, name := w.dress(slot), w.names[slot]
	w.rain()
	w.set(name, false)
	w.down[w.ids[slot]].Store(true)
	w.onCores(func(core int, r *ifnet.Replica, table ifnet.RouteTable) {
		v := r.ByName(name)
		if assert.NotNil(w.t, v, "core %d", core) {
			assert.False(w.t, v.State().Up(), "core %d", core)
		}
		assert.Nil(w.t, table.Get(connected), "core %d", core)
	})
	w.unpolled(slot)
	w.down[w.ids[slot]].Store(false)
	w.rain()
	w.set(name, true)
	require.Equal(w.t, 2, w.routed(connected))
	w.undress(slot)
}

// detach detaches the interface of a slot with all that it has. No core has anything of it then.
func (w *weather) detach(slot int) {
	w.t.Helper()
	connected, name := w.dress(slot), w.names[slot]
	far := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(w.gen), 0}), 24)
	require.NoError(w.t, w.sys.AddRoute(ctx, ifnet.RouteSpec{Dst: far, Gateway: addrOf(w.gen).Next()}))
	require.NoError(w.t, w.ctl.Join(ctx, name, ifnet.IPGroup(netip.MustParseAddr("224.0.0.251"))))
	w.rain()
	if w.gen%2 == 0 {
		w.set(name, false)
	}
	require.NoError(w.t, w.sys.Detach(ctx, w.ifp[slot]))
	w.down[w.ids[slot]].Store(true)
	w.gone.Store(int64(w.gen))
	w.went = append(w.went, weak.Make(w.ifp[slot]))
	w.ifp[slot], w.index[slot] = nil, 0
	left := 0
	for _, ifp := range w.ifp {
		if ifp != nil {
			left++
		}
	}
	require.Equal(w.t, left, w.sys.Addresses(), "every core has let go of each of its addresses: link-level ones are left")
	w.onCores(func(core int, r *ifnet.Replica, table ifnet.RouteTable) {
		here := 0
		r.Interfaces(func(v *ifnet.View) bool {
			here++
			return assert.NotEqual(w.t, name, v.State().Name, "core %d", core)
		})
		assert.Equal(w.t, left, here, "core %d", core)
		assert.Nil(w.t, r.WithAddr(addrOf(w.gen)), "core %d", core)
		assert.Nil(w.t, table.Get(connected), "core %d", core)
		assert.Nil(w.t, table.Get(far), "core %d", core)
		table.Walk(func(dst netip.Prefix, rt *ifnet.Route) bool {
			return assert.Fail(w.t, "a route is left", "core %d: %v", core, dst)
		})
	})
	w.unpolled(slot)
	require.NoError(w.t, w.dp.RemovePort(w.ids[slot]))
}

// Interfaces go down and up, and are detached and attached again, thousands of times while two
// cores run under a flood that crosses from one to the other, over ports without end and a ring:
// as each call returns no core polls the port or has a frame for it, an address, a route or a
// pointer, the index is used again, and no frame has been lost.
func TestDownAndDetachSynchronize(t *testing.T) {
	flaps, detaches := 2000, 400
	if testing.Short() {
		flaps, detaches = 200, 40
	}
	w := newWeather(t)
	w.run()
	// On a machine that has hardly a CPU for this it ends sooner, with a tenth.
	end := time.Now().Add(time.Minute)
	each := flaps / detaches
	done := 0
	for ; done < detaches && (done < detaches/10 || time.Now().Before(end)); done++ {
		for i := range each {
			w.flap((done*each + i) % slots)
		}
		switch slot := done % (ringSlot + 1); slot {
		case ringSlot:
			w.detach(ringSlot)
			w.detach(ringSlot + 1)
			w.openRing()
		default:
			w.detach(slot)
			w.open(slot)
		}
	}
	require.Zero(t, w.bad.Load(), "bursts of a core that had what was gone")
	rx, tx, drops := w.stop()
	require.NotZero(t, tx)
	t.Logf("%d times down and up, %d detached and attached, under %d packets, %d sent, %v", done*each, len(w.went), rx, tx, drops)
	// Nothing has a pointer of any of them: not a core, not control.
	runtime.GC()
	for i, p := range w.went {
		require.Nil(t, p.Value(), "interface %d of %d that were detached is still there", i, len(w.went))
	}
	runtime.KeepAlive(w)
}

// A worker that fails closes its ports. Their interfaces can still be set down, renamed and
// detached, and those of other workers go on.
func TestInterfacesOfAFailedWorker(t *testing.T) {
	var ill atomic.Bool
	f := newFloodOf(t, []int{dataplane.Unpinned, dataplane.Unpinned}, 4096, dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		if in == 0 && ill.Load() { // pairs with the Store of the test: a word that says when
			panic("the stage is ill")
		}
		w.SendBurst(in^1, burst)
	}), dataplane.IdleAdaptive)
	for i := range 4 {
		f.null(fmt.Sprint("n", i), i/2)
	}
	f.run()
	require.NoError(t, f.ctl.AddAddr(ctx, "n0", ifnet.AddrSpec{Prefix: netip.MustParsePrefix("10.9.0.1/24")}))
	ill.Store(true)
	await(t, "the worker's failure", func() bool {
		return strings.Contains(f.stats().Ports[0].Detail, "failed") && strings.Contains(f.stats().Ports[1].Detail, "failed")
	})
	no, yes, name := false, true, "old"
	require.NoError(t, f.ctl.Set(ctx, "n0", ifnet.Settings{Up: &no}))
	require.Zero(t, f.routed(netip.MustParsePrefix("10.9.0.0/24")))
	err := f.ctl.Set(ctx, "n0", ifnet.Settings{Up: &yes})
	require.ErrorContains(t, err, "set on n0")
	require.ErrorContains(t, err, "port n0 is closed: the worker on CPU")
	i, err := f.ctl.Info(ctx, "n0")
	require.NoError(t, err)
	require.Zero(t, i.Flags&ifnet.FlagUp)
	require.NoError(t, f.ctl.Set(ctx, "n1", ifnet.Settings{Name: &name}))
	require.NoError(t, f.dp.RenamePort(1, name))
	require.NoError(t, f.ctl.Set(ctx, "old", ifnet.Settings{Polling: &no}))
	require.Equal(t, "old", f.stats().Ports[1].Name)
	for i, ifp := range f.ifps[:2] {
		require.NoError(t, f.sys.Detach(ctx, ifp))
		require.NoError(t, f.dp.RemovePort(dataplane.PortID(i)))
	}
	require.Error(t, f.dp.Unpoll(ctx, 0), "it was removed")
	before := f.stats().Ports[3].TxPackets
	await(t, "frames of the other worker", func() bool { return f.stats().Ports[3].TxPackets > before })
	f.set("n3", false)
	f.set("n3", true)
	f.stop()
}

// await waits for a condition, a minute at most.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited a minute in vain: %s", what)
}
