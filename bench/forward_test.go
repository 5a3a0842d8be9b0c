package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/cpu"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/dataplane/packet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
)

// pollCPU is the CPU to measure on: not the lowest, where interrupts usually are.
func pollCPU(tb testing.TB) int {
	tb.Helper()
	topo, err := cpu.Local()
	require.NoError(tb, err)
	return topo.DefaultCores().Min()
}

// BenchmarkForward runs the scenarios: it reports the frames that left, or for rxonly
// those that came. Frames are valid UDP over IPv4; icmpecho has none to answer and
// reports those that it dropped.
func BenchmarkForward(b *testing.B) {
	for _, s := range Scenarios() {
		b.Run(s.Name(), func(b *testing.B) {
			if err := s.Lacking(); err != nil {
				b.Skip(err)
			}
			checkEffect(b, s.Mode)
			bed, err := openBed(b.Context(), s)
			require.NoError(b, err)
			defer func() { require.NoError(b, bed.close()) }()
			_, err = bed.round(b.Context(), 100*time.Millisecond) // warm up
			require.NoError(b, err)
			b.ReportAllocs()
			b.ResetTimer()
			packets, seconds := uint64(0), 0.0
			for packets < uint64(b.N) || seconds < 0.2 {
				r, err := bed.round(b.Context(), 200*time.Millisecond)
				require.NoError(b, err)
				packets, seconds = packets+r.Packets, seconds+r.Seconds
			}
			b.StopTimer()
			if bed.settle != nil {
				require.NoError(b, bed.settle(b.Context()))
			}
			b.ReportMetric(float64(packets)/seconds, "pkts/s")
			b.ReportMetric(float64(s.Cores)*1e9*seconds/float64(packets), "ns/pkt")
			b.ReportMetric(0, "ns/op") // per b.N, of which more than N are measured
		})
	}
	for _, mode := range []string{"io", "rxonly"} {
		for _, ring := range []string{"v2", "v3"} {
			b.Run(fmt.Sprintf("driver=afpacket/ring=%s/mode=%s/size=64", ring, mode), func(b *testing.B) { benchmarkAFPacket(b, mode, ring) })
		}
	}
	for _, way := range []string{"rx", "tx"} {
		b.Run(fmt.Sprintf("driver=tap/way=%s/size=64", way), func(b *testing.B) { benchmarkTap(b, way) })
	}
}

