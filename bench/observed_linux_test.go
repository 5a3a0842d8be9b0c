//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// window is how long TestObserved looks at a time: short, so that what else happens on
// the machine is the same for both sides.
const window = 500 * time.Millisecond

// TestObserved tells what being looked at costs: a scrape of the metrics in each window
// and `pmd stats --interval 100ms`, beside the same process left alone, window by window
// in turn. On request, PMD_PEERS=1, with the program built
// from this source. The observers run on CPU 0, the poller on CPU 1.
func TestObserved(t *testing.T) {
	s := peerSettings(t)
	dir := t.TempDir()
	program, socket := filepath.Join(dir, "pmd"), filepath.Join(dir, "s")
	text, err := exec.Command("go", "build", "-o", program, "example.org/pmd/cmd/pmd").CombinedOutput()
	require.NoError(t, err, string(text))
	run := exec.Command(program, "run", "-p", "null:name=a", "-p", "null:name=b", "-f", "macswap", "-c", "1", "--socket", socket)
	require.NoError(t, run.Start())
	defer func() {
		require.NoError(t, run.Process.Signal(unix.SIGTERM))
		require.NoError(t, run.Wait())
	}()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	get := func(path string) ([]byte, error) {
		r, err := client.Get("http://pmd" + path)
		if err != nil {
			return nil, err
		}
		defer r.Body.Close()
		return io.ReadAll(r.Body)
	}
	require.Eventually(t, func() bool { _, err := get("/v1/version"); return err == nil }, 30*time.Second, 10*time.Millisecond)
	sent := func() (frames uint64, at time.Time) {
		var v struct {
			Time  time.Time `json:"time"`
			Ports []struct {
				RxPackets uint64            `json:"rx_packets"`
				TxPackets uint64            `json:"tx_packets"`
				InHand    uint64            `json:"in_hand"`
				Drops     map[string]uint64 `json:"drops"`
			} `json:"ports"`
		}
		b, err := get("/v1/stats")
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &v), string(b))
		var rx, out uint64
		for _, p := range v.Ports {
			frames, rx, out = frames+p.TxPackets, rx+p.RxPackets, out+p.TxPackets+p.InHand
			for _, n := range p.Drops {
				out += n
			}
		}
		require.Equal(t, rx, out, "frames received, and those sent, dropped and in hand")
		return frames, v.Time
	}
	// One round is as many windows of either side as it has seconds, twice.
	type sum struct {
		frames uint64
		time   time.Duration
	}
	one := func(to *sum) {
		n, at := sent()
		time.Sleep(window)
		m, now := sent()
		to.frames, to.time = to.frames+m-n, to.time+now.Sub(at)
	}
	var quiet, watched sum
	round := func() {
		quiet, watched = sum{}, sum{}
		for i := range 2 * s.seconds {
			if i%2 == 0 {
				one(&quiet)
			}
			stats := exec.Command("taskset", "-c", "0", program, "stats", "--interval", "100ms", "--socket", socket)
			require.NoError(t, stats.Start())
			time.Sleep(50 * time.Millisecond) // its start is nobody's cost
			ended := make(chan error, 1)
			go func() {
				b, err := get("/metrics")
				if err == nil && len(b) == 0 {
					err = io.ErrUnexpectedEOF
				}
				ended <- err
			}()
			one(&watched)
			require.NoError(t, <-ended)
			require.NoError(t, stats.Process.Signal(unix.SIGTERM))
			_ = stats.Wait() // interrupted
			if i%2 == 1 {
				one(&quiet)
			}
		}
	}
	rate := func(s sum) float64 { return float64(s.frames) / s.time.Seconds() }
	first := 0
	// Both sides are measured in one round; whoever asks first makes it run.
	side := func(of *sum) func() float64 {
		return func() float64 {
			if first++; first%2 == 1 {
				round()
			}
			return rate(*of)
		}
	}
	s.compare(t, contender{"observed", side(&watched)}, contender{"alone", side(&quiet)})
}
