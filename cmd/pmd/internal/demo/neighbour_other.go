//go:build !linux

package demo

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"example.org/pmd/pmd/netlab"
)

// fixNeighbour fails: there are no namespaces here.
func fixNeighbour(_ *netlab.Namespace, ifc netlab.Interface, addr netip.Addr, _ net.HardwareAddr) error {
	return fmt.Errorf("neighbour %v on %s: %w", addr, ifc.Name, errors.ErrUnsupported)
}
