package engine

import (
	"context"
	"fmt"
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
		cfg := small(t, "null:name=a", "null:name=b,size=100", "null:name=gone")
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
		opens := 0
		for _, s := range plan {
			if s.What == StepAdd {
				opens++
			}
		}
		before := map[string]bool{}
		for _, s := range e.Ports() {
			before[s.String()] = true
		}
		for _, s := range cfg.Ports {
			if before[s.String()] {
				opens++
			}
		}
		require.Equal(t, len(cfg.Ports), opens, "ports that stay as they are are not opened again")
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
