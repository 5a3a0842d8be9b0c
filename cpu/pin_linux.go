//go:build linux

package cpu

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Pinned is a goroutine's hold on a thread that is bound to one CPU. It belongs to the
// goroutine that called [Pin].
type Pinned struct {
	cpu, tid int
	old      Set // the thread's mask before
	released bool
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
	old, err := threadAffinity(0)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("pin to CPU %d: reading the affinity mask: %w", cpu, err)
	}
	p := &Pinned{cpu: cpu, tid: unix.Gettid(), old: old}
	if err := setThreadAffinity(0, SetOf(cpu)); err != nil {
		runtime.UnlockOSThread()
		return nil, pinError(cpu, old, err)
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
func pinError(cpu int, old Set, err error) error {
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("pin to CPU %d: %w: it is offline, does not exist or is outside the cpuset of this process; the thread may run on %v", cpu, err, old)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("pin to CPU %d: %w: a seccomp filter or security module forbids sched_setaffinity; allow it in the container's profile", cpu, err)
	}
	return fmt.Errorf("pin to CPU %d: %w", cpu, err)
}

// CPU returns the CPU the thread is bound to.
func (p *Pinned) CPU() int { return p.cpu }

// ThreadID returns the kernel's id of the bound thread, for [Confine] to leave it alone.
func (p *Pinned) ThreadID() int { return p.tid }

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
	if tid := unix.Gettid(); tid != p.tid {
		return fmt.Errorf("release CPU %d: called on thread %d, pinned on thread %d: call it on the goroutine that pinned", p.cpu, tid, p.tid)
	}
	if err := restoreThreadAffinity(0, p.old); err != nil {
		return fmt.Errorf("release CPU %d: restoring the mask %v: %w; end this goroutine to be rid of its thread", p.cpu, p.old, err)
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
	runtime.UnlockOSThread()
	goyield()
	runtime.LockOSThread()
	tid := unix.Gettid()
	if tid == p.tid {
		return false
	}
	// We are on a thread of the runtime's, and the runtime has our bound one: they change
	// places. The kernel refuses only if the CPU has gone meanwhile, and then the old
	// thread is no better off than this one.
	if mask, err := threadAffinity(0); err == nil && setThreadAffinity(0, SetOf(p.cpu)) == nil {
		_ = setThreadAffinity(p.tid, mask)
		p.tid, p.old = tid, mask
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