// BenchmarkSendQueue forwards between two null ports both ways: each port on a worker of
// its own, so that every frame goes through a send queue, or both on one worker. It
// reports the frames that left, by core.
func BenchmarkSendQueue(b *testing.B) {
	topo, err := cpu.Local()
	require.NoError(b, err)
	cpus := topo.Allowed.And(topo.Online).Slice()
	if len(cpus) < 2 {
		b.Skip("two workers need two CPUs")
	}
	for path, workers := range map[string][]int{"direct": {0, 0}, "classic": {0, 1}} {
		b.Run("driver=null/path="+path, func(b *testing.B) {
			cores := cpus[len(cpus)-1-workers[1]:]
			r, err := Start(b.Context(), RigConfig{Mode: "io", Cores: cores, Workers: workers, Open: openNull(null.Config{Size: 64})})
			require.NoError(b, err)
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			defer cancel()
			_, err = r.Measure(ctx, 0, 100*time.Millisecond)
			require.NoError(b, err)
			rate, err := r.Measure(ctx, uint64(b.N), 200*time.Millisecond)
			require.NoError(b, err)
			require.NoError(b, r.Close())
			pps := rate.Sent / float64(len(cores))
			b.ReportMetric(pps, "pkts/s/core")
			b.ReportMetric(1e9/pps, "core-ns/pkt")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// openNull opens two null ports.
func openNull(cfg null.Config) func(context.Context, pmd.Env) ([]pmd.Device, error) {
	return nullPorts(2, cfg)
}

// measure reports the rate of a running rig.
func measure(b *testing.B, r *Rig, mode string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	_, err := r.Measure(ctx, 0, 100*time.Millisecond) // warm up
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	rate, err := r.Measure(ctx, uint64(b.N), 200*time.Millisecond)
	b.StopTimer()
	require.NoError(b, err)
	require.NoError(b, r.Check(ctx))
	pps := rate.Sent
	if mode == "rxonly" || mode == "icmpecho" {
		pps = rate.Received
	}
	b.ReportMetric(pps, "pkts/s")
	b.ReportMetric(1e9/pps, "ns/pkt")
	b.ReportMetric(0, "ns/op") // per b.N, of which more than N are measured
}

// effect is what to give a mode, and what to look for in what leaves.
type effect struct {
	content []byte
	noRx    bool
	shows   func(p []byte, macs [][]byte) bool
}

// effects are those of all modes.
func effects(tb testing.TB) map[string]effect {
	dst, src := packet.MAC{2, 0, 0, 0, 0, 0xd}, packet.MAC{2, 0, 0, 0, 0, 0x5}
	a, b := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("198.19.0.1")
	udp := func(src, dst packet.MAC, from, to netip.Addr, ports ...uint16) []byte {
		f := make([]byte, 64)
		n := packet.PutUDP(f, packet.Ends{Src: src, Dst: dst, SrcIP: from, DstIP: to}, ports[0], ports[1], bytes.Repeat([]byte{0xa5}, 22))
		require.Equal(tb, 64, n)
		return f
	}
	plain := udp(src, dst, a, b, 49152, 9)
	is := func(want []byte) func([]byte, [][]byte) bool {
		return func(p []byte, _ [][]byte) bool { return bytes.Equal(p, want) }
	}
	own := func(p []byte, macs [][]byte) bool {
		for _, m := range macs {
			if bytes.Equal(p[6:12], m) {
				return bytes.Equal(p[:5], []byte{2, 0, 0, 0, 0})
			}
		}
		return false
	}
	made := func(p []byte, macs [][]byte) bool {
		l := packet.Parse(p)
		return len(p) == 64 && own(p, macs) && l.Fault == packet.FaultNone && l.Protocol == packet.ProtocolUDP &&
			packet.Checksum(p[14:34]) == 0 && packet.PseudoIPv4([4]byte(p[26:30]), [4]byte(p[30:34]), 17, 30).Add(p[34:]).Fold() == 0xffff
	}
	wrong := bytes.Clone(plain)
	wrong[24], wrong[40] = wrong[24]+1, wrong[40]+1 // both checksums
	request := make([]byte, 64)
	require.Equal(tb, 64, packet.PutEchoRequest(request, packet.Ends{Src: src, Dst: dst, SrcIP: a, DstIP: b}, 1, 2, make([]byte, 22)))
	macSwapped := bytes.Clone(plain)
	packet.EthernetAt(macSwapped).SwapAddresses()
	return map[string]effect{
		"io":      {content: plain, shows: is(plain)},
		"noisy":   {content: plain, shows: is(plain)},
		"macswap": {content: plain, shows: is(macSwapped)},
		"5tswap":  {content: plain, shows: is(udp(dst, src, b, a, 9, 49152))},
		"csum":    {content: wrong, shows: is(plain)},
		"mac":     {content: plain, shows: func(p []byte, macs [][]byte) bool { return own(p, macs) && bytes.Equal(p[12:], plain[12:]) }},
		"rxonly":  {content: plain},
		"icmpecho": {content: request, shows: func(p []byte, _ [][]byte) bool {
			return bytes.Equal(p[:6], src[:]) && p[34] == packet.ICMPEchoReply && packet.Checksum(p[34:]) == 0
		}},
		"txonly":  {noRx: true, shows: made},
		"flowgen": {content: plain, shows: made},
	}
}

// checkEffect runs the mode over frames that are written anew each time, and looks
// at what leaves.
func checkEffect(tb testing.TB, mode string) {
	tb.Helper()
	e, known := effects(tb)[mode]
	require.True(tb, known, "mode %s: nothing to look for", mode)
	var good, bad atomic.Uint64
	var macs [][]byte
	inspect := func(frames []mbuf.Frame, mem mbuf.Mem) {
		for _, f := range frames {
			if e.shows != nil && e.shows(mem.Bytes(f), macs) {
				good.Add(1)
			} else {
				bad.Add(1)
			}
		}
	}
	open := openNull(null.Config{Size: 64, Content: e.content, Copy: true, NoRx: e.noRx, Inspect: inspect})
	r, err := Start(tb.Context(), RigConfig{Mode: mode, Cores: []int{pollCPU(tb)},
		Open: func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
			devs, err := open(ctx, env)
			for _, d := range devs {
				macs = append(macs, d.Info().MAC)
			}
			return devs, err
		}})
	require.NoError(tb, err)
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	_, err = r.Measure(ctx, 10000, 0)
	require.NoError(tb, err)
	require.NoError(tb, r.Check(ctx))
	require.NoError(tb, r.Close())
	require.Zero(tb, bad.Load(), "frames that left do not show the effect of mode %s", mode)
	if e.shows != nil {
		require.NotZero(tb, good.Load())
	}
}

// TestForwardEffect is the check of the benchmarks by itself.
func TestForwardEffect(t *testing.T) {
	for _, mode := range forward.Modes() {
		t.Run(mode, func(t *testing.T) { checkEffect(t, mode) })
	}
}
