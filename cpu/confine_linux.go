//go:build linux

package cpu

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxWalks bounds the walks over the list of threads, which otherwise end when nothing slips
// through any more. quietWalks is how many without a find will do when threads keep ending.
const (
	maxWalks   = 128
	quietWalks = 16
)

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
// Set GOMAXPROCS with [Processors] first. While it was never set, the runtime adapts
// it to the affinity mask of one of its own threads every second or so (since Go 1.25), finds
// the few CPUs of s, and takes the processors of the poll loops away.
//
// Confine and restore stop the world for the time of one signal to each thread, to be sure of
// threads just being made: call them while nothing is forwarded yet, or no longer. A system
// call that a thread sleeps in may return EINTR, as for any signal. In a program with cgo that
// certainty is not to be had, and a pause of some milliseconds stands in for it: a thread made
// at that very moment may then keep its former mask.
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
	except = slices.Clone(except) // restore needs it later
	c := &confinement{want: s, old: map[int]Set{}}
	if err := c.take(except); err != nil {
		err = fmt.Errorf("confine threads to %v: %w", s, err)
		if errRestore := c.restore(except); errRestore != nil {
			err = fmt.Errorf("%w; and %w", err, errRestore) // one line, unlike errors.Join
		}
		return nil, err
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

// take confines the threads and notes their former masks.
func (c *confinement) take(except []int) error {
	// Look first, change later: a thread that turns up with the new mask afterwards can
	// only have inherited it.
	if _, _, err := walkThreads(except, func(tid int, now Set) (bool, error) {
		c.note(tid, now)
		return false, nil
	}); err != nil {
		return err
	}
	return eachThread(except, func(tid int, now Set) (bool, error) {
		if now.Equal(c.got) {
			return false, nil
		}
		c.note(tid, now)
		if err := setThreadAffinity(tid, c.want); err != nil {
			if errors.Is(err, unix.EINVAL) {
				err = fmt.Errorf("%w: none of these CPUs is online and in the cpuset of this process; threads may run on %v", err, now)
			}
			return false, err
		}
		// The kernel drops CPUs that are offline or outside the cpuset. What it kept is
		// how restore recognises our doing. A thread that has ended by now teaches
		// nothing.
		got, err := threadAffinity(tid)
		if err != nil {
			return false, err
		}
		c.got = got
		return !got.Equal(now), nil
	})
}

// note keeps the former mask of a thread, the first one seen.
func (c *confinement) note(tid int, mask Set) {
	if _, known := c.old[tid]; !known {
		c.old[tid], c.home = mask, c.home.Or(mask)
	}
}

// restore puts the masks back.
func (c *confinement) restore(except []int) error {
	if c.got.IsEmpty() {
		return nil // no thread was confined
	}
	err := eachThread(except, func(tid int, now Set) (bool, error) {
		if !now.Equal(c.got) {
			return false, nil
		}
		mask, known := c.old[tid]
		if !known {
			mask = c.home
		}
		if err := restoreThreadAffinity(tid, mask); err != nil {
			return false, err
		}
		then, err := threadAffinity(tid)
		// No change is right too: the thread may have had this very mask before.
		return !then.Equal(now), err
	})
	if err != nil {
		return fmt.Errorf("restore threads confined to %v: %w", c.want, err)
	}
	return nil
}

// change looks at a thread and its mask, and reports whether it set another.
type change func(tid int, now Set) (changed bool, err error)

// eachThread changes the threads of this process that are not in except. fn reports no change
// for a thread that is as it should be.
//
// One walk over the list is not enough, for two reasons.
//
// A thread inherits its mask early in clone(2) and is listed late in it, so one whose parent we
// change meanwhile keeps the old mask and shows up after we passed. Hence: walk, wait for the
// clones under way, walk again, until a walk finds nothing to change. Every thread made after
// the wait has a parent that was changed before.
//
// And when a thread ends while the list is read, the kernel loses its place and skips others
// (fs/proc/base.c, proc_task_readdir). So only a walk whose list was complete proves that
// nothing is left to change. In a process whose threads come and go all the time, a number of
// other walks in a row is taken as proof.
func eachThread(except []int, fn change) error {
	quiet := 0
	for range maxWalks {
		changed, complete, err := walkThreads(except, fn)
		if err != nil {
			return err
		}
		if changed {
			quiet = 0
			awaitClones()
			continue
		}
		if quiet++; complete || quiet == quietWalks {
			return nil
		}
	}
	return fmt.Errorf("threads kept slipping through during %d walks over /proc/self/task", maxWalks)
}

// awaitClones returns when every thread that was being made has been made, and reports
// whether that is certain.
//
// The runtime offers it as a side effect: AllThreadsSyscall bars new threads, waits for those
// in the making, and has each execute a system call; getpid is one without effect. It does
// not know the threads of C code, and refuses where cgo is linked in (as under the race
// detector). There a pause has to do.
func awaitClones() (certain bool) {
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); errno == 0 {
		return true
	}
	time.Sleep(5 * time.Millisecond)
	return false
}

// walkThreads calls fn for every thread listed that is not in except, and reports whether it
// changed any. Threads that are gone already are skipped.
//
// complete tells that the list was all the threads there were at one moment: it is as long as
// the kernel's count, taken after it, and all on it were alive after the count.
func walkThreads(except []int, fn change) (changed, complete bool, err error) {
	tids, err := threadIDs()
	if err != nil {
		return false, false, err
	}
	complete = threadCount() == len(tids)
	for _, tid := range tids {
		now, err := threadAffinity(tid) // of exceptions too, to see whether they live
		did := false
		if err == nil && !slices.Contains(except, tid) {
			did, err = fn(tid, now)
		}
		if errors.Is(err, unix.ESRCH) {
			complete = false
			continue
		}
		if err != nil {
			return changed, false, fmt.Errorf("thread %d: %w", tid, err)
		}
		changed = changed || did
	}
	return changed, complete, nil
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

// threadCount returns the number of threads of this process by the kernel's account, the line
// Threads of /proc/self/status (proc_pid_status(5)); -1 if it is not to be had.
func threadCount() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "Threads:"); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				return n
			}
		}
	}
	return -1
}
