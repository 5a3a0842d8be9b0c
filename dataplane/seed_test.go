package dataplane_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
)

// TestSeed has a subtest for what DragonFly BSD's net/if.c needs of its message ports, one a
// CPU: here a worker's mailbox.
func TestSeed(t *testing.T) {
	for _, n := range []int{1, 2, 64} {
		d, err := dataplane.New(dataplane.Config{Stage: pairs, Cores: unpinned(n), Idle: dataplane.IdleInterrupt})
		require.NoError(t, err)
		t.Run(fmt.Sprintf("ifaddrinit/cpus=%d", n), func(t *testing.T) {
			// Every CPU has a port and somebody who serves it, from the start: what is
			// sent before a worker runs is served too.
			require.Equal(t, n, d.Workers())
			for i := range n {
				served := false
				require.NoError(t, d.Do(context.Background(), i, func(w *dataplane.Worker) {
					require.Equal(t, i, w.ID())
					served = true
				}))
				require.True(t, served, "the caller waits")
			}
			// The loop serves what waits between two bursts: a turn that is stepped.
			for i := range n {
				sent := make(chan error, 1)
				var on *dataplane.Worker
				require.NoError(t, d.Do(context.Background(), i, func(w *dataplane.Worker) {
					go func() { sent <- d.Do(context.Background(), i, func(w *dataplane.Worker) { on = w }) }()
					for end := time.Now().Add(30 * time.Second); on == nil && time.Now().Before(end); {
						w.Turn()
					}
					require.Same(t, w, on, "served in a turn")
				}))
				require.NoError(t, <-sent)
			}
			if n > 2 {
				return // so many are stepped only
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- d.Run(ctx) }()
			for left := n; left > 0; { // until each has been seen to run, and has answered
				require.NoError(t, d.Do(context.Background(), left-1, func(*dataplane.Worker) {}))
				s, err := d.Stats(context.Background())
				require.NoError(t, err)
				if s.Cores[left-1].State == "running" {
					require.NoError(t, d.Do(context.Background(), left-1, func(*dataplane.Worker) {}))
					left--
				}
			}
			cancel()
			require.NoError(t, <-done)
		})
		t.Run(fmt.Sprintf("ifa_portfn/cpus=%d", n), func(t *testing.T) {
			// Each message reaches the worker it is for, and no other; there is no
			// port of a CPU that is not there.
			workers := map[*dataplane.Worker]int{}
			for range 3 {
				for i := range n {
					require.NoError(t, d.Do(context.Background(), i, func(w *dataplane.Worker) { workers[w]++ }))
				}
			}
			require.Len(t, workers, n)
			for w, got := range workers {
				require.Equal(t, 3, got, "worker %d", w.ID())
			}
			for _, none := range []int{-1, n} {
				require.Error(t, d.Do(context.Background(), none, func(*dataplane.Worker) { t.Error("on no worker") }))
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			require.ErrorIs(t, d.Do(ctx, 0, func(*dataplane.Worker) { t.Error("given up before it began") }), context.Canceled)
			require.ErrorContains(t, d.Do(context.Background(), 0, func(*dataplane.Worker) { panic("in a message") }), "in a message")
		})
		require.NoError(t, d.Close())
	}
}
