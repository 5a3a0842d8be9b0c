package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// socket is a receiving packet socket with its ring, and one to send, both on one
// interface. Receiving and sending have one each, so that what waits to be sent does
// not count against what is received, and only received frames have a virtio header.
type socket struct {
	fd, txFD int
	ring     rxRing
	// filter says that frames of our own must be told apart by their type: the kernel
	// does not keep them away from a fanout group.
	filter bool
}

// Sizes of a block in bytes. For a ring v2 it is how much memory the kernel takes at
// once. A block of a ring v3 is given up by its time however little is in it, so there
// must be many: a ring of 2,048 frames has 128, and a core may be away for as many
// times the timeout before anything is lost.
const (
	blockSize2 = 256 << 10
	blockSize3 = 32 << 10
)

// sendBuffer is how many bytes may wait for a device to send them, as the kernel
// counts: some thousand frames with what belongs to each.
const sendBuffer = 4 << 20

// openSocket opens the sockets of a queue. frame is the largest frame in bytes. The
// ring stays empty until start.
func openSocket(cfg Config, ifindex, frame int) (s *socket, err error) {
	s = &socket{fd: -1, txFD: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	// Protocol 0 receives nothing until bind.
	if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return s, step("packet socket", err)
	}
	if err := s.deaf(); err != nil {
		return s, step("filter", err)
	}
	version := unix.TPACKET_V2
	if cfg.Ring == RingV3 {
		version = unix.TPACKET_V3
	}
	for _, o := range []struct {
		name       string
		opt, value int
	}{
		{"PACKET_VERSION", unix.PACKET_VERSION, version},
		{"PACKET_VNET_HDR", unix.PACKET_VNET_HDR, 1},
		{"PACKET_IGNORE_OUTGOING (needs Linux 4.20)", unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, o.opt, o.value); err != nil {
			return s, step(o.name, err)
		}
	}
	if err := s.makeRing(cfg, frame); err != nil {
		return s, step(fmt.Sprintf("receive ring of %d frames", cfg.RxRing), err)
	}
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: ifindex}); err != nil {
		return s, step("bind", err)
	}
	return s, s.openSender(cfg, ifindex)
}

// openSender opens the socket to send.
func (s *socket) openSender(cfg Config, ifindex int) (err error) {
	if s.txFD, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return step("packet socket to send", err)
	}
	if !cfg.Qdisc {
		if err := unix.SetsockoptInt(s.txFD, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return step("PACKET_QDISC_BYPASS", err)
		}
	}
	// With the privilege beyond net.core.wmem_max, else as far as that allows.
	if unix.SetsockoptInt(s.txFD, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		_ = unix.SetsockoptInt(s.txFD, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
	if err := unix.Bind(s.txFD, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		return step("bind to send", err)
	}
	return nil
}

// makeRing asks for the ring and maps it.
func (s *socket) makeRing(cfg Config, frame int) error {
	slot := 1
	for slot < frame+overhead {
		slot *= 2
	}
	total := slot * cfg.RxRing
	block := min(blockSize2, total)
	var err error
	if cfg.Ring == RingV3 {
		block = min(blockSize3, total/4)
		err = unix.SetsockoptTpacketReq3(s.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{
			Block_size: uint32(block), Block_nr: uint32(total / block), Frame_size: uint32(slot), Frame_nr: uint32(cfg.RxRing),
			Retire_blk_tov: uint32(cfg.BlockTimeout),
		})
		s.ring = rxRing{v3: true, slot: block, mask: total/block - 1}
	} else {
		err = unix.SetsockoptTpacketReq(s.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{
			Block_size: uint32(block), Block_nr: uint32(total / block), Frame_size: uint32(slot), Frame_nr: uint32(cfg.RxRing),
		})
		s.ring = rxRing{slot: slot, mask: cfg.RxRing - 1}
	}
	if err != nil {
		return err
	}
	s.ring.mem, err = unix.Mmap(s.fd, 0, total, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return err
}

// deaf lets nothing into the ring, as a filter that returns 0 bytes does: the socket
// is bound, and joins its group, before the queue is ready.
func (s *socket) deaf() error {
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	return unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
}

// start lets frames into the ring.
func (s *socket) start() error {
	return step("take the filter off", unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0))
}

// join puts the sockets of several queues into one fanout group: each frame comes to
// one of them.
func join(socks []*socket, fanout string) error {
	if len(socks) < 2 {
		return nil
	}
	mode := unix.PACKET_FANOUT_HASH
	if fanout == FanoutCPU {
		mode = unix.PACKET_FANOUT_CPU
	}
	mode |= unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	first := socks[0].fd
	err := unix.SetsockoptInt(first, unix.SOL_PACKET, unix.PACKET_FANOUT, (mode|unix.PACKET_FANOUT_FLAG_UNIQUEID)<<16)
	if errors.Is(err, unix.EINVAL) {
		// A kernel that cannot keep outgoing frames away from a group.
		mode &^= unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
		for _, s := range socks {
			s.filter = true
		}
		err = unix.SetsockoptInt(first, unix.SOL_PACKET, unix.PACKET_FANOUT, (mode|unix.PACKET_FANOUT_FLAG_UNIQUEID)<<16)
	}
	if err != nil {
		return step("fanout group", err)
	}
	got, err := unix.GetsockoptInt(first, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return step("fanout group", err)
	}
	for _, s := range socks[1:] {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, mode<<16|got&0xffff); err != nil {
			return step("join the fanout group", err)
		}
	}
	return nil
}

// promiscuous makes the interface take all frames for as long as the socket is open:
// the kernel counts memberships, and drops them with the process.
func (s *socket) promiscuous(ifindex int) error {
	mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
	return step("promiscuous mode", unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq))
}

// statistics reads PACKET_STATISTICS, which makes the kernel begin anew.
func (s *socket) statistics() (drops, freezes uint32, err error) {
	if s.ring.v3 {
		x, err := unix.GetsockoptTpacketStatsV3(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err != nil {
			return 0, 0, err
		}
		return x.Drops, x.Freeze_q_cnt, nil
	}
	x, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, 0, err
	}
	return x.Drops, 0, nil
}

// clearError takes the error that the kernel leaves on a socket when its interface
// goes down: with it the descriptor would poll ready for ever.
func (s *socket) clearError() {
	_, _ = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	_, _ = unix.GetsockoptInt(s.txFD, unix.SOL_SOCKET, unix.SO_ERROR)
}

// close gives up whatever there is.
func (s *socket) close() (err error) {
	if s.ring.mem != nil {
		err = unix.Munmap(s.ring.mem)
		s.ring = rxRing{}
	}
	for _, fd := range []*int{&s.fd, &s.txFD} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
			*fd = -1
		}
	}
	return err
}

// networkOrder turns a number round for the wire.
func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)})
}

// step wraps an error of the machine with the step and what the user can do; nil
// stays nil.
func step(what string, err error) error {
	if err == nil {
		return nil
	}
	advice := ""
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		advice = "; packet sockets need CAP_NET_RAW: run as root, or give the binary or the container this capability"
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		advice = "; the kernel has no memory for it: use a smaller rx-ring="
	case errors.Is(err, unix.EAFNOSUPPORT):
		advice = "; this kernel is built without CONFIG_PACKET"
	}
	return fmt.Errorf("%s: %w%s", what, err, advice)
}
