package packet

import (
	"encoding/binary"
	"net"
)

// Lengths of headers in bytes, without options.
const (
	EthernetLen = 14 // IEEE 802.3
	VLANLen     = 4  // IEEE 802.1Q
	ARPLen      = 28 // RFC 826, for Ethernet and IPv4
	IPv4Len     = 20 // RFC 791
	IPv6Len     = 40 // RFC 8200
	TCPLen      = 20 // RFC 9293
	UDPLen      = 8  // RFC 768
	ICMPLen     = 8  // RFC 792 and RFC 4443, of echo messages
)

// MinFrame is the least length of an Ethernet frame in bytes, without the frame
// check sequence: minFrameSize of IEEE 802.3 less four. Frames shorter than that
// are padded by those who make them.
const MinFrame = 60

// EtherType says what follows an Ethernet header or a VLAN tag.
type EtherType uint16

// EtherTypes, as the IEEE assigns them.
const (
	EtherTypeIPv4 EtherType = 0x0800
	EtherTypeARP  EtherType = 0x0806
	EtherTypeIPv6 EtherType = 0x86dd
	// EtherTypeVLAN is a customer tag, EtherTypeQinQ a service tag of IEEE
	// 802.1ad, EtherTypeQinQOld what was used for those before there was a
	// standard.
	EtherTypeVLAN    EtherType = 0x8100
	EtherTypeQinQ    EtherType = 0x88a8
	EtherTypeQinQOld EtherType = 0x9100
)

// IsTag reports whether a VLAN tag follows.
func (t EtherType) IsTag() bool {
	return t == EtherTypeVLAN || t == EtherTypeQinQ || t == EtherTypeQinQOld
}

// MAC is an Ethernet address.
type MAC [6]byte

// broadcastMAC is the address of all stations.
var broadcastMAC = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// MACOf returns an address that is held as a slice, and whether it is an Ethernet
// address at all.
func MACOf(hw net.HardwareAddr) (MAC, bool) {
	if len(hw) != len(MAC{}) {
		return MAC{}, false
	}
	return MAC(hw), true
}

// HardwareAddr returns a copy as a slice.
func (m MAC) HardwareAddr() net.HardwareAddr { return m[:] }

// String writes six pairs of hex digits with colons between them.
func (m MAC) String() string { return m.HardwareAddr().String() }

// IsBroadcast reports whether the address is that of all stations.
func (m MAC) IsBroadcast() bool { return m == broadcastMAC }

// IsMulticast reports whether it is the address of a group, broadcast included.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// IsZero reports whether no bit is set.
func (m MAC) IsZero() bool { return m == MAC{} }

// Ethernet is an Ethernet II header.
type Ethernet [EthernetLen]byte

// EthernetAt returns the header that b begins with, nil if b is shorter.
func EthernetAt(b []byte) *Ethernet {
	if len(b) < EthernetLen {
		return nil
	}
	return (*Ethernet)(b)
}

// Destination returns the address the frame is sent to.
func (h *Ethernet) Destination() MAC { return MAC(h[0:6]) }

// SetDestination writes it.
func (h *Ethernet) SetDestination(m MAC) { *(*MAC)(h[0:6]) = m }

// Source returns the address the frame comes from.
func (h *Ethernet) Source() MAC { return MAC(h[6:12]) }

// SetSource writes it.
func (h *Ethernet) SetSource(m MAC) { *(*MAC)(h[6:12]) = m }

// EtherType returns what follows: a tag, or the network header.
func (h *Ethernet) EtherType() EtherType { return EtherType(binary.BigEndian.Uint16(h[12:14])) }

// SetEtherType writes it.
func (h *Ethernet) SetEtherType(t EtherType) { binary.BigEndian.PutUint16(h[12:14], uint16(t)) }

// SwapAddresses exchanges source and destination: it turns twelve bytes by six
// places with two loads and two stores.
func (h *Ethernet) SwapAddresses() {
	lo := binary.LittleEndian.Uint64(h[0:8])
	hi := binary.LittleEndian.Uint32(h[8:12])
	binary.LittleEndian.PutUint64(h[0:8], lo>>48|uint64(hi)<<16|lo<<48)
	binary.LittleEndian.PutUint32(h[8:12], uint32(lo>>16))
}

// VLAN is a tag of IEEE 802.1Q behind the EtherType that announces it: the tag
// control information, and the EtherType of what follows.
type VLAN [VLANLen]byte

// VLANAt returns the tag that b begins with, nil if b is shorter.
func VLANAt(b []byte) *VLAN {
	if len(b) < VLANLen {
		return nil
	}
	return (*VLAN)(b)
}

// ID returns the VLAN's number, 0 to 4095; 0 is a tag that carries a priority only.
func (h *VLAN) ID() uint16 { return binary.BigEndian.Uint16(h[0:2]) & 0x0fff }

// Priority returns the priority code point, 0 to 7.
func (h *VLAN) Priority() uint8 { return h[0] >> 5 }

// DropEligible returns the drop eligible indicator.
func (h *VLAN) DropEligible() bool { return h[0]&0x10 != 0 }

// EtherType returns what follows the tag.
func (h *VLAN) EtherType() EtherType { return EtherType(binary.BigEndian.Uint16(h[2:4])) }
