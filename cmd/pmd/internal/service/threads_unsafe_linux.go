package service

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// allThreads makes a system call on every thread of the process.
func allThreads(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0); errno == syscall.ENOTSUP {
		return ErrCgo
	} else if errno != 0 {
		return errno
	}
	return nil
}

// capset is capset(2) on every thread: capabilities are a thread's.
func capset(hdr *unix.CapUserHeader, data *[2]unix.CapUserData) error {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(hdr)), uintptr(unsafe.Pointer(data)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
