package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
)

// texts writes steps as a person would.
func texts(steps []Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, strings.Join(strings.Fields(s.What+" "+s.Port+" "+s.From+">"+s.To), " "))
	}
	return out
}

// flows waits until every port sends frames that it was given after now.
func flows(t testing.TB, e *Engine) {
	t.Helper()
	sent := func() map[string]uint64 {
		s, err := e.Stats(context.Background())
		require.NoError(t, err)
		out := map[string]uint64{}
		for i := range s.Ports {
			if p := &s.Ports[i]; !p.Removed {
				out[p.Name] = p.TxPackets + p.Dropped()
			}
		}
		return out
	}
	before := sent()
	until(t, "frames on every port", func() bool {
		for name, n := range sent() {
			if n == before[name] {
				return false
			}
		}
		return true
	})
}

func TestApply(t *testing.T) {
	cfg := small(t, "null:name=a", "null:name=b")
	cfg.Unpinned = 2
	e := started(t, cfg)
	ctx := context.Background()
	flows(t, e)

	next := small(t, "null:name=a", "null:name=b", "null:name=c,queues=2")
	next.Mode, next.Links, next.Peers = "macswap", []string{"a:c"}, []string{"b,02:00:00:00:00:09"}
	want := []string{
		"add c >null:name=c,queues=2", "mode io>macswap",
		"connect a b>c", "connect b a>b", "peer b >02:00:00:00:00:09", "connect c >a",
	}
	plan, err := e.Plan(context.Background(), next)
	require.NoError(t, err)
	assert.Equal(t, want, texts(plan))
	assert.Equal(t, "io", e.Mode(), "a plan changes nothing")
	steps, err := e.Apply(ctx, next)
	require.NoError(t, err)
	assert.Equal(t, plan, steps, "what was told is what is done")
	assert.Equal(t, Forwarding{
		Mode: "macswap", Modes: e.Forwarding().Modes, Connect: []Connection{{"a", "c"}, {"b", "b"}, {"c", "a"}},
	}, e.Forwarding())
	flows(t, e)
	steps, err = e.Apply(ctx, next)
	require.NoError(t, err)
	assert.Empty(t, steps, "nothing to do the second time")

	// One goes, one changes, and the ports that stay keep their numbers.
	ids := map[string]int{}
	list, err := e.Interfaces(ctx)
	require.NoError(t, err)
	for _, f := range list {
		ids[f.Name] = f.ID
	}
	last := small(t, "null:name=c,queues=2", "null:name=a,size=128")
	steps, err = e.Apply(ctx, last)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"remove a null:name=a>", "remove b null:name=b>", "add a >null:name=a,size=128", "mode macswap>io",
	}, texts(steps))
	list, err = e.Interfaces(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, ids["c"], list[0].ID)
	assert.Equal(t, "a", list[1].Name)
	assert.Equal(t, "c", list[1].To)
	assert.NotContains(t, []int{ids["a"], ids["b"], ids["c"]}, list[1].ID, "a new port has a new number")
	_, err = e.Interface(ctx, "b")
	assert.ErrorIs(t, err, ErrNoPort)
	flows(t, e)
	assert.Equal(t, []string{"null:name=c,queues=2", "null:name=a,size=128"}, []string{e.Ports()[0].String(), e.Ports()[1].String()})

	e.Stop()
	require.NoError(t, e.Wait())
	balanced(t, e.Final())
}

