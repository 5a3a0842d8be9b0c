package netif

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// CheckEthernet refuses an interface whose frames are not Ethernet's, such as a tun device or
// a tunnel of IP.
func CheckEthernet(l netlink.Link) error {
	if e := l.Attrs().EncapType; e != "ether" && e != "loopback" {
		return fmt.Errorf("the interface has link type %s, not Ethernet: use another: %w", e, unix.EOPNOTSUPP)
	}
	return nil
}

// CheckManagement refuses an interface that a person may be using to reach this
// machine: one that holds a default route or the address of the SSH session, or
// belongs to a bridge or bond that does. It is called inside the namespace.
func CheckManagement(l netlink.Link) error {
	name := l.Attrs().Name
	mine := map[int]bool{l.Attrs().Index: true}
	if m := l.Attrs().MasterIndex; m != 0 {
		mine[m] = true
	}
	// All tables: policy routing may hold the default route elsewhere.
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			if !isDefault(r.Dst) || r.Type != unix.RTN_UNICAST {
				continue
			}
			if mine[r.LinkIndex] {
				return fmt.Errorf("it holds a default route of this machine; use another interface, or --take-management to take %s all the same", name)
			}
			for _, hop := range r.MultiPath {
				if mine[hop.LinkIndex] {
					return fmt.Errorf("it holds a default route of this machine; use another interface, or --take-management to take %s all the same", name)
				}
			}
		}
	}
	session := sshAddress(os.Getenv("SSH_CONNECTION"))
	if !session.IsValid() {
		return nil
	}
	for index := range mine {
		iface, err := net.InterfaceByIndex(index)
		if err != nil {
			continue
		}
		addrs, err := iface.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == session {
				return fmt.Errorf("your SSH session uses it (%s); use another interface, or --take-management to take %s all the same", session, name)
			}
		}
	}
	return nil
}

// isDefault reports whether a route's destination is everything.
func isDefault(dst *net.IPNet) bool {
	if dst == nil {
		return true
	}
	ones, _ := dst.Mask.Size()
	return ones == 0
}

// sshAddress returns our side's address from SSH_CONNECTION, which sshd sets to
// "client-address client-port server-address server-port" (sshd(8)).
func sshAddress(v string) netip.Addr {
	f := strings.Fields(v)
	if len(f) != 4 {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(f[2])
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
