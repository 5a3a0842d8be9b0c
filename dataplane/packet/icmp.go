package packet

import "encoding/binary"

// Types of ICMP (RFC 792), ICMPv6 (RFC 4443) and Neighbour Discovery (RFC 4861).
const (
	ICMPEchoReply     = 0
	ICMPUnreachable   = 3
	ICMPEchoRequest   = 8
	ICMPTimeExceeded  = 11
	ICMPv6Unreachable = 1
	ICMPv6TooBig      = 2
	ICMPv6Exceeded    = 3
	ICMPv6EchoRequest = 128
	ICMPv6EchoReply   = 129
	ICMPv6Router      = 134 // router advertisement
	ICMPv6Solicit     = 135 // neighbour solicitation
	ICMPv6Advertise   = 136 // neighbour advertisement
)

// ICMP is the beginning of an ICMP or ICMPv6 message, with the fields of echo.
type ICMP [ICMPLen]byte

// ICMPAt returns the message that b begins with, nil if b is shorter.
func ICMPAt(b []byte) *ICMP {
	if len(b) < ICMPLen {
		return nil
	}
	return (*ICMP)(b)
}

// Type returns the message's type.
func (h *ICMP) Type() uint8 { return h[0] }

// Code returns what the type is refined with.
func (h *ICMP) Code() uint8 { return h[1] }

// Checksum returns the checksum field.
func (h *ICMP) Checksum() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// SetChecksum writes it.
func (h *ICMP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[2:4], c) }

// ID returns the identifier of an echo message.
func (h *ICMP) ID() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// Sequence returns the sequence number of an echo message.
func (h *ICMP) Sequence() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// SetType changes the type, and the checksum with it.
func (h *ICMP) SetType(t uint8) {
	before := uint16(h[0])<<8 | uint16(h[1])
	h[0] = t
	h.SetChecksum(Update16(h.Checksum(), before, uint16(t)<<8|uint16(h[1])))
}
