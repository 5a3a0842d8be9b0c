package packet

import (
	"encoding/binary"
	"net/netip"
)

// NeighbourLen is the length of a neighbour solicitation or advertisement without
// options, in bytes (RFC 4861, sections 4.3 and 4.4).
const NeighbourLen = 24

// Flags of a neighbour advertisement.
const (
	// NDRouter says that the sender is a router.
	NDRouter = 0x80
	// NDSolicited says that a solicitation is answered.
	NDSolicited = 0x40
	// NDOverride says that what is known already shall be replaced.
	NDOverride = 0x20
)

// Options of Neighbour Discovery that hold a link-layer address.
const (
	NDSourceLink = 1
	NDTargetLink = 2
	ndLinkLen    = 8 // of such an option for Ethernet (RFC 2464, section 6)
)

// ndHopLimit is what a message of Neighbour Discovery must arrive with, which
// shows that no router passed it on (RFC 4861, section 3.1).
const ndHopLimit = 255

// Neighbour is a neighbour solicitation or advertisement, without options.
type Neighbour [NeighbourLen]byte

// NeighbourAt returns the message that b begins with; nil if b is shorter, or if
// it is neither a solicitation nor an advertisement.
func NeighbourAt(b []byte) *Neighbour {
	if len(b) < NeighbourLen || b[0] != ICMPv6Solicit && b[0] != ICMPv6Advertise {
		return nil
	}
	return (*Neighbour)(b)
}

// ICMP returns the message's beginning.
func (h *Neighbour) ICMP() *ICMP { return (*ICMP)(h[0:8]) }

// Flags returns the flags of an advertisement.
func (h *Neighbour) Flags() uint8 { return h[4] }

// Target returns the address that is asked for or told of.
func (h *Neighbour) Target() [16]byte { return [16]byte(h[8:24]) }

// LinkOption looks for an option with a link-layer address, NDSourceLink or
// NDTargetLink, among options, which is what follows the fixed part of a message.
// An option of length zero ends the search: the message is faulty (RFC 4861,
// section 4.6).
func LinkOption(options []byte, kind uint8) (MAC, bool) {
	for len(options) >= ndLinkLen {
		n := int(options[1]) * 8
		if n == 0 || n > len(options) {
			break
		}
		if options[0] == kind && n == ndLinkLen {
			return MAC(options[2:8]), true
		}
		options = options[n:]
	}
	return MAC{}, false
}

// SolicitedNode returns the multicast group that has ip's neighbour solicitations
// (RFC 4291, section 2.7.1).
func SolicitedNode(ip [16]byte) [16]byte {
	return [16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff, 13: ip[13], 14: ip[14], 15: ip[15]}
}

// MulticastMAC returns the Ethernet address of an IPv6 multicast group (RFC 2464,
// section 7).
func MulticastMAC(group [16]byte) MAC {
	return MAC{0x33, 0x33, group[12], group[13], group[14], group[15]}
}

// allNodes is the group of all nodes on the link (RFC 4291, section 2.7.1).
var allNodes = [16]byte{0: 0xff, 1: 0x02, 15: 0x01}

// PutNeighbourSolicitation writes a frame that asks who has target, and tells that
// srcIP is at src. With the unspecified address :: as srcIP it is a probe for
// duplicates (RFC 4862, section 5.4.2), which tells nothing. It returns the
// frame's length, or 0.
func PutNeighbourSolicitation(b []byte, src MAC, srcIP, target netip.Addr) int {
	if !srcIP.Is6() || !target.Is6() {
		return 0
	}
	group := SolicitedNode(target.As16())
	link := ndOption{NDSourceLink, src}
	if srcIP.IsUnspecified() {
		link.kind = 0
	}
	return putNeighbour(b, ICMPv6Solicit, 0, src, srcIP.As16(), MulticastMAC(group), group, target.As16(), link)
}

// PutNeighbourAdvertisement writes a frame that tells dst, who is dstIP, that
// target is at src; srcIP is the sender's address, mostly target itself. flags
// are any of NDRouter, NDSolicited and NDOverride. With :: as dstIP it goes to all
// nodes, whatever dst is, as unasked news and answers to probes do. It returns the
// frame's length, or 0.
func PutNeighbourAdvertisement(b []byte, src MAC, srcIP, target netip.Addr, dst MAC, dstIP netip.Addr, flags uint8) int {
	if !srcIP.Is6() || !target.Is6() || !dstIP.Is6() {
		return 0
	}
	to := dstIP.As16()
	if dstIP.IsUnspecified() {
		to, dst = allNodes, MulticastMAC(allNodes)
		flags &^= NDSolicited // RFC 4861, section 7.2.4
	}
	return putNeighbour(b, ICMPv6Advertise, flags, src, srcIP.As16(), dst, to, target.As16(), ndOption{NDTargetLink, src})
}

// ndOption is an option with a link-layer address; kind 0 is none.
type ndOption struct {
	kind uint8
	mac  MAC
}

func putNeighbour(b []byte, icmpType, flags uint8, src MAC, srcIP [16]byte, dst MAC, dstIP, target [16]byte, o ndOption) int {
	n := NeighbourLen
	if o.kind != 0 {
		n += ndLinkLen
	}
	const head = EthernetLen + IPv6Len
	if len(b) < head+n {
		return 0
	}
	b = b[:head+n]
	clear(b)
	putEthernet(b, dst, src, EtherTypeIPv6)
	putIPv6(b[EthernetLen:], srcIP, dstIP, ProtocolICMPv6, ndHopLimit, n)
	m := b[head:]
	m[0], m[4] = icmpType, flags
	copy(m[8:24], target[:])
	if o.kind != 0 {
		m[24], m[25] = o.kind, ndLinkLen/8
		copy(m[26:], o.mac[:])
	}
	sum := PseudoIPv6(srcIP, dstIP, ProtocolICMPv6, uint32(n)).Add(m).Checksum()
	binary.BigEndian.PutUint16(m[2:4], sum)
	return len(b)
}

// putIPv6 writes the header; b has room for it, and its bytes are zero.
func putIPv6(b []byte, src, dst [16]byte, protocol, hops uint8, payload int) {
	h := (*IPv6)(b)
	h[0], h[6] = 6<<4, protocol
	h.SetPayloadLen(payload)
	h.SetHopLimit(hops)
	h.SetSource(src)
	h.SetDestination(dst)
}
