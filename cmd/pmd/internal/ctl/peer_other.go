//go:build !linux

package ctl

import (
	"net"
	"os"
)

// peerOf cannot be told here. Nobody else can open the socket, as it is made for a group on
// Linux only.
func peerOf(net.Conn) peer { return peer{UID: os.Geteuid(), known: true} }
