package packet_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane/packet"
)

var (
	macA = packet.MAC{0x02, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4}
	macB = packet.MAC{0x02, 0xb0, 0xb1, 0xb2, 0xb3, 0xb4}
	ip4A = [4]byte{192, 0, 2, 1}
	ip4B = [4]byte{198, 51, 100, 7}
	ip6A = ip("2001:db8::a").As16()
	ip6B = ip("2001:db8::b00:1234").As16()
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func ends(v6 bool) packet.Ends {
	if v6 {
		return packet.Ends{Src: macA, Dst: macB, SrcIP: netip.AddrFrom16(ip6A), DstIP: netip.AddrFrom16(ip6B)}
	}
	return packet.Ends{Src: macA, Dst: macB, SrcIP: netip.AddrFrom4(ip4A), DstIP: netip.AddrFrom4(ip4B)}
}

// put calls a Put function on a buffer full of something, checks that shorter
// buffers are refused untouched and that nothing behind the frame is written, and
// returns the frame.
func put(t require.TestingT, fn func(b []byte) int) []byte {
	dirty := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = 0xa5
		}
		return b
	}
	b := dirty(400)
	n := fn(b)
	require.NotZero(t, n)
	require.Equal(t, dirty(400)[n:], b[n:])
	for _, short := range []int{0, packet.EthernetLen, n - 1} {
		s := dirty(short)
		require.Zero(t, fn(s[:short:short]), "a buffer of %d bytes for %d", short, n)
		require.Equal(t, dirty(short), s)
	}
	exact := dirty(n)
	require.Equal(t, n, fn(exact[:n:n]))
	require.Equal(t, b[:n], exact)
	return b[:n]
}

// decode has gopacket look at a frame; it must understand all of it.
func decode(t require.TestingT, frame []byte) gopacket.Packet {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		require.NoError(t, e.Error(), "% x", frame)
	}
	require.False(t, p.Metadata().Truncated)
	return p
}

// again has gopacket write the packet anew with its own lengths and checksums:
// nothing may change.
func again(t require.TestingT, frame []byte) {
	p := decode(t, frame)
	var stack []gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	for _, l := range p.Layers() {
		s, ok := l.(gopacket.SerializableLayer)
		require.True(t, ok, "%v", l.LayerType())
		if n, ok := l.(gopacket.NetworkLayer); ok {
			network = n
		}
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			require.NoError(t, c.SetNetworkLayerForChecksum(network))
		}
		stack = append(stack, s)
	}
	want := serialize(t, stack...)
	require.Equal(t, want[:len(frame)], frame)
	require.Equal(t, make([]byte, len(want)-len(frame)), want[len(frame):], "padding")
}

func TestPutARP(t *testing.T) {
	a, b := netip.AddrFrom4(ip4A), netip.AddrFrom4(ip4B)
	for name, test := range map[string]struct {
		put  func(buf []byte) int
		dst  net.HardwareAddr
		op   uint16
		sha  packet.MAC
		spa  [4]byte
		tha  packet.MAC
		tpa  [4]byte
		mapd bool
	}{
		"request": {put: func(buf []byte) int { return packet.PutARPRequest(buf, macA, a, b) }, dst: layers.EthernetBroadcast, op: 1, sha: macA, spa: ip4A, tpa: ip4B},
		"mapped": {put: func(buf []byte) int { return packet.PutARPRequest(buf, macA, netip.AddrFrom16(a.As16()), b) },
			dst: layers.EthernetBroadcast, op: 1, sha: macA, spa: ip4A, tpa: ip4B},
		"probe": {put: func(buf []byte) int { return packet.PutARPRequest(buf, macA, netip.IPv4Unspecified(), b) }, dst: layers.EthernetBroadcast, op: 1, sha: macA, tpa: ip4B},
		"reply": {put: func(buf []byte) int { return packet.PutARPReply(buf, macA, a, macB, b) }, dst: macB[:], op: 2, sha: macA, spa: ip4A, tha: macB, tpa: ip4B},
		"gratuitous": {put: func(buf []byte) int { return packet.PutGratuitousARP(buf, macA, a) },
			dst: layers.EthernetBroadcast, op: 1, sha: macA, spa: ip4A, tpa: ip4A},
	} {
		t.Run(name, func(t *testing.T) {
			f := put(t, test.put)
			require.Len(t, f, packet.MinFrame)
			p := decode(t, f)
			eth := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
			require.Equal(t, test.dst, eth.DstMAC)
			require.Equal(t, macA.HardwareAddr(), eth.SrcMAC)
			arp := p.Layer(layers.LayerTypeARP).(*layers.ARP)
			require.Equal(t, test.op, arp.Operation)
			require.Equal(t, []any{test.sha[:], test.spa[:], test.tha[:], test.tpa[:]},
				[]any{arp.SourceHwAddress, arp.SourceProtAddress, arp.DstHwAddress, arp.DstProtAddress})
			view := packet.ARPAt(f[packet.EthernetLen:])
			require.NotNil(t, view)
			require.Equal(t, []any{test.op, test.sha, test.spa, test.tha, test.tpa},
				[]any{view.Operation(), view.SenderMAC(), view.SenderIP(), view.TargetMAC(), view.TargetIP()})
		})
	}
	v6 := netip.AddrFrom16(ip6A)
	buf := make([]byte, 100)
	require.Zero(t, packet.PutARPRequest(buf, macA, v6, b))
	require.Zero(t, packet.PutARPReply(buf, macA, a, macB, v6))
	require.Zero(t, packet.PutGratuitousARP(buf, macA, netip.Addr{}))
	require.Equal(t, make([]byte, 100), buf)
}

