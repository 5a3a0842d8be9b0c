package ctl

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel who connected. It noted that when the connection was made.
func peerOf(c net.Conn) peer {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return peer{UID: -1}
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return peer{UID: -1}
	}
	who := peer{UID: -1}
	_ = raw.Control(func(fd uintptr) { // an error leaves who unknown
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who = peer{UID: int(cred.Uid), PID: int(cred.Pid), known: true}
		}
	})
	return who
}
