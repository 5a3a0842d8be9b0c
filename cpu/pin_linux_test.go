//go:build linux

package cpu

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// onThread runs fn on a goroutine of its own, so that what it does to its thread does not
// stay with the test's.
func onThread(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

// atStart is the mask the process was started with: before any test has bound a thread.
var atStart, errAtStart = threadAffinity(0)

// allowed returns it.
func allowed(t *testing.T) Set {
	t.Helper()
	require.NoError(t, errAtStart)
	return atStart
}

func TestPinAndRelease(t *testing.T) {
	for id := range allowed(t).All() {
		onThread(func() {
			runtime.LockOSThread() // so that the mask afterwards is that of the same thread
			defer runtime.UnlockOSThread()
			before, err := threadAffinity(0)
			assert.NoError(t, err)

			p, err := Pin(id)
			if !assert.NoError(t, err) {
				return
			}
			assert.Equal(t, id, p.CPU())
			assert.Equal(t, ThreadID(), p.ThreadID())
			for range 100 {
				on, err := Current()
				assert.NoError(t, err)
				assert.Equal(t, id, on)
				runtime.Gosched() // would change threads if the goroutine were not locked
				assert.Equal(t, p.ThreadID(), ThreadID())
			}
			mask, err := threadAffinity(0)
			assert.NoError(t, err)
			assert.True(t, mask.Equal(SetOf(id)), "mask %v", mask)

			assert.NoError(t, p.Release())
			after, err := threadAffinity(0)
			assert.NoError(t, err)
			assert.True(t, after.Equal(before), "mask %v before, %v after", before, after)
			assert.NoError(t, p.Release(), "twice is harmless")
		})
	}
}

func TestPinNested(t *testing.T) {
	onThread(func() {
		all := allowed(t)
		first := all.Min()
		second := all.Slice()[all.Len()-1]
		p1, err := Pin(first)
		if !assert.NoError(t, err) {
			return
		}
		p2, err := Pin(second)
		if !assert.NoError(t, err) {
			return
		}
		assert.NoError(t, p2.Release())
		mask, err := threadAffinity(0)
		assert.NoError(t, err)
		assert.True(t, mask.Equal(SetOf(first)), "mask %v", mask)
		assert.NoError(t, p1.Release())
	})
}

func TestPinErrors(t *testing.T) {
	if top, err := Local(); err == nil && top.Possible.Has(MaxCPUs-1) {
		t.Skip("this machine has all the CPUs there can be")
	}
	onThread(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		before, err := threadAffinity(0)
		assert.NoError(t, err)
		for _, id := range []int{-1, MaxCPUs - 1, MaxCPUs, 1 << 30} {
			p, err := Pin(id)
			assert.Nil(t, p)
			assert.ErrorIs(t, err, unix.EINVAL)
			assert.ErrorContains(t, err, fmt.Sprintf("CPU %d:", id))
		}
		after, err := threadAffinity(0)
		assert.NoError(t, err)
		assert.True(t, after.Equal(before))
	})
	assert.ErrorContains(t, pinError(SetOf(0, 1), unix.EPERM), "seccomp")
	assert.ErrorContains(t, pinError(SetOf(0, 1), unix.EINVAL), "0-1")
	assert.ErrorIs(t, pinError(SetOf(0, 1), unix.ENOSYS), unix.ENOSYS)
}

// A failed Pin must not leave the goroutine locked: the thread of a goroutine that ends locked
// ends with it, and this one must not.
func TestPinFailureUnlocks(t *testing.T) {
	var tid int
	onThread(func() {
		_, err := Pin(MaxCPUs)
		assert.Error(t, err)
		runtime.LockOSThread()
		tid = ThreadID() // of the thread we are on now, whichever it is
		_, err = Pin(MaxCPUs - 1)
		assert.Error(t, err)
		runtime.UnlockOSThread() // balances ours: a lock left over by Pin would remain
	})
	assert.Never(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
		return err != nil
	}, 50*time.Millisecond, 5*time.Millisecond)
}

func TestReleaseOnAnotherThread(t *testing.T) {
	onThread(func() {
		p, err := Pin(allowed(t).Min())
		if !assert.NoError(t, err) {
			return
		}
		onThread(func() {
			assert.ErrorContains(t, p.Release(), "goroutine that pinned")
		})
		assert.NoError(t, p.Release(), "still possible where it belongs")
	})
}

