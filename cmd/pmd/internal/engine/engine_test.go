package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
)

func skipWithoutPinning(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("CPUs cannot be chosen here: pinning needs Linux")
	}
}

// small is an engine of little memory that is bound to no CPU.
func small(t testing.TB, ports ...string) Config {
	return Config{
		Registry: drivers.Registry(), Ports: specs(t, ports...), Unpinned: 1,
		Pool:   mbuf.Config{Frames: 1024, HugePages: mbuf.HugeOff},
		bounds: bounds{control: 2 * time.Minute, apply: 2 * time.Minute, undo: 2 * time.Minute},
	}
}

// started starts an engine that is stopped with the test.
func started(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e, err := Start(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { e.Stop(); assert.NoError(t, e.Wait()) })
	return e
}

// until waits for a condition, 30 seconds at most.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited 30 seconds in vain: %s", what)
}

func TestRun(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	e, err := Start(context.Background(), small(t, "null:name=a", "null:name=b"))
	require.NoError(t, err)
	ctx := context.Background()
	until(t, "frames through both ports", func() bool {
		s, err := e.Stats(ctx)
		require.NoError(t, err)
		return s.Ports[0].TxPackets > 0 && s.Ports[1].TxPackets > 0
	})
	s, err := e.Stats(ctx)
	require.NoError(t, err)
	assert.Equal(t, "running", s.Cores[0].State)
	require.Len(t, s.Pools, 1)
	assert.True(t, s.Pools[0].Balanced(), "%+v", s.Pools[0])
	assert.Positive(t, s.Ports[0].RxPPS)

	e.Stop()
	e.Stop()
	require.NoError(t, e.Wait())
	final := e.Final()
	require.NotNil(t, final)
	assert.True(t, final.Pools[0].Balanced(), "%+v", final.Pools[0])
	assert.Equal(t, "stopped", final.Cores[0].State)
	var rx, out uint64
	for i := range final.Ports {
		p := &final.Ports[i]
		rx += p.RxPackets
		out += p.TxPackets + p.Dropped() + p.InHand
	}
	assert.Equal(t, rx, out, "received = sent + dropped + in hand")
	_, err = e.Stats(ctx)
	assert.ErrorIs(t, err, dataplane.ErrClosed)
	assert.Equal(t, procs, runtime.GOMAXPROCS(0), "what concerns the process is undone")
}

func TestRunPinned(t *testing.T) {
	skipWithoutPinning(t)
	topo, err := cpu.Local()
	require.NoError(t, err)
	before := topo.Allowed
	cfg := small(t, "null:", "null:")
	cfg.Unpinned, cfg.Confine = 0, true
	e, err := Start(context.Background(), cfg)
	require.NoError(t, err)
	poll, rest := e.Cores()
	assert.Len(t, poll, 1, "one pair of ports needs one core")
	assert.False(t, rest.Has(poll[0]))
	s, err := e.Stats(context.Background())
	require.NoError(t, err)
	assert.Equal(t, poll[0], s.Cores[0].CPU)
	e.Stop()
	require.NoError(t, e.Wait())
	topo, err = cpu.Local()
	require.NoError(t, err)
	assert.Equal(t, before.String(), topo.Allowed.String(), "the masks of the threads are back")
}

func TestContextStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	e, err := Start(ctx, small(t, "ring:loop=on"))
	require.NoError(t, err)
	cancel()
	<-e.Stopping()
	require.NoError(t, e.Wait())

	_, err = Start(ctx, small(t, "ring:loop=on"))
	assert.ErrorIs(t, err, context.Canceled)
}

