package dataplane_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// both runs a test on a worker that runs and on one that nobody runs, whose mail
// is served by whoever sends it.
func both(t *testing.T, test func(t *testing.T, l *lab)) {
	for _, running := range []bool{true, false} {
		name := "stopped"
		if running {
			name = "running"
		}
		t.Run(name, func(t *testing.T) {
			l := newLab(t, dataplane.Config{Stage: pairs})
			if running {
				l.start(t)
			}
			test(t, l)
		})
	}
}

func TestDoRunsInOrder(t *testing.T) {
	both(t, func(t *testing.T, l *lab) {
		var got []uint64
		for i := range uint64(100) {
			require.NoError(t, l.Do(t.Context(), 0, func(w *dataplane.Worker) {
				require.Equal(t, 0, w.ID())
				require.Equal(t, dataplane.Unpinned, w.CPU())
				got = append(got, i)
			}))
		}
		require.Equal(t, count(100), got)
	})
}

// posted is a context that tells when a call begins to wait for it: Do has put its
// message into the mailbox by then.
type posted struct {
	context.Context
	waits func()
}

func (p posted) Done() <-chan struct{} {
	p.waits()
	return p.Context.Done()
}

// Messages that wait together are run in the order they were sent.
func TestMailIsServedOldestFirst(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs})
	l.start(t)
	hold, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = l.Do(context.Background(), 0, func(*dataplane.Worker) { close(held); <-hold })
	}()
	<-held
	var got []int
	var wg sync.WaitGroup
	for i := range 5 {
		there := make(chan struct{})
		ctx := posted{context.Background(), sync.OnceFunc(func() { close(there) })}
		wg.Go(func() {
			_ = l.Do(ctx, 0, func(*dataplane.Worker) { got = append(got, i) })
		})
		<-there
	}
	close(hold)
	wg.Wait()
	require.Equal(t, []int{0, 1, 2, 3, 4}, got)
}

func TestDoFromManyGoroutines(t *testing.T) {
	both(t, func(t *testing.T, l *lab) {
		n := 0 // no lock: only the worker touches it
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 200 {
					if err := l.Do(context.Background(), 0, func(*dataplane.Worker) { n++ }); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		require.Equal(t, 16*200, n)
	})
}

func TestDoThatPanicsIsAnError(t *testing.T) {
	both(t, func(t *testing.T, l *lab) {
		err := l.Do(t.Context(), 0, func(*dataplane.Worker) { panic("spilled the tea") })
		require.ErrorContains(t, err, "spilled the tea")
		require.ErrorContains(t, err, "control_test.go", "the stack tells where")
		ran := false
		require.NoError(t, l.Do(t.Context(), 0, func(*dataplane.Worker) { ran = true }))
		require.True(t, ran, "the worker goes on")
	})
}

func TestDoWithADoneContextRunsNothing(t *testing.T) {
	both(t, func(t *testing.T, l *lab) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range 100 {
			err := l.Do(ctx, 0, func(*dataplane.Worker) { t.Error("it ran") })
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, "worker 0")
		}
		require.NoError(t, l.Barrier(context.Background()))
	})
}

// A caller that gives up while the worker is busy gets its error at once, and its
// function never runs; one whose function has begun waits for it.
func TestDoGivenUp(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs})
	l.start(t)
	hold, held := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { first <- l.Do(ctx, 0, func(*dataplane.Worker) { close(held); <-hold }) }()
	<-held
	soon, cancelSoon := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancelSoon()
	err := l.Do(soon, 0, func(*dataplane.Worker) { t.Error("it ran though its caller had given up") })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	cancel()
	select {
	case err := <-first:
		t.Fatalf("Do returned while its function was running: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(hold)
	require.NoError(t, <-first)
	require.NoError(t, l.Barrier(context.Background()))
}

func TestDoNamesTheWorkersThereAre(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(3)})
	require.Equal(t, 3, l.Workers())
	for _, i := range []int{-1, 3} {
		require.ErrorContains(t, l.Do(t.Context(), i, func(*dataplane.Worker) {}), "there are workers 0 to 2")
	}
}

