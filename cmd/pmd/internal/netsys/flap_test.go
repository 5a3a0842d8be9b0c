package netsys_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/netsys"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
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
	// stop ends the run and returns the totals, which it has found to balance.
	stop func() (rx, tx uint64, drops map[string]uint64)
}

// newFlood makes the System and the dataplane, whose workers are on these CPUs.
func newFlood(t testing.TB, cores []int, frames int) *flood {
	t.Helper()
	return newFloodOf(t, cores, frames, across)
}

// newFloodOf has another stage.
func newFloodOf(t testing.TB, cores []int, frames int, stage dataplane.Stage) *flood {
	t.Helper()
	dp, err := dataplane.New(dataplane.Config{Cores: cores, Stage: stage, Pool: mbuf.Config{Frames: frames, HugePages: mbuf.HugeOff}})
	require.NoError(t, err)
	f := &flood{t: t, dp: dp, net: netsys.New(dp)}
	f.sys, err = ifnet.New(f.net.Config())
	require.NoError(t, err)
	f.ctl = f.sys.As(root)
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

// routed tells how many cores have a route to dst.
func (f *flood) routed(dst netip.Prefix) (n int) {
	f.t.Helper()
	routes := f.net.Config().Routes
	for core := range f.dp.Workers() {
		require.NoError(f.t, f.dp.Do(ctx, core, func(*dataplane.Worker) {
			if routes.Table(core).Get(dst) != nil {
				n++
			}
		}))
	}
	return n
}

// Interfaces go down and up, and are detached and attached again, under a flood on both
// cores, which crosses from one to the other: as a call returns, no core polls the port
// or has a frame for it, nor an address or a route, and no frame has been lost.
func TestDownAndDetachSynchronize(t *testing.T) {
	f := newFlood(t, []int{dataplane.Unpinned, dataplane.Unpinned}, 4096)
	const ports = 4
	for i := range ports {
		f.null(fmt.Sprint("n", i), i/2^i%2) // each pair is on both cores
	}
	f.run()
	var replicas []*ifnet.Replica
	f.sys.Bind(func(_ int, r *ifnet.Replica) { replicas = append(replicas, r) })
	require.Len(t, replicas, 2)
	rounds := 0
	for end := time.Now().Add(3 * time.Second); rounds < 8 || rounds < 4000 && time.Now().Before(end); rounds++ {
		i := rounds % ports
		name := fmt.Sprint("n", i)
		addr := netip.AddrFrom4([4]byte{10, 9, byte(i), 1})
		prefix := netip.PrefixFrom(addr, 24)
		require.NoError(t, f.ctl.AddAddr(ctx, name, ifnet.AddrSpec{Prefix: prefix}))
		require.Equal(t, 2, f.routed(prefix.Masked()))
		f.set(name, false)
		require.Zero(t, f.routed(prefix.Masked()), "it is down")
		if rounds%ports != ports-1 {
			require.NoError(t, f.ctl.DelAddr(ctx, name, addr))
			if rounds%16 == 0 {
				p := f.stats().Ports[i]
				require.True(t, p.Unpolled)
				require.Zero(t, p.InHand)
			}
			f.set(name, true)
			continue
		}
		// The last one goes for good, with its address, and another one comes with its
		// number.
		f.set(name, true)
		was, err := f.ctl.Info(ctx, name)
		require.NoError(t, err)
		ifp := f.ifps[len(f.ifps)-1]
		require.NoError(t, f.sys.Detach(ctx, ifp))
		require.Zero(t, f.routed(prefix.Masked()))
		for core, r := range replicas {
			require.NoError(t, f.dp.Do(ctx, core, func(*dataplane.Worker) {
				assert.Nil(t, r.ByName(name))
				assert.Nil(t, r.WithAddr(addr))
			}))
		}
		s := f.stats()
		last := s.Ports[len(s.Ports)-1]
		require.True(t, last.Unpolled)
		require.Zero(t, last.InHand)
		require.NoError(t, f.dp.RemovePort(last.ID))
		f.null(name, int(last.ID)%2)
		now, err := f.ctl.Info(ctx, name)
		require.NoError(t, err)
		require.Equal(t, was.Index, now.Index, "the index is used again")
	}
	rx, tx, drops := f.stop()
	require.NotZero(t, tx)
	t.Logf("%d rounds under %d packets, %d sent, %v", rounds, rx, tx, drops)
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
	}))
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