func TestSetMode(t *testing.T) {
	e := started(t, small(t, "null:name=a", "null:name=b"))
	ctx := context.Background()
	assert.Equal(t, Forwarding{
		Mode: "io", Modes: forward.Modes(),
		Connect: []Connection{{"a", "b"}, {"b", "a"}},
	}, e.Forwarding())
	require.NoError(t, e.SetMode(ctx, "rxonly", nil))
	assert.Equal(t, "rxonly", e.Mode())
	until(t, "drops of the new mode", func() bool {
		s, err := e.Stats(ctx)
		require.NoError(t, err)
		return s.Ports[0].Drops["sink"] > 0 && s.Forward == "rxonly"
	})
	err := e.SetMode(ctx, "fast", nil)
	assert.True(t, usage.Is(err))
	assert.Equal(t, "rxonly", e.Mode())
	for _, mode := range e.Forwarding().Modes {
		assert.NoError(t, e.SetMode(ctx, mode, nil))
	}
}

// Options change with the mode or alone; those not named stay, and a mistake
// changes nothing.
func TestSetOptions(t *testing.T) {
	cfg := small(t, "null:name=a,rx=off", "null:name=b,rx=off")
	cfg.Mode, cfg.Options = "txonly", forward.Options{TxRate: 1000, TxSize: "100"}
	e := started(t, cfg)
	ctx := context.Background()
	mean := func() uint64 {
		s, err := e.Stats(ctx)
		require.NoError(t, err)
		return s.Ports[0].TxBytes / max(s.Ports[0].TxPackets, 1)
	}
	until(t, "frames of 100 bytes", func() bool { return mean() == 100 })
	require.NoError(t, e.SetMode(ctx, "txonly", []byte(`{"tx_size":"200","ip_src":"192.0.2.1"}`)))
	_, err := e.Clear(ctx)
	require.NoError(t, err)
	until(t, "frames of 200 bytes", func() bool { return mean() == 200 })
	want := forward.Options{TxRate: 1000, TxSize: "200", IPSrc: netip.MustParseAddr("192.0.2.1")}
	assert.Equal(t, want, e.Forwarding().Options)
	for body, text := range map[string]string{
		`{"tx_size":"20"}`:                    "--tx-size 20: use 60 to 9216",
		`{"tx_size":"1800"}`:                  "--tx-size 1800: use at most 1792",
		`{"tx_speed":1}`:                      `unknown field "tx_speed"`,
		`{"tx_rate":-1}`:                      "options: ",
		`{"noisy_tx_sw_buffer_size":1000000}`: "--noisy-tx-sw-buffer-size 1000000: use 0 to",
		`[]`:                                  "options: ",
	} {
		mode := "txonly"
		if strings.Contains(body, "noisy") {
			mode = "noisy"
		}
		err := e.SetMode(ctx, mode, []byte(body))
		require.ErrorContains(t, err, text)
		assert.NotContains(t, err.Error(), "some cores", "nothing has been changed")
		assert.True(t, usage.Is(err), body)
		assert.Equal(t, want, e.Forwarding().Options)
		assert.Equal(t, "txonly", e.Mode())
	}
}

func TestClear(t *testing.T) {
	e := started(t, small(t, "null:name=a", "null:name=b", "ring:loop=on"))
	ctx := context.Background()
	until(t, "a million frames", func() bool {
		s, err := e.Stats(ctx)
		require.NoError(t, err)
		return s.Ports[0].RxPackets > 1_000_000
	})
	before, err := e.Clear(ctx)
	require.NoError(t, err)
	assert.Greater(t, before.Ports[0].RxPackets, uint64(1_000_000), "what was counted is told")
	assert.Nil(t, before.ClearedAt)

	require.NoError(t, e.SetMode(ctx, "rxonly", nil))
	second, err := e.Clear(ctx)
	require.NoError(t, err)
	third, err := e.Stats(ctx)
	require.NoError(t, err)
	require.NotNil(t, second.ClearedAt)
	assert.Equal(t, before.Time.Unix(), second.ClearedAt.Unix())
	assert.NotContains(t, third.Ports[2].Drops, "sink")
	require.Len(t, third.Pools, 1)
	assert.Equal(t, 1024, third.Pools[0].Accounted, "accounts are no totals")

	e.Stop()
	require.NoError(t, e.Wait())
	assert.GreaterOrEqual(t, e.Final().Ports[0].RxPackets,
		before.Ports[0].RxPackets+second.Ports[0].RxPackets+third.Ports[0].RxPackets, "the end tells of the whole run")
}