// Workers stop while others send them mail: none is left behind.
func TestDoWhileWorkersStop(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	stop := l.start(t)
	var ran, sent atomic.Int64
	var wg sync.WaitGroup
	begun := make(chan struct{}, 4)
	for i := range 4 {
		wg.Go(func() {
			for k := range 300 {
				sent.Add(1)
				if err := l.Do(context.Background(), i%2, func(*dataplane.Worker) { ran.Add(1) }); err != nil {
					t.Error(err)
				}
				if k == 50 {
					begun <- struct{}{}
				}
			}
		})
	}
	<-begun
	require.NoError(t, stop())
	wg.Wait()
	require.Equal(t, sent.Load(), ran.Load())
	require.Equal(t, "stopped", l.core(0).State)
}

// Barrier returns only when the turn each worker was in has ended.
func TestBarrierWaitsForTheTurn(t *testing.T) {
	var inside, entered atomic.Bool
	release := make(chan struct{})
	stage := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
		inside.Store(true)
		entered.Store(true)
		<-release
		w.DropBurst(pmd.ReasonSink, burst)
		inside.Store(false)
	})
	l := newLab(t, dataplane.Config{Stage: stage, Cores: unpinned(2)})
	_, a := l.port("a", 1)
	a.rx = burstOf(1, 0, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	require.Eventually(t, entered.Load, eventually, tick)

	short, cancelShort := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancelShort()
	require.ErrorIs(t, l.Barrier(short), context.DeadlineExceeded)
	passed := make(chan error, 1)
	go func() {
		err := l.Barrier(ctx)
		if inside.Load() {
			err = errors.New("the barrier was passed while the stage was working")
		}
		passed <- err
	}()
	time.Sleep(20 * time.Millisecond)
	close(release)
	require.NoError(t, <-passed)
	cancel()
	require.NoError(t, <-done)
}

// marker is a stage that stamps its number into frames, so that a test sees which
// one a frame went through.
func marker(n uint64) dataplane.Stage {
	return dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		for _, f := range burst {
			putTicket(w, f, n)
		}
		w.SendBurst(in^1, burst)
	})
}

func TestSetStageUnderTraffic(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: marker(0), Cores: unpinned(2), Burst: 8})
	for i, name := range []string{"a", "b", "c", "d"} {
		_, q := l.port(name, i/2)
		q.endless, q.flow, q.record = i%2 == 0, uint32(i), i%2 == 1
	}
	// The fast ones would fill the records for nothing.
	for _, i := range []int{0, 2} {
		l.devs[i].q().record = false
	}
	stop := l.start(t)
	for n := uint64(1); n <= 20; n++ {
		require.NoError(t, l.SetStage(t.Context(), marker(n)))
	}
	require.NoError(t, stop())
	got := l.balanced(0)
	require.Empty(t, got.drops, "nothing was lost")
	for i := 1; i < 4; i += 2 {
		q := l.devs[i].q()
		require.Equal(t, count(len(q.sent)), seqs(q.sent, uint32(i-1)), "all of them, in order")
		seen := map[uint64]bool{}
		for k, n := range q.tickets {
			require.True(t, k == 0 || n >= q.tickets[k-1], "an old stage after a new one")
			seen[n] = true
		}
		require.True(t, seen[20] || len(seen) > 1, "stages seen: %v", seen)
	}
	require.ErrorContains(t, l.SetStage(t.Context(), nil), "nil")
}

// A device may have a function run on the worker that polls its queue, or here if
// nobody does.
func TestExclusive(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	_, a := l.port("a", 1)
	a.endless = true
	other := l.device("b", pmd.Class{NUMANode: -1}, 1)
	host := l.Env().Host
	ran := 0
	host.Exclusive(other.q(), func() { ran++ })
	require.Equal(t, 1, ran, "a queue of no port")
	host.Exclusive(a, func() { ran++ })
	require.Equal(t, 2, ran, "a worker nobody runs")
	stop := l.start(t)
	for range 50 {
		// Under the race detector this fails if the worker goes on meanwhile.
		host.Exclusive(a, func() { a.endless = !a.endless; ran++ })
	}
	require.NoError(t, stop())
	host.Exclusive(a, func() { ran++ })
	require.Equal(t, 53, ran)
	l.balanced(0)
}