// A port whose name alone is another stays open: its number, its device, its interface's
// addresses and its connections. Names may go round in a circle, and be those of ports that go;
// if a later step fails they are as they were.
func TestApplyRenames(t *testing.T) {
	ctx := context.Background()
	f := &faulty{}
	cfg := small(t, "null:name=a", "null:name=b,size=100", "null:name=c,size=100,copy=on", "null:name=gone,size=200")
	cfg.Registry, cfg.Links, cfg.Peers = pmd.NewRegistry(f), []string{"a:c", "b:b", "gone:gone"}, []string{"c,02:00:00:00:00:09"}
	cfg.Interfaces = []InterfaceConfig{{Port: "a", Addrs: []AddrSettings{{Address: "192.0.2.1/24"}}}}
	e := started(t, cfg)
	numbers := func() (out []int) {
		list, err := e.Interfaces(ctx)
		require.NoError(t, err)
		for _, i := range list {
			out = append(out, i.ID)
		}
		return out
	}
	before, opened := numbers(), f.opened.Load()

	next := cfg
	next.Ports = specs(t, "null:name=b", "null:name=a,size=100", "null:name=gone,size=100,copy=on", "null:name=new,size=201")
	next.Links, next.Peers = []string{"b:gone", "a:a", "new:new"}, []string{"gone,02:00:00:00:00:09"}
	next.Interfaces = []InterfaceConfig{{Port: "b", Addrs: []AddrSettings{{Address: "192.0.2.1/24"}}}}
	f.failAt = opened + 1
	_, err := e.Apply(ctx, next)
	require.ErrorIs(t, err, errFaulty)
	require.ErrorContains(t, err, "what had been done is undone")
	left, err := e.Plan(ctx, cfg)
	require.NoError(t, err)
	require.Empty(t, left, "all have the names they had")
	require.Equal(t, before[:3], numbers()[:3])

	opened = f.opened.Load()
	plan, err := e.Plan(ctx, next)
	require.NoError(t, err)
	require.Equal(t, []string{
		"rename a a>b", "rename b b>a", "rename c c>gone", "remove gone null:name=gone,size=200>", "add new >null:name=new,size=201", "connect new >new",
	}, texts(plan))
	l := e.Listen()
	defer l.Close()
	steps, err := e.Apply(ctx, next)
	require.NoError(t, err)
	require.Equal(t, plan, steps)
	require.Equal(t, opened+1, f.opened.Load(), "the new one alone is opened")
	require.Equal(t, before[:3], numbers()[:3])
	first, err := e.Interface(ctx, "b")
	require.NoError(t, err)
	require.Equal(t, []NetAddress{{Address: "192.0.2.1/24", Broadcast: "192.0.2.255"}}, first.Addresses)
	require.Equal(t, []string{"gone", "null:name=b"}, []string{first.To, first.Spec})
	for name := range map[string]bool{"a": true, "b": true, "gone": true} {
		down := false
		_, err := e.SetInterface(ctx, name, IfSettings{Up: &down})
		require.NoError(t, err, "the interface goes by the name of its port")
		up := true
		_, err = e.SetInterface(ctx, name, IfSettings{Up: &up})
		require.NoError(t, err)
	}
	left, err = e.Plan(ctx, next)
	require.NoError(t, err)
	require.Empty(t, left)
	flows(t, e)
	e.Stop()
	require.NoError(t, e.Wait())
	accountedFor(t, e.Final())
}

// Ports whose worker has failed are opened again by the next apply, on a worker that lives, and
// not where nobody polls.
func TestApplyReopensWhatAFailedWorkerClosed(t *testing.T) {
	ctx := context.Background()
	cfg := small(t, "null:name=a", "null:name=b", "null:name=c,size=100", "null:name=d")
	cfg.Unpinned = 2
	cfg.Interfaces = []InterfaceConfig{{Port: "c", Addrs: []AddrSettings{{Address: "192.0.2.1/24"}}}}
	e := started(t, cfg)
	onCPUs(e, 100, 101)
	flows(t, e)
	require.NoError(t, e.dp.SetStage(ctx, dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		if w.ID() == 1 {
			panic("the stage is ill")
		}
		w.SendBurst(in^1, burst)
	})))
	until(t, "the worker to fail, and its ports to be closed", func() bool {
		s, err := e.dp.Stats(ctx)
		require.NoError(t, err)
		return s.Ports[2].Closed && s.Ports[3].Closed && s.Cores[1].State == "failed"
	})

	named := cfg
	named.Ports = slices.Clone(cfg.Ports)
	named.Ports[2].PollCPU = "101"
	_, err := e.Apply(ctx, named)
	require.ErrorContains(t, err, "port c: pollcpu=101: the worker on CPU 101 has failed")

	// The names are another's now: what is closed is not renamed.
	cfg.Ports = specs(t, "null:name=a", "null:name=b", "null:name=c,size=100", "null:name=e")
	steps, err := e.Apply(ctx, cfg)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"remove c null:name=c,size=100>", "remove d null:name=d>", "add c >null:name=c,size=100", "add e >null:name=e",
		"connect c d>e", "connect e >c", "interface c >addr=192.0.2.1/24",
	}, texts(steps))
	flows(t, e)
	list, err := e.Interfaces(ctx)
	require.NoError(t, err)
	for _, f := range list {
		assert.True(t, f.Up, f.Name)
		assert.Equal(t, []InterfaceQueue{{Index: 0, CPU: -1}}, f.Queues, "the worker that lives is bound to no CPU")
	}
	left, err := e.Plan(ctx, cfg)
	require.NoError(t, err)
	assert.Empty(t, left)
	made, err := e.Create(ctx, "null", nil)
	require.NoError(t, err)
	assert.True(t, made.Up, "nor is a new one opened where nobody polls")
	flows(t, e)
	e.Stop()
	require.NoError(t, e.Wait())
}

