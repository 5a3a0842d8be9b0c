package pmdtest

import (
	"encoding/binary"
	"net"
)

// Test packets carry their number and bytes that follow from it, so that any
// change shows. The EtherType is the first of those for local experiments
// (IEEE 802, 9.2.4), which no network stack answers.
const (
	etherType = 0x88b5
	magic     = 0x706d6474
	headLen   = 14 + 4 + 4
	minPacket = 60
)

// packet returns test packet number seq of size bytes, at least minPacket.
func packet(seq uint32, size int, dst net.HardwareAddr) []byte {
	p := make([]byte, size)
	fill(p, seq, dst)
	return p
}

// fill makes p the test packet number seq. It allocates nothing.
func fill(p []byte, seq uint32, dst net.HardwareAddr) {
	copy(p[0:6], dst)
	copy(p[6:12], []byte{0x02, 'p', 'm', 'd', 't', 0})
	binary.BigEndian.PutUint16(p[12:], etherType)
	binary.BigEndian.PutUint32(p[14:], magic)
	binary.BigEndian.PutUint32(p[18:], seq)
	body(p[headLen:], seq, true)
}

// body writes the bytes that follow from seq, or compares with them. They are
// those of a linear congruential generator (the constants of POSIX's rand).
func body(b []byte, seq uint32, write bool) bool {
	x := seq ^ uint32(len(b))
	for i := range b {
		x = x*1103515245 + 12345
		if write {
			b[i] = byte(x >> 16)
		} else if b[i] != byte(x>>16) {
			return false
		}
	}
	return true
}

// parse reports whether p is a test packet, its number, and whether it is whole.
func parse(p []byte) (seq uint32, whole, ours bool) {
	if len(p) < headLen || binary.BigEndian.Uint16(p[12:]) != etherType || binary.BigEndian.Uint32(p[14:]) != magic {
		return 0, false, false
	}
	seq = binary.BigEndian.Uint32(p[18:])
	return seq, body(p[headLen:], seq, false), true
}

// sizeOf returns a length for packet seq: the bounds first, then all between.
func sizeOf(seq uint32, longest int) int {
	switch seq % 4 {
	case 0:
		return minPacket
	case 1:
		return longest
	}
	return minPacket + int(seq*37)%(longest-minPacket+1)
}
