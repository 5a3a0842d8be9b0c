//go:build linux

package xsk

import (
	"errors"
	"syscall"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// Socket is an AF_XDP socket bound to one queue of an interface. Its rings and
// kicks belong to the goroutine that owns the queue.
type Socket struct {
	_ cpu.CacheLinePad
	// Hot: every burst.
	Rings
	kicker   kicker
	fd       int
	pollRx   bool // recvfrom cannot wake this kernel, poll can
	pollfd   [1]unix.PollFd
	zeroTime unix.Timespec
	// Control.
	cfg  Config
	maps [][]byte
	_    cpu.CacheLinePad
}

// Open makes a socket, registers cfg.Mem or shares the UMEM of cfg.SharedFD,
// maps the rings and binds. On an error, always an *Error, all of it is undone;
// mappings too, since one left over keeps the queue EBUSY for as long as the
// process lives. EBUSY from a queue whose socket was just closed passes:
// the kernel finishes a close in the background.
func Open(cfg Config) (*Socket, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, cfg.fail(StepSocket, err)
	}
	s := &Socket{fd: fd, cfg: cfg}
	if err := s.setUp(); err != nil {
		// What went wrong first is what the caller needs to know.
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// setUp takes the steps between socket and packets.
func (s *Socket) setUp() error {
	c := &s.cfg
	if err := s.setSndBuf(c.SndBuf); err != nil {
		return c.fail(StepSndBuf, err)
	}
	if c.SharedFD == 0 {
		if err := s.registerUmem(c.Mem, c.FrameSize, c.Headroom, c.TxMetadata); err != nil {
			return c.fail(StepUmem, err)
		}
	}
	for _, r := range []struct {
		step Step
		opt  int
		size uint32
	}{
		{StepFill, unix.XDP_UMEM_FILL_RING, c.FillRing},
		{StepComp, unix.XDP_UMEM_COMPLETION_RING, c.CompRing},
		{StepRx, unix.XDP_RX_RING, c.RxRing},
		{StepTx, unix.XDP_TX_RING, c.TxRing},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, r.opt, int(r.size)); err != nil {
			return c.fail(r.step, err)
		}
	}
	if err := s.mapRings(); err != nil {
		return err
	}
	sa := &unix.SockaddrXDP{Flags: c.Bind, Ifindex: c.Ifindex, QueueID: c.Queue}
	if c.SharedFD != 0 {
		sa.Flags, sa.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(c.SharedFD)
	}
	if err := unix.Bind(s.fd, sa); err != nil {
		return c.fail(StepBind, err)
	}
	zeroCopy, err := s.Options()
	if err != nil {
		return err
	}
	s.pollfd[0] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
	s.kicker = kicker{send: s.sendto, zeroCopy: zeroCopy, budget: minBudget}
	// The budget option and the prompt consumer index came with the same
	// kernel, so the one tells of the other.
	s.kicker.publishes = s.SetTxBudget(minBudget) == nil
	return nil
}

// setSndBuf raises the send buffer, beyond net.core.wmem_max if we may.
func (s *Socket) setSndBuf(n int) error {
	err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n)
	if errors.Is(err, unix.EPERM) {
		return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, n)
	}
	return err
}

// mapRings maps the four rings and points ours at them.
func (s *Socket) mapRings() error {
	c := &s.cfg
	off, err := s.mmapOffsets()
	if err != nil {
		return c.fail(StepOffsets, err)
	}
	var views [4]view
	for i, r := range []struct {
		off   unix.XDPRingOffset
		pgoff int64
		size  uint32
		entry uint64
	}{
		{off.Rx, unix.XDP_PGOFF_RX_RING, c.RxRing, descSize},
		{off.Tx, unix.XDP_PGOFF_TX_RING, c.TxRing, descSize},
		{off.Fr, unix.XDP_UMEM_PGOFF_FILL_RING, c.FillRing, addrSize},
		{off.Cr, unix.XDP_UMEM_PGOFF_COMPLETION_RING, c.CompRing, addrSize},
	} {
		o := offsets{producer: r.off.Producer, consumer: r.off.Consumer, flags: r.off.Flags, entries: r.off.Desc}
		mem, err := unix.Mmap(s.fd, r.pgoff, int(o.size(r.size, r.entry)),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return c.fail(StepMap, err)
		}
		s.maps = append(s.maps, mem)
		if views[i], err = newView(mem, o, r.size, r.entry); err != nil {
			return c.fail(StepMap, err)
		}
	}
	s.attach(views[0], views[1], views[2], views[3], c.FrameSize)
	if c.TxMetadata {
		s.Tx.carryRequests(c.Mem)
	}
	return nil
}

// FD returns the socket's descriptor, for the program's map of sockets, for
// poll and for sockets that share the UMEM. It does not change until Close, and
// is -1 from then on.
func (s *Socket) FD() int { return s.fd }

// Close unmaps the rings and closes the socket. Frames that were posted stay so
// for a while: the kernel takes the queue down after the call has returned, and
// a device may still write into them until a new bind is no longer EBUSY. The
// rings hold nothing afterwards, and calling anything again is harmless.
func (s *Socket) Close() error {
	if s.fd < 0 {
		return nil
	}
	fd := s.fd
	// No call may reach a descriptor that the process has opened since.
	s.fd, s.pollfd[0].Fd = -1, -1
	s.detach()
	var errs []error
	for _, m := range s.maps {
		errs = append(errs, unix.Munmap(m))
	}
	s.maps = nil
	errs = append(errs, unix.Close(fd))
	if err := errors.Join(errs...); err != nil {
		return s.cfg.fail(StepClose, err)
	}
	return nil
}

// KickTx makes the kernel send what is in the transmit ring: in copy mode until
// it has taken all of it or takes no more, in zero-copy mode by one wakeup. It
// is for the owner of the queue, needed while [TxRing.NeedWakeup], and does not
// block.
func (s *Socket) KickTx() KickResult { return s.kicker.kick(&s.Tx) }

// sendto is sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0). A raw system call, since
// it cannot block.
func (s *Socket) sendto() syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// KickRx makes the kernel look at the fill ring again. It is needed while
// [FillRing.NeedWakeup], which only zero-copy mode sets, and with busy polling.
// It returns 0, or ENETDOWN, ENXIO or EBADF as KickTx does, and does not block.
func (s *Socket) KickRx() syscall.Errno {
	for range maxInterrupts {
		var errno syscall.Errno
		if s.pollRx {
			errno = s.poll()
		} else {
			_, _, errno = unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		}
		switch errno {
		case unix.EINTR:
		case unix.EOPNOTSUPP:
			// recvmsg came with Linux 5.11; poll has always woken the driver.
			if s.pollRx {
				return errno
			}
			s.pollRx = true
		case 0, unix.EAGAIN, unix.EBUSY, unix.ENOBUFS, unix.ENOMEM:
			return 0
		default:
			return errno
		}
	}
	return 0
}
