package netsys_test

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/netsys"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
	"example.org/pmd/queue"
)

var (
	ctx  = context.Background()
	root = ifnet.Cred{Privileged: true}
)

// bed is a System over the workers of a dataplane.
type bed struct {
	dp  *dataplane.Dataplane
	net *netsys.Net
	sys *ifnet.System
	ctl *ifnet.Control
}

// newBed makes a bed that is torn down with the test. Its workers run if asked to.
func newBed(t testing.TB, workers int, run bool) *bed {
	t.Helper()
	drop := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) { w.DropBurst(pmd.ReasonSink, burst) })
	cores := make([]int, workers)
	for i := range cores {
		cores[i] = dataplane.Unpinned
	}
	dp, err := dataplane.New(dataplane.Config{Cores: cores, Stage: drop, Pool: mbuf.Config{Frames: 1024, HugePages: mbuf.HugeOff}, Idle: dataplane.IdleInterrupt})
	require.NoError(t, err)
	b := &bed{dp: dp, net: netsys.New(dp)}
	b.sys, err = ifnet.New(b.net.Config())
	require.NoError(t, err)
	b.ctl = b.sys.As(root)
	runCtx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	if run {
		go func() { ended <- dp.Run(runCtx) }()
	} else {
		ended <- nil
	}
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
		b.net.Close()
		assert.NoError(t, b.sys.Close())
		assert.NoError(t, dp.Close())
	})
	return b
}

// port attaches the interface of a null port: up, polled and settled.
func (b *bed) port(t testing.TB, name string, workers ...int) *netsys.Port {
	t.Helper()
	spec, err := pmd.ParseSpec(fmt.Sprintf("null:name=%s,queues=%d", name, len(workers)))
	require.NoError(t, err)
	dev, err := null.Driver{}.Open(ctx, spec, b.dp.Env())
	require.NoError(t, err)
	id, err := b.dp.AddPort(dev, dataplane.PortConfig{Workers: workers})
	require.NoError(t, err)
	p, params, err := b.net.Add(id, dev, name, workers)
	require.NoError(t, err)
	_, err = b.sys.Attach(ctx, params)
	require.NoError(t, err)
	yes := true
	require.NoError(t, b.ctl.Set(ctx, name, ifnet.Settings{Up: &yes, Polling: &yes}))
	require.NoError(t, p.Settle())
	return p
}

// polled returns the worker of each queue of a port.
func (b *bed) polled(t testing.TB, p *netsys.Port) (workers []int) {
	t.Helper()
	s, err := b.dp.Stats(ctx)
	require.NoError(t, err)
	for _, q := range s.Ports[p.ID()].Queues {
		workers = append(workers, q.Worker)
	}
	return workers
}

// Every worker has the addresses and the routes of every interface, in memory of its own.
func TestAddressesReachEveryWorker(t *testing.T) {
	for _, run := range []bool{false, true} {
		t.Run(fmt.Sprintf("run=%v", run), func(t *testing.T) {
			b := newBed(t, 3, run)
			b.port(t, "a", 0)
			replicas := map[int]*ifnet.Replica{}
			b.sys.Bind(func(core int, r *ifnet.Replica) { replicas[core] = r })
			require.Len(t, replicas, 3)
			a := netip.MustParseAddr("192.0.2.1")
			require.NoError(t, b.ctl.AddAddr(ctx, "a", ifnet.AddrSpec{Prefix: netip.MustParsePrefix("192.0.2.1/24")}))
			routes := b.net.Config().Routes
			seen := func() (n int) {
				for core, r := range replicas {
					require.NoError(t, b.dp.Do(ctx, core, func(*dataplane.Worker) {
						c := r.WithAddr(a)
						rt := routes.Table(core).Get(netip.MustParsePrefix("192.0.2.0/24"))
						if c != nil && rt != nil && rt.Addr == c {
							n++
						}
					}))
				}
				return n
			}
			assert.Equal(t, 3, seen())
			no, yes := false, true
			require.NoError(t, b.ctl.Set(ctx, "a", ifnet.Settings{Up: &no}))
			assert.Zero(t, seen(), "the route is there while the interface is up")
			require.NoError(t, b.ctl.Set(ctx, "a", ifnet.Settings{Up: &yes}))
			assert.Equal(t, 3, seen())
			require.NoError(t, b.ctl.DelAddr(ctx, "a", a))
			assert.Zero(t, seen())
		})
	}
}

