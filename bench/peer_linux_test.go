//go:build linux

package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd/netlab/netlabtest"
	"example.org/pmd/pmd/null"
)

// TestPeers compares with DPDK's testpmd, on request: PMD_PEERS=1, as root, with
// dpdk-testpmd on PATH (Debian package dpdk-dev). PMD_ROUNDS sets the rounds.
// Both sides run in turn on the same CPUs; the figure of a round is the median of
// its seconds, that of a side the median of its rounds, and the ratio the median of
// the rounds' ratios.
func TestPeers(t *testing.T) {
	if os.Getenv("PMD_PEERS") == "" {
		t.Skip("set PMD_PEERS=1 to compare with dpdk-testpmd")
	}
	netlabtest.RequireRoot(t)
	testpmd, err := exec.LookPath("dpdk-testpmd")
	if err != nil {
		t.Skip("no dpdk-testpmd on PATH: apt-get install dpdk-dev")
	}
	rounds := 5
	if s := os.Getenv("PMD_ROUNDS"); s != "" {
		rounds, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	hugePages(t, 512)
	for _, mode := range []string{"io", "macswap", "5tswap", "csum"} {
		if !slices.Contains(forward.Modes(), mode) {
			continue
		}
		t.Run("pcap/"+mode, func(t *testing.T) {
			path := writeCapture(t, 1024, 64)
			compare(t, rounds,
				func() float64 { return oursPcap(t, path, mode) },
				func() float64 {
					// Without a file or interface to send to, net_pcap discards, too.
					return runTestpmd(t, exec.Command, nil, testpmd, mode, "net_pcap0,rx_pcap="+path+",infinite_rx=1", "net_pcap1,rx_pcap="+path+",infinite_rx=1")
				})
		})
	}
	for _, mode := range []string{"io", "macswap", "rxonly"} {
		if mode != "rxonly" {
			t.Run("null/"+mode, func(t *testing.T) {
				compare(t, rounds,
					func() float64 { return oursNull(t, mode) },
					func() float64 {
						return runTestpmd(t, exec.Command, nil, testpmd, mode, "net_null0,size=64,copy=0", "net_null1,size=64,copy=0")
					})
			})
		}
		t.Run("afxdp/"+mode, func(t *testing.T) {
			w := newWire(t)
			_, err := w.b.Sink("hb", false) // the far end, for both sides
			require.NoError(t, err)
			compare(t, rounds,
				func() float64 { return oursAFXDP(t, w, mode) },
				func() float64 {
					// The generator wants a receiver, so it starts when testpmd runs.
					stop := func() {}
					defer func() { stop() }()
					ready := func() { stop = w.flood(t, 0) }
					inside := func(name string, args ...string) *exec.Cmd {
						return exec.Command("nsenter", append([]string{"--net=" + w.ports.Path(), name}, args...)...)
					}
					// busy_budget=0 is its faster setting on veth.
					return runTestpmd(t, inside, ready, testpmd, mode, "net_af_xdp0,iface=p0,busy_budget=0", "net_af_xdp1,iface=p1,busy_budget=0")
				})
		})
	}
}

// compare runs both sides in turn and prints medians and the ratio.
func compare(t *testing.T, rounds int, ours, theirs func() float64) {
	t.Helper()
	var a, b, ratio []float64
	for i := range rounds {
		// Who is first changes, so that neither always finds a warm machine.
		var x, y float64
		if i%2 == 0 {
			x = ours()
			y = theirs()
		} else {
			y = theirs()
			x = ours()
		}
		a, b, ratio = append(a, x), append(b, y), append(ratio, x/y)
		t.Logf("round %d: pmd %.3f Mpps, testpmd %.3f Mpps, ratio %.3f", i+1, x/1e6, y/1e6, x/y)
	}
	t.Logf("median of %d: pmd %.3f Mpps, testpmd %.3f Mpps, ratio %.3f (%.3f to %.3f)", rounds,
		median(a)/1e6, median(b)/1e6, median(ratio), slices.Min(ratio), slices.Max(ratio))
}

// seconds is how many seconds a round measures; skip is how many of testpmd's go
// before, which are of its start.
const (
	seconds = 4
	skip    = 3
)

// ourRate is the median over seconds of a running rig.
func ourRate(t *testing.T, r *Rig, mode string) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := r.Measure(ctx, 0, 500*time.Millisecond)
	require.NoError(t, err)
	var v []float64
	for range seconds {
		rate, err := r.Measure(ctx, 0, time.Second)
		require.NoError(t, err)
		if mode == "rxonly" {
			v = append(v, rate.Received)
		} else {
			v = append(v, rate.Sent)
		}
	}
	require.NoError(t, r.Check(ctx))
	return median(v)
}

