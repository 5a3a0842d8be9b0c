package tap

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// scatter reads a frame, and one byte more to tell a frame that was cut off. It
// belongs to the owner of its queue.
type scatter struct {
	// vec is struct iovec: the addresses are numbers, since frames are not on the Go
	// heap and the packet path writes no pointers.
	vec [2]struct {
		base uintptr
		len  uintptr
	}
	more *[1]byte
}

// read is readv(2) into b. It returns how many bytes the frame has: more than
// len(b) if it was cut off. A raw system call, since the descriptor does not block.
func (s *scatter) read(fd int, b []byte) (int, syscall.Errno) {
	if s.more == nil {
		s.more = new([1]byte) // once; the heap does not move it
		s.vec[1].base, s.vec[1].len = uintptr(unsafe.Pointer(s.more)), 1
	}
	s.vec[0].base, s.vec[0].len = uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))
	n, _, errno := unix.RawSyscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(&s.vec)), 2)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// write is write(2) of one frame, which the kernel takes whole or not at all.
func write(fd int, b []byte) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return errno
}
