//go:build linux

package xsk

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/mbuf"
)

// registerUmem registers mem as the socket's UMEM (XDP_UMEM_REG). The structure
// has grown twice: 24 bytes, then flags, then tx_metadata_len in what had been
// padding. All of today's 32 bytes are passed, zero where nothing is asked, and
// a kernel that knows fewer takes those it knows.
func (s *Socket) registerUmem(mem []byte, chunk, headroom uint32, txMetadata bool) error {
	reg := unix.XDPUmemReg{
		// A number to the kernel; it pins the pages before the call returns,
		// and they are not on the Go heap, where they could move.
		Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))),
		Len:  uint64(len(mem)),
		Size: chunk, Headroom: headroom,
	}
	if txMetadata {
		// Linux 6.8 had the length without the flag for a while; a kernel that knows
		// neither refuses the flag.
		reg.Flags, reg.Tx_metadata_len = unix.XDP_UMEM_TX_METADATA_LEN, mbuf.MetaLen
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	runtime.KeepAlive(mem)
	if errno != 0 {
		return errno
	}
	return nil
}

// getsockopt reads up to size bytes of a socket option and returns how many the
// kernel has written.
func (s *Socket) getsockopt(opt int, p unsafe.Pointer, size uint32) (uint32, error) {
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, uintptr(opt),
		uintptr(p), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, errno
	}
	return size, nil
}

// mmapOffsets reads where the rings' parts are (XDP_MMAP_OFFSETS).
func (s *Socket) mmapOffsets() (unix.XDPMmapOffsets, error) {
	var off unix.XDPMmapOffsets
	n, err := s.getsockopt(unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&off), uint32(unsafe.Sizeof(off)))
	if err == nil && uintptr(n) < unsafe.Sizeof(off) {
		// Three numbers a ring and no flags: before Linux 5.4.
		err = needs(unix.ENOPROTOOPT, "5.4")
	}
	return off, err
}

// statistics reads XDP_STATISTICS. An older kernel writes the first three
// counters only; the rest stay 0.
func (s *Socket) statistics() (x unix.XDPStatistics, err error) {
	_, err = s.getsockopt(unix.XDP_STATISTICS, unsafe.Pointer(&x), uint32(unsafe.Sizeof(x)))
	return x, err
}

// poll is ppoll(2) with a timeout of zero: it looks at the queue, wakes what
// wants to be woken, and returns. A raw system call, since it cannot block.
func (s *Socket) poll() syscall.Errno {
	if s.fd < 0 {
		return unix.EBADF // poll itself passes over a negative descriptor
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&s.pollfd[0])), 1,
		uintptr(unsafe.Pointer(&s.zeroTime)), 0, 0, 0)
	return errno
}
