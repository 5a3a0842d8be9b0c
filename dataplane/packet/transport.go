package packet

import (
	"encoding/binary"
	"math/bits"
)

// Ports is the first four bytes of a TCP, UDP or SCTP header.
type Ports [4]byte

// PortsAt returns the ports that b begins with, nil if b is shorter.
func PortsAt(b []byte) *Ports {
	if len(b) < len(Ports{}) {
		return nil
	}
	return (*Ports)(b)
}

// Source returns the sender's port.
func (p *Ports) Source() uint16 { return binary.BigEndian.Uint16(p[0:2]) }

// Destination returns the receiver's port.
func (p *Ports) Destination() uint16 { return binary.BigEndian.Uint16(p[2:4]) }

// Swap exchanges the two; the checksum stays right.
func (p *Ports) Swap() {
	binary.LittleEndian.PutUint32(p[:], bits.RotateLeft32(binary.LittleEndian.Uint32(p[:]), 16))
}

// UDP is a UDP header.
type UDP [UDPLen]byte

// UDPAt returns the header that b begins with, nil if b is shorter.
func UDPAt(b []byte) *UDP {
	if len(b) < UDPLen {
		return nil
	}
	return (*UDP)(b)
}

// Ports returns the ports.
func (h *UDP) Ports() *Ports { return (*Ports)(h[0:4]) }

// Len returns the length of header and data in bytes. Below 8 it is faulty.
func (h *UDP) Len() int { return int(binary.BigEndian.Uint16(h[4:6])) }

// Checksum returns the checksum field; 0 means that there is none.
func (h *UDP) Checksum() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// SetChecksum writes it.
func (h *UDP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[6:8], c) }

// TCP is the fixed part of a TCP header.
type TCP [TCPLen]byte

// TCPAt returns the header that b begins with, nil if b is shorter than its fixed
// part.
func TCPAt(b []byte) *TCP {
	if len(b) < TCPLen {
		return nil
	}
	return (*TCP)(b)
}

// Ports returns the ports.
func (h *TCP) Ports() *Ports { return (*Ports)(h[0:4]) }

// Sequence returns the sequence number.
func (h *TCP) Sequence() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// Acknowledgment returns the acknowledgment number.
func (h *TCP) Acknowledgment() uint32 { return binary.BigEndian.Uint32(h[8:12]) }

// HeaderLen returns the length with options in bytes, 0 to 60. Below 20 the
// header is faulty.
func (h *TCP) HeaderLen() int { return int(h[12]>>4) * 4 }

// Flags returns the control bits, FIN the lowest, CWR the highest.
func (h *TCP) Flags() uint8 { return h[13] }

// Window returns the window as it is written, without its scale.
func (h *TCP) Window() uint16 { return binary.BigEndian.Uint16(h[14:16]) }

// Checksum returns the checksum field.
func (h *TCP) Checksum() uint16 { return binary.BigEndian.Uint16(h[16:18]) }

// SetChecksum writes it.
func (h *TCP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[16:18], c) }
