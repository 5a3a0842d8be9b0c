package packet_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane/packet"
)

// drawn is a frame and what Parse must find in it.
type drawn struct {
	frame []byte
	want  packet.Layers
}

// drawFrame draws a whole, well-formed frame with any tags and extension headers.
// Its headers are written by gopacket, except extension headers, which it cannot
// write.
func drawFrame(t *rapid.T) drawn {
	var d drawn
	l := &d.want
	etherType := rapid.SampledFrom([]layers.EthernetType{
		layers.EthernetTypeIPv4, layers.EthernetTypeIPv6, layers.EthernetTypeARP, 0x88cc,
	}).Draw(t, "type")
	l.EtherType = packet.EtherType(etherType)
	tags := rapid.SliceOfN(rapid.SampledFrom([]layers.EthernetType{0x8100, 0x88a8, 0x9100}), 0, packet.MaxTags).Draw(t, "tags")
	l.Tags, l.L3 = uint8(len(tags)), uint16(packet.EthernetLen+packet.VLANLen*len(tags))
	next := append(tags[:len(tags):len(tags)], etherType)
	stack := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: macA[:], DstMAC: macB[:], EthernetType: next[0]}}
	for i := range tags {
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: uint16(i), Type: next[i+1]})
	}
	protocol := layers.IPProtocol(rapid.SampledFrom([]uint8{6, 17, 1, 58, 132, 200}).Draw(t, "protocol"))
	var headers []byte // between the fixed IP header and the transport header
	padding := rapid.IntRange(0, 20).Draw(t, "padding")
	switch etherType {
	case layers.EthernetTypeIPv4:
		l.Protocol = uint8(protocol)
		ip := &layers.IPv4{
			Version: 4, SrcIP: ip4A[:], DstIP: ip4B[:], Protocol: protocol, TTL: 9,
			Options: drawOptions(t),
		}
		if rapid.Bool().Draw(t, "fragment") {
			l.Fragment = true
			ip.FragOffset = rapid.Uint16Range(0, 0x1fff).Draw(t, "offset")
			if ip.FragOffset == 0 {
				ip.Flags = layers.IPv4MoreFragments
			}
		}
		if ip.FragOffset == 0 {
			l.L4 = l.L3 + packet.IPv4Len + uint16(4*len(ip.Options))
		}
		stack = append(stack, ip)
		data := payload(t)
		d.frame = serialize(t, append(stack, data)...)
		l.End = l.L3 + packet.IPv4Len + uint16(4*len(ip.Options)+len(data))
	case layers.EthernetTypeIPv6:
		first, whole := drawExtensions(t, uint8(protocol), &headers, l)
		stack = append(stack, &layers.IPv6{Version: 6, SrcIP: ip6A[:], DstIP: ip6B[:], NextHeader: layers.IPProtocol(first), HopLimit: 9})
		if whole {
			l.L4 = l.L3 + packet.IPv6Len + uint16(len(headers))
		}
		data := append(gopacket.Payload(headers), payload(t)...)
		d.frame = serialize(t, append(stack, data)...)
		l.End = l.L3 + packet.IPv6Len + uint16(len(data))
	default:
		d.frame = serialize(t, append(stack, payload(t))...)
	}
	d.frame = append(d.frame, make([]byte, padding)...) // and gopacket pads as well
	return d
}

// drawOptions draws IPv4 options of one word each.
func drawOptions(t *rapid.T) (options []layers.IPv4Option) {
	for range rapid.IntRange(0, 10).Draw(t, "options") {
		options = append(options, layers.IPv4Option{OptionType: 0x88, OptionLength: 4, OptionData: []byte{1, 2}})
	}
	return options
}

// drawExtensions draws a chain of extension headers in front of protocol. whole
// tells whether a transport header can be seen behind them.
func drawExtensions(t *rapid.T, protocol uint8, out *[]byte, l *packet.Layers) (first uint8, whole bool) {
	kinds := rapid.SliceOfN(rapid.SampledFrom([]uint8{0, 43, 44, 51, 60, 135, 139, 140}), 0, packet.MaxExtensions).Draw(t, "extensions")
	chain := append(kinds, protocol)
	whole = true
	l.Protocol = protocol
	for i, kind := range kinds {
		n := rapid.IntRange(0, 3).Draw(t, "length")
		size := 8 + 8*n
		switch kind {
		case packet.ProtocolFragment:
			size = 8
		case packet.ProtocolAH:
			size = 8 + 4*n
		}
		h := make([]byte, size)
		h[0], h[1] = chain[i+1], byte(n)
		switch kind {
		case packet.ProtocolRouting:
			h[3] = rapid.SampledFrom([]byte{0, 1}).Draw(t, "left")
			if whole {
				l.Routed = l.Routed || h[3] != 0
			}
		case packet.ProtocolFragment:
			at := rapid.SampledFrom([]byte{0, 0, 5}).Draw(t, "offset")
			more := rapid.SampledFrom([]byte{0, 1}).Draw(t, "more")
			h[3] = at<<3 | more
			if whole {
				l.Fragment = l.Fragment || h[3] != 0
				if at != 0 {
					whole = false
					l.Protocol = chain[i+1]
				}
			}
		}
		*out = append(*out, h...)
	}
	return chain[0], whole
}

