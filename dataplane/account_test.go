package dataplane_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Every frame has one owner at any moment of full traffic, over one, two and four
// workers. Half of the traffic crosses workers.
func TestAccountsUnderTraffic(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(workers)})
			for i := range 2 * workers {
				_, q := l.port(fmt.Sprint("p", i), (i+i/2*(i%2))%workers)
				q.endless, q.record = true, false
			}
			stop := l.start(t)
			for range 8 / workers { // more wait longer for each other
				accounts, err := l.Accounts()
				require.NoError(t, err)
				require.Len(t, accounts, 1)
				require.True(t, accounts[0].Balanced(), "%+v", accounts[0])
				require.Equal(t, 4096, accounts[0].Frames)
				total := 0
				for _, n := range accounts[0].ByOwner {
					total += n
				}
				require.Equal(t, 4096, total)
			}
			require.NoError(t, stop())
			require.NotZero(t, l.balanced(0).tx)
		})
	}
}

// A frame that somebody forgot, and one that two have, are found.
func TestAccountsFindWhatIsWrong(t *testing.T) {
	both(t, func(t *testing.T, l *lab) {
		_, a := l.port("a", 0)
		var f [3]mbuf.Frame
		l.do(0, func(w *dataplane.Worker) {
			w.Local().Cache(a.pool.ID()).TakeFrames(f[:], 0, 60, a.pool.Meta(0))
		})
		got, err := l.Accounts()
		require.NoError(t, err)
		require.False(t, got[0].Balanced())
		require.Equal(t, 4096-3, got[0].Accounted)
		require.Zero(t, got[0].Duplicate)

		l.do(0, func(w *dataplane.Worker) {
			w.Local().Free(f[:])
			a.posted, a.stuck = append(a.posted, f[1]), true // freed, and still posted
		})
		got, err = l.Accounts()
		require.NoError(t, err)
		require.False(t, got[0].Balanced())
		require.Equal(t, 4096, got[0].Accounted)
		require.Equal(t, 1, got[0].Duplicate)

		l.do(0, func(*dataplane.Worker) { a.posted = nil })
		l.balanced(0)
	})
}

// A stage that holds frames says so to the account, and gives them up when it is
// replaced and when the worker stops.
func TestFrameHolder(t *testing.T) {
	h := newHolder(1, 10)
	l := newLab(t, dataplane.Config{Stage: h})
	_, a := l.port("a", 0)
	_, b := l.port("b", 0)
	a.rx = burstOf(1, 0, 14)
	l.turn(0)
	require.Len(t, b.sent, 4)
	s := l.stats()
	require.Equal(t, 10, s.Pools[0].ByOwner[mbuf.OwnerBurst])
	l.balanced(10)

	next := newHolder(1, 3)
	require.NoError(t, l.SetStage(t.Context(), next))
	require.EqualValues(t, 1, h.released.Load())
	l.turn(0)
	require.Equal(t, count(14), seqs(b.sent, 1))

	a.rx = burstOf(1, 14, 3)
	stop := l.start(t)
	require.Eventually(t, func() bool { return l.balancedNow().rx == 17 }, eventually, tick)
	require.NoError(t, stop())
	require.EqualValues(t, 1, next.released.Load())
	require.Equal(t, count(17), seqs(b.sent, 1))
	require.Equal(t, uint64(17), l.balanced(0).tx)
}

// A walk that panics is an error of the account. No worker waits for it.
func TestWalkThatPanics(t *testing.T) {
	for _, workers := range []int{1, 3} {
		h := newHolder(workers, 0)
		l := newLab(t, dataplane.Config{Stage: h, Cores: unpinned(workers)})
		l.port("a", 0)
		check := func() {
			h.walk.Store(true)
			_, err := l.Accounts()
			require.ErrorContains(t, err, "the walk is ill")
			h.walk.Store(false)
			l.balanced(0)
		}
		check()
		stop := l.start(t)
		check()
		require.NoError(t, stop())
		check()
	}
}

// Accounts and Do do not get into each other's way, whether workers start, run,
// stop or have stopped: the race detector watches.
func TestAccountsBesideEverything(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.endless, a.record, b.record = true, false, false
	quit := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(fn func() error) {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if err := fn(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	loop(func() error {
		got, err := l.Accounts()
		if err == nil && !got[0].Balanced() {
			err = fmt.Errorf("not balanced: %+v", got[0])
		}
		return err
	})
	loop(func() error {
		return l.Do(context.Background(), 0, func(w *dataplane.Worker) {
			var f [8]mbuf.Frame
			n := w.Local().Cache(a.pool.ID()).TakeFrames(f[:], 0, 60, a.pool.Meta(0))
			w.DropBurst(pmd.ReasonSink, f[:n])
		})
	})
	for range 20 {
		require.NoError(t, l.Barrier(t.Context()))
	}
	stop := l.start(t)
	for range 20 {
		require.NoError(t, l.Barrier(t.Context()))
	}
	require.NoError(t, stop())
	for range 20 {
		require.NoError(t, l.Barrier(t.Context()))
	}
	close(quit)
	wg.Wait()
}

// A driver may make pools while statistics are taken.
func TestStatisticsWhilePoolsAreMade(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Pool: mbuf.Config{Frames: mbuf.MinFrames, HugePages: mbuf.HugeOff}})
	l.port("a", 0)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 100 {
			if _, err := l.Env().Pool(pmd.Class{NUMANode: i}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 300 {
		for _, p := range l.stats().Pools {
			require.True(t, p.Balanced())
		}
	}
	wg.Wait()
	require.Len(t, l.stats().Pools, 101)
}
