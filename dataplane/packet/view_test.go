package packet_test

import (
	"bytes"
	"net"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane/packet"
)

// Views read what gopacket reads, whatever the bytes are.
func TestViewsAgainstGopacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "bytes")
		p := bytes.Clone(b)

		eth := packet.EthernetAt(p)
		require.Equal(t, []any{net.HardwareAddr(b[:6]), net.HardwareAddr(b[6:12])},
			[]any{eth.Destination().HardwareAddr(), eth.Source().HardwareAddr()})
		require.EqualValues(t, uint16(b[12])<<8|uint16(b[13]), eth.EtherType())

		p[0] = 4<<4 | 5 // what gopacket insists on
		p[2], p[3] = 0, 64
		var g4 layers.IPv4
		require.NoError(t, g4.DecodeFromBytes(p, none{}))
		v4 := packet.IPv4At(p)
		require.Equal(t, []any{
			g4.Version, int(g4.IHL) * 4, int(g4.Length), g4.Id, g4.Flags&layers.IPv4DontFragment != 0, g4.Flags&layers.IPv4MoreFragments != 0,
			int(g4.FragOffset) * 8, g4.TTL, uint8(g4.Protocol), g4.Checksum, [4]byte(g4.SrcIP), [4]byte(g4.DstIP),
		}, []any{
			v4.Version(), v4.HeaderLen(), v4.TotalLen(), v4.ID(), v4.DontFragment(), v4.MoreFragments(),
			v4.FragmentOffset(), v4.TTL(), v4.Protocol(), v4.Checksum(), v4.Source(), v4.Destination(),
		})

		p[0], p[4], p[5], p[6] = 6<<4|p[0]&15, 0, 24, 17
		var g6 layers.IPv6
		require.NoError(t, g6.DecodeFromBytes(p, none{}))
		v6 := packet.IPv6At(p)
		require.Equal(t, []any{
			g6.Version, g6.TrafficClass, g6.FlowLabel, int(g6.Length), uint8(g6.NextHeader), g6.HopLimit, [16]byte(g6.SrcIP), [16]byte(g6.DstIP),
		}, []any{
			v6.Version(), v6.TrafficClass(), v6.FlowLabel(), v6.PayloadLen(), v6.NextHeader(), v6.HopLimit(), v6.Source(), v6.Destination(),
		})

		p[12] = 5 << 4
		var gt layers.TCP
		require.NoError(t, gt.DecodeFromBytes(p, none{}))
		tcp := packet.TCPAt(p)
		require.Equal(t, []any{uint16(gt.SrcPort), uint16(gt.DstPort), gt.Seq, gt.Ack, int(gt.DataOffset) * 4, gt.Window, gt.Checksum, gt.FIN, gt.SYN, gt.CWR},
			[]any{tcp.Ports().Source(), tcp.Ports().Destination(), tcp.Sequence(), tcp.Acknowledgment(), tcp.HeaderLen(), tcp.Window(), tcp.Checksum(),
				tcp.Flags()&1 != 0, tcp.Flags()&2 != 0, tcp.Flags()&0x80 != 0})

		var gq layers.Dot1Q
		require.NoError(t, gq.DecodeFromBytes(p, none{}))
		tag := packet.VLANAt(p)
		require.Equal(t, []any{gq.VLANIdentifier, gq.Priority, gq.DropEligible, uint16(gq.Type)},
			[]any{tag.ID(), tag.Priority(), tag.DropEligible(), uint16(tag.EtherType())})
	})
}

// none is feedback for gopacket that nobody reads.
type none struct{}

func (none) SetTruncated() {}

// A view of too few bytes is nil; of just enough it is not.
func TestViewsAreWhole(t *testing.T) {
	b := make([]byte, 64)
	copy(b, []byte{0, 1, 8, 0, 6, 4})
	for name, v := range map[string]struct {
		n   int
		has func(b []byte) bool
	}{
		"Ethernet": {packet.EthernetLen, func(b []byte) bool { return packet.EthernetAt(b) != nil }},
		"VLAN":     {packet.VLANLen, func(b []byte) bool { return packet.VLANAt(b) != nil }},
		"ARP":      {packet.ARPLen, func(b []byte) bool { return packet.ARPAt(b) != nil }},
		"IPv4":     {packet.IPv4Len, func(b []byte) bool { return packet.IPv4At(b) != nil }},
		"IPv6":     {packet.IPv6Len, func(b []byte) bool { return packet.IPv6At(b) != nil }},
		"TCP":      {packet.TCPLen, func(b []byte) bool { return packet.TCPAt(b) != nil }},
		"UDP":      {packet.UDPLen, func(b []byte) bool { return packet.UDPAt(b) != nil }},
		"ICMP":     {packet.ICMPLen, func(b []byte) bool { return packet.ICMPAt(b) != nil }},
		"Ports":    {4, func(b []byte) bool { return packet.PortsAt(b) != nil }},
		"Neighbour": {packet.NeighbourLen, func(b []byte) bool {
			b = bytes.Clone(b)
			if len(b) > 0 {
				b[0] = packet.ICMPv6Advertise
			}
			return packet.NeighbourAt(b) != nil
		}},
	} {
		require.True(t, v.has(b[:v.n]), name)
		require.False(t, v.has(b[:v.n-1]), name)
		require.False(t, v.has(nil), name)
	}
	require.Nil(t, packet.NeighbourAt(b), "neither a solicitation nor an advertisement")
}

