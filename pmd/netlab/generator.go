package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// MinFrame is the shortest frame in bytes, without the frame check
	// sequence: Ethernet's minimum of 64 (IEEE 802.3) less 4.
	MinFrame = 60
	// MaxFrame is the longest frame that a generator can send, in bytes. A
	// live frame shares one 4,096-byte page with 256 bytes of headroom, the
	// kernel's bookkeeping and the socket buffer's tail room
	// (TEST_XDP_FRAME_SIZE in net/bpf/test_run.c).
	MaxFrame = 3400

	// maxFlows is bound by the number of source ports.
	maxFlows = 1 << 15
)

// Offsets in a frame of Ethernet, IPv4 without options, and UDP (RFC 791, RFC
// 768): what the generator rewrites and the sink looks at.
const (
	offEtherType = 12
	offIPv4      = 14
	offIPv4Frag  = 20
	offIPv4Proto = 23
	offUDPSrc    = 34
	offUDPDst    = 36
	offPayload   = 42
	offStamp     = offPayload + 8
	vlanTag      = 4 // bytes of an IEEE 802.1Q tag

	etherTypeIPv4 = 0x0800
	protoUDP      = 17
)

// GeneratorConfig says what a generator sends. The zero value is 60-byte
// UDP/IPv4 frames from 198.18.0.1 port 1024 to 198.18.0.2 port 9, one flow, as
// fast as one core can, addressed to the MAC of the interface's peer.
type GeneratorConfig struct {
	// Template is a whole frame without its frame check sequence, MinFrame
	// to MaxFrame bytes. If it is nil one is built from the fields below;
	// if it is given, the fields from Size to Dst must be zero.
	Template []byte

	// Size is the frame length in bytes, without the frame check sequence:
	// MinFrame to MaxFrame, 0 is MinFrame.
	Size int
	// SrcMAC and DstMAC are the Ethernet addresses. Nil takes the sending
	// interface's, and its peer's if the pair was made by the same lab.
	SrcMAC, DstMAC net.HardwareAddr
	// Src and Dst are IPv4 endpoints. The zero values are in 198.18.0.0/15,
	// the network set aside for benchmarks (RFC 2544, appendix C.2.2).
	Src, Dst netip.AddrPort

	// Flows is the number of UDP source ports used in turn, from Src's
	// upwards; 0 and 1 are one flow, 32768 the most. With a Template it
	// must be a UDP/IPv4 frame without IP options.
	Flows int
	// Sequence writes the number of the frame, from 0, as 64 bits in
	// network order into the first 8 bytes of the UDP payload. It goes on
	// counting from run to run. The same is asked of a Template.
	Sequence bool

	// Stamp writes the time at which the frame was due, CLOCK_MONOTONIC in
	// nanoseconds, as 64 bits in network order behind the sequence number. A frame
	// that leaves late says when it should have left, so that a delay of the
	// generator is part of a latency measured from it. It needs Sequence and Rate.
	Stamp bool

	// Rate limits the frames a second, up to 10^9; 0 is no limit. Frames
	// leave evenly, in steps of some microseconds, and the CPU is busy all
	// the time whatever the rate. A delay of up to 10 ms is made up by
	// sending faster afterwards.
	Rate uint64
}