func payload(t *rapid.T) gopacket.Payload {
	return gopacket.Payload(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload"))
}

func serialize(t require.TestingT, stack ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...))
	return append([]byte(nil), buf.Bytes()...)
}

func TestParseWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawFrame(t)
		require.Equal(t, d.want, packet.Parse(d.frame), "% x", d.frame)
	})
}

// A frame cut off anywhere is told to be truncated if anything is missing that
// its headers speak of, and what was found in front of the cut stays.
func TestParseTruncated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawFrame(t)
		least := int(d.want.L3) // what must be there for a whole packet
		if d.want.End != 0 {
			least = int(d.want.End)
		}
		for n := range len(d.frame) {
			// The capacity ends there as well: to read on is to panic.
			got := packet.Parse(d.frame[:n:n])
			if n >= least {
				require.Equal(t, d.want, got, "%d of %d bytes", n, len(d.frame))
				continue
			}
			require.Equal(t, packet.FaultTruncated, got.Fault, "%d of %d bytes", n, len(d.frame))
			require.LessOrEqual(t, int(got.End), n)
			if got.L4 != 0 {
				require.Equal(t, d.want.L4, got.L4)
				require.LessOrEqual(t, int(got.L4), n)
			}
		}
	})
}

// sound checks what holds for every frame whatever its bytes.
func sound(t require.TestingT, frame []byte, l packet.Layers) {
	require.LessOrEqual(t, int(l.End), len(frame))
	if l.L4 != 0 {
		require.LessOrEqual(t, l.L4, l.End)
		require.Greater(t, l.L4, l.L3)
	}
	if l.End != 0 {
		require.Greater(t, l.End, l.L3)
	}
	if l.L3 == 0 {
		require.NotEqual(t, packet.FaultNone, l.Fault)
	}
	require.NotEqual(t, "unknown", l.Fault.String())
}

// agree checks that gopacket, where it decodes a frame without complaint, has
// found the same headers.
func agree(t require.TestingT, frame []byte, l packet.Layers) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	if p.ErrorLayer() != nil || p.Metadata().Truncated || l.Fault != packet.FaultNone {
		return
	}
	at, l4 := 0, 0
	for _, layer := range p.Layers() {
		switch h := layer.(type) {
		case *layers.IPv4:
			// Else it is a tunnel, or one that gopacket sees and Parse does not look
			// for: to gopacket EtherType 0xffff (reserved, RFC 1701) is raw IP.
			if at != int(l.L3) || l.EtherType != packet.EtherTypeIPv4 {
				return
			}
			require.EqualValues(t, h.Protocol, l.Protocol)
		case *layers.IPv6:
			if at != int(l.L3) || l.EtherType != packet.EtherTypeIPv6 {
				return
			}
		case *layers.TCP, *layers.UDP, *layers.ICMPv4, *layers.ICMPv6:
			if l4 == 0 {
				l4 = at
			}
		}
		at += len(layer.LayerContents())
	}
	if l4 != 0 && l.L4 != 0 {
		require.EqualValues(t, l4, l.L4, "% x", frame)
	}
}

// Frames with bytes changed at random never lead out of the frame, and gopacket
// sees what we see.
func TestParseMutated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t).frame
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			f[rapid.IntRange(0, len(f)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		f = f[:len(f):len(f)]
		l := packet.Parse(f)
		sound(t, f, l)
		agree(t, f, l)
	})
}

