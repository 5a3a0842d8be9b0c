package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	macA = net.HardwareAddr{2, 0, 0, 0, 0, 0xa}
	macB = net.HardwareAddr{2, 0, 0, 0, 0, 0xb}
)

func ExampleGeneratorConfig_Frame() {
	cfg := GeneratorConfig{
		SrcMAC: macA,
		DstMAC: macB,
		Src:    netip.MustParseAddrPort("192.0.2.1:1000"),
		Dst:    netip.MustParseAddrPort("192.0.2.2:7"),
	}
	f, err := cfg.Frame()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d bytes\n% x\n% x\n% x\n", len(f), f[:14], f[14:34], f[34:42])

	cfg.Size = 9000
	_, err = cfg.Frame()
	fmt.Println(err)
	// Output:
	// 60 bytes
	// 02 00 00 00 00 0b 02 00 00 00 00 0a 08 00
	// 45 00 00 2e 00 00 40 00 40 11 b6 bb c0 00 02 01 c0 00 02 02
	// 03 e8 00 07 00 1a 00 00
	// netlab: generator: a frame of 9000 bytes is not within 60 to 3400
}

// Every frame built is a whole UDP/IPv4 datagram: lengths that agree, a header
// that sums up, and fields where the program will rewrite them.
func TestFrameIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := GeneratorConfig{
			SrcMAC: macA, DstMAC: macB,
			Size:     rapid.IntRange(MinFrame, MaxFrame).Draw(t, "size"),
			Src:      endpoint(t, "src", 30000),
			Dst:      endpoint(t, "dst", 65535),
			Flows:    rapid.IntRange(0, maxFlows).Draw(t, "flows"),
			Sequence: rapid.Bool().Draw(t, "sequence"),
		}
		f, err := cfg.Frame()
		require.NoError(t, err)
		require.Len(t, f, cfg.Size)
		require.True(t, isPlainUDP(f))
		require.Zero(t, checksum(f[14:34]), "the header with its checksum sums up to 0")
		require.Equal(t, cfg.Size, 14+int(binary.BigEndian.Uint16(f[16:])))
		require.Equal(t, cfg.Size, 34+int(binary.BigEndian.Uint16(f[38:])))
		require.Equal(t, cfg.Src.Port(), binary.BigEndian.Uint16(f[34:]))
		require.Equal(t, cfg.Dst.Port(), binary.BigEndian.Uint16(f[36:]))

		again, err := GeneratorConfig{Template: f, Flows: cfg.Flows, Sequence: cfg.Sequence}.Frame()
		require.NoError(t, err)
		require.Equal(t, f, again)
	})
}

func endpoint(t *rapid.T, what string, maxPort uint16) netip.AddrPort {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], rapid.Uint32().Draw(t, what))
	return netip.AddrPortFrom(netip.AddrFrom4(a), rapid.Uint16Range(0, maxPort).Draw(t, what+" port"))
}

func TestFrameRefused(t *testing.T) {
	good, err := GeneratorConfig{SrcMAC: macA, DstMAC: macB}.Frame()
	require.NoError(t, err)
	with := func(at int, v byte) []byte {
		f := append([]byte(nil), good...)
		f[at] = v
		return f
	}
	ports := netip.MustParseAddrPort
	for want, cfg := range map[string]GeneratorConfig{
		"59 bytes":           {SrcMAC: macA, DstMAC: macB, Size: 59},
		"3401 bytes":         {SrcMAC: macA, DstMAC: macB, Size: 3401},
		"two Ethernet":       {SrcMAC: macA},
		"not IPv4":           {SrcMAC: macA, DstMAC: macB, Src: ports("[2001:db8::1]:1")},
		"32769 flows":        {SrcMAC: macA, DstMAC: macB, Flows: maxFlows + 1},
		"run past 65535":     {SrcMAC: macA, DstMAC: macB, Flows: 3, Src: ports("192.0.2.1:65534")},
		"1000000001 frames":  {SrcMAC: macA, DstMAC: macB, Rate: maxRate + 1},
		"template of 3 byt":  {Template: good[:3]},
		"already says":       {Template: good, Size: 60},
		"without IP options": {Template: with(14, 0x46), Flows: 2},
		"VLAN tag":           {Template: with(12, 0x81), Sequence: true},
		"checksum is 0":      {Template: with(41, 1), Sequence: true},
	} {
		_, err := cfg.Frame()
		assert.ErrorContains(t, err, want)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
		}
	}
	// What would be refused with flows is fine as it stands.
	f, err := GeneratorConfig{Template: with(14, 0x46)}.Frame()
	require.NoError(t, err)
	f[0] = 0xff
	require.Equal(t, byte(2), good[0], "the template was not copied")
}

// The offsets of RFC 1071's own example, section 3: the sum is 0xddf2.
func TestChecksum(t *testing.T) {
	assert.Equal(t, ^uint16(0xddf2), checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}))
	assert.Equal(t, uint16(0xffff), checksum(nil))
}

func TestResultRates(t *testing.T) {
	assert.Equal(t, 500.0, GeneratorResult{Sent: 1000, Elapsed: 2 * time.Second}.PPS())
	assert.Zero(t, GeneratorResult{Sent: 1000}.PPS())
	assert.Equal(t, 4000.0, TransferResult{Received: 1000, Elapsed: 2 * time.Second}.BitsPerSecond())
	assert.Zero(t, TransferResult{Received: 1000}.BitsPerSecond())
}

func TestSinkConfig(t *testing.T) {
	assert.NoError(t, SinkConfig{UDPPort: 9, EtherType: etherTypeIPv4}.validate())
	assert.ErrorContains(t, SinkConfig{UDPPort: 9, EtherType: 0x86dd}.validate(), "0x86dd")
}

// A template is bytes from outside: whatever they are, it is taken or refused.
func FuzzTemplate(f *testing.F) {
	good, _ := GeneratorConfig{SrcMAC: macA, DstMAC: macB}.Frame()
	f.Add(good, 4, true)
	f.Add(good[:20], 0, false)
	f.Fuzz(func(t *testing.T, b []byte, flows int, sequence bool) {
		cfg := GeneratorConfig{Template: b, Flows: flows, Sequence: sequence}
		frame, err := cfg.Frame()
		if err != nil {
			return
		}
		require.Equal(t, b, frame)
		if flows > 1 || sequence {
			require.True(t, isPlainUDP(frame))
		}
		// The program of every accepted frame can be assembled.
		require.NotEmpty(t, generatorProgram(0, frame, cfg))
	})
}
