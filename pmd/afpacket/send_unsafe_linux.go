package afpacket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// iovec is struct iovec with the address as a number: frames are not on the Go heap,
// and the packet path writes no pointers.
type iovec struct {
	base, len uintptr
}

// mmsghdr is struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// sender gives bursts to a packet socket. It belongs to the owner of its queue, and
// must not be moved once made.
type sender struct {
	vec [pmd.MaxBurst]iovec
	msg [pmd.MaxBurst]mmsghdr
}

// newSender joins each message to its piece of memory.
func newSender() *sender {
	s := &sender{}
	for i := range s.msg {
		s.msg[i].hdr.Iov = (*unix.Iovec)(unsafe.Pointer(&s.vec[i]))
		s.msg[i].hdr.SetIovlen(1)
	}
	return s
}

// set makes f message i.
func (s *sender) set(i int, mem mbuf.Mem, f mbuf.Frame) {
	s.vec[i] = iovec{uintptr(unsafe.Pointer(unsafe.SliceData(mem.Bytes(f)))), uintptr(f.Len)}
}

// send is sendmmsg(2) of messages from to before to. It returns how many the kernel
// took: at least one, or the errno of the first. A raw system call: with MSG_DONTWAIT
// it does not block.
func (s *sender) send(fd, from, to int) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msg[from])), uintptr(to-from),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
