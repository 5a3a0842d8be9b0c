//go:build linux

package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// getcpu returns the CPU the calling thread runs on (getcpu(2)). It is the raw system call:
// Go reaches the vDSO only for the clock.
func getcpu() (int, error) {
	var id uint32
	_, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&id)), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(id), nil
}
