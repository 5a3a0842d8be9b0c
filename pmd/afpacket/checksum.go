package afpacket

import (
	"encoding/binary"

	"example.org/pmd/dataplane/packet"
)

// finish completes the checksum that the sender left to the device: the sum of
// everything from start on, in which the field at start+offset holds that of the
// pseudo header (struct virtio_net_hdr, VIRTIO 1.2, 5.1.6.2). It reports false if the
// frame does not hold the field.
func finish(frame []byte, start, offset int) bool {
	field := start + offset
	if start < 0 || offset < 0 || field+2 > len(frame) {
		return false
	}
	// 0 would mean to UDP that there is none, and is the same to all others.
	sum := packet.TransmittedUDP(packet.Checksum(frame[start:]))
	binary.BigEndian.PutUint16(frame[field:], sum)
	return true
}