func TestParseFaults(t *testing.T) {
	ethernet := func(typ uint16, rest ...byte) []byte {
		return append([]byte{12: byte(typ >> 8), 13: byte(typ)}, rest...)
	}
	ip4 := func(change func(h []byte)) []byte {
		h := []byte{0: 0x45, 3: 28, 9: 17, 27: 0}
		change(h)
		return ethernet(0x0800, h...)
	}
	ip6 := func(next byte, rest ...byte) []byte {
		return ethernet(0x86dd, append([]byte{0: 0x60, 5: byte(len(rest)), 6: next, 39: 0}, rest...)...)
	}
	tags := func(n int) (b []byte) {
		b = ethernet(0x8100)
		for range n - 1 {
			b = append(b, 0, 1, 0x81, 0)
		}
		return append(b, 0, 1, 0x08, 0x06)
	}
	deep := func(n int) (b []byte) {
		for range n - 1 {
			b = append(b, 60, 0, 0, 0, 0, 0, 0, 0)
		}
		return ip6(60, append(b, 17, 0, 0, 0, 0, 0, 0, 0)...)
	}
	for name, test := range map[string]struct {
		frame []byte
		want  packet.Fault
	}{
		"whole IPv4":              {ip4(func([]byte) {}), packet.FaultNone},
		"version 5":               {ip4(func(h []byte) { h[0] = 0x55 }), packet.FaultHeader},
		"header length 16":        {ip4(func(h []byte) { h[0] = 0x44 }), packet.FaultHeader},
		"total below header":      {ip4(func(h []byte) { h[3] = 19 }), packet.FaultHeader},
		"total below options":     {ip4(func(h []byte) { h[0] = 0x48 }), packet.FaultHeader},
		"total beyond the frame":  {ip4(func(h []byte) { h[3] = 29 }), packet.FaultTruncated},
		"options beyond":          {ip4(func(h []byte) { h[0], h[3] = 0x4f, 60 }), packet.FaultTruncated},
		"whole IPv6":              {ip6(17, make([]byte, 8)...), packet.FaultNone},
		"IPv6 version":            {ethernet(0x86dd, make([]byte, 40)...), packet.FaultHeader},
		"no next header":          {ip6(59), packet.FaultNone},
		"an extension beyond":     {ip6(60, 17, 1, 0, 0, 0, 0, 0, 0), packet.FaultTruncated},
		"half an extension":       {ip6(60, 17, 0, 0), packet.FaultTruncated},
		"as many extensions":      {deep(packet.MaxExtensions), packet.FaultNone},
		"one extension more":      {deep(packet.MaxExtensions + 1), packet.FaultDepth},
		"as many tags":            {tags(packet.MaxTags), packet.FaultNone},
		"one tag more":            {tags(packet.MaxTags + 1), packet.FaultDepth},
		"nothing":                 {nil, packet.FaultTruncated},
		"thirteen bytes":          {make([]byte, 13), packet.FaultTruncated},
		"a tag cut off":           {ethernet(0x8100, 0, 1), packet.FaultTruncated},
		"a length and not a type": {ethernet(46, make([]byte, 46)...), packet.FaultNone},
	} {
		l := packet.Parse(test.frame)
		require.Equal(t, test.want, l.Fault, name)
		sound(t, test.frame, l)
	}
}

// A frame longer than any packet is no trouble.
func TestParseLong(t *testing.T) {
	f := make([]byte, 70000)
	copy(f[12:], []byte{0x08, 0, 0x45, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 17})
	l := packet.Parse(f)
	require.Equal(t, packet.FaultTruncated, l.Fault)
	sound(t, f, l)
}

func TestParseDoesNotAllocate(t *testing.T) {
	f := make([]byte, 128)
	require.Equal(t, 128, packet.PutUDP(f, ends(true), 1, 2, make([]byte, 128-62)))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = packet.Parse(f) }))
}

func FuzzParse(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		b := make([]byte, 256)
		f.Add(b[:packet.PutUDP(b, ends(v6), 1, 2, []byte("data"))])
		b = b[128:]
		f.Add(b[:packet.PutEchoRequest(b, ends(v6), 1, 2, []byte("data"))])
	}
	f.Add(append([]byte{12: 0xff, 13: 0xff, 14: 0x45, 17: 20, 23: 48}, make([]byte, 10)...)) // "raw IP" to gopacket alone
	f.Fuzz(func(t *testing.T, frame []byte) {
		frame = frame[:len(frame):len(frame)]
		l := packet.Parse(frame)
		sound(t, frame, l)
		agree(t, frame, l)
	})
}

func ExampleParse() {
	frame := make([]byte, 64)
	frame = frame[:packet.PutUDP(frame, packet.Ends{
		Src: packet.MAC{2, 0, 0, 0, 0, 1}, Dst: packet.MAC{2, 0, 0, 0, 0, 2}, SrcIP: ip("192.0.2.1"), DstIP: ip("192.0.2.2"),
	}, 4000, 9, []byte("hello"))]
	l := packet.Parse(frame)
	fmt.Println(l.Fault, l.EtherType == packet.EtherTypeIPv4, l.Protocol == packet.ProtocolUDP)
	h := packet.IPv4At(frame[l.L3:])
	src := h.Source()
	fmt.Println(net.IP(src[:]), packet.UDPAt(frame[l.L4:]).Ports().Destination())
	fmt.Printf("%s\n", frame[l.L4+packet.UDPLen:l.End])
	// Output:
	// none true true
	// 192.0.2.1 9
	// hello
}

func BenchmarkParse(b *testing.B) {
	frame := make([]byte, 64)
	require.Equal(b, 64, packet.PutUDP(frame, ends(false), 1, 2, make([]byte, 22)))
	var l packet.Layers
	for b.Loop() {
		l = packet.Parse(frame)
	}
	require.EqualValues(b, 34, l.L4)
}
