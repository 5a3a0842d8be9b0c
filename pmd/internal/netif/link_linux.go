package netif

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkState tells whether an interface can carry traffic, and if not, why.
func LinkState(l netlink.Link) (up bool, detail string) {
	a := l.Attrs()
	switch {
	case a.RawFlags&unix.IFF_UP == 0:
		return false, "the interface is down: ip link set dev " + a.Name + " up"
	case a.RawFlags&unix.IFF_RUNNING == 0:
		return false, "no carrier: the link or the peer is down"
	}
	return true, ""
}