// A mask whose CPUs are gone cannot be restored; any CPU will do then.
func TestReleaseWhenFormerMaskIsGone(t *testing.T) {
	onThread(func() {
		all := allowed(t)
		p, err := Pin(all.Min())
		if !assert.NoError(t, err) {
			return
		}
		p.old = SetOf(MaxCPUs - 1)
		assert.NoError(t, p.Release())
		mask, err := threadAffinity(0)
		assert.NoError(t, err)
		assert.True(t, all.AndNot(mask).IsEmpty(), "mask %v", mask)
		assert.NoError(t, setThreadAffinity(0, all))
	})
}

// A goroutine that ends without Release takes its bound thread along.
func TestPinnedThreadEndsWithItsGoroutine(t *testing.T) {
	var tid int
	onThread(func() {
		p, err := Pin(allowed(t).Min())
		if assert.NoError(t, err) {
			tid = p.ThreadID()
		}
	})
	require.NotZero(t, tid)
	if tid == os.Getpid() {
		require.NoError(t, setThreadAffinity(tid, allowed(t)))
		t.Skip("the goroutine ran on the main thread, which the runtime parks instead of ending it")
	}
	assert.Eventually(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
		return os.IsNotExist(err)
	}, 30*time.Second, time.Millisecond)
}

// hold is a goroutine that pinned itself, and does on its thread what it is told.
type hold struct {
	p    *Pinned
	tid  int
	do   chan func()
	done chan struct{}
}

func newHold(t *testing.T, cpu int) *hold {
	t.Helper()
	h := &hold{do: make(chan func()), done: make(chan struct{})}
	pinned := make(chan error)
	go func() {
		defer close(h.done)
		var err error
		h.p, err = Pin(cpu)
		h.tid = ThreadID()
		pinned <- err
		for fn := range h.do {
			fn()
		}
		// The thread ends with the goroutine, unless it is the process's first.
		assert.NoError(t, setThreadAffinity(0, atStart))
	}()
	require.NoError(t, <-pinned)
	t.Cleanup(func() {
		close(h.do)
		<-h.done
	})
	return h
}

// on runs fn on the thread of h.
func (h *hold) on(fn func()) {
	ran := make(chan struct{})
	h.do <- func() { fn(); close(ran) }
	<-ran
}

// TestYieldChangesPlaces: whichever threads pinned goroutines come back on from their
// yields, each has its own CPU then, and threads that none of them is on have the mask they
// had before. A coming back is made here by calling settle on another thread.
func TestYieldChangesPlaces(t *testing.T) {
	cpus := allowed(t).Slice()
	first, last := cpus[0], cpus[len(cpus)-1]
	for name, c := range map[string]struct {
		from []int // CPU of each goroutine
		to   []int // whose thread each comes back on, in this order; -1 stands for one of the runtime's
	}{
		"two exchange":              {[]int{first, last}, []int{1, 0}},
		"two of one CPU exchange":   {[]int{first, first}, []int{1, 0}},
		"three in a ring":           {[]int{first, last, first}, []int{1, 2, 0}},
		"three in a ring, reversed": {[]int{first, last, last}, []int{2, 0, 1}},
		"one takes another's":       {[]int{first, last}, []int{1, -1}},
		"the other way round":       {[]int{first, last}, []int{-1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			all := allowed(t)
			var held []*hold
			for _, id := range c.from {
				held = append(held, newHold(t, id))
			}
			spare := newHold(t, first)
			spare.on(func() { assert.NoError(t, spare.p.Release()) })
			spare.on(runtime.LockOSThread)
			mask := func(h *hold) Set {
				s, err := threadAffinity(h.tid)
				require.NoError(t, err)
				return s
			}
			require.True(t, mask(spare).Equal(all))
			for _, h := range held {
				h.p.away.Store(true)
			}
			free := map[*hold]bool{spare: true}
			for _, h := range held {
				free[h] = true
			}
			for i, to := range c.to {
				on := spare
				if to >= 0 {
					on = held[to]
				}
				delete(free, on)
				on.on(func() { assert.True(t, held[i].p.settle()) })
				held[i].p.away.Store(false)
				on.on(func() { assert.False(t, held[i].p.settle(), "it is there") })
			}
			for i, h := range held {
				at, err := threadAffinity(h.p.ThreadID())
				require.NoError(t, err)
				assert.True(t, at.Equal(SetOf(c.from[i])), "goroutine %d runs on %v", i, at)
				assert.True(t, h.p.old.Equal(all), "goroutine %d would leave %v", i, h.p.old)
			}
			for h := range free {
				assert.True(t, mask(h).Equal(all), "a thread that nobody is on keeps %v", mask(h))
			}
		})
	}
}

