//go:build linux

package cpu

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// twoCPUs returns two CPUs this process may use, or skips.
func twoCPUs(t *testing.T) (keep, poll int) {
	t.Helper()
	all := allowed(t)
	if all.Len() < 2 {
		t.Skipf("needs two allowed CPUs, has %v", all)
	}
	// As a program must that confines its runtime: otherwise GOMAXPROCS follows the mask.
	old := runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
	return all.Min(), all.AndNot(SetOf(all.Min())).Min()
}

// masks returns the mask of every thread of this process.
func masks(t *testing.T) map[int]Set {
	t.Helper()
	m := map[int]Set{}
	_, _, err := walkThreads(nil, func(tid int, now Set) (bool, error) {
		m[tid] = now
		return false, nil
	})
	require.NoError(t, err)
	return m
}

// lockedThread starts a goroutine locked to a thread of its own, which init may prepare, and
// which lives until the test ends.
func lockedThread(t *testing.T, init func()) (tid int) {
	t.Helper()
	ready, stop, done := make(chan int), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		init()
		ready <- ThreadID()
		<-stop
	}()
	tid = <-ready
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	return tid
}

func TestConfine(t *testing.T) {
	keep, poll := twoCPUs(t)
	all := allowed(t)
	s := SetOf(keep)
	bystander := lockedThread(t, func() {})

	// One worker that was pinned before.
	ready, stop, done := make(chan int), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		p, err := Pin(poll)
		if !assert.NoError(t, err) {
			close(ready)
			return
		}
		ready <- p.ThreadID()
		<-stop
		assert.NoError(t, p.Release())
	}()
	worker := <-ready
	require.NotZero(t, worker)

	before := masks(t)
	restore, err := Confine(s, worker)
	require.NoError(t, err)
	for tid, mask := range masks(t) {
		if tid == worker {
			assert.True(t, mask.Equal(SetOf(poll)), "the worker is left alone: %v", mask)
			continue
		}
		assert.True(t, mask.Equal(s), "thread %d has %v", tid, mask)
	}

	// A thread made now inherits the mask.
	child := lockedThread(t, func() {})
	mask, err := threadAffinity(child)
	require.NoError(t, err)
	assert.True(t, mask.Equal(s))

	// A thread that is pinned now belongs to somebody else when it comes to restoring.
	late := lockedThread(t, func() { assert.NoError(t, setThreadAffinity(0, SetOf(poll))) })
	t.Cleanup(func() { _ = setThreadAffinity(late, all) })

	require.NoError(t, restore())
	for tid, mask := range masks(t) {
		switch old, known := before[tid]; {
		case tid == worker, tid == late:
			assert.True(t, mask.Equal(SetOf(poll)), "pinned thread %d has %v", tid, mask)
		case known:
			assert.True(t, mask.Equal(old), "thread %d had %v, has %v", tid, old, mask)
		default:
			assert.True(t, mask.Equal(all), "new thread %d has %v", tid, mask)
		}
	}
	assert.Contains(t, before, bystander)

	// A second restore does nothing, even where it would find something to do.
	require.NoError(t, setThreadAffinity(bystander, s))
	require.NoError(t, restore())
	mask, err = threadAffinity(bystander)
	require.NoError(t, err)
	assert.True(t, mask.Equal(s))
	require.NoError(t, setThreadAffinity(bystander, all))

	close(stop)
	<-done
}

func TestConfineErrors(t *testing.T) {
	before := masks(t)
	_, err := Confine(Set{})
	assert.ErrorContains(t, err, "empty")

	if top, err := Local(); err == nil && top.Possible.Has(MaxCPUs-1) {
		t.Skip("this machine has all the CPUs there can be")
	}
	restore, err := Confine(SetOf(MaxCPUs - 1))
	assert.Nil(t, restore)
	assert.ErrorIs(t, err, unix.EINVAL)
	assert.ErrorContains(t, err, "8191")
	for tid, mask := range masks(t) {
		if old, known := before[tid]; known {
			assert.True(t, mask.Equal(old), "thread %d", tid)
		}
	}
}

// A walk that fails half way must leave no thread confined.
func TestConfineFailureRestores(t *testing.T) {
	keep, _ := twoCPUs(t)
	all := allowed(t)
	tid := lockedThread(t, func() {})
	c := &confinement{want: SetOf(keep), old: map[int]Set{}}
	require.NoError(t, c.take(nil))
	mask, err := threadAffinity(tid)
	require.NoError(t, err)
	require.True(t, mask.Equal(SetOf(keep)))

	require.NoError(t, c.restore(nil))
	mask, err = threadAffinity(tid)
	require.NoError(t, err)
	assert.True(t, mask.Equal(all), "mask %v", mask)
}

// Threads come and go while the process is confined: none may escape. That holds where the
// runtime can wait for threads in the making; elsewhere the test sees that nothing fails.
func TestConfineWhileThreadsAreMade(t *testing.T) {
	keep, _ := twoCPUs(t)
	certain := awaitClones()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var inner sync.WaitGroup
				for range 4 {
					inner.Go(func() {
						runtime.LockOSThread() // and no unlock: the thread ends
						time.Sleep(100 * time.Microsecond)
					})
				}
				inner.Wait()
			}
		})
	}
	for range 20 {
		restore, err := Confine(SetOf(keep))
		if !assert.NoError(t, err) {
			break
		}
		for tid, mask := range masks(t) {
			assert.True(t, !certain || mask.Equal(SetOf(keep)), "thread %d escaped with %v", tid, mask)
		}
		if !assert.NoError(t, restore()) {
			break
		}
		for tid, mask := range masks(t) {
			assert.False(t, certain && mask.Equal(SetOf(keep)), "thread %d is still confined", tid)
		}
	}
	close(stop)
	wg.Wait()
}

func TestEachThread(t *testing.T) {
	require.NoError(t, eachThread(nil, func(int, Set) (bool, error) { return false, unix.ESRCH }),
		"threads that end are no error")

	err := eachThread(nil, func(int, Set) (bool, error) { return false, unix.EPERM })
	assert.ErrorIs(t, err, unix.EPERM)
	assert.ErrorContains(t, err, "thread ")

	steady, spared := lockedThread(t, func() {}), lockedThread(t, func() {})
	seen := map[int]int{}
	require.NoError(t, eachThread([]int{spared}, func(tid int, _ Set) (bool, error) {
		seen[tid]++
		return seen[tid] == 1, nil
	}))
	assert.NotContains(t, seen, spared, "an exception is left alone")
	assert.Greater(t, seen[steady], 1, "after a change, all are looked at again")

	err = eachThread(nil, func(int, Set) (bool, error) { return true, nil })
	assert.ErrorContains(t, err, "slipping through", "it ends all the same")
}
