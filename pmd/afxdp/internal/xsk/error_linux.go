//go:build linux

package xsk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Step is a step of opening or setting up a socket.
type Step string

// The steps, in the order in which Open takes them, and those that follow.
const (
	StepConfig  Step = "configuration"
	StepSocket  Step = "socket"
	StepSndBuf  Step = "send buffer"
	StepUmem    Step = "umem"
	StepFill    Step = "fill ring"
	StepComp    Step = "completion ring"
	StepRx      Step = "receive ring"
	StepTx      Step = "transmit ring"
	StepOffsets Step = "mmap offsets"
	StepMap     Step = "mmap"
	StepBind    Step = "bind"
	StepOptions Step = "options"
	StepStats   Step = "statistics"
	StepBudget  Step = "transmit budget"
	StepBusy    Step = "busy polling"
	StepError   Step = "socket error"
	StepClose   Step = "close"
)

// ErrNotSupported is what an Error wraps, besides the errno, if the running
// kernel is too old for what was asked.
var ErrNotSupported = errors.New("not supported by this kernel")

// Error is a failed step. errors.Is finds the errno.
type Error struct {
	// Name and Queue are the interface and queue.
	Name  string
	Queue uint32
	// Step is what failed.
	Step Step
	// Err is a unix.Errno, or wraps one.
	Err error
	// Hint tells what the errno means here and what to do. It may be empty.
	Hint string
}

// Error returns one line: interface, queue, step, errno, hint.
func (e *Error) Error() string {
	s := fmt.Sprintf("afxdp: %s queue %d: %s: %v", e.Name, e.Queue, e.Step, e.Err)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// fail wraps what a step answered, with what it means there.
func (c *Config) fail(step Step, err error) error {
	e := &Error{Name: c.Name, Queue: c.Queue, Step: step, Err: err}
	var errno unix.Errno
	if errors.As(err, &errno) {
		e.Hint = c.hint(step, errno)
	}
	return e
}

// hint explains an errno by what net/xdp returns it for.
func (c *Config) hint(step Step, errno unix.Errno) string {
	switch step {
	case StepSocket:
		switch errno {
		case unix.EPERM:
			return "AF_XDP needs CAP_NET_RAW"
		case unix.EAFNOSUPPORT:
			return "the kernel has no AF_XDP (CONFIG_XDP_SOCKETS)"
		}
	case StepUmem:
		switch errno {
		case unix.ENOBUFS:
			return "the packet memory exceeds RLIMIT_MEMLOCK; raise it or grant CAP_IPC_LOCK"
		case unix.EINVAL:
			return "the kernel refuses this packet memory; it must begin at a page"
		}
	case StepBind:
		switch errno {
		case unix.EBUSY:
			return "the queue has an AF_XDP socket, or had one a moment ago; close it or try again"
		case unix.ENODEV:
			return "no such interface in this network namespace"
		case unix.EOPNOTSUPP:
			if c.Bind&unix.XDP_ZEROCOPY != 0 && c.Bind&unix.XDP_USE_SG != 0 {
				return "the driver has no zero-copy mode here, or none with packets of several frames; use copy mode, or do without the latter"
			}
			if c.Bind&unix.XDP_ZEROCOPY != 0 || c.SharedFD != 0 {
				return "the driver has no zero-copy mode here; use copy mode"
			}
		case unix.EBADF:
			return "the socket to share with is not bound"
		case unix.ENOPROTOOPT, unix.ENOTSOCK:
			return "the descriptor to share with is no AF_XDP socket"
		case unix.EINVAL:
			if c.SharedFD != 0 {
				return "no such queue, or it is the queue of the socket to share with"
			}
			if c.Bind&unix.XDP_USE_SG != 0 {
				return "no such queue, or a kernel before 6.6, which has no packets of several frames (XDP_USE_SG)"
			}
			return fmt.Sprintf("no such queue, or the flags %#x do not go together", c.Bind)
		}
	case StepBudget:
		if errno == unix.EACCES {
			return fmt.Sprintf("use %d to %d frames", minBudget, c.TxRing)
		}
	case StepBusy:
		if errno == unix.EPERM {
			return "busy polling needs CAP_NET_ADMIN"
		}
	}
	return ""
}
