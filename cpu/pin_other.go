//go:build !linux

package cpu

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// Pinned is a goroutine's hold on a thread that is bound to one CPU. It belongs to the
// goroutine that called [Pin].
type Pinned struct{ cpu int }

// Pin locks the calling goroutine to its thread and binds the thread to the CPU. It needs
// Linux; here the error matches [errors.ErrUnsupported].
func Pin(cpu int) (*Pinned, error) {
	return nil, fmt.Errorf("pin to CPU %d: %w on %s; poll cores need Linux", cpu, errors.ErrUnsupported, runtime.GOOS)
}

// CPU returns the CPU the thread is bound to.
func (p *Pinned) CPU() int { return p.cpu }

// ThreadID returns the kernel's id of the bound thread, for [Confine] to leave it alone.
func (p *Pinned) ThreadID() int { return 0 }

// Release gives the thread its former mask back and unlocks the goroutine from it.
func (p *Pinned) Release() error { return nil }

// YieldEvery is how often a goroutine that never blocks should call [Pinned.Yield].
const YieldEvery = 5 * time.Millisecond

// Yield passes through Go's scheduler.
func (p *Pinned) Yield() (moved bool) {
	goyield()
	return false
}

// Current returns the CPU the calling goroutine runs on at the moment of the call. It needs
// Linux; here the error matches [errors.ErrUnsupported].
func Current() (int, error) {
	return -1, fmt.Errorf("current CPU: %w on %s", errors.ErrUnsupported, runtime.GOOS)
}

// ThreadID returns the kernel's id of the calling thread, which means something only to a
// goroutine locked to it. Outside Linux it is 0.
func ThreadID() int { return 0 }

// ThreadCPUTime returns the time the calling thread has spent running. Outside Linux it
// is 0.
func ThreadCPUTime() time.Duration { return 0 }
