package bench

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// xdpsockText is a report of xdpsock with -x, whose lines end in spaces.
var xdpsockText = strings.ReplaceAll(`
 sock0@p0:0 rxdrop xdp-drv
                   pps            pkts           1.00
rx                 %s
tx                 0              0
rx dropped         1              2
rx invalid         0              0
tx invalid         0              0
rx queue full      3              1,004
fill ring empty    0              0
tx ring empty      0              0
`, "\n", "   \n")

// xdpsock reports each second; those of its start do not count, and the last is its account.
func TestXdpsockReports(t *testing.T) {
	text := "xdpsock starts\n"
	for _, r := range []string{"12             12", "9             21", "5,000,100      5,000,121", "7,000,000      12,000,121", "6,000,000      18,000,121"} {
		text += fmt.Sprintf(xdpsockText, r)
	}
	reports := make(chan xdpsockReport, 10)
	rest := readXdpsock(strings.NewReader(text), reports)
	close(reports)
	assert.Contains(t, rest, "xdpsock starts")
	require.Len(t, reports, 5)
	f := &field{arena: &arena{}, Comparison: Comparison{Peer: peerXdpsock, Mode: "rxonly"}}
	late := make(chan xdpsockReport)
	go func() {
		defer close(late)
		for r := range reports {
			late <- r
		}
	}()
	s, err := f.xdpsockRates(t.Context(), late, 3)
	require.NoError(t, err)
	assert.InDelta(t, 6e6, s.PPS, 1e-9)
	_, err = f.xdpsockRates(t.Context(), late, 1)
	require.ErrorContains(t, err, "ended early")
}

func TestXdpsockAccount(t *testing.T) {
	for _, c := range []struct {
		mode        string
		r           xdpsockReport
		sent, there uint64
		void        bool
	}{
		{"rxonly", xdpsockReport{rx: 90, dropped: 4, full: 6}, 100, 0, false},
		{"rxonly", xdpsockReport{rx: 90, dropped: 4, full: 7}, 100, 0, true},
		{"txonly", xdpsockReport{tx: 100}, 0, 100, false},
		{"txonly", xdpsockReport{tx: 3000}, 0, 900, true},
		{"txonly", xdpsockReport{tx: 100}, 0, 101, true},
		{"macswap", xdpsockReport{rx: 90, tx: 90}, 100, 80, false},
		{"macswap", xdpsockReport{rx: 90, tx: 89}, 100, 80, true},
		{"macswap", xdpsockReport{rx: 101, tx: 101}, 100, 100, true},
	} {
		f := &field{arena: &arena{}, Comparison: Comparison{Peer: peerXdpsock, Mode: c.mode}}
		err := f.xdpsockAccount(c.r, c.sent, c.there)
		assert.Equal(t, c.void, err != nil, "%+v: %v", c, err)
	}
}

// Whatever the program writes, a rate is a number, and reports are as many as it ended.
func FuzzReadXdpsock(f *testing.F) {
	f.Add(fmt.Sprintf(xdpsockText, "7,000,000      12,000,121"))
	f.Add("rx 1 99999999999999999999999\ntx ring empty 1 1")
	f.Fuzz(func(t *testing.T, text string) {
		reports := make(chan xdpsockReport, len(text)+1)
		readXdpsock(strings.NewReader(text), reports)
		close(reports)
		n := 0
		for r := range reports {
			if n++; math.IsNaN(r.rxRate) || math.IsInf(r.rxRate, 0) || r.rxRate < 0 {
				t.Fatalf("%+v", r)
			}
		}
		if ends := strings.Count(text, "tx ring empty"); n > ends {
			t.Fatalf("%d reports of %d", n, ends)
		}
	})
}
