//go:build !linux

package pcap

import "time"

// timer stands for what only Linux has: who would sleep until the next frame is due
// sleeps for short times.
type timer struct{}

func newTimer() (*timer, error) { return &timer{}, nil }

func (*timer) wait() int                { return -1 }
func (*timer) after(time.Duration) bool { return true }
func (*timer) clear()                   {}
func (*timer) close()                   {}
