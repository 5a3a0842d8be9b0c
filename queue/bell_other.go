//go:build !linux

package queue

// NewBell returns a bell that cannot be armed: it needs Linux. Who would sleep on it
// sleeps for a bounded time.
func NewBell() (*Bell, error) { return &Bell{}, nil }

// Open does nothing.
func (b *Bell) Open() error { return nil }

func (b *Bell) signal() {}
func (b *Bell) await()  {}

// Close does nothing.
func (b *Bell) Close() error { return nil }
