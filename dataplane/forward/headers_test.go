package forward_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane/forward"
	"example.org/pmd/dataplane/packet"
)

// drawFrame draws a frame of any kind that modes tell apart, whole and with right
// checksums, and then perhaps spoilt: bytes changed, or cut off.
func drawFrame(t *rapid.T) []byte {
	size := rapid.IntRange(0, 90).Draw(t, "data")
	data := gopacket.Payload(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "bytes"))
	v6 := rapid.Bool().Draw(t, "v6")
	typ := layers.EthernetTypeIPv4
	if v6 {
		typ = layers.EthernetTypeIPv6
	}
	if rapid.IntRange(0, 9).Draw(t, "other") == 0 {
		typ = layers.EthernetTypeLinkLayerDiscovery
	}
	a, b := mac(1), mac(2)
	tags := rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "tags")
	kinds := append(slices.Repeat([]layers.EthernetType{layers.EthernetTypeDot1Q}, tags), typ)
	stack := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: a, DstMAC: b, EthernetType: kinds[0]}}
	for i := range tags {
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: 7, Type: kinds[i+1]})
	}
	protocol := rapid.SampledFrom([]layers.IPProtocol{layers.IPProtocolUDP, layers.IPProtocolTCP, layers.IPProtocolGRE}).Draw(t, "protocol")
	var network gopacket.NetworkLayer
	switch typ {
	case layers.EthernetTypeIPv4:
		ip := &layers.IPv4{Version: 4, TTL: 9, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{198, 51, 100, 2}, Protocol: protocol}
		if rapid.IntRange(0, 4).Draw(t, "options") == 0 {
			ip.Options = []layers.IPv4Option{{OptionType: 0x88, OptionLength: 4, OptionData: []byte{1, 2}}}
		}
		ip.FragOffset = rapid.SampledFrom([]uint16{0, 0, 0, 0, 9}).Draw(t, "offset")
		ip.Flags = rapid.SampledFrom([]layers.IPv4Flag{0, layers.IPv4DontFragment, layers.IPv4MoreFragments}).Draw(t, "flags")
		network = ip
	case layers.EthernetTypeIPv6:
		network = &layers.IPv6{Version: 6, HopLimit: 9, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2"), NextHeader: protocol}
	}
	if network != nil {
		stack = append(stack, network.(gopacket.SerializableLayer))
		switch protocol {
		case layers.IPProtocolUDP:
			u := &layers.UDP{SrcPort: 50001, DstPort: 50002}
			require.NoError(t, u.SetNetworkLayerForChecksum(network))
			stack = append(stack, u)
		case layers.IPProtocolTCP:
			c := &layers.TCP{SrcPort: 50001, DstPort: 50002, SYN: true}
			require.NoError(t, c.SetNetworkLayerForChecksum(network))
			stack = append(stack, c)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(stack, data)...))
	f := bytes.Clone(buf.Bytes())
	switch rapid.SampledFrom([]string{"whole", "whole", "changed", "changed", "cut", "padded", "no checksum"}).Draw(t, "spoil") {
	case "changed":
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			f[rapid.IntRange(0, min(len(f)-1, 70)).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
	case "cut":
		f = f[:rapid.IntRange(1, len(f)).Draw(t, "length")]
	case "padded":
		f = append(f, make([]byte, rapid.IntRange(1, 9).Draw(t, "padding"))...)
	case "no checksum":
		if l := packet.Parse(f); l.L4 != 0 && l.Protocol == packet.ProtocolUDP && int(l.L4)+8 <= len(f) {
			packet.UDPAt(f[l.L4:]).SetChecksum(0)
		}
	}
	return f
}

// exchange swaps n bytes at a and b.
func exchange(p []byte, a, b, n int) {
	for i := range n {
		p[a+i], p[b+i] = p[b+i], p[a+i]
	}
}

// twinFiveSwap swaps byte by byte what Parse finds.
func twinFiveSwap(p []byte) []byte {
	if len(p) < header {
		return nil
	}
	q := bytes.Clone(p)
	exchange(q, 0, 6, 6)
	l := packet.Parse(p)
	if l.End == 0 {
		return q
	}
	at := int(l.L3)
	if l.EtherType == packet.EtherTypeIPv4 {
		exchange(q, at+12, at+16, 4)
	} else {
		exchange(q, at+8, at+24, 16)
	}
	if l.L4 != 0 && (l.Protocol == 6 || l.Protocol == 17) && int(l.L4)+4 <= int(l.End) {
		exchange(q, int(l.L4), int(l.L4)+2, 2)
	}
	return q
}

// naiveSum is RFC 1071 word by word.
func naiveSum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for _, p := range parts {
		for i, b := range p {
			sum += uint32(b) << (8 * uint(1-i%2))
			sum = sum>>16 + sum&0xffff
		}
	}
	return uint16(sum)
}