// An interface's core is the worker of its first queue; the others go along unless they
// have been placed.
func TestPollCore(t *testing.T) {
	b := newBed(t, 3, true)
	p := b.port(t, "a", 0, 1)
	core := func() int {
		c, err := b.ctl.PollCore(ctx, "a")
		require.NoError(t, err)
		return c
	}
	assert.Equal(t, 0, core())
	assert.Equal(t, []int{0, 1}, b.polled(t, p))

	require.NoError(t, b.ctl.SetPollCore(ctx, "a", 2))
	assert.Equal(t, 2, core())
	assert.Equal(t, []int{2, 2}, b.polled(t, p))

	require.NoError(t, p.Place(ctx, []int{1, 2}))
	require.NoError(t, b.ctl.SetPollCore(ctx, "a", 1))
	assert.Equal(t, []int{1, 2}, b.polled(t, p), "the first is there already")
	assert.Equal(t, []int{1, 2}, p.Workers())

	require.Error(t, p.Place(ctx, []int{0, 9}))
	assert.Equal(t, []int{1, 2}, b.polled(t, p), "a queue that moved goes back")
	assert.ErrorContains(t, b.ctl.SetPollCore(ctx, "a", 3), "core 3: there are cores 0 to 2: invalid argument")
}

// A port is known by the interface that it has, whatever the name of that is.
func TestPortFollowsItsInterface(t *testing.T) {
	b := newBed(t, 2, true)
	p, other := b.port(t, "a", 0), b.port(t, "b", 0)
	require.NoError(t, b.ctl.Rename(ctx, "a", "c"))
	require.NoError(t, b.ctl.Rename(ctx, "b", "a"))
	require.NoError(t, b.ctl.SetPollCore(ctx, "c", 1))
	assert.Equal(t, []int{1}, b.polled(t, p))
	assert.Equal(t, []int{0}, b.polled(t, other))
	require.NoError(t, b.ctl.SetPollCore(ctx, "a", 1))
	assert.Equal(t, []int{1}, b.polled(t, other))
}

// A port whose interface was never attached, or is detached, has nothing to do with another
// interface that gets its name or its number.
// An interface's send queue is that of its port, also if it is given another discipline.
func TestSendQueueOfAPort(t *testing.T) {
	b := newBed(t, 2, true)
	p := b.port(t, "a", 1)
	limit := func() int {
		i, err := b.ctl.Info(ctx, "a")
		require.NoError(t, err)
		return i.QueueLimit
	}
	require.Equal(t, dataplane.DefaultSendQueue, limit())
	ifp, err := b.sys.Lookup(ctx, "a")
	require.NoError(t, err)
	q, err := queue.NewClassic(7, b.dp.Free)
	require.NoError(t, err)
	require.NoError(t, b.sys.SetQueue(ctx, ifp, q))
	require.Equal(t, 7, limit())
	now, err := b.dp.SendQueue(p.ID())
	require.NoError(t, err)
	require.Equal(t, 7, now.Limit())
	words, err := queue.NewClassic(7, func([]uint64) {})
	require.NoError(t, err)
	require.ErrorIs(t, b.sys.SetQueue(ctx, ifp, words), syscall.EINVAL)
	require.Equal(t, 7, limit())
	require.NoError(t, b.sys.SetQueue(ctx, ifp, nil))
	require.Equal(t, dataplane.DefaultSendQueue, limit())
}

func TestRemove(t *testing.T) {
	b := newBed(t, 2, true)
	dev, err := null.New(null.Config{Name: "none"}, b.dp.Env())
	require.NoError(t, err)
	id, err := b.dp.AddPort(dev, dataplane.PortConfig{Workers: []int{0}})
	require.NoError(t, err)
	none, _, err := b.net.Add(id, dev, "none", []int{0})
	require.NoError(t, err)
	b.net.Remove(none)
	require.NoError(t, b.dp.RemovePort(id))

	p := b.port(t, "a", 0)
	require.NoError(t, b.ctl.Rename(ctx, "a", "none"))
	require.NoError(t, b.ctl.SetPollCore(ctx, "none", 1))
	assert.Equal(t, []int{1}, b.polled(t, p))
}

// A port is polled while its interface is up and registered for polling, and not otherwise.
func TestUpAndPolling(t *testing.T) {
	b := newBed(t, 2, true)
	p := b.port(t, "a", 1, 0)
	set := func(up, polling bool) {
		require.NoError(t, b.ctl.Set(ctx, "a", ifnet.Settings{Up: &up, Polling: &polling}))
	}
	nobody := []int{-1, -1}
	set(false, true)
	assert.Equal(t, nobody, b.polled(t, p))
	set(false, false)
	assert.Equal(t, nobody, b.polled(t, p))
	set(true, false)
	assert.Equal(t, nobody, b.polled(t, p))
	set(true, true)
	assert.Equal(t, []int{1, 0}, b.polled(t, p), "as before")
	set(false, true)
	require.NoError(t, b.ctl.SetPollCore(ctx, "a", 0))
	assert.Equal(t, nobody, b.polled(t, p), "it may be placed while it is down")
	set(true, true)
	assert.Equal(t, []int{0, 0}, b.polled(t, p))
	i, err := b.ctl.Info(ctx, "a")
	require.NoError(t, err)
	assert.Equal(t, 0, i.PollCore)
	assert.Equal(t, ifnet.FlagUp|ifnet.FlagPolling, i.Flags&(ifnet.FlagUp|ifnet.FlagPolling))
}
