package bench

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd/netlab/netlabtest"
)

// What testpmd reports each second, by port, is its rate, without the seconds of its
// start.
func TestTestpmdReports(t *testing.T) {
	p := testpmd{mode: "io", vdevs: []string{"a", "b"}, poll: []int{1}}
	started := 0
	p.ready = func() error { started++; return nil }
	var s Sample
	report := p.reports(t.Context(), 3*time.Second, &s)
	done := false
	for _, rate := range []int{0, 7, 100, 300, 200} {
		for _, port := range []int{1, 2} {
			require.False(t, done)
			var err error
			_, err = report("  RX-packets: 12")
			require.NoError(t, err)
			done, err = report(fmt.Sprintf("  Rx-pps:  999  \n  Tx-pps:     %d   Tx-bps: 12", rate*port))
			require.NoError(t, err)
		}
	}
	require.True(t, done, "three seconds after the first two")
	assert.Equal(t, 1, started)
	assert.InDelta(t, 600, s.PPS, 1e-9, "the median of both ports together")
}

func TestTestpmdAccount(t *testing.T) {
	const form = `
  +++++++++++++++ Accumulated forward statistics for all ports+++++++++++++++
  RX-packets: %d RX-dropped: 0 RX-total: 0
  TX-packets: %d TX-dropped: %d TX-total: 0
  CPU cycles/packet=123.45 (total cycles=1 / total RX packets=1)
`
	for _, c := range []struct {
		mode         string
		rx, tx, drop int
		void         bool
	}{
		{"io", 10, 7, 3, false}, {"io", 10, 7, 2, true}, {"macswap", 10, 10, 1, true},
		{"rxonly", 10, 0, 0, false}, {"rxonly", 10, 1, 0, true}, {"txonly", 0, 10, 0, false},
	} {
		p, s := testpmd{mode: c.mode}, Sample{}
		err := p.account(fmt.Sprintf(form, c.rx, c.tx, c.drop), &s)
		assert.Equal(t, c.void, err != nil, "%+v: %v", c, err)
		if err != nil {
			require.ErrorAs(t, err, &voidError{})
		}
		assert.Equal(t, uint64(c.tx), p.sent)
		if c.mode == "rxonly" && !c.void {
			assert.InDelta(t, 123.45, s.Cycles, 1e-9)
		}
	}
	p := testpmd{}
	require.ErrorAs(t, p.account("Segmentation fault", &Sample{}), &voidError{})
}

// Comparisons with the kernel run to their end, account for what was sent, and leave
// nothing behind.
func TestKernelPeers(t *testing.T) {
	netlabtest.RequireRoot(t)
	before, err := filepath.Glob("/run/netns/peers*")
	require.NoError(t, err)
	for _, peer := range []Peer{peerBridge, peerRoute, peerRedirect} {
		for _, c := range Comparisons() {
			if c.Peer != peer {
				continue
			}
			if err := c.Lacking(); err != nil {
				t.Skip(err)
			}
			res, err := c.Run(t.Context(), RunConfig{Rounds: MinRounds, Length: MinRoundLength}, nil)
			require.NoError(t, err)
			require.Len(t, res.Rounds, MinRounds)
			moved := 0
			for _, r := range res.Rounds {
				// On a machine that has no time for it nothing moves: then it is void.
				if r.Void == "" {
					moved++
					assert.Positive(t, r.Ratio)
				} else {
					assert.Contains(t, r.Void, "no frame moved", c.Name())
				}
			}
			assert.Equal(t, moved, res.Valid)
		}
	}
	left, err := filepath.Glob("/run/netns/peers*")
	require.NoError(t, err)
	assert.Subset(t, before, left, "namespaces left behind")
}