// TestYieldComesBackToATakenThread: a goroutine that comes back to its thread, after another has
// had it meanwhile, binds it anew.
func TestYieldComesBackToATakenThread(t *testing.T) {
	cpus := allowed(t).Slice()
	first, second := newHold(t, cpus[0]), newHold(t, cpus[len(cpus)-1])
	first.p.away.Store(true)
	second.p.away.Store(true)
	first.on(func() { assert.True(t, second.p.settle()) })
	second.on(func() { assert.True(t, second.p.settle(), "and back again") })
	second.p.away.Store(false)
	first.on(func() {
		assert.True(t, first.p.settle())
		mask, err := threadAffinity(0)
		assert.NoError(t, err)
		assert.True(t, mask.Equal(SetOf(cpus[0])), "mask %v", mask)
	})
	first.p.away.Store(false)
	assert.Equal(t, first.tid, first.p.ThreadID())
}

// TestPinWhereAnotherLeft: a goroutine that pins itself on the thread of one that is away
// leaves the thread as it was before both.
func TestPinWhereAnotherLeft(t *testing.T) {
	all := allowed(t)
	cpus := all.Slice()
	first, spare := newHold(t, cpus[0]), newHold(t, cpus[0])
	spare.on(func() { assert.NoError(t, spare.p.Release()) })
	spare.on(runtime.LockOSThread)
	first.p.away.Store(true)
	var second *Pinned
	first.on(func() {
		var err error
		second, err = Pin(cpus[len(cpus)-1])
		assert.NoError(t, err)
	})
	require.NotNil(t, second)
	spare.on(func() { assert.True(t, first.p.settle()) })
	first.p.away.Store(false)
	first.on(func() {
		mask, err := threadAffinity(0)
		assert.NoError(t, err)
		assert.True(t, mask.Equal(SetOf(second.CPU())), "mask %v", mask)
		assert.NoError(t, second.Release())
		mask, err = threadAffinity(0)
		assert.NoError(t, err)
		assert.True(t, mask.Equal(all), "mask %v", mask)
	})
}

// TestYieldAmongOthers: pinned goroutines that yield among goroutines that come, run and
// block are where they belong after each yield, and in the end no other thread of the
// process is bound.
func TestYieldAmongOthers(t *testing.T) {
	all := allowed(t)
	if all.Len() < 2 {
		t.Skip("one CPU: every thread is bound to it as it is")
	}
	cpus := all.Slice()
	const yields = 3000
	quit := make(chan struct{})
	var others, pollers sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				// Blocks its thread, so that the runtime needs another.
				ts := unix.NsecToTimespec(20_000)
				_ = unix.Nanosleep(&ts, nil)
				others.Go(func() { runtime.Gosched() })
			}
		})
	}
	moves := make([]int, 2)
	for i, id := range []int{cpus[0], cpus[1]} {
		pollers.Go(func() {
			p, err := Pin(id)
			if !assert.NoError(t, err) {
				return
			}
			for range yields {
				woken := make(chan struct{})
				go func() { close(woken) }() // runs here, or wakes another thread
				if p.Yield() {
					moves[i]++
				}
				<-woken
				mask, err := threadAffinity(0)
				if !assert.NoError(t, err) || !assert.True(t, mask.Equal(SetOf(id)), "bound to %v, not %d", mask, id) {
					return
				}
			}
			assert.NoError(t, p.Release())
		})
	}
	pollers.Wait()
	close(quit)
	others.Wait()
	t.Logf("moves of %d yields each: %v", yields, moves)
	tids, err := threadIDs()
	require.NoError(t, err)
	for _, tid := range tids {
		mask, err := threadAffinity(tid)
		if err == nil {
			assert.True(t, mask.Equal(all), "thread %d stays bound to %v", tid, mask)
		}
	}
}

func TestThreadCPUTime(t *testing.T) {
	onThread(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		slept := ThreadCPUTime()
		time.Sleep(20 * time.Millisecond)
		slept = ThreadCPUTime() - slept
		assert.Less(t, slept, 15*time.Millisecond, "sleep is not running")

		start := ThreadCPUTime()
		deadline := time.Now().Add(5 * time.Second)
		for ThreadCPUTime()-start < 5*time.Millisecond {
			if time.Now().After(deadline) {
				assert.Fail(t, "the thread's time does not advance")
				return
			}
		}
	})
}
