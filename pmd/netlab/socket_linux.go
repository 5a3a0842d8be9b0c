//go:build linux

package netlab

import (
	"net"

	"golang.org/x/sys/unix"
)

// readBuffer sets the receive buffer of c. With CAP_NET_ADMIN the system's
// limit (net.core.rmem_max) does not hold; without it, it does.
func readBuffer(c *net.UDPConn, bytes int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
	})
	if err == nil && serr != nil {
		return c.SetReadBuffer(bytes)
	}
	return err
}
