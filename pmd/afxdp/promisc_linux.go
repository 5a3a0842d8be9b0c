package afxdp

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// promiscuous makes an interface take all frames for as long as the returned
// socket is open: a packet-socket membership is counted by the kernel and goes
// with the process. The socket has protocol 0 and receives nothing.
func promiscuous(ifindex int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("packet socket: %w", err)
	}
	mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("promiscuous membership: %w", err)
	}
	return fd, nil
}
