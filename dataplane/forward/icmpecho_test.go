package forward_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane/forward"
	"example.org/pmd/dataplane/packet"
)

// question returns a frame that a Put function writes.
func question(t *testing.T, put func(b []byte) int) []byte {
	b := make([]byte, 200)
	n := put(b)
	require.NotZero(t, n)
	return b[:n]
}

// tagged puts a VLAN tag into a frame.
func tagged(p []byte) []byte {
	return append(append(bytes.Clone(p[:12]), 0x81, 0, 0, 7), p[12:]...)
}

func TestICMPEcho(t *testing.T) {
	r := newRig(t, 2)
	defer r.close()
	s := stage(t, "icmpecho", forward.Config{Out: two, MACs: gen.MACs})
	asker, own := packet.MAC(mac(9)), packet.MAC(mac(1))
	a4, b4 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	a6, b6 := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	echo := func(src, dst netip.Addr) []byte {
		return question(t, func(b []byte) int {
			return packet.PutEchoRequest(b, packet.Ends{Src: asker, Dst: own, SrcIP: src, DstIP: dst}, 7, 8, []byte("some data"))
		})
	}
	reply := func(src, dst netip.Addr, kind byte) []byte {
		p := question(t, func(b []byte) int {
			return packet.PutEchoRequest(b, packet.Ends{Src: own, Dst: asker, SrcIP: src, DstIP: dst}, 7, 8, []byte("some data"))
		})
		packet.ICMPAt(p[packet.Parse(p).L4:]).SetType(kind)
		return p
	}
	arp := question(t, func(b []byte) int { return packet.PutARPRequest(b, asker, a4, b4) })
	arpReply := question(t, func(b []byte) int { return packet.PutARPReply(b, own, b4, asker, a4) })
	ns := question(t, func(b []byte) int { return packet.PutNeighbourSolicitation(b, asker, a6, b6) })
	na := question(t, func(b []byte) int {
		return packet.PutNeighbourAdvertisement(b, own, b6, b6, asker, a6, packet.NDSolicited|packet.NDOverride)
	})
	for name, test := range map[string]struct{ ask, want []byte }{
		"ARP":           {arp, arpReply},
		"ARP, tagged":   {tagged(arp), tagged(arpReply)},
		"ND":            {ns, na},
		"ND, tagged":    {tagged(ns), tagged(na)},
		"ping":          {echo(a4, b4), reply(b4, a4, packet.ICMPEchoReply)},
		"ping, tagged":  {tagged(echo(a4, b4)), tagged(reply(b4, a4, packet.ICMPEchoReply))},
		"ping6":         {echo(a6, b6), reply(b6, a6, packet.ICMPv6EchoReply)},
		"ping6, tagged": {tagged(echo(a6, b6)), tagged(reply(b6, a6, packet.ICMPv6EchoReply))},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			r.processBeyond(s, 1, test.ask)
			require.Equal(t, [][]byte{test.want}, r.take(1))
			require.Empty(t, r.drops(1))
			// Spoilt or cut off anywhere it must do no harm, and with another
			// byte under a checksum it is not answered.
			for n := range len(test.ask) {
				r.processBeyond(s, 1, test.ask[:n])
			}
			r.take(1)
			r.drops(1)
			if name[0] == 'p' {
				for at := 34; at < len(test.ask); at++ {
					bad := bytes.Clone(test.ask)
					bad[at] ^= 1
					r.processBeyond(s, 1, bad)
					require.Empty(t, r.take(1), "byte %d", at)
					require.Equal(t, map[string]uint64{"unanswered": 1}, r.drops(1), "byte %d", at)
				}
			}
		})
	}
	udp := question(t, func(b []byte) int {
		return packet.PutUDP(b, packet.Ends{Src: asker, Dst: own, SrcIP: a4, DstIP: b4}, 1, 2, []byte("data"))
	})
	hop := bytes.Clone(ns)
	hop[14+7] = 254
	fromGroup := bytes.Clone(arp)
	fromGroup[6] |= 1
	for name, ask := range map[string][]byte{
		"UDP": udp, "an ARP reply": arpReply, "an advertisement": na, "an echo reply": reply(b4, a4, packet.ICMPEchoReply),
		"a gratuitous ARP":      question(t, func(b []byte) int { return packet.PutGratuitousARP(b, asker, a4) }),
		"a probe":               question(t, func(b []byte) int { return packet.PutNeighbourSolicitation(b, asker, netip.IPv6Unspecified(), b6) }),
		"passed on by a router": hop, "from a group": fromGroup,
		"to an IPv4 group": echo(a4, netip.MustParseAddr("224.0.0.1")), "to an IPv6 group": echo(a6, netip.MustParseAddr("ff02::1")),
		"from nobody": echo(netip.IPv4Unspecified(), b4), "garbage": make([]byte, 60),
	} {
		r.processBeyond(s, 1, ask)
		require.Empty(t, r.take(1), name)
		require.Equal(t, map[string]uint64{"unanswered": 1}, r.drops(1), name)
	}
	// A port that was added later has no address.
	r.processBeyond(stage(t, "icmpecho", forward.Config{Out: two[:1], MACs: gen.MACs}), 1, arp)
	require.Equal(t, map[string]uint64{"unanswered": 1}, r.drops(1))
}
