//go:build linux

package cpu

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// maxWalks bounds the walks over the list of threads. Every walk but the last found a thread
// that the one before had not; a process that still makes some after so many walks is broken.
const maxWalks = 64

// Confine binds every thread of this process to the CPUs in s, except the threads listed:
// those of goroutines already pinned, by [Pinned.ThreadID]. Threads made later inherit the
// mask of the thread that made them, and so are confined too.
//
// The reason is the Go runtime. Its collector workers, scheduler threads and network poller
// may run on any CPU the process may, and the kernel does put them on a CPU whose poll loop
// it takes for one busy task among others. They then share it in slices of milliseconds,
// which is thousands of packets. [Pin] alone does not help: it ties the poll loop down, but
// keeps no one away. Keep at least one CPU in s that does not poll.
//
// Set GOMAXPROCS with [runtime.GOMAXPROCS] first. While it was never set, the runtime adapts
// it to the affinity mask of one of its own threads every second or so (since Go 1.25), finds
// the few CPUs of s, and takes the processors of the poll loops away.
//
// Confine before Pin is the better order, since Release restores the mask that Pin found.
// restore gives each thread that is still alive its former mask, and threads made since all
// CPUs that threads had before. A thread whose mask is no longer the one Confine gave it has
// been claimed by somebody else, a later Pin for one, and is left alone: release pinned
// goroutines first. Calling restore again does nothing.
//
// An error leaves the threads as they were. EINVAL means that s has no CPU that is online and
// in the cpuset of this process. Outside Linux the error matches [errors.ErrUnsupported].
func Confine(s Set, except ...int) (restore func() error, err error) {
	if s.IsEmpty() {
		return nil, errors.New("confine threads: the set of CPUs is empty; leave at least one CPU that does not poll")
	}
	c := &confinement{want: s, old: map[int]Set{}}
	if err := eachThread(except, c.take); err != nil {
		return nil, errors.Join(fmt.Errorf("confine threads to %v: %w", s, err), c.restore(except))
	}
	return sync.OnceValue(func() error { return c.restore(except) }), nil
}

// confinement is what restore has to know.
type confinement struct {
	want Set         // the mask asked for
	got  Set         // the mask the kernel made of it
	home Set         // all the former masks together: for threads made since
	old  map[int]Set // former masks by thread id
}

// take confines one thread and notes its former mask.
func (c *confinement) take(tid int) error {
	old, err := threadAffinity(tid)
	if err != nil {
		return err
	}
	if err := setThreadAffinity(tid, c.want); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("%w: none of these CPUs is online and in the cpuset of this process; threads may run on %v", err, old)
		}
		return err
	}
	c.old[tid], c.home = old, c.home.Or(old)
	// The kernel drops CPUs that are offline or outside the cpuset. What it kept is how
	// restore recognises our doing.
	c.got, err = threadAffinity(tid)
	return err
}

// restore puts the masks back.
func (c *confinement) restore(except []int) error {
	if len(c.old) == 0 {
		return nil
	}
	err := eachThread(except, func(tid int) error {
		now, err := threadAffinity(tid)
		if err != nil || !now.Equal(c.got) {
			return err
		}
		if old, ok := c.old[tid]; ok {
			return setThreadAffinity(tid, old)
		}
		return setThreadAffinity(tid, c.home)
	})
	if err != nil {
		return fmt.Errorf("restore threads confined to %v: %w", c.want, err)
	}
	return nil
}

// eachThread calls fn once for every thread of this process that is not in except. One walk
// over the list is not enough: a thread not reached yet can make another that the listing has
// already passed. So it walks until it has met no new thread. Threads that end meanwhile are
// skipped.
func eachThread(except []int, fn func(tid int) error) error {
	done := map[int]bool{}
	for range maxWalks {
		tids, err := threadIDs()
		if err != nil {
			return err
		}
		fresh := false
		for _, tid := range tids {
			if done[tid] || slices.Contains(except, tid) {
				continue
			}
			done[tid], fresh = true, true
			if err := fn(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("thread %d: %w", tid, err)
			}
		}
		if !fresh {
			return nil
		}
	}
	return fmt.Errorf("new threads kept appearing during %d walks over /proc/self/task", maxWalks)
}

// threadIDs lists the threads of this process.
func threadIDs() ([]int, error) {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("listing threads: %w; is procfs mounted?", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing threads: %w", err)
	}
	var tids []int
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, nil
}