// Setters write what getters read, and nothing else.
func TestSetters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 40, 40).Draw(t, "bytes")
		p := bytes.Clone(b)
		check := func(lo, hi int) {
			require.Equal(t, b[:lo], p[:lo])
			require.Equal(t, b[hi:], p[hi:])
			copy(p, b)
		}
		n8, n16 := rapid.Byte().Draw(t, "n8"), rapid.Uint16().Draw(t, "n16")
		eth := packet.EthernetAt(p)
		eth.SetDestination(macA)
		require.Equal(t, macA, eth.Destination())
		check(0, 6)
		eth.SetSource(macA)
		require.Equal(t, macA, eth.Source())
		check(6, 12)
		eth.SetEtherType(packet.EtherType(n16))
		require.EqualValues(t, n16, eth.EtherType())
		check(12, 14)
		v4 := packet.IPv4At(p)
		v4.SetTTL(n8)
		require.Equal(t, n8, v4.TTL())
		check(8, 9)
		v4.SetTotalLen(int(n16))
		require.EqualValues(t, n16, v4.TotalLen())
		check(2, 4)
		v6 := packet.IPv6At(p)
		v6.SetPayloadLen(int(n16))
		require.EqualValues(t, n16, v6.PayloadLen())
		check(4, 6)
		packet.TCPAt(p).SetChecksum(n16)
		require.Equal(t, n16, packet.TCPAt(p).Checksum())
		check(16, 18)
		packet.UDPAt(p).SetChecksum(n16)
		require.Equal(t, n16, packet.UDPAt(p).Checksum())
		check(6, 8)
		copy(p, []byte{0, 1, 8, 0, 6, 4})
		arp := packet.ARPAt(p)
		arp.SetOperation(n16)
		require.Equal(t, n16, arp.Operation())
	})
}

// Swapping exchanges two fields and touches nothing else; twice is not at all.
func TestSwaps(t *testing.T) {
	for name, s := range map[string]struct {
		a, b, n int // the two fields and their length
		swap    func(b []byte)
	}{
		"Ethernet": {0, 6, 6, func(b []byte) { packet.EthernetAt(b).SwapAddresses() }},
		"IPv4":     {12, 16, 4, func(b []byte) { packet.IPv4At(b).SwapAddresses() }},
		"IPv6":     {8, 24, 16, func(b []byte) { packet.IPv6At(b).SwapAddresses() }},
		"Ports":    {0, 2, 2, func(b []byte) { packet.PortsAt(b).Swap() }},
	} {
		rapid.Check(t, func(t *rapid.T) {
			b := rapid.SliceOfN(rapid.Byte(), 44, 44).Draw(t, "bytes")
			want := bytes.Clone(b)
			copy(want[s.a:], b[s.b:s.b+s.n])
			copy(want[s.b:], b[s.a:s.a+s.n])
			got := bytes.Clone(b)
			s.swap(got)
			require.Equal(t, want, got, name)
			s.swap(got)
			require.Equal(t, b, got, name)
		})
	}
}

// The checksum follows the type.
func TestICMPSetType(t *testing.T) {
	b := make([]byte, 100)
	n := packet.PutEchoRequest(b, ends(false), 7, 9, []byte("data"))
	m := b[34:n]
	packet.ICMPAt(m).SetType(packet.ICMPEchoReply)
	require.EqualValues(t, packet.ICMPEchoReply, packet.ICMPAt(m).Type())
	require.Zero(t, packet.Checksum(m))
}

func TestMAC(t *testing.T) {
	m, ok := packet.MACOf(net.HardwareAddr{1, 2, 3, 4, 5, 6})
	require.True(t, ok)
	require.Equal(t, "01:02:03:04:05:06", m.String())
	require.True(t, m.IsMulticast())
	require.False(t, m.IsBroadcast() || m.IsZero())
	m.HardwareAddr()[0] = 9
	require.EqualValues(t, 1, m[0], "a copy")
	_, ok = packet.MACOf(net.HardwareAddr{1, 2})
	require.False(t, ok)
	require.True(t, packet.MAC{}.IsZero())
	require.True(t, packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}.IsBroadcast())
}