// balanced checks that everything received was sent, dropped or is in hand, over
// ports that went too, and that no frame is lost.
func balanced(t testing.TB, s *Stats) {
	t.Helper()
	require.NotNil(t, s)
	var rx, out uint64
	for i := range s.Ports {
		p := &s.Ports[i]
		rx += p.RxPackets
		out += p.TxPackets + p.Dropped() + p.InHand
	}
	assert.Equal(t, rx, out, "received = sent + dropped + in hand")
	for _, p := range s.Pools {
		assert.True(t, p.Balanced(), "%+v", p)
	}
}

func TestApplyRefusesMistakes(t *testing.T) {
	e := started(t, small(t, "null:name=a", "null:name=b"))
	for _, change := range []func(*Config){
		func(c *Config) { c.Ports = nil },
		func(c *Config) { c.Mode = "fast" },
		func(c *Config) { c.Links = []string{"a:z"} },
		func(c *Config) { c.Ports = specs(t, "null:name=a,size=1") },
		func(c *Config) { c.Ports = specs(t, "null:name=a", "null:name=a") },
	} {
		cfg := small(t, "null:name=a", "null:name=b")
		change(&cfg)
		_, err := e.Apply(context.Background(), cfg)
		assert.True(t, usage.Is(err), "%v", err)
		assert.Equal(t, []Connection{{"a", "b"}, {"b", "a"}}, e.Forwarding().Connect)
	}
}

// TestApplyIsAllOrNothing lets each step that opens or closes a device fail in turn.
func TestApplyIsAllOrNothing(t *testing.T) {
	ctx := context.Background()
	for fail := int32(1); fail <= 3; fail++ {
		f := &faulty{}
		cfg := small(t, "null:name=a", "null:name=b,size=100", "null:name=gone,size=300")
		cfg.Registry = pmd.NewRegistry(f)
		e := started(t, cfg)
		before := e.Forwarding()
		f.failAt = f.opened.Load() + fail
		next := cfg
		next.Ports = specs(t, "null:name=c", "null:name=a", "null:name=b,size=200", "null:name=d")
		next.Mode = "macswap"
		_, err := e.Apply(ctx, next)
		require.ErrorIs(t, err, errFaulty)
		assert.ErrorContains(t, err, "what had been done is undone")
		assert.Equal(t, before, e.Forwarding(), "the open that failed: %d", fail)
		assert.Equal(t, int32(3), f.open.Load())
		plan, perr := e.Plan(context.Background(), cfg)
		require.NoError(t, perr)
		assert.Empty(t, plan, "all is as it was")
		flows(t, e)
		steps, err := e.Apply(ctx, next)
		require.NoError(t, err)
		assert.Len(t, steps, 10, "%q", texts(steps))
		assert.Equal(t, int32(4), f.open.Load())
		flows(t, e)
		e.Stop()
		require.NoError(t, e.Wait())
		balanced(t, e.Final())
	}
}

// TestApplyThatCannotBeUndone: the device that was closed does not open again. The
// error says so, the rest goes on, and what is lost is shown.
func TestApplyThatCannotBeUndone(t *testing.T) {
	f := &faulty{}
	cfg := small(t, "null:name=a", "null:name=b")
	cfg.Registry = pmd.NewRegistry(f)
	e := started(t, cfg)
	next := cfg
	next.Ports = specs(t, "null:name=a,size=100", "null:name=b")
	f.failFrom = f.opened.Load() + 1
	_, err := e.Apply(context.Background(), next)
	require.ErrorIs(t, err, errFaulty)
	assert.ErrorContains(t, err, "could not all be undone")
	list, err := e.Interfaces(context.Background())
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.False(t, list[0].Up)
	assert.Equal(t, "removed", list[0].Detail)
	f.failFrom = 0
	_, err = e.Apply(context.Background(), next)
	require.NoError(t, err, "and it can be mended")
	flows(t, e)
}

