package dataplane

import (
	"time"

	"golang.org/x/sys/unix"
)

// pollSet is what a worker sleeps on. It belongs to the worker.
type pollSet struct {
	fds [MaxHandlers + 1]unix.PollFd
	n   int
	// blind says that a queue has nothing to wait on.
	blind bool
	limit unix.Timespec
}

// reset begins a set with the bell.
func (p *pollSet) reset(bell int) {
	p.n, p.blind = 0, false
	p.add(bell)
}

// add adds a queue's descriptor, -1 if it has none.
func (p *pollSet) add(fd int) {
	if fd < 0 || p.n == len(p.fds) {
		p.blind = true
		return
	}
	p.fds[p.n] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	p.n++
}

// wait sleeps until a descriptor is readable, for at most limit. A signal ends it, too;
// so does an error, which only a descriptor that is none could be the cause of.
func (p *pollSet) wait(limit time.Duration) {
	if p.blind {
		limit = min(limit, shortSleep)
	}
	p.limit = unix.NsecToTimespec(limit.Nanoseconds())
	_, _ = unix.Ppoll(p.fds[:p.n], &p.limit, nil)
}
