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
	// Record is how many arrivals to keep for Sink.Arrivals, up to MaxRecord, 24
	// bytes of kernel memory each; 0 is none. Only frames of a Generator with Stamp
	// should arrive then, at an interface with one queue.
	Record int
}

// MaxRecord is the most arrivals that a sink keeps.
const MaxRecord = 1 << 24

// Arrival is a frame of a Generator with Stamp that arrived at a Sink.
type Arrival struct {
	// Sequence is its number.
	Sequence uint64
	// Due is when it should have left and Arrived when the sink saw it, in
	// nanoseconds of CLOCK_MONOTONIC.
	Due, Arrived uint64
}

// arrivalSize is the size of an Arrival in the kernel's memory.
const arrivalSize = 24

// Frames that do not match are given on to the kernel uncounted, whatever Pass
// says: ARP and ping keep working through a sink that matches a flood.
func (c SinkConfig) validate() error {
	if c.Record < 0 || c.Record > MaxRecord {
		return fmt.Errorf("netlab: sink: %d arrivals to keep are not within 0 to %d", c.Record, MaxRecord)
	}
	if c.UDPPort != 0 && c.EtherType != 0 && c.EtherType != etherTypeIPv4 {
		return fmt.Errorf("netlab: sink: UDP port %d can only match IPv4, not EtherType %#04x", c.UDPPort, c.EtherType)
	}
	return nil
}
