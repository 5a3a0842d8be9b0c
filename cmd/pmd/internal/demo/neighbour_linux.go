//go:build linux

package demo

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"example.org/pmd/pmd/netlab"
)

// fixNeighbour makes an entry in a host's neighbour table permanent, so that the
// host neither asks for the address nor confirms it from time to time (arp(7)).
func fixNeighbour(ns *netlab.Namespace, ifc netlab.Interface, addr netip.Addr, mac net.HardwareAddr) error {
	err := ns.Handle().NeighSet(&netlink.Neigh{
		LinkIndex: ifc.Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT,
		IP: addr.AsSlice(), HardwareAddr: mac,
	})
	if err != nil {
		return fmt.Errorf("neighbour %v on %s: %w", addr, ifc.Name, err)
	}
	return nil
}
