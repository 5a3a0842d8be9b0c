package bench

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/cpu"
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

// BenchmarkForward forwards between two ports on one core, and reports the frames
// that left, or for rxonly those that came.
func BenchmarkForward(b *testing.B) {
	for _, mode := range []string{"io", "mac", "macswap", "rxonly"} {
		b.Run(fmt.Sprintf("driver=null/mode=%s/size=64", mode), func(b *testing.B) { benchmarkNull(b, mode) })
	}
	for _, mode := range []string{"io", "mac", "macswap", "rxonly"} {
		b.Run(fmt.Sprintf("driver=pcap/mode=%s/size=64", mode), func(b *testing.B) { benchmarkPcap(b, mode) })
	}
	for _, mode := range []string{"io", "mac", "macswap", "rxonly"} {
		b.Run(fmt.Sprintf("driver=afxdp/mode=%s/size=64", mode), func(b *testing.B) { benchmarkAFXDP(b, mode) })
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
	return func(_ context.Context, env pmd.Env) ([]pmd.Device, error) {
		var devs []pmd.Device
		for _, name := range []string{"null0", "null1"} {
			cfg.Name = name
			d, err := null.New(cfg, env)
			if err != nil {
				return nil, err
			}
			devs = append(devs, d)
		}
		return devs, nil
	}
}

func benchmarkNull(b *testing.B, mode string) {
	checkEffect(b, mode)
	r, err := Start(b.Context(), RigConfig{Mode: mode, Cores: []int{pollCPU(b)}, Open: openNull(null.Config{Size: 64})})
	require.NoError(b, err)
	measure(b, r, mode)
	require.NoError(b, r.Close())
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
	if mode == "rxonly" {
		pps = rate.Received
	}
	b.ReportMetric(pps, "pkts/s")
	b.ReportMetric(1e9/pps, "ns/pkt")
	b.ReportMetric(0, "ns/op") // per b.N, of which more than N are measured
}

// checkEffect runs the mode over frames that are written anew each time, and looks
// at what leaves.
func checkEffect(tb testing.TB, mode string) {
	tb.Helper()
	dst, src := []byte{2, 0, 0, 0, 0, 0xd}, []byte{2, 0, 0, 0, 0, 0x5}
	payload := bytes.Repeat([]byte{0xa5}, 50)
	content := append(append(append([]byte{}, dst...), src...), payload...)
	var good, bad atomic.Uint64
	var r *Rig
	macs := map[string][]byte{}
	inspect := func(frames []mbuf.Frame, mem mbuf.Mem) {
		for _, f := range frames {
			p := mem.Bytes(f)
			ok := len(p) == 64 && bytes.Equal(p[12:62], payload)
			switch mode {
			case "io":
				ok = ok && bytes.Equal(p[:6], dst) && bytes.Equal(p[6:12], src)
			case "macswap":
				ok = ok && bytes.Equal(p[:6], src) && bytes.Equal(p[6:12], dst)
			case "mac":
				known := false
				for _, m := range macs {
					known = known || bytes.Equal(p[6:12], m)
				}
				ok = ok && known && bytes.Equal(p[:5], []byte{2, 0, 0, 0, 0})
			default:
				ok = false // nothing may leave
			}
			if ok {
				good.Add(1)
			} else {
				bad.Add(1)
			}
		}
	}
	open := openNull(null.Config{Size: 64, Content: content, Copy: true, Inspect: inspect})
	r, err := Start(tb.Context(), RigConfig{Mode: mode, Cores: []int{pollCPU(tb)},
		Open: func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
			devs, err := open(ctx, env)
			for _, d := range devs {
				macs[d.Info().Name] = d.Info().MAC
			}
			return devs, err
		}})
	require.NoError(tb, err)
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	_, err = r.Measure(ctx, 10000, 0)
	require.NoError(tb, err)
	require.NoError(tb, r.Close())
	require.Zero(tb, bad.Load(), "frames that left do not show the effect of mode %s", mode)
	if mode != "rxonly" {
		require.NotZero(tb, good.Load())
	}
}

// TestForwardEffect is the check of the benchmarks by itself.
func TestForwardEffect(t *testing.T) {
	for _, mode := range []string{"io", "mac", "macswap", "rxonly"} {
		t.Run(mode, func(t *testing.T) { checkEffect(t, mode) })
	}
}
