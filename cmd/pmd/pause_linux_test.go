//go:build linux

package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/metrics"
	"example.org/pmd/cpu"
)

// controlRate is how many requests a second TestControlPause makes.
const controlRate = 1000

// load is clients of a control socket that look and change things, each as fast as its
// share of controlRate.
type load struct {
	t      *testing.T
	socket string
	made   atomic.Uint64
	quit   chan struct{}
	wg     sync.WaitGroup
}

// startLoad begins to ask. Every fifth request is a scrape, and every fifth changes the
// metric of an interface.
func startLoad(t *testing.T, socket string) *load {
	l := &load{t: t, socket: socket, quit: make(chan struct{})}
	const clients = 4
	for i := range clients {
		l.wg.Go(func() { l.ask(i, clients*time.Second/controlRate) })
	}
	return l
}

// stop ends it.
func (l *load) stop() {
	close(l.quit)
	l.wg.Wait()
}

func (l *load) ask(i int, every time.Duration) {
	client := ctl.NewClient(l.socket)
	defer client.Close()
	scraper := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", l.socket)
	}}}
	defer scraper.CloseIdleConnections()
	ctx := l.t.Context()
	requests := []func(n int) error{
		func(int) error { _, err := client.Interfaces(ctx); return err },
		func(int) error { _, err := client.Cores(ctx, ""); return err },
		func(int) error { _, err := client.Stats(ctx); return err },
		func(n int) error {
			metric := n%100 + 1
			_, err := client.SetInterface(ctx, "0", engine.IfSettings{Metric: &metric})
			return err
		},
		func(int) error {
			resp, err := scraper.Get("http://pmd" + metrics.Path)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("scrape: %s", resp.Status)
			}
			return err
		},
	}
	due := time.Now()
	for n := i; ; n++ {
		// What comes late is made up for, so that the rate holds.
		due = due.Add(every)
		select {
		case <-l.quit:
			return
		case <-time.After(time.Until(due)):
		}
		if err := requests[n%len(requests)](n); err != nil {
			assert.NoError(l.t, err)
			return
		}
		l.made.Add(1)
	}
}

// TestControlPause forwards at full speed while the control socket is asked for everything,
// scraped, and made to change an interface, a thousand times a second, in turns with windows
// in which it is left alone: for two seconds, or for PMD_SOAK. No frame may be lost to it,
// and the longest turns of the poll loop with and without are logged.
func TestControlPause(t *testing.T) {
	soak, window := 2*time.Second, 250*time.Millisecond
	if s := os.Getenv("PMD_SOAK"); s != "" {
		var err error
		soak, err = time.ParseDuration(s)
		require.NoError(t, err)
		window = time.Second
	}
	topo, err := cpu.Local()
	require.NoError(t, err)
	cpus := topo.Allowed.And(topo.Online)
	if cpus.Len() < 2 {
		t.Skip("one CPU: there is none for the clients beside that of the poll core")
	}
	poll := cpus.Slice()[cpus.Len()-1]
	for _, c := range []struct {
		name string
		args []string
	}{
		{"null", []string{"--port", "null:name=a", "--port", "null:name=b", "--forward", "macswap"}},
		{"ring", []string{
			"--port", "null:name=a", "--port", "ring:pair=x,name=b", "--port", "ring:pair=x,name=c", "--port", "null:name=d,rx=off",
			"--xconnect", "a:b", "--xconnect", "c:d", "--forward", "macswap",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			p := command(t, append([]string{"run", "--cores", strconv.Itoa(poll), "--socket", socket, "--duration", longest}, c.args...)...)
			p.start() // with the CPUs that we have, before we leave it one
			restore, err := cpu.Confine(cpus.AndNot(cpu.SetOf(poll)))
			require.NoError(t, err)
			defer func() { assert.NoError(t, restore()) }()
			client := ctl.NewClient(socket)
			defer client.Close()
			eventually(t, func() bool { _, err := client.Interfaces(t.Context()); return err == nil }, "the control socket does not answer")
			// turn returns the longest turn of a window, and how many requests were made.
			turn := func(asked bool) (longest float64, made uint64) {
				_, err := client.Clear(t.Context())
				require.NoError(t, err)
				if asked {
					l := startLoad(t, socket)
					defer func() { made = l.made.Load() }()
					defer l.stop()
				}
				time.Sleep(window)
				s, err := client.Stats(t.Context())
				require.NoError(t, err)
				return float64(s.Cores[0].MaxTurnNs) / 1e3, 0
			}
			turn(false) // what the start took is over
			var without, with []float64
			var asked uint64
			for end := time.Now().Add(soak); time.Now().Before(end); {
				alone, _ := turn(false)
				busy, made := turn(true)
				without, with = append(without, alone), append(with, busy)
				asked += made
			}
			require.NoError(t, p.Process.Signal(syscall.SIGTERM))
			assert.Zero(t, p.end())
			assert.Contains(t, p.stdout.String(), "frames accounted for")
			assert.Positive(t, asked)
			slices.Sort(without)
			slices.Sort(with)
			rate := float64(asked) / (float64(len(with)) * window.Seconds())
			t.Logf("longest turn of %d windows of %v each: without requests median %.0f µs, worst %.0f µs; at %.0f requests a second median %.0f µs, worst %.0f µs: %.2f and %.2f times",
				len(with), window, without[len(without)/2], without[len(without)-1], rate, with[len(with)/2], with[len(with)-1],
				with[len(with)/2]/without[len(without)/2], with[len(with)-1]/without[len(without)-1])
		})
	}
}
