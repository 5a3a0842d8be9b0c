package queue_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/queue"
)

// readable reports whether a bell's descriptor is, waiting up to a time.
func readable(t *testing.T, b *queue.Bell, wait time.Duration) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(b.FD()), Events: unix.POLLIN}}
	for end := time.Now().Add(wait); ; {
		n, err := unix.Poll(fds, max(0, int(time.Until(end).Milliseconds())))
		if err == unix.EINTR {
			continue
		}
		require.NoError(t, err)
		return n > 0
	}
}

func TestBell(t *testing.T) {
	b, err := queue.NewBell()
	require.NoError(t, err)
	for range 3 {
		b.Ring()
		require.False(t, readable(t, b, 0), "nobody sleeps")
		b.Arm()
		require.False(t, readable(t, b, 0))
		b.Ring()
		b.Ring()
		require.True(t, readable(t, b, 0))
		b.Disarm()
		require.False(t, readable(t, b, 0))
		b.Arm()
		b.Disarm()
		b.Disarm()
	}
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	require.Equal(t, -1, b.FD())
	b.Arm()
	b.Ring()
	b.Disarm() // would wait for ever if it had been armed
	require.NoError(t, b.Open())
	b.Arm()
	b.Ring()
	require.True(t, readable(t, b, 0))
	b.Disarm()
	require.NoError(t, b.Close())
	var zero queue.Bell
	zero.Arm()
	zero.Ring()
	zero.Disarm()
}

// No wake-up is lost: several goroutines put numbers in and ring, one sleeps whenever
// it finds nothing, without a time limit but the test's.
func TestBellLosesNoWakeup(t *testing.T) {
	const producers, each = 3, 20000
	b, err := queue.NewBell()
	require.NoError(t, err)
	q, err := queue.NewClassic(1024, func([]int) {})
	require.NoError(t, err)
	var wg sync.WaitGroup
	var stalls atomic.Int32
	for range producers {
		wg.Go(func() {
			for i := range each {
				for q.Offer([]int{i}) == 0 {
					time.Sleep(time.Microsecond)
				}
				b.Ring()
				if i%64 == 0 {
					time.Sleep(time.Microsecond) // let it fall asleep
				}
			}
		})
	}
	sleeps := 0
	for got := 0; got < producers*each; {
		if _, ok := q.Remove(); ok {
			got++
			continue
		}
		b.Arm()
		if q.Len() == 0 {
			sleeps++
			if !readable(t, b, 5*time.Second) {
				stalls.Add(1)
				b.Disarm()
				break
			}
		}
		b.Disarm()
	}
	require.Zero(t, stalls.Load(), "slept although there was something to do")
	wg.Wait()
	require.NoError(t, b.Close())
	t.Logf("slept %d times", sleeps)
}
