package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each line is a window; the account is taken at the end.
func TestServeWindows(t *testing.T) {
	for _, name := range []string{"driver=null/mode=macswap", "driver=null/mode=rxonly", "driver=ring/mode=io/cores=2", "driver=afxdp/mode=io"} {
		t.Run(name, func(t *testing.T) {
			s, err := ParseScenario(name)
			require.NoError(t, err)
			if err := s.Lacking(); err != nil {
				t.Skip(err)
			}
			var out bytes.Buffer
			require.NoError(t, s.ServeWindows(t.Context(), strings.NewReader("20ms\n30ms\n"), &out))
			answers := json.NewDecoder(&out)
			var ready Windows
			require.NoError(t, answers.Decode(&ready))
			assert.Equal(t, WindowsVersion, ready.Version)
			assert.Equal(t, s.Name(), ready.Name)
			assert.Len(t, ready.Polled, s.Cores)
			for range 2 {
				var w Window
				require.NoError(t, answers.Decode(&w))
				assert.GreaterOrEqual(t, w.Seconds, 0.0) // the clock of the cores, which may not have run
				assert.GreaterOrEqual(t, w.Waited, 0.0)
			}
			assert.False(t, answers.More())
		})
	}
}

// Between windows nothing moves, whoever makes the frames.
func TestBedSleeps(t *testing.T) {
	for _, name := range []string{"driver=null/mode=io", "driver=null/mode=txonly", "driver=pcap/mode=io", "driver=afxdp/mode=io", "driver=afxdp/mode=txonly"} {
		t.Run(name, func(t *testing.T) {
			s, err := ParseScenario(name)
			require.NoError(t, err)
			if err := s.Lacking(); err != nil {
				t.Skip(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			b, err := openBed(ctx, s)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.close()) }()
			moved := func() (rx, tx, turns uint64) {
				s, err := b.rig.Stats(ctx)
				require.NoError(t, err)
				rx, tx, _ = totals(s)
				return rx, tx, s.Cores[0].Turns
			}
			for range 2 {
				_, before, _ := moved()
				require.Eventually(t, func() bool { _, tx, _ := moved(); return tx > before }, 20*time.Second, time.Millisecond)
				require.NoError(t, b.sleep(ctx))
				// What is on its way to the far end still arrives.
				var rx, tx uint64
				require.Eventually(t, func() bool {
					rx0, tx0 := rx, tx
					rx, tx, _ = moved()
					return rx == rx0 && tx == tx0
				}, 20*time.Second, 50*time.Millisecond)
				// And the core sleeps: few turns, each of them asked for, or after a long sleep.
				require.Eventually(t, func() bool {
					_, _, before := moved()
					time.Sleep(50 * time.Millisecond)
					_, _, turns := moved()
					return turns-before <= 10
				}, 20*time.Second, time.Millisecond)
				rx1, tx1, _ := moved()
				require.Equal(t, rx, rx1)
				require.Equal(t, tx, tx1)
				require.NoError(t, b.wake(ctx))
			}
		})
	}
}

func TestServeWindowsRefuses(t *testing.T) {
	serve := func(name, in string) error {
		s, err := ParseScenario(name)
		require.NoError(t, err)
		return s.ServeWindows(t.Context(), strings.NewReader(in), &bytes.Buffer{})
	}
	for _, in := range []string{"soon\n", "1us\n", "-20ms\n", "1h\n", "\n", strings.Repeat("9", 1000) + "ms\n"} {
		assert.ErrorContains(t, serve("driver=null/mode=io", in), "use 1ms to 10s", "%q", in)
	}
	assert.ErrorIs(t, serve("driver=afxdp/mode=io/load=50", ""), ErrScenario)
}

// Interrupted, it ends though nobody closes its input.
func TestServeWindowsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := ParseScenario("driver=null/mode=io")
	require.NoError(t, err)
	in := make(blocked)
	defer close(in)
	ended := make(chan error)
	go func() { ended <- s.ServeWindows(ctx, in, &bytes.Buffer{}) }()
	in <- struct{}{} // it reads: it is set up
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// blocked is a reader that has nothing until it is closed.
type blocked chan struct{}

func (b blocked) Read([]byte) (int, error) {
	<-b
	<-b
	return 0, context.Canceled
}