// Only requests about Ethernet and IPv4 are ARP here.
func TestARPAt(t *testing.T) {
	b := make([]byte, 60)
	packet.PutARPRequest(b, macA, netip.AddrFrom4(ip4A), netip.AddrFrom4(ip4B))
	arp := b[packet.EthernetLen:]
	require.NotNil(t, packet.ARPAt(arp))
	require.Nil(t, packet.ARPAt(arp[:27]))
	for i := range 6 {
		arp[i]++
		require.Nil(t, packet.ARPAt(arp), "byte %d", i)
		arp[i]--
	}
}

func TestARPAnswer(t *testing.T) {
	b := make([]byte, 60)
	packet.PutARPRequest(b, macA, netip.AddrFrom4(ip4A), netip.AddrFrom4(ip4B))
	packet.ARPAt(b[packet.EthernetLen:]).Answer(macB)
	want := make([]byte, 60)
	packet.PutARPReply(want, macB, netip.AddrFrom4(ip4B), macA, netip.AddrFrom4(ip4A))
	require.Equal(t, want[packet.EthernetLen:], b[packet.EthernetLen:])
}

func TestPutNeighbourSolicitation(t *testing.T) {
	src, target := netip.AddrFrom16(ip6A), netip.AddrFrom16(ip6B)
	for _, probe := range []bool{false, true} {
		from := src
		if probe {
			from = netip.IPv6Unspecified()
		}
		f := put(t, func(b []byte) int { return packet.PutNeighbourSolicitation(b, macA, from, target) })
		again(t, f)
		p := decode(t, f)
		eth := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
		require.Equal(t, net.HardwareAddr{0x33, 0x33, 0xff, 0x00, 0x12, 0x34}, eth.DstMAC)
		v6 := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
		require.Equal(t, "ff02::1:ff00:1234", v6.DstIP.String())
		require.EqualValues(t, 255, v6.HopLimit)
		ns := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation)
		require.Equal(t, net.IP(ip6B[:]), ns.TargetAddress)
		l := packet.Parse(f)
		n := packet.NeighbourAt(f[l.L4:])
		require.NotNil(t, n)
		require.Equal(t, ip6B, n.Target())
		require.EqualValues(t, packet.ICMPv6Solicit, n.ICMP().Type())
		link, ok := packet.LinkOption(f[l.L4+packet.NeighbourLen:], packet.NDSourceLink)
		require.Equal(t, !probe, ok)
		if probe {
			require.Empty(t, ns.Options)
			continue
		}
		require.Equal(t, macA, link)
		require.Len(t, ns.Options, 1)
		require.Equal(t, layers.ICMPv6OptSourceAddress, ns.Options[0].Type)
		require.Equal(t, macA[:], ns.Options[0].Data)
	}
	require.Zero(t, packet.PutNeighbourSolicitation(make([]byte, 100), macA, src, netip.AddrFrom4(ip4A)))
	require.Zero(t, packet.PutNeighbourSolicitation(make([]byte, 100), macA, netip.Addr{}, target))
}

func TestPutNeighbourAdvertisement(t *testing.T) {
	target, asker := netip.AddrFrom16(ip6A), netip.AddrFrom16(ip6B)
	all := uint8(packet.NDRouter | packet.NDSolicited | packet.NDOverride)
	f := put(t, func(b []byte) int {
		return packet.PutNeighbourAdvertisement(b, macA, target, target, macB, asker, all)
	})
	again(t, f)
	p := decode(t, f)
	require.Equal(t, macB.HardwareAddr(), p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet).DstMAC)
	require.Equal(t, net.IP(ip6B[:]), p.Layer(layers.LayerTypeIPv6).(*layers.IPv6).DstIP)
	na := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	require.True(t, na.Router() && na.Solicited() && na.Override())
	require.Equal(t, net.IP(ip6A[:]), na.TargetAddress)
	require.Equal(t, layers.ICMPv6OptTargetAddress, na.Options[0].Type)
	require.Equal(t, macA[:], na.Options[0].Data)
	n := packet.NeighbourAt(f[packet.Parse(f).L4:])
	require.Equal(t, all, n.Flags())

	// To nobody in particular: all nodes, and then it answers nobody.
	f = put(t, func(b []byte) int {
		return packet.PutNeighbourAdvertisement(b, macA, target, target, macB, netip.IPv6Unspecified(), all)
	})
	again(t, f)
	p = decode(t, f)
	require.Equal(t, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet).DstMAC)
	require.Equal(t, "ff02::1", p.Layer(layers.LayerTypeIPv6).(*layers.IPv6).DstIP.String())
	na = p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	require.True(t, na.Router() && !na.Solicited() && na.Override())

	require.Zero(t, packet.PutNeighbourAdvertisement(make([]byte, 100), macA, target, netip.AddrFrom4(ip4A), macB, asker, 0))
}