func TestInterfaces(t *testing.T) {
	cfg := small(t, "null:name=a,queues=2", "ring:loop=on,name=b")
	e := started(t, cfg)
	ctx := context.Background()
	list, err := e.Interfaces(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	a := list[0]
	assert.Equal(t, "a", a.Name)
	assert.Equal(t, "null:name=a,queues=2", a.Spec)
	assert.Equal(t, "b", a.To)
	assert.Equal(t, -1, a.NUMANode)
	assert.Equal(t, []InterfaceQueue{{0, -1}, {1, -1}}, a.Queues)
	_, err = net.ParseMAC(a.MAC)
	assert.NoError(t, err)
	assert.Equal(t, 1, a.Index)
	assert.Equal(t, []string{"UP", "BROADCAST", "RUNNING", "SIMPLEX", "MULTICAST", "POLLING"}, a.Flags)
	assert.True(t, a.AdminUp && a.Polling)
	assert.Equal(t, "up", a.Link)
	assert.Equal(t, dataplane.DefaultSendQueue, a.SendQueue.Limit)
	assert.WithinDuration(t, time.Now(), a.LastChange, time.Minute)
	assert.Equal(t, 2, list[1].Index)

	for _, ref := range []string{"b", "1"} {
		f, err := e.Interface(ctx, ref)
		require.NoError(t, err)
		assert.Equal(t, "b", f.Name)
	}
	_, err = e.Interface(ctx, "c")
	assert.ErrorIs(t, err, ErrNoPort)
	assert.ErrorContains(t, err, "there are a, b")
}

// faulty wraps the null driver: it counts what is open and fails when told to.
type faulty struct {
	open   atomic.Int32
	failAt int32 // the open that fails, from 1
	// failFrom, if not 0, is the first of those that fail from then on.
	failFrom int32
	opened   atomic.Int32
	onClose  error
}

func (f *faulty) Kind() string { return "null" }

var errFaulty = errors.New("no such hardware")

func (f *faulty) Open(ctx context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	if n := f.opened.Add(1); n == f.failAt || f.failFrom != 0 && n >= f.failFrom {
		return nil, errFaulty
	}
	dev, err := null.Driver{}.Open(ctx, spec, env)
	if err != nil {
		return nil, err
	}
	f.open.Add(1)
	return &faultyDevice{dev, f}, nil
}

type faultyDevice struct {
	pmd.Device
	f *faulty
}

func (d *faultyDevice) Close() error {
	d.f.open.Add(-1)
	return errors.Join(d.Device.Close(), d.f.onClose)
}

func TestFailureClosesWhatWasOpened(t *testing.T) {
	for fail := int32(1); fail <= 3; fail++ {
		f := &faulty{failAt: fail}
		cfg := small(t, "null:", "null:", "null:")
		cfg.Registry = pmd.NewRegistry(f)
		_, err := Start(context.Background(), cfg)
		require.ErrorIs(t, err, errFaulty)
		assert.Zero(t, f.open.Load(), "open %d failed", fail)
		assert.False(t, usage.Is(err))
	}
	f := &faulty{}
	cfg := small(t, "null:", "null:size=9999")
	cfg.Registry = pmd.NewRegistry(f)
	_, err := Start(context.Background(), cfg)
	assert.True(t, usage.Is(err), "%v", err)
	assert.Zero(t, f.open.Load())
}

func TestWaitTellsWhatCloseSays(t *testing.T) {
	f := &faulty{onClose: errFaulty}
	cfg := small(t, "null:")
	cfg.Registry = pmd.NewRegistry(f)
	e, err := Start(context.Background(), cfg)
	require.NoError(t, err)
	e.Stop()
	assert.ErrorIs(t, e.Wait(), errFaulty)
	assert.NotNil(t, e.Final())
}

func TestEventsNeverBlock(t *testing.T) {
	release := make(chan struct{})
	var told []dataplane.Event
	ev := newEvents(func(e dataplane.Event) {
		<-release
		told = append(told, e)
	})
	const n = 3 * maxEvents
	ev.tell(dataplane.Event{Kind: "k", Text: "0"})
	until(t, "the listener is at work on the first", func() bool { return len(ev.queue) == 0 })
	for i := 1; i < n; i++ {
		ev.tell(dataplane.Event{Kind: "k", Text: fmt.Sprint(i)})
	}
	close(release)
	until(t, "room in the queue", func() bool { return len(ev.queue) == 0 })
	ev.tell(dataplane.Event{Kind: "last"})
	ev.close()

	require.GreaterOrEqual(t, len(told), 3)
	gap, last := told[len(told)-2], told[len(told)-1]
	assert.Equal(t, "last", last.Kind)
	assert.Equal(t, EventsLost, gap.Kind)
	assert.Equal(t, fmt.Sprintf("%d events were not told: the log was too slow", n-(len(told)-2)), gap.Text)
	for i, e := range told[:len(told)-2] {
		assert.Equal(t, fmt.Sprint(i), e.Text, "in order")
	}
}

func TestListenerThatHangsDoesNotKeepTheEnd(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	ev := newEvents(func(dataplane.Event) { <-hang })
	ev.tell(dataplane.Event{Kind: "k"})
	ev.close() // or the test hangs
}

func ExampleStart() {
	ports := []pmd.Spec{
		{Driver: "null", Name: "left", Options: map[string]string{}},
		{Driver: "null", Name: "right", Options: map[string]string{}},
	}
	e, err := Start(context.Background(), Config{
		Registry: drivers.Registry(), Ports: ports, Unpinned: 1, Pool: mbuf.Config{Frames: 1024},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	time.Sleep(10 * time.Millisecond)
	e.Stop()
	if err := e.Wait(); err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range e.Final().Ports {
		fmt.Println(p.Name, p.RxPackets > 0, p.Dropped())
	}
	fmt.Println("every frame accounted for:", e.Final().Pools[0].Balanced())
	// Output:
	// left true 0
	// right true 0
	// every frame accounted for: true
}

// pollcpu= says where each queue is polled, and the other port follows.
func TestPollCPU(t *testing.T) {
	skipWithoutPinning(t)
	topo, err := cpu.Local()
	require.NoError(t, err)
	ids := topo.Allowed.And(topo.Online).Slice()
	if len(ids) < 2 {
		t.Skip("one CPU is allowed: there is nothing to choose")
	}
	cfg := small(t, fmt.Sprintf("null:name=a,queues=3,pollcpu=%d,%d,%d", ids[1], ids[0], ids[1]), "null:name=b,queues=2")
	cfg.Unpinned, cfg.Pool.Frames = 0, 0
	e := started(t, cfg)
	poll, _ := e.Cores()
	assert.Equal(t, ids[:2], poll, "those that are named, though no --cores")
	list, err := e.Interfaces(context.Background())
	require.NoError(t, err)
	cpus := func(f Interface) (out []int) {
		for _, q := range f.Queues {
			out = append(out, q.CPU)
		}
		return out
	}
	assert.Equal(t, []int{ids[1], ids[0], ids[1]}, cpus(list[0]))
	assert.Equal(t, []int{ids[1], ids[0]}, cpus(list[1]))
	assert.Contains(t, list[0].Spec, fmt.Sprintf("pollcpu=%d,%d,%d", ids[1], ids[0], ids[1]))

	// As with pmd if set: one for all, or one for each queue. The first engine has to be
	// gone: it keeps other threads off its CPUs.
	e.Stop()
	require.NoError(t, e.Wait())
	cfg = small(t, fmt.Sprintf("null:name=a,queues=3,pollcpu=%d,%d", ids[1], ids[0]))
	cfg.Unpinned = 0
	_, err = Start(context.Background(), cfg)
	require.ErrorContains(t, err, "2 CPUs for 3 queues: name one for each queue, or one for all")
	assert.True(t, usage.Is(err))
}
