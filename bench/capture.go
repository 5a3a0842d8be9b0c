package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"example.org/pmd/dataplane/packet"
)

// captureFrames is how many frames the capture of a scenario has: of many flows some of
// each of 10,000, as chance has it.
func (s Scenario) captureFrames() int {
	if s.Flows == FlowsOne {
		return 1024
	}
	return 1 << 15
}

// writeTraffic writes a capture of so many UDP packets with right checksums, of the sizes
// and flows of a scenario. The same scenario gives the same file.
func writeTraffic(dir string, s Scenario, frames int) (path string, err error) {
	path = filepath.Join(dir, "traffic.pcap")
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("bench: capture: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := pcapgo.NewWriterNanos(f)
	if err := w.WriteFileHeader(262144, layers.LinkTypeEthernet); err != nil {
		return "", fmt.Errorf("bench: capture: %w", err)
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // traffic is to be the same each time
	zipf := rand.NewZipf(random, 1.1, 1, 9999)
	buf := make([]byte, 1518)
	for i := range frames {
		flow := 0
		switch s.Flows {
		case FlowsMany:
			flow = random.IntN(10_000)
		case FlowsZipf:
			flow = int(zipf.Uint64())
		}
		size := s.Size
		if size == IMIX {
			size = [12]int{64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64}[i%12]
		}
		// The block for benchmarks of network devices, 198.18.0.0/15 (RFC 2544).
		n := packet.PutUDP(buf, packet.Ends{
			Src: packet.MAC{2, 0, 0, 0, 0, 2}, Dst: packet.MAC{2, 0, 0, 0, 0, 1},
			SrcIP: netip.AddrFrom4([4]byte{198, 18, byte(flow >> 8), byte(flow)}), DstIP: netip.AddrFrom4([4]byte{198, 19, 0, 1}),
		}, 49152, 9, make([]byte, size-42))
		info := gopacket.CaptureInfo{Timestamp: time.Unix(0, int64(i)*1000), CaptureLength: n, Length: n}
		if err := w.WritePacket(info, buf[:n]); err != nil {
			return "", fmt.Errorf("bench: capture: %w", err)
		}
	}
	return path, nil
}
