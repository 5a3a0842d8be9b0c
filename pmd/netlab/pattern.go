package netlab

import "encoding/binary"

// fillPattern fills b, of at least 8 bytes, with key and then with bytes that
// follow from key and seq: no two payloads of a run look alike, so one that
// carries another's bytes is found out as well as one with a flipped bit.
func fillPattern(b []byte, key, seq uint64) {
	binary.BigEndian.PutUint64(b, key)
	x := key ^ seq*0x9e3779b97f4a7c15
	for i := 8; i < len(b); i += 8 {
		x = mix(x)
		var w [8]byte
		binary.BigEndian.PutUint64(w[:], x)
		copy(b[i:], w[:])
	}
}

// checkPattern tells whether b is what fillPattern writes.
func checkPattern(b []byte, key, seq uint64) bool {
	if len(b) < 8 || binary.BigEndian.Uint64(b) != key {
		return false
	}
	x := key ^ seq*0x9e3779b97f4a7c15
	for i := 8; i < len(b); i += 8 {
		x = mix(x)
		var w [8]byte
		binary.BigEndian.PutUint64(w[:], x)
		if n := min(8, len(b)-i); string(b[i:i+n]) != string(w[:n]) {
			return false
		}
	}
	return true
}

// mix is one step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	z := x
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