// twinCsum says what csum makes of a frame and what it counts.
func twinCsum(p []byte, counts map[string]uint64) []byte {
	q := bytes.Clone(p)
	l := packet.Parse(p)
	if l.Fault != packet.FaultNone {
		counts["rx_unchecked"]++
	}
	if l.End == 0 {
		return q
	}
	at, v4 := int(l.L3), l.EtherType == packet.EtherTypeIPv4
	if n := 4 * int(q[at]&15); v4 && at+n <= int(l.End) && naiveSum(q[at:at+n]) != 0xffff {
		counts["rx_bad_ipv4_csum"]++
		q[at+10], q[at+11] = 0, 0
		binary.BigEndian.PutUint16(q[at+10:], ^naiveSum(q[at:at+n]))
	}
	if l.Fault != packet.FaultNone || l.L4 == 0 || l.Fragment || l.Routed || l.Protocol != 6 && l.Protocol != 17 {
		return q
	}
	s := q[l.L4:l.End]
	where, name, least := 6, "rx_bad_udp_csum", 8
	if l.Protocol == 6 {
		where, name, least = 16, "rx_bad_tcp_csum", 20
	}
	if len(s) < least {
		counts["rx_unchecked"]++
		return q
	}
	none := false
	if l.Protocol == 17 {
		n := int(binary.BigEndian.Uint16(s[4:]))
		if n < 8 || n > len(s) {
			counts["rx_unchecked"]++
			return q
		}
		s = s[:n]
		none = s[6] == 0 && s[7] == 0
	}
	if none && v4 {
		return q
	}
	first, behind := at+8, at+40
	if v4 {
		first, behind = at+12, at+20
	}
	addresses := q[first:behind]
	pseudo := binary.BigEndian.AppendUint32(bytes.Clone(addresses), uint32(len(s)))
	pseudo = append(pseudo, 0, l.Protocol)
	if none || naiveSum(pseudo, s) != 0xffff {
		counts[name]++
		s[where], s[where+1] = 0, 0
		sum := ^naiveSum(pseudo, s)
		if sum == 0 && l.Protocol == 17 {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(s[where:], sum)
	}
	return q
}

// counters returns the mode counters of a port since they were last asked for.
func (r *rig) counters(port int, before map[string]uint64) map[string]uint64 {
	s, err := r.Stats(r.ctx())
	require.NoError(r.t, err)
	now := map[string]uint64{}
	for name, n := range s.Ports[port].Counters {
		if n > before[name] {
			now[name] = n - before[name]
		}
		before[name] = n
	}
	return now
}

func TestFiveSwapAgainstTwin(t *testing.T) {
	r := newRig(t, 2)
	defer r.close()
	rapid.Check(t, func(rt *rapid.T) {
		r.t = rt
		s := stage(rt, "5tswap", forward.Config{Out: two})
		packets := rapid.SliceOfN(rapid.Custom(drawFrame), 1, 20).Draw(rt, "packets")
		var want [][]byte
		short := uint64(0)
		for _, p := range packets {
			if q := twinFiveSwap(p); q != nil {
				want = append(want, q)
			} else {
				short++
			}
		}
		r.process(s, 0, rapid.Bool().Draw(rt, "at the end"), packets...)
		require.Equal(rt, want, r.take(1))
		require.Equal(rt, short, r.drops(0)["malformed"])
	})
}

func TestCsumAgainstTwin(t *testing.T) {
	r := newRig(t, 2)
	defer r.close()
	seen, total := map[string]uint64{}, map[string]uint64{}
	rapid.Check(t, func(rt *rapid.T) {
		r.t = rt
		rewrite := rapid.Bool().Draw(rt, "rewrite")
		o := forward.Options{Csum: map[bool]string{true: "", false: "verify"}[rewrite]}
		s := stage(rt, "csum", forward.Config{Out: two, Options: o})
		packets := rapid.SliceOfN(rapid.Custom(drawFrame), 1, 20).Draw(rt, "packets")
		var want [][]byte
		counts := map[string]uint64{}
		for _, p := range packets {
			q := twinCsum(p, counts)
			if !rewrite {
				q = bytes.Clone(p)
			}
			want = append(want, q)
		}
		r.process(s, 0, rapid.Bool().Draw(rt, "at the end"), packets...)
		require.Equal(rt, want, r.take(1))
		require.Equal(rt, counts, r.counters(0, seen))
		for name, n := range counts {
			total[name] += n
		}
	})
	if testing.Short() {
		return // rapid then draws too few to be sure of every kind
	}
	for _, name := range []string{"rx_bad_ipv4_csum", "rx_bad_tcp_csum", "rx_bad_udp_csum", "rx_unchecked"} {
		require.NotZero(t, total[name], "the test has not tried %s", name)
	}
}

// What csum has mended it finds right, every kind of wrong included.
func TestCsumMends(t *testing.T) {
	r := newRig(t, 2)
	defer r.close()
	s := stage(t, "csum", forward.Config{Out: two})
	seen := map[string]uint64{}
	b := make([]byte, 200)
	for _, v6 := range []bool{false, true} {
		for size := range 100 {
			e := packet.Ends{SrcIP: netip.MustParseAddr("192.0.2.1"), DstIP: netip.MustParseAddr("192.0.2.2")}
			if v6 {
				e = packet.Ends{SrcIP: netip.MustParseAddr("2001:db8::1"), DstIP: netip.MustParseAddr("2001:db8::2")}
			}
			whole := bytes.Clone(b[:packet.PutUDP(b, e, 1, 2, bytes.Repeat([]byte{0xfe}, size))])
			for at := packet.EthernetLen + 2; at < len(whole); at++ {
				l := packet.Parse(whole)
				if at >= int(l.L3) && at < int(l.L3)+10 || at >= int(l.L4)+4 && at < int(l.L4)+6 {
					continue // lengths, protocols: another packet
				}
				p := bytes.Clone(whole)
				p[at] ^= 0x40
				r.process(s, 0, false, p)
				once := r.take(1)
				require.NotEmpty(t, r.counters(0, seen), "size %d, byte %d", size, at)
				r.process(s, 0, false, once...)
				require.Equal(t, once, r.take(1))
				require.Empty(t, r.counters(0, seen), "size %d, byte %d", size, at)
				if size > 10 {
					at += 6
				}
			}
		}
		if testing.Short() {
			break
		}
	}
}

func FuzzHeaderModes(f *testing.F) {
	b := make([]byte, 128)
	f.Add(b[:packet.PutUDP(b, packet.Ends{SrcIP: netip.MustParseAddr("192.0.2.1"), DstIP: netip.MustParseAddr("192.0.2.2")}, 1, 2, []byte("data"))])
	r := newRig(f, 2)
	cfg := forward.Config{Out: two, MACs: []net.HardwareAddr{mac(0), mac(1)}}
	five, csum, echo := stage(f, "5tswap", cfg), stage(f, "csum", cfg), stage(f, "icmpecho", cfg)
	seen := map[string]uint64{}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) == 0 || len(p) > 1024 {
			return
		}
		r.t = t
		r.process(five, 0, true, p)
		if want := twinFiveSwap(p); want != nil {
			require.Equal(t, [][]byte{want}, r.take(1))
		}
		counts := map[string]uint64{}
		want := twinCsum(p, counts)
		r.process(csum, 0, true, p)
		require.Equal(t, [][]byte{want}, r.take(1))
		require.Equal(t, counts, r.counters(0, seen))
		r.processBeyond(echo, 0, p)
		r.take(0)
	})
}

func ExampleOptions_Validate() {
	fmt.Println(forward.Options{TxSize: "20", TxFlows: -1}.Validate())
	// Output:
	// --tx-size 20: use 60 to 9216 bytes, or imix
	// --tx-flows -1: use 1 to 1048576
}