// Frame returns the first frame a generator with this configuration sends,
// before any sequence number. Both MAC addresses must be set unless a Template
// is. It may be called on any system.
func (c GeneratorConfig) Frame() ([]byte, error) {
	if c.Template != nil {
		return c.fromTemplate()
	}
	if c.Size == 0 {
		c.Size = MinFrame
	}
	if !c.Src.IsValid() {
		c.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, 1}), 1024)
	}
	if !c.Dst.IsValid() {
		c.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, 2}), 9)
	}
	switch {
	case c.Size < MinFrame || c.Size > MaxFrame:
		return nil, fmt.Errorf("netlab: generator: a frame of %d bytes is not within %d to %d", c.Size, MinFrame, MaxFrame)
	case !c.Src.Addr().Is4() || !c.Dst.Addr().Is4():
		return nil, fmt.Errorf("netlab: generator: %v to %v is not IPv4; give a Template for other protocols", c.Src, c.Dst)
	case len(c.SrcMAC) != 6 || len(c.DstMAC) != 6:
		return nil, fmt.Errorf("netlab: generator: %q to %q are not two Ethernet addresses; set SrcMAC and DstMAC", c.SrcMAC, c.DstMAC)
	}
	f := make([]byte, c.Size)
	copy(f[0:6], c.DstMAC)
	copy(f[6:12], c.SrcMAC)
	binary.BigEndian.PutUint16(f[offEtherType:], etherTypeIPv4)
	ip := f[offIPv4:offUDPSrc]
	ip[0] = 0x45 // version 4, five words of header
	binary.BigEndian.PutUint16(ip[2:], uint16(c.Size-offIPv4))
	binary.BigEndian.PutUint16(ip[6:], 0x4000) // don't fragment
	ip[8] = 64                                 // time to live
	ip[9] = protoUDP
	src, dst := c.Src.Addr().As4(), c.Dst.Addr().As4()
	copy(ip[12:16], src[:])
	copy(ip[16:20], dst[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	binary.BigEndian.PutUint16(f[offUDPSrc:], c.Src.Port())
	binary.BigEndian.PutUint16(f[offUDPDst:], c.Dst.Port())
	binary.BigEndian.PutUint16(f[offUDPDst+2:], uint16(c.Size-offUDPSrc))
	// The UDP checksum stays 0, "not computed" (RFC 768): port and sequence
	// number may change in every frame without making it wrong.
	return f, c.checkRewrite(f)
}

// fromTemplate checks a given frame and returns a copy.
func (c GeneratorConfig) fromTemplate() ([]byte, error) {
	if c.Size != 0 || c.SrcMAC != nil || c.DstMAC != nil || c.Src.IsValid() || c.Dst.IsValid() {
		return nil, fmt.Errorf("netlab: generator: a Template already says size and addresses; leave those fields empty")
	}
	if n := len(c.Template); n < MinFrame || n > MaxFrame {
		return nil, fmt.Errorf("netlab: generator: a template of %d bytes is not within %d to %d", n, MinFrame, MaxFrame)
	}
	f := append([]byte(nil), c.Template...)
	return f, c.checkRewrite(f)
}

// checkRewrite makes sure that what the program rewrites is what the
// configuration means: the source port and the head of the payload.
func (c GeneratorConfig) checkRewrite(f []byte) error {
	if c.Rate > maxRate {
		return fmt.Errorf("netlab: generator: a rate of %d frames a second is over %d; 0 is no limit", c.Rate, uint64(maxRate))
	}
	if c.Stamp && (!c.Sequence || c.Rate == 0) {
		return fmt.Errorf("netlab: generator: a Stamp is when a frame of a Sequence is due at a Rate: set both")
	}
	if c.Flows < 0 || c.Flows > maxFlows {
		return fmt.Errorf("netlab: generator: %d flows are not within 1 to %d", c.Flows, maxFlows)
	}
	if c.Flows <= 1 && !c.Sequence {
		return nil
	}
	if !isPlainUDP(f) {
		return fmt.Errorf("netlab: generator: flows and sequence numbers need a whole UDP/IPv4 frame without IP options, VLAN tag or fragments")
	}
	// A non-zero UDP checksum would be wrong from the second frame on.
	if f[offPayload-2] != 0 || f[offPayload-1] != 0 {
		return fmt.Errorf("netlab: generator: flows and sequence numbers need a template whose UDP checksum is 0 (not computed)")
	}
	port := int(binary.BigEndian.Uint16(f[offUDPSrc:]))
	if c.Flows > 1 && port+c.Flows-1 > 0xffff {
		return fmt.Errorf("netlab: generator: %d flows from source port %d run past 65535; lower one of them", c.Flows, port)
	}
	return nil
}

// isPlainUDP tells whether the fixed offsets above hold for f.
func isPlainUDP(f []byte) bool {
	return len(f) >= MinFrame &&
		binary.BigEndian.Uint16(f[offEtherType:]) == etherTypeIPv4 &&
		f[offIPv4] == 0x45 &&
		binary.BigEndian.Uint16(f[offIPv4Frag:])&0x3fff == 0 &&
		f[offIPv4Proto] == protoUDP
}

// checksum is the Internet checksum of b (RFC 1071), of even length.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// GeneratorResult is the account of one run. Generated = Sent + Lost, always.
type GeneratorResult struct {
	// Generated is the number of frames made: exactly the number of times
	// the program ran.
	Generated uint64
	// Sent is how many of them the peer interface took. It is read from the
	// driver's own counter, so it is exact as long as nothing else is
	// redirected by XDP into the same interface.
	Sent uint64
	// Lost is the rest: the peer's ring of 256 frames was full, or the peer
	// was down or had no XDP program.
	Lost uint64
	// Elapsed is the time the run took. It includes some 25 ms in which the
	// kernel gives back the pages of the frames, so the rates of runs under
	// a second read low.
	Elapsed time.Duration
}

// PPS is the rate at which frames were taken by the peer, in frames a second.
func (r GeneratorResult) PPS() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Sent) / r.Elapsed.Seconds()
}
