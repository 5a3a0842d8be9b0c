//go:build linux

package cpu

import (
	"fmt"
	"os"
	"runtime"
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

// allowed returns the mask the process was started with.
func allowed(t *testing.T) Set {
	t.Helper()
	s, err := threadAffinity(os.Getpid())
	require.NoError(t, err)
	return s
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
	assert.ErrorContains(t, pinError(3, SetOf(0, 1), unix.EPERM), "seccomp")
	assert.ErrorContains(t, pinError(3, SetOf(0, 1), unix.EINVAL), "0-1")
	assert.ErrorIs(t, pinError(3, SetOf(0, 1), unix.ENOSYS), unix.ENOSYS)
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
		t.Skip("the goroutine ran on the main thread, which the runtime parks instead of ending it")
	}
	assert.Eventually(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
		return os.IsNotExist(err)
	}, 30*time.Second, time.Millisecond)
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
