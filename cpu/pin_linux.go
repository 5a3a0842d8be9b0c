//go:build linux

package cpu

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Pinned is a goroutine's hold on a thread that is bound to one CPU. It belongs to the
// goroutine that called [Pin].
type Pinned struct {
	cpu      int
	released bool
	// tid is the thread, 0 once another goroutine has taken it while this one was away. That
	// Store, and the goroutine's own, are made with bound locked; its Load in settle pairs
	// with them by way of the scheduler, as the other ran on the thread before.
	tid atomic.Int64
	// away is true while the goroutine has let go of its thread, in Yield: others may run
	// there meanwhile. Its Stores come before and after they do, by way of the scheduler.
	away atomic.Bool
	// old is the thread's mask before it was bound; under is the hold, of the same goroutine,
	// that this one is nested in. Guarded by bound.
	old   Set
	under *Pinned
}

// holds are the threads that are bound, by id, and for whom. Threads are the process's, and
// so is this table; it is not looked at while a goroutine keeps its thread.
type holds struct {
	sync.Mutex
	of map[int]*Pinned
}

var bound = holds{of: map[int]*Pinned{}}

// take binds the calling thread for p. h is locked.
func (h *holds) take(p *Pinned, tid int) error {
	old, err := threadAffinity(0)
	if err != nil {
		return fmt.Errorf("reading the affinity mask: %w", err)
	}
	under, robbed := h.of[tid], (*Pinned)(nil)
	switch {
	case under == nil || !old.Equal(SetOf(under.cpu)):
		under = nil // of a thread that has ended, and had the same number
	case under.away.Load():
		// It has left the thread here, and must not take it for its own when it is back.
		robbed, old, under = under, under.old, nil
	}
	if err := setThreadAffinity(0, SetOf(p.cpu)); err != nil {
		return pinError(old, err)
	}
	if robbed != nil {
		robbed.tid.Store(0)
	}
	h.of[tid] = p
	p.old, p.under = old, under
	p.tid.Store(int64(tid))
	return nil
}

// Pin locks the calling goroutine to its thread and binds the thread to the CPU. From then
// on the goroutine runs nowhere else, until it calls [Pinned.Release] or ends. If it ends
// without Release, the Go runtime ends the thread with it, so a bound thread never gets back
// among the runtime's own.
//
// Threads the runtime needs later do not inherit the binding: it never clones a thread that
// a goroutine is locked to.
//
// On failure the goroutine is as free as before. The error names the CPU and wraps the
// errno: EINVAL means that the CPU is offline, does not exist, or is outside the cpuset of
// this process, which [Topology.Check] tells apart. Outside Linux the error matches
// [errors.ErrUnsupported].
func Pin(cpu int) (*Pinned, error) {
	if cpu < 0 || cpu >= MaxCPUs {
		return nil, fmt.Errorf("pin to CPU %d: ids run from 0 to %d: %w", cpu, MaxCPUs-1, unix.EINVAL)
	}
	runtime.LockOSThread()
	p := &Pinned{cpu: cpu}
	bound.Lock()
	err := bound.take(p, unix.Gettid())
	bound.Unlock()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	// The kernel moved the thread before it returned. Only hotplug, or another process
	// that changes our mask, can have put it elsewhere.
	on, err := getcpu()
	if err == nil && on != cpu {
		err = fmt.Errorf("the thread runs on CPU %d; another program may be setting affinities", on)
	}
	if err != nil {
		err = fmt.Errorf("pin to CPU %d: check failed: %w", cpu, err)
		if errRelease := p.Release(); errRelease != nil {
			err = fmt.Errorf("%w; and %w", err, errRelease) // one line, unlike errors.Join
		}
		return nil, err
	}
	return p, nil
}

// pinError explains why a thread could not be bound.
func pinError(old Set, err error) error {
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: it is offline, does not exist or is outside the cpuset of this process; the thread may run on %v", err, old)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: a seccomp filter or security module forbids sched_setaffinity; allow it in the container's profile", err)
	}
	return err
}

// CPU returns the CPU the thread is bound to.
func (p *Pinned) CPU() int { return p.cpu }