func oursNull(t *testing.T, mode string) float64 {
	t.Helper()
	r, err := Start(t.Context(), RigConfig{Mode: mode, Cores: []int{1}, Open: openNull(null.Config{Size: 64})})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	return ourRate(t, r, mode)
}

func oursPcap(t *testing.T, path, mode string) float64 {
	t.Helper()
	r, err := Start(t.Context(), RigConfig{Mode: mode, Cores: []int{1}, Open: openPcap(path)})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	return ourRate(t, r, mode)
}

func oursAFXDP(t *testing.T, w *wire, mode string) float64 {
	t.Helper()
	r, err := Start(t.Context(), RigConfig{Mode: mode, Cores: []int{1}, Open: w.open})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	stop := w.flood(t, 0)
	defer stop()
	return ourRate(t, r, mode)
}

// rate lines of testpmd --stats-period.
var (
	txRate = regexp.MustCompile(`Tx-pps:\s+(\d+)`)
	rxRate = regexp.MustCompile(`Rx-pps:\s+(\d+)`)
)

// runTestpmd runs testpmd on CPU 1 with its main thread on CPU 0 and returns the
// median over some seconds of what both ports sent, or received for rxonly. ready, if
// any, is called when it runs.
func runTestpmd(t *testing.T, command func(string, ...string) *exec.Cmd, ready func(), testpmd, mode string, vdevs ...string) float64 {
	t.Helper()
	args := []string{"-l", "0,1", "-m", "512", "--in-memory", "--no-pci"}
	for _, v := range vdevs {
		args = append(args, "--vdev", v)
	}
	args = append(args, "--", "--forward-mode="+mode, "--nb-cores=1", "--auto-start", "--stats-period", "1", "--total-num-mbufs=16384")
	cmd := command(testpmd, args...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	kill := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	want := txRate
	if mode == "rxonly" {
		want = rxRate
	}
	var v []float64
	var all strings.Builder
	sum, n := 0.0, 0
	asked := false
	for s := bufio.NewScanner(out); s.Scan(); {
		all.WriteString(s.Text() + "\n")
		m := want.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		x, err := strconv.ParseFloat(m[1], 64)
		require.NoError(t, err)
		sum += x
		if n++; n < len(vdevs) {
			continue
		}
		if v = append(v, sum); len(v) == 1 && ready != nil {
			ready()
		}
		sum, n = 0, 0
		if len(v) == skip+seconds && !asked {
			asked = true
			require.NoError(t, cmd.Process.Signal(unix.SIGINT))
		}
	}
	_ = cmd.Wait() // testpmd's exit status after a signal says nothing
	require.GreaterOrEqual(t, len(v), skip+seconds, "testpmd ended early:\n%s", all.String())
	return median(v[skip : skip+seconds])
}

// hugePages reserves pages of 2 MiB and mounts hugetlbfs if nobody has, and puts
// both back afterwards.
func hugePages(t *testing.T, n int) {
	t.Helper()
	const file = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(n)), 0o644))
	t.Cleanup(func() { _ = os.WriteFile(file, before, 0o644) })
	mounts, err := os.ReadFile("/proc/mounts")
	require.NoError(t, err)
	if strings.Contains(string(mounts), " hugetlbfs ") {
		return
	}
	dir := filepath.Join(t.TempDir(), "huge")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, unix.Mount("hugetlbfs", dir, "hugetlbfs", 0, ""), fmt.Sprintf("mount hugetlbfs on %s", dir))
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
}
