package ctl

import (
	"context"
	"net"
	"os"
)

// peer is who is at the other end of a connection (unix(7), SO_PEERCRED).
type peer struct {
	UID, PID int
	// known is false if the system could not tell.
	known bool
}

type peerKey struct{}

// withPeer notes who is at the other end of a connection, for all its requests.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerOf(c))
}

// mayChange reports whether who asks may change anything: root, and the user of this
// process. A request that did not come over a connection comes from the process itself.
func mayChange(ctx context.Context) (who peer, ok bool) {
	who, remote := ctx.Value(peerKey{}).(peer)
	if !remote {
		return who, true
	}
	return who, who.known && (who.UID == 0 || who.UID == os.Geteuid())
}