// ThreadID returns the kernel's id of the bound thread, for [Confine] to leave it alone.
func (p *Pinned) ThreadID() int { return int(p.tid.Load()) }

// Release gives the thread its former mask back and unlocks the goroutine from it. It must
// run on the goroutine that called Pin, and is an error anywhere else. A second call does
// nothing. A goroutine that pinned itself more than once releases in reverse order.
//
// If the former mask cannot be restored because its CPUs are gone, any CPU the cpuset allows
// will do. If that fails too, the goroutine stays locked, so that the bound thread ends with
// it rather than serve the rest of the program.
func (p *Pinned) Release() error {
	if p.released {
		return nil
	}
	tid, mine := unix.Gettid(), p.ThreadID()
	if tid != mine {
		return fmt.Errorf("release CPU %d: called on thread %d, pinned on thread %d: call it on the goroutine that pinned", p.cpu, tid, mine)
	}
	bound.Lock()
	defer bound.Unlock()
	if err := restoreThreadAffinity(0, p.old); err != nil {
		return fmt.Errorf("release CPU %d: restoring the mask %v: %w; end this goroutine to be rid of its thread", p.cpu, p.old, err)
	}
	delete(bound.of, tid)
	if p.under != nil {
		bound.of[tid] = p.under
	}
	p.released = true
	runtime.UnlockOSThread()
	return nil
}

// YieldEvery is how often a goroutine that never blocks should call [Pinned.Yield]: well
// within the 10 ms after which Go's monitor thread preempts it (forcePreemptNS,
// runtime/proc.go).
const YieldEvery = 5 * time.Millisecond

// Yield passes through Go's scheduler and comes back, on the same CPU, in well under a
// microsecond if nothing else is to be done. It must run on the goroutine that called Pin,
// and reports whether the goroutine had to change its thread.
//
// A goroutine that does not yield by itself is preempted. If it is locked to its thread,
// that costs two changes of thread: the scheduler runs on another thread, which wakes ours.
// Where that other thread finds no CPU at once, as on a machine whose other CPUs are busy
// receiving packets, a poller stands still for milliseconds. So the lock is let go of for
// the moment of the yield: the scheduler then runs on this very thread and takes the
// goroutine up again. Should another thread be quicker, that one is bound to the CPU in
// place of this one.
func (p *Pinned) Yield() (moved bool) {
	p.away.Store(true) // pairs with the Load in take
	runtime.UnlockOSThread()
	goyield()
	runtime.LockOSThread()
	moved = p.settle()
	p.away.Store(false) // pairs with the Load in take
	return moved
}

// settle binds the calling thread if it is not the one that p has, and gives that one the
// mask it had before. Somebody else's thread may be the one we are on, and ours be
// somebody else's by now: pinned goroutines that yield at a time may have changed places
// all round.
func (p *Pinned) settle() (moved bool) {
	tid := unix.Gettid()
	if tid == p.ThreadID() {
		return false
	}
	bound.Lock()
	defer bound.Unlock()
	left, old := p.ThreadID(), p.old // which may have been taken since
	// The kernel refuses only if the CPU has gone meanwhile, and then the thread we left is
	// no better off than this one.
	if bound.take(p, tid) == nil && bound.of[left] == p {
		delete(bound.of, left)
		_ = setThreadAffinity(left, old) // it may have ended
	}
	return true
}

// Current returns the CPU the calling goroutine runs on at the moment of the call. Unless
// it is pinned, that may be outdated when the call returns. Outside Linux the error matches
// [errors.ErrUnsupported].
func Current() (int, error) {
	id, err := getcpu()
	if err != nil {
		return -1, fmt.Errorf("current CPU: %w", err)
	}
	return id, nil
}

// ThreadID returns the kernel's id of the calling thread, which means something only to a
// goroutine locked to it. Outside Linux it is 0.
func ThreadID() int { return unix.Gettid() }

// ThreadCPUTime returns the time the calling thread has spent running, in user and kernel
// mode (clock_gettime(2), CLOCK_THREAD_CPUTIME_ID). It is a system call: for the account of
// a core, not for the packet path. Outside Linux it is 0.
func ThreadCPUTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0 // not possible: clock and pointer are valid
	}
	return time.Duration(ts.Nano())
}
