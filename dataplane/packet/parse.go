package packet

import "encoding/binary"

// Fault says what is wrong with the headers of a frame.
type Fault uint8

// Faults.
const (
	// FaultNone: every header that was looked for is whole.
	FaultNone Fault = iota
	// FaultTruncated: the frame ends inside a header, or before the length that
	// the IP header names.
	FaultTruncated
	// FaultHeader: a header contradicts itself: a wrong version, a header
	// length below the least, a total length shorter than the header.
	FaultHeader
	// FaultDepth: there are more VLAN tags or extension headers than MaxTags
	// and MaxExtensions.
	FaultDepth
)

// String names the fault.
func (f Fault) String() string {
	switch f {
	case FaultNone:
		return "none"
	case FaultTruncated:
		return "truncated"
	case FaultHeader:
		return "header"
	case FaultDepth:
		return "depth"
	}
	return "unknown"
}

// Bounds on what Parse follows, so that no frame takes long.
const (
	MaxTags       = 4
	MaxExtensions = 8
)

// Layers says where the headers of a frame are. Offsets are from the start of the
// frame, in bytes.
type Layers struct {
	// EtherType is that of the network header, behind all tags.
	EtherType EtherType
	// L3 is where the network header begins: the end of the frame's Ethernet
	// header and tags. 0 if those are not whole.
	L3 uint16
	// L4 is where the transport header begins, 0 if there is none: no IP, a
	// fragment that is not the first, an encrypted packet, or a fault in front
	// of it. Nothing is known of the transport header itself.
	L4 uint16
	// End is where the IP packet ends: what follows is padding. 0 if the packet
	// is not IP or its network header is faulty. It is never beyond the end of
	// the frame.
	End uint16
	// Tags is the number of VLAN tags.
	Tags uint8
	// Protocol is that of the transport header, if L4 is not 0, else where the
	// walk over the headers ended.
	Protocol uint8
	// Fragment is set for every fragment of a packet that has several.
	Fragment bool
	// Routed is set if an IPv6 routing header has segments left: then the
	// header's destination is not the one that transport checksums cover (RFC
	// 8200, section 8.1).
	Routed bool
	// Fault says what ended the walk early.
	Fault Fault
}

// Parse walks the headers of a frame up to the transport header. It does not look
// at checksums.
func Parse(frame []byte) Layers {
	var l Layers
	eth := EthernetAt(frame)
	if eth == nil {
		l.Fault = FaultTruncated
		return l
	}
	if len(frame) > 0xffff {
		frame = frame[:0xffff] // no IP packet reaches as far, and offsets fit
	}
	l.EtherType = eth.EtherType()
	at := EthernetLen
	for l.EtherType.IsTag() {
		tag := VLANAt(frame[at:])
		switch {
		case tag == nil:
			l.Fault = FaultTruncated
			return l
		case l.Tags == MaxTags:
			l.Fault = FaultDepth
			return l
		}
		l.EtherType = tag.EtherType()
		l.Tags++
		at += VLANLen
	}
	l.L3 = uint16(at)
	switch l.EtherType {
	case EtherTypeIPv4:
		l.ipv4(frame)
	case EtherTypeIPv6:
		l.ipv6(frame)
	}
	return l
}

// ipv4 reads the network header.
func (l *Layers) ipv4(frame []byte) {
	at := int(l.L3)
	h := IPv4At(frame[at:])
	if h == nil {
		l.Fault = FaultTruncated
		return
	}
	n, total := h.HeaderLen(), h.TotalLen()
	if h.Version() != 4 || n < IPv4Len || total < n {
		l.Fault = FaultHeader
		return
	}
	l.Protocol = h.Protocol()
	l.Fragment = h.MoreFragments() || h.FragmentOffset() != 0
	if total > len(frame)-at {
		l.Fault = FaultTruncated
		total = len(frame) - at
	}
	l.End = uint16(at + total)
	if n <= total && h.FragmentOffset() == 0 {
		l.upper(at + n)
	}
}

// ipv6 reads the network header and the extension headers.
func (l *Layers) ipv6(frame []byte) {
	at := int(l.L3)
	h := IPv6At(frame[at:])
	if h == nil {
		l.Fault = FaultTruncated
		return
	}
	if h.Version() != 6 {
		l.Fault = FaultHeader
		return
	}
	at += IPv6Len
	l.Protocol = h.NextHeader()
	end := at + h.PayloadLen()
	if end > len(frame) {
		l.Fault = FaultTruncated
		end = len(frame)
	}
	l.End = uint16(end)
	packet := frame[:end]
	for range MaxExtensions {
		x := packet[at:]
		switch {
		case !isExtension(l.Protocol):
			l.upper(at)
			return
		case len(x) < 8:
			l.Fault = FaultTruncated
			return
		}
		n := 8 + 8*int(x[1]) // RFC 6564, and RFC 8200 for those that are older
		switch l.Protocol {
		case ProtocolRouting:
			l.Routed = l.Routed || x[3] != 0
		case ProtocolAH:
			n = 8 + 4*int(x[1]) // RFC 4302, section 2.2: words of four bytes, less two
		case ProtocolFragment:
			n = 8
			field := binary.BigEndian.Uint16(x[2:4])
			l.Fragment = l.Fragment || field&^uint16(6) != 0 // an atomic one is whole (RFC 6946)
			if field>>3 != 0 {
				l.Protocol = x[0]
				return // what follows belongs to the middle of the packet
			}
		}
		if n > len(x) {
			l.Fault = FaultTruncated
			return
		}
		l.Protocol = x[0]
		at += n
	}
	if isExtension(l.Protocol) {
		l.Fault = FaultDepth
		return
	}
	l.upper(at)
}

// upper notes where the transport header is, if one can be seen.
func (l *Layers) upper(at int) {
	if l.Protocol != ProtocolNone && l.Protocol != ProtocolESP {
		l.L4 = uint16(at)
	}
}

// isExtension reports whether the header of this number is one of those that
// stand between the IPv6 header and the transport header, and can be passed over.
func isExtension(protocol uint8) bool {
	switch protocol {
	case ProtocolHopByHop, ProtocolRouting, ProtocolFragment, ProtocolAH, ProtocolDestination,
		ProtocolMobility, ProtocolHIP, ProtocolShim6:
		return true
	}
	return false
}