// A port's change of state reaches the workers and the program.
func TestPortEvents(t *testing.T) {
	var mu sync.Mutex
	var events []dataplane.Event
	l := newLab(t, dataplane.Config{
		Stage: pairs, Cores: unpinned(2),
		OnEvent: func(e dataplane.Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		},
	})
	_, a := l.port("a", 0)
	l.port("b", 1)
	host := l.Env().Host
	l.start(t)
	wait := func(n int) dataplane.Event {
		require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(events) >= n }, eventually, tick)
		mu.Lock()
		defer mu.Unlock()
		return events[n-1]
	}
	l.devs[1].set(host, false, "no carrier")
	e := wait(1)
	require.WithinDuration(t, time.Now(), e.Time, eventually)
	require.Equal(t, dataplane.Event{Time: e.Time, Kind: dataplane.EventPortDown, Port: "b", CPU: dataplane.Unpinned, Text: "no carrier"}, e)
	l.do(0, func(*dataplane.Worker) { a.rx = burstOf(1, 0, 5) })
	require.Eventually(t, func() bool { return l.balancedNow().drops["port_down"] == 5 }, eventually, tick)

	l.devs[1].set(host, true, "carrier")
	require.Equal(t, dataplane.EventPortUp, wait(2).Kind)
	l.do(0, func(*dataplane.Worker) { a.rx = burstOf(1, 5, 5) })
	require.Eventually(t, func() bool { return l.balancedNow().tx == 5 }, eventually, tick)

	l.devs[1].set(host, true, "another MTU")
	require.Equal(t, dataplane.EventPortChanged, wait(3).Kind)
	host.Notify(l.device("stranger", pmd.Class{NUMANode: -1}, 1), "not ours")
	l.devs[0].set(host, false, "last")
	require.Equal(t, "last", wait(4).Text, "a stranger's notice is no event")

	// An MTU that the port cannot receive is an event of its own; a smaller one is not.
	mtu := func(mtu int, detail string) {
		d := l.devs[1]
		d.mu.Lock()
		d.info.MTU, d.info.Detail = mtu, detail
		d.mu.Unlock()
		host.Notify(d, detail)
	}
	mtu(9000, "too long")
	e = wait(5)
	require.Equal(t, []string{dataplane.EventMTUExceeded, "b", "too long"}, []string{e.Kind, e.Port, e.Text})
	mtu(1500, "")
	require.Equal(t, dataplane.EventPortChanged, wait(6).Kind)
}

// Queues that nobody polls are told at the start, when there are others, and when the
// port is back; not for anything else.
func TestUnpolledQueuesAreAnnounced(t *testing.T) {
	var log diary
	l := newLab(t, dataplane.Config{Stage: pairs, OnEvent: log.write})
	dev := l.device("a", pmd.Class{NUMANode: -1}, 1)
	unpolled := func(queues ...int) {
		dev.mu.Lock()
		defer dev.mu.Unlock()
		dev.info.Unpolled, dev.info.Remedy = queues, fmt.Sprintf("nobody polls %v", queues)
	}
	unpolled(1)
	_, err := l.AddPort(dev, dataplane.PortConfig{})
	require.NoError(t, err)
	told := func(texts ...string) {
		t.Helper()
		var got []string
		require.Eventually(t, func() bool {
			got = nil
			for _, e := range log.of(dataplane.EventQueuesUnpolled) {
				require.Equal(t, "a", e.Port)
				got = append(got, e.Text)
			}
			return len(got) >= len(texts)
		}, eventually, tick)
		require.Equal(t, texts, got)
	}
	told("nobody polls [1]")
	require.Equal(t, []int{1}, l.stats().Ports[0].UnpolledQueues)
	l.start(t)
	host := l.Env().Host
	dev.set(host, true, "another MTU")
	unpolled(1, 2)
	dev.set(host, true, "more queues")
	told("nobody polls [1]", "nobody polls [1 2]")
	unpolled()
	dev.set(host, true, "fewer")
	unpolled(3)
	dev.set(host, false, "gone")
	dev.set(host, true, "back")
	told("nobody polls [1]", "nobody polls [1 2]", "nobody polls [3]", "nobody polls [3]")
}

// balancedNow is the sum of the counters, without the balance.
func (l *lab) balancedNow() totals { return sum(l.stats()) }

// More notices than anybody reads do not stop a device.
func TestNotifyDoesNotBlock(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs})
	l.port("a", 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			l.Env().Host.Notify(l.devs[0], "again")
		}
	}()
	select {
	case <-done:
	case <-time.After(eventually):
		t.Fatal("Notify blocks")
	}
	l.start(t)
}
