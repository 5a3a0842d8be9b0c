package netlab

import "fmt"

// SinkConfig says which frames a sink counts and what becomes of them. The
// zero value counts and drops every frame.
type SinkConfig struct {
	// Pass gives counted frames on to the kernel's stack; otherwise they
	// are dropped.
	Pass bool
	// EtherType counts only frames of that type (0x0800 is IPv4); 0 is any.
	// A VLAN tag is a type of its own.
	EtherType uint16
	// UDPPort counts only UDP/IPv4 datagrams to that port, without IP
	// options and not fragmented; 0 is any. It implies the EtherType.
	UDPPort uint16
}

// Frames that do not match are given on to the kernel uncounted, whatever Pass
// says: ARP and ping keep working through a sink that matches a flood.
func (c SinkConfig) validate() error {
	if c.UDPPort != 0 && c.EtherType != 0 && c.EtherType != etherTypeIPv4 {
		return fmt.Errorf("netlab: sink: UDP port %d can only match IPv4, not EtherType %#04x", c.UDPPort, c.EtherType)
	}
	return nil
}
