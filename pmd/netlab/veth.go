package netlab

import (
	"fmt"
	"net"
	"net/netip"
)

const (
	// minMTU and maxMTU are what the veth driver takes (ETH_MIN_MTU and
	// ETH_MAX_MTU of include/uapi/linux/if_ether.h).
	minMTU = 68
	maxMTU = 65535
	// maxQueues is far above any number of cores a lab is run on.
	maxQueues = 256
)

// VethEnd says how one end of a pair is to be. The zero value is an end in the
// lab's own namespace with a made-up name, no address, a random MAC address,
// an MTU of 1500 bytes, one queue, and offloads off.
type VethEnd struct {
	// Namespace holds the end; nil is the namespace New was called in.
	Namespace *Namespace
	// Name is the interface name, at most 15 bytes; empty takes one that
	// begins with the lab's name. In a namespace others use as well, prefer
	// a name from Lab.Name.
	Name string
	// Addrs are the addresses with their prefix lengths. IPv6 addresses are
	// usable at once (no duplicate address detection).
	Addrs []netip.Prefix
	// MAC is the hardware address; nil lets the kernel choose one.
	MAC net.HardwareAddr
	// MTU in bytes, 68 to 65535; 0 is 1500. XDP programs without frags
	// support attach up to about 3,500 bytes only.
	MTU int
	// Queues is the number of receive and of transmit queues, 1 to 256; 0
	// is as many as the other end has, and 1 if that says nothing either.
	// Both ends must agree: with XDP attached, veth requires that no end
	// sends on more queues than the other receives on.
	Queues int
	// TxOffload leaves checksum and segmentation offload on. Frames then
	// carry unfinished checksums and exceed the MTU, which is only right
	// when the frames never leave the kernel.
	TxOffload bool
}

// validate checks one end by itself and says which one it was.
func (e VethEnd) validate(which string) error {
	if err := validIfName(e.Name); err != nil {
		return fmt.Errorf("netlab: veth end %s: %w", which, err)
	}
	if e.MAC != nil && (len(e.MAC) != 6 || e.MAC[0]&1 != 0) {
		return fmt.Errorf("netlab: veth end %s (%s): MAC %s is not a unicast Ethernet address", which, e.Name, e.MAC)
	}
	if e.MTU != 0 && (e.MTU < minMTU || e.MTU > maxMTU) {
		return fmt.Errorf("netlab: veth end %s (%s): MTU %d is not within %d to %d", which, e.Name, e.MTU, minMTU, maxMTU)
	}
	if e.Queues < 0 || e.Queues > maxQueues {
		return fmt.Errorf("netlab: veth end %s (%s): %d queues are not within 1 to %d", which, e.Name, e.Queues, maxQueues)
	}
	for _, a := range e.Addrs {
		if !a.IsValid() {
			return fmt.Errorf("netlab: veth end %s (%s): an address is the zero Prefix", which, e.Name)
		}
	}
	return nil
}

// hasIPv6 tells whether the end needs the IPv6 stack at all.
func (e VethEnd) hasIPv6() bool {
	for _, a := range e.Addrs {
		if a.Addr().Is6() && !a.Addr().Is4In6() {
			return true
		}
	}
	return false
}

// agree fills in what either end leaves to the other and checks the two
// together.
func agree(a, b *VethEnd) error {
	switch {
	case a.Queues == 0 && b.Queues == 0:
		a.Queues, b.Queues = 1, 1
	case a.Queues == 0:
		a.Queues = b.Queues
	case b.Queues == 0:
		b.Queues = a.Queues
	}
	if a.Queues != b.Queues {
		return fmt.Errorf("netlab: veth %s has %d queues and its peer %s %d: XDP on veth needs as many on both ends", a.Name, a.Queues, b.Name, b.Queues)
	}
	for _, e := range []*VethEnd{a, b} {
		if e.MTU == 0 {
			e.MTU = 1500
		}
	}
	return nil
}

// Interface is one end of a pair as it was made.
type Interface struct {
	// Namespace holds the interface; never nil.
	Namespace *Namespace
	// Name and Index are what the kernel knows it by in that namespace.
	Name  string
	Index int
	// MAC is the hardware address, and MTU the largest payload in bytes.
	MAC net.HardwareAddr
	MTU int
	// Queues is the number of receive and transmit queues.
	Queues int
}