func TestLinkOption(t *testing.T) {
	mac := packet.MAC{1, 2, 3, 4, 5, 6}
	mtu := []byte{5, 1, 0, 0, 0, 0, 5, 0xdc}
	link := []byte{1, 1, 1, 2, 3, 4, 5, 6}
	for name, test := range map[string]struct {
		options []byte
		ok      bool
	}{
		"none":                  {nil, false},
		"alone":                 {link, true},
		"behind another":        {append(append([]byte{}, mtu...), link...), true},
		"cut off":               {link[:7], false},
		"of length zero":        {append([]byte{7, 0, 0, 0, 0, 0, 0, 0}, link...), false},
		"longer than the rest":  {append([]byte{7, 3, 0, 0, 0, 0, 0, 0}, link...), false},
		"of another length":     {append([]byte{1, 2}, make([]byte, 14)...), false},
		"of the other kind":     {append([]byte{2}, link[1:]...), false},
		"with garbage behind":   {append(append([]byte{}, link...), 1, 2, 3), true},
		"behind a long unknown": {append(append([]byte{9, 2}, make([]byte, 14)...), link...), true},
	} {
		got, ok := packet.LinkOption(test.options, packet.NDSourceLink)
		require.Equal(t, test.ok, ok, name)
		if ok {
			require.Equal(t, mac, got, name)
		}
	}
}

func TestPutUDPAndEcho(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := ends(rapid.Bool().Draw(t, "v6"))
		data := bytesOf(0, 100).Draw(t, "data")
		// Ports of no protocol that gopacket would look into.
		port := rapid.Uint16Range(50000, 65535)
		a, b := port.Draw(t, "a"), port.Draw(t, "b")
		udp := put(t, func(buf []byte) int { return packet.PutUDP(buf, e, a, b, data) })
		again(t, udp)
		l := packet.Parse(udp)
		u := packet.UDPAt(udp[l.L4:])
		require.Equal(t, []any{packet.FaultNone, len(udp), a, b, packet.UDPLen + len(data)},
			[]any{l.Fault, int(l.End), u.Ports().Source(), u.Ports().Destination(), u.Len()})
		require.NotZero(t, u.Checksum())
		echo := put(t, func(buf []byte) int { return packet.PutEchoRequest(buf, e, a, b, data) })
		again(t, echo)
		l = packet.Parse(echo)
		m := packet.ICMPAt(echo[l.L4:])
		require.Equal(t, []any{a, b}, []any{m.ID(), m.Sequence()})
		require.Equal(t, data, append([]byte{}, echo[int(l.L4)+packet.ICMPLen:]...))
	})
	mixed := packet.Ends{SrcIP: netip.AddrFrom4(ip4A), DstIP: netip.AddrFrom16(ip6A)}
	buf := make([]byte, 1<<17)
	require.Zero(t, packet.PutUDP(buf, mixed, 1, 2, nil))
	require.Zero(t, packet.PutEchoRequest(buf, packet.Ends{}, 1, 2, nil))
	require.Zero(t, packet.PutUDP(buf, ends(false), 1, 2, make([]byte, 65508)), "one byte too many")
	require.Equal(t, 14+65535, packet.PutUDP(buf, ends(false), 1, 2, make([]byte, 65507)))
}

// A UDP checksum that comes to zero is sent in its other form.
func TestUDPChecksumZero(t *testing.T) {
	buf := make([]byte, 100)
	n := packet.PutUDP(buf, ends(false), 50000, 50000, []byte{0, 0})
	sum := packet.UDPAt(buf[34:n]).Checksum()
	// Data that makes the checksum come to 0.
	n = packet.PutUDP(buf, ends(false), 50000, 50000, []byte{byte(sum >> 8), byte(sum)})
	require.EqualValues(t, 0xffff, packet.UDPAt(buf[34:]).Checksum())
	again(t, buf[:n])
}

func FuzzLinkOption(f *testing.F) {
	f.Add([]byte{5, 1, 0, 0, 0, 0, 5, 0xdc, 1, 1, 1, 2, 3, 4, 5, 6}, uint8(1))
	f.Fuzz(func(t *testing.T, options []byte, kind uint8) {
		options = options[:len(options):len(options)]
		mac, ok := packet.LinkOption(options, kind)
		if ok {
			require.True(t, bytes.Contains(options, append([]byte{kind, 1}, mac[:]...)))
		}
	})
}
