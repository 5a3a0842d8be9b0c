package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/pcap"
)

// writeCapture makes a capture of n UDP packets of size bytes, each another flow, with
// right checksums.
func writeCapture(tb testing.TB, n, size int) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), fmt.Sprintf("udp%d.pcap", size))
	f, err := os.Create(path)
	require.NoError(tb, err)
	defer f.Close()
	w := pcapgo.NewWriterNanos(f)
	require.NoError(tb, w.WriteFileHeader(262144, layers.LinkTypeEthernet))
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	buf := gopacket.NewSerializeBuffer()
	for i := range n {
		eth := &layers.Ethernet{
			DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4,
		}
		// The block for benchmarks of network devices, 198.18.0.0/15 (RFC 6890).
		ip := &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, Flags: layers.IPv4DontFragment,
			SrcIP: net.IPv4(198, 18, byte(i>>8), byte(i)), DstIP: net.IPv4(198, 19, 0, 1),
		}
		udp := &layers.UDP{SrcPort: 49152, DstPort: 9}
		require.NoError(tb, udp.SetNetworkLayerForChecksum(ip))
		require.NoError(tb, gopacket.SerializeLayers(buf, opts, eth, ip, udp, gopacket.Payload(make([]byte, size-42))))
		p := buf.Bytes()
		require.NoError(tb, w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, int64(i)*1000), CaptureLength: len(p), Length: len(p)}, p))
	}
	return path
}

// openPcap opens two ports that replay the capture for ever and discard what they are
// sent.
func openPcap(path string) func(context.Context, pmd.Env) ([]pmd.Device, error) {
	return func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
		var devs []pmd.Device
		for _, name := range []string{"pcap0", "pcap1"} {
			d, err := pcap.New(ctx, pcap.Config{Name: name, RX: path, Loops: pcap.Forever}, env)
			if err != nil {
				return nil, err
			}
			devs = append(devs, d)
		}
		return devs, nil
	}
}

func benchmarkPcap(b *testing.B, mode string) {
	checkEffect(b, mode)
	r, err := Start(b.Context(), RigConfig{Mode: mode, Cores: []int{pollCPU(b)}, Open: openPcap(writeCapture(b, 1024, 64))})
	require.NoError(b, err)
	measure(b, r, mode)
	require.NoError(b, r.Close())
}
