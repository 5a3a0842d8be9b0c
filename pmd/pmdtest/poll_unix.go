//go:build unix

package pmdtest

import "golang.org/x/sys/unix"

// canPoll says that polls can tell.
const canPoll = true

// polls tells whether a descriptor is readable.
func polls(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&unix.POLLIN != 0
}
