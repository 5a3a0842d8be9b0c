package pcap

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// timer is a descriptor that becomes readable at a time: timerfd_create(2). The queue's
// owner sets it; it is made and closed while nobody owns the queue.
type timer struct {
	fd   int
	set  bool // since the last clear
	spec unix.ItimerSpec
}

// newTimer returns a timer that is not set. It must be closed.
func newTimer() (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer of the replay: timerfd_create: %w", err)
	}
	return &timer{fd: fd}, nil
}

// wait returns the descriptor.
func (t *timer) wait() int { return t.fd }

// after makes the descriptor readable in d, which is more than 0, and not before. It
// reports whether that could be done.
func (t *timer) after(d time.Duration) bool {
	t.spec.Value = unix.NsecToTimespec(int64(d))
	t.set = unix.TimerfdSettime(t.fd, 0, &t.spec, nil) == nil
	return t.set
}

// clear makes the descriptor unreadable and keeps it so.
func (t *timer) clear() {
	if t.set {
		t.spec.Value = unix.Timespec{}
		t.set = unix.TimerfdSettime(t.fd, 0, &t.spec, nil) != nil
	}
}

// close gives up the descriptor.
func (t *timer) close() {
	_ = unix.Close(t.fd)
	t.fd = -1
}
