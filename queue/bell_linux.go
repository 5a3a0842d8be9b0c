package queue

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// NewBell returns a bell that nobody has armed. The error is that of eventfd(2),
// as where the process has too many open files.
func NewBell() (*Bell, error) {
	b := &Bell{}
	return b, b.Open()
}

// Open makes a bell usable that is not: the zero value, or one that was closed.
func (b *Bell) Open() error {
	if b.open {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("queue: bell: eventfd: %w", err)
	}
	b.fd, b.open = fd, true
	return nil
}

// signal makes the descriptor readable. The counter is 0, so it cannot block.
func (b *Bell) signal() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	for {
		if _, err := unix.Write(b.fd, one[:]); err != unix.EINTR {
			return // another error is not possible: descriptor and length are good
		}
	}
}

// await takes the signal, waiting for it if need be.
func (b *Bell) await() {
	var count [8]byte
	for {
		if _, err := unix.Read(b.fd, count[:]); err != unix.EINTR {
			return
		}
	}
}

// Close gives up the descriptor. The bell is disarmed.
func (b *Bell) Close() error {
	if !b.open {
		return nil
	}
	b.open = false
	if err := unix.Close(b.fd); err != nil {
		return fmt.Errorf("queue: bell: close: %w", err)
	}
	return nil
}
