package demo

import (
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// frame returns frame n of a flow.
func frame(f *flow, n uint64) []byte {
	b := make([]byte, f.size())
	f.put(b, n)
	return b
}

// TestFlowAgainstDecoder has somebody else's code look at our frames.
func TestFlowAgainstDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.IntRange(0, 1472).Draw(t, "payload")
		n := rapid.Uint64().Draw(t, "n")
		key := rapid.Uint64().Draw(t, "key")
		for _, f := range []*flow{newUDP(hostA, hostB, payload, key), newEcho(echoRequest, hostA, hostB, payload, key)} {
			p := gopacket.NewPacket(frame(f, n), layers.LayerTypeEthernet, gopacket.Default)
			require.Nil(t, p.ErrorLayer())
			if udp, ok := p.TransportLayer().(*layers.UDP); ok {
				require.NoError(t, udp.SetNetworkLayerForChecksum(p.NetworkLayer()))
			}
			err, bad := p.VerifyChecksums()
			require.NoError(t, err)
			require.Empty(t, bad)
			ip := p.NetworkLayer().(*layers.IPv4)
			require.Equal(t, f.size()-ethLen, int(ip.Length))
			require.True(t, ip.SrcIP.Equal(addrA.AsSlice()) && ip.DstIP.Equal(addrB.AsSlice()))
		}
	})
}

func TestEchoFields(t *testing.T) {
	p := gopacket.NewPacket(frame(newEcho(echoReply, hostB, hostA, pingPayload, 0xabcd), 7), layers.LayerTypeEthernet, gopacket.Default)
	icmp, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	require.True(t, ok)
	assert.Equal(t, uint8(layers.ICMPv4TypeEchoReply), icmp.TypeCode.Type())
	assert.Equal(t, uint16(0xabcd), icmp.Id)
	assert.Equal(t, uint16(7), icmp.Seq)
}

// TestFlowCheck: what put wrote passes, with any bit changed it does not, and
// neither does a frame of another flow.
func TestFlowCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.IntRange(0, 200).Draw(t, "payload")
		n := rapid.Uint64().Draw(t, "n")
		f := newUDP(hostA, hostB, payload, keyAToB)
		b := frame(f, n)
		got, ok := f.check(b)
		require.True(t, ok)
		require.Equal(t, n, got)

		_, ok = newUDP(hostA, hostB, payload, keyBToA).check(b)
		require.False(t, ok, "another key")
		_, ok = f.check(b[:len(b)-1])
		require.False(t, ok, "cut off")

		bit := rapid.IntRange(0, 8*len(b)-1).Draw(t, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		_, ok = f.check(b)
		require.False(t, ok, "bit %d changed", bit)
	})
}

// TestSumNaive holds sum against the definition: 16-bit words, ones' complement.
func TestSumNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 1600).Draw(t, "b")
		want := uint32(0)
		for i := 0; i < len(b); i += 2 {
			w := uint32(b[i]) << 8
			if i+1 < len(b) {
				w |= uint32(b[i+1])
			}
			if want += w; want > 0xffff {
				want -= 0xffff
			}
		}
		require.Equal(t, uint16(want)%0xffff, fold(sum(0, b))%0xffff)
	})
}

func FuzzFlowCheck(f *testing.F) {
	f.Add(frame(newUDP(hostA, hostB, 64, keyAToB), 3))
	f.Add([]byte{})
	fl := newUDP(hostA, hostB, 64, keyAToB)
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := fl.check(b); ok {
			assert.Equal(t, frame(fl, n), b)
		}
	})
}