// slow opens devices when it is let.
type slow struct {
	faulty
	entered, release chan struct{}
}

func (s *slow) Open(ctx context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	if spec.Name == "slow" {
		s.entered <- struct{}{}
		<-s.release
	}
	return null.Driver{}.Open(ctx, spec, env)
}

func TestOneApplyAtATime(t *testing.T) {
	s := &slow{entered: make(chan struct{}), release: make(chan struct{})}
	cfg := small(t, "null:name=a")
	cfg.Registry = pmd.NewRegistry(s)
	e := started(t, cfg)
	next := cfg
	next.Ports = specs(t, "null:name=a", "null:name=slow")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := e.Apply(ctx, next)
		done <- err
	}()
	<-s.entered
	_, err := e.Apply(ctx, next)
	require.ErrorIs(t, err, ErrChanging)
	cancel() // the client leaves; what was begun is finished
	flows(t, e)
	close(s.release)
	require.NoError(t, <-done)
	assert.Len(t, e.Ports(), 2)
}

// Any other change is waited for, for as long as the caller cares.
func TestApplyWaitsForOtherChanges(t *testing.T) {
	e := started(t, small(t, "null:name=a"))
	next := small(t, "null:name=a", "null:name=b")
	e.changeMu.Lock()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := e.Apply(gone, next)
	require.ErrorIs(t, err, ErrChanging)
	require.ErrorIs(t, e.SetMode(gone, "mac", nil), context.Canceled)
	_, err = e.SetPolling(gone, "", dataplane.PollSettings{})
	require.ErrorIs(t, err, context.Canceled)
	done := make(chan error, 1)
	go func() {
		_, err := e.Apply(context.Background(), next)
		done <- err
	}()
	require.Eventually(t, func() bool {
		if !e.applying.TryLock() {
			return true
		}
		e.applying.Unlock()
		return false
	}, 30*time.Second, time.Millisecond, "it does not wait")
	e.changeMu.Unlock()
	require.NoError(t, <-done)
	assert.Len(t, e.Ports(), 2)
}

// TestApplyProperties goes from one random configuration to the next. After each
// there is nothing left to do, and in the end no frame is missing.
func TestApplyProperties(t *testing.T) {
	e := started(t, small(t, "null:name=a", "null:name=b"))
	end := time.Now().Add(1500 * time.Millisecond)
	rapid.Check(t, func(t *rapid.T) {
		if time.Now().After(end) {
			return
		}
		var ports []string
		for _, name := range rapid.Permutation([]string{"a", "b", "c", "d"}).Draw(t, "order")[:rapid.IntRange(1, 4).Draw(t, "n")] {
			ports = append(ports, fmt.Sprintf("null:name=%s,size=%d", name, rapid.SampledFrom([]int{64, 100}).Draw(t, "size")))
		}
		cfg := Config{Registry: drivers.Registry(), Mode: rapid.SampledFrom([]string{"io", "mac", "macswap", "rxonly"}).Draw(t, "mode")}
		for _, p := range ports {
			s, err := pmd.ParseSpec(p)
			require.NoError(t, err)
			cfg.Ports = append(cfg.Ports, s)
		}
		if len(ports) > 2 && rapid.Bool().Draw(t, "linked") {
			cfg.Links = []string{cfg.Ports[0].Name + ":" + cfg.Ports[2].Name}
		}
		plan, err := e.Plan(context.Background(), cfg)
		require.NoError(t, err)
		opens, least := 0, 0
		for _, s := range plan {
			if s.What == StepAdd {
				opens++
			}
		}
		there := map[string]int{} // ports by what they are but for their names
		for _, s := range e.Ports() {
			there[s.Options["size"]]++
		}
		for _, s := range cfg.Ports {
			if there[s.Options["size"]]--; there[s.Options["size"]] < 0 {
				least++
			}
		}
		require.Equal(t, least, opens, "no port is opened again that could stay, under whatever name: %q", texts(plan))
		steps, err := e.Apply(context.Background(), cfg)
		require.NoError(t, err)
		require.Equal(t, texts(plan), texts(steps))
		plan, err = e.Plan(context.Background(), cfg)
		require.NoError(t, err)
		require.Empty(t, plan)
	})
	flows(t, e)
	e.Stop()
	require.NoError(t, e.Wait())
	balanced(t, e.Final())
}
