package demo

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
)

// Offsets and lengths in a frame, in bytes: Ethernet II (IEEE 802.3), IPv4 without
// options (RFC 791), UDP (RFC 768) and ICMP echo (RFC 792), whose headers are of
// the same length.
const (
	ethLen     = 14
	ipLen      = 20
	offIP      = ethLen
	offL4      = offIP + ipLen
	offPayload = offL4 + 8

	protoICMP = 1
	protoUDP  = 17

	echoReply   = 0
	echoRequest = 8
)

// minPayload holds the number of a frame and the key of its flow.
const minPayload = 16

// host is an end of a flow.
type host struct {
	mac  net.HardwareAddr
	addr netip.Addr
}

// flow makes and checks the numbered frames of one direction: every one differs
// from every other, so that frames that were mixed up show as well as flipped bits.
// It belongs to one goroutine; the other end has a flow of its own.
type flow struct {
	template []byte
	proto    byte
	key      uint64
	want     []byte // what check compares with
}

// newUDP returns a flow of UDP datagrams with this payload in bytes.
func newUDP(from, to host, payload int, key uint64) *flow {
	f := newFlow(protoUDP, from, to, payload, key)
	l4 := f.template[offL4:]
	binary.BigEndian.PutUint16(l4[0:], 1024)
	binary.BigEndian.PutUint16(l4[2:], 9) // discard (RFC 863)
	binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	return f
}

// newEcho returns a flow of ICMP echo requests or replies.
func newEcho(kind byte, from, to host, payload int, key uint64) *flow {
	f := newFlow(protoICMP, from, to, payload, key)
	f.template[offL4] = kind
	binary.BigEndian.PutUint16(f.template[offL4+4:], uint16(key)) // identifier
	return f
}

func newFlow(proto byte, from, to host, payload int, key uint64) *flow {
	b := make([]byte, offPayload+max(payload, minPayload))
	copy(b[0:6], to.mac)
	copy(b[6:12], from.mac)
	binary.BigEndian.PutUint16(b[12:], 0x0800) // IPv4
	ip := b[offIP:offL4]
	ip[0] = 0x45 // version 4, five words of header
	binary.BigEndian.PutUint16(ip[2:], uint16(len(b)-offIP))
	ip[8] = 64 // time to live
	ip[9] = proto
	src, dst := from.addr.As4(), to.addr.As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	return &flow{template: b, proto: proto, key: key, want: make([]byte, len(b))}
}

// size returns the length of a frame in bytes.
func (f *flow) size() int { return len(f.template) }

// put writes frame n into b, which is as long as size says.
func (f *flow) put(b []byte, n uint64) {
	copy(b[:offPayload], f.template)
	ip, l4, payload := b[offIP:offL4], b[offL4:], b[offPayload:]
	binary.BigEndian.PutUint16(ip[4:], uint16(n)) // identification
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(0, ip)))

	binary.BigEndian.PutUint64(payload, n)
	binary.BigEndian.PutUint64(payload[8:], f.key)
	fill(payload[minPayload:], f.key^n)

	if f.proto == protoICMP {
		binary.BigEndian.PutUint16(l4[6:], uint16(n)) // sequence number
		binary.BigEndian.PutUint16(l4[2:], ^fold(sum(0, l4)))
		return
	}
	// Addresses, protocol and length are the pseudo-header.
	pseudo := sum(uint64(f.proto)+uint64(len(l4)), ip[12:20])
	check := ^fold(sum(pseudo, l4))
	if check == 0 {
		check = 0xffff // 0 would say "not computed"
	}
	binary.BigEndian.PutUint16(l4[6:], check)
}

// check returns the number of a frame that is in every byte what put wrote.
func (f *flow) check(b []byte) (n uint64, ok bool) {
	if len(b) != len(f.want) {
		return 0, false
	}
	n = binary.BigEndian.Uint64(b[offPayload:])
	f.put(f.want, n)
	return n, bytes.Equal(b, f.want)
}

// fill writes bytes that follow from seed: xorshift64* (Vigna, 2016), which is
// enough to tell frames apart.
func fill(b []byte, seed uint64) {
	x := seed | 1 // xorshift never leaves 0
	var w [8]byte
	for len(b) > 0 {
		x ^= x >> 12
		x ^= x << 25
		x ^= x >> 27
		binary.LittleEndian.PutUint64(w[:], x*0x2545f4914f6cdd1d)
		b = b[copy(b, w[:]):]
	}
}

// sum adds b to a sum of 16-bit words in network order (RFC 1071). An odd byte at
// the end is padded with zero. A sum of one frame cannot overflow 64 bits.
func sum(s uint64, b []byte) uint64 {
	for ; len(b) >= 4; b = b[4:] {
		// Two words at once: folding adds the halves.
		s += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// fold adds up the 16-bit words of a sum.
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
