package show_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what write writes with testdata/NAME.txt.
func golden(t *testing.T, name string, write func(w io.Writer) error) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, write(&b))
	path := filepath.Join("testdata", name+".txt")
	if *update {
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update to make it")
	assert.Equal(t, string(want), b.String(), "run the test with -update if this is right")

	for _, line := range strings.Split(b.String(), "\n") {
		assert.Equal(t, strings.TrimRight(line, " "), line, "no blanks at the end of a line")
	}
	assert.Error(t, write(&full{}), "a writer that fails is an error")
}

// full is a disk with room for some bytes.
type full struct{ n int }

func (f *full) Write(p []byte) (int, error) {
	if f.n += len(p); f.n > 20 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func sample() *engine.Stats {
	cleared := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	port := func(id int, name, mode string, up bool) engine.Port {
		n := uint64(1_234_567_890 * (id + 1))
		return engine.Port{
			PortStats: dataplane.PortStats{
				ID: dataplane.PortID(id), Name: name, Driver: "afxdp", Mode: mode, Up: up, MAC: "02:00:00:00:00:01", MTU: 1500,
				RxPackets: n, RxBytes: 64 * n, TxPackets: n - 7, TxBytes: 64 * (n - 7), InHand: 4,
				Drops: map[string]uint64{}, Missed: nil,
			},
			Rates:   engine.Rates{RxPPS: 1_234_567, RxBPS: 632_098_304, TxPPS: 999_999, TxBPS: 511_999_488},
			DropPPS: 0,
			Queues: []engine.Queue{
				{
					QueueStats: dataplane.QueueStats{Index: 0, CPU: 2 + id, RxPackets: n, TxPackets: n - 7, InFlight: 4, Wakeups: 12_345},
					Rates:      engine.Rates{RxPPS: 1_234_567, RxBPS: 632_098_304, TxPPS: 999_999, TxBPS: 511_999_488},
				},
			},
		}
	}
	s := &engine.Stats{
		Time: cleared.Add(90 * time.Second), Uptime: 205.1, Forward: "io", RateSeconds: 1.02, ClearedAt: &cleared,
		Ports: []engine.Port{port(0, "eth1", "zerocopy", true), port(1, "eth2", "copy", false)},
		Cores: []engine.Core{
			{CoreStats: dataplane.CoreStats{CPU: 2, State: "running", Turns: 9_876_543, EmptyTurns: 12, Busy: 0.25, MaxTurnNs: 12_345}, BusyNow: 0.987, TurnsPS: 1e6, Rates: engine.Rates{RxPPS: 1_234_567, TxPPS: 999_999}},
			{CoreStats: dataplane.CoreStats{Worker: 1, CPU: -1, State: "failed", Turns: 1, MaxTurnNs: 3_000_000_000, Copies: 5}},
		},
		Pools: []dataplane.PoolStats{{
			Account:   mbuf.Account{Pool: "pool0", Frames: 16384, Accounted: 16384},
			FrameSize: 2048, Pages: "huge 2M", Owners: map[string]int{"pool": 16000, "kernel_rx": 380, "burst": 4},
		}},
		AccountAge: 0.3,
	}
	s.Ports[1].Drops = map[string]uint64{"tx_full": 1000, "port_down": 7}
	s.Ports[0].Missed = map[string]uint64{"rx_ring_full": 42, "tx_ring_empty_descs": 9}
	return s
}

func TestStats(t *testing.T) {
	golden(t, "stats", func(w io.Writer) error { return show.Stats(w, sample()) })
}

func TestStatsQuiet(t *testing.T) {
	s := sample()
	s.ClearedAt, s.Ports, s.Pools, s.AccountError = nil, s.Ports[:1], nil, "the workers did not come to a stand"
	s.Ports[0].Missed = nil
	golden(t, "stats-quiet", func(w io.Writer) error { return show.Stats(w, s) })
}

func TestSummary(t *testing.T) {
	golden(t, "summary", func(w io.Writer) error { return show.Summary(w, sample()) })
}

func TestSummaryOfADefect(t *testing.T) {
	s := sample()
	s.Pools[0].Accounted, s.Pools[0].Duplicate = 16380, 1
	golden(t, "summary-defect", func(w io.Writer) error { return show.Summary(w, s) })
}

func interfaces() []engine.Interface {
	return []engine.Interface{
		{
			ID: 0, Name: "eth1", Driver: "afxdp", Mode: "zerocopy", Up: true, MAC: "02:00:00:00:00:01", MTU: 1500, NUMANode: 1,
			To: "sink", Spec: "eth1,mode=zerocopy", Queues: []engine.InterfaceQueue{{Index: 0, CPU: 2}, {Index: 1, CPU: 3}},
			UnpolledQueues: []int{2, 3}, Remedy: "frames that come on queues 2-3 are not forwarded, nobody polls there: queues=all polls them",
			Obtained: map[string]string{"rx-ring": "2048", "pages": "huge 2M"},
			NetInterface: engine.NetInterface{
				Index: 1, Type: "ethernet", Flags: []string{"UP", "BROADCAST", "POLLING"}, FlagBits: 0x10003, AdminUp: true, Polling: true, Link: "up",
				Metric: 10, Caps: []string{"RXCSUM", "TXCSUM"}, CapsEnabled: []string{"TXCSUM"},
				Addresses: []engine.NetAddress{
					{Address: "192.0.2.1/24", Broadcast: "192.0.2.255"}, {Address: "198.51.100.1/32", Peer: "198.51.100.2"}, {Address: "2001:db8::1/64"},
				},
				Groups:     []engine.NetGroup{{Group: "ff02::1:ff00:1", Link: "33:33:ff:00:00:01", Count: 1}, {Group: "33:33:ff:00:00:01", Count: 2}},
				SendQueue:  engine.SendQueue{Limit: 1024, Length: 3, Drops: 1234567},
				LastChange: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			},
		},
		{
			ID: 1, Name: "sink", Driver: "null", MAC: "02:00:00:00:00:02", MTU: 1778, NUMANode: -1, Detail: "the worker that polled it failed",
			To: "eth1", Spec: "null:name=sink", Queues: []engine.InterfaceQueue{{Index: 0, CPU: -1}},
			NetInterface: engine.NetInterface{Index: 2, AdminUp: true, Polling: true, Flags: []string{"UP"}, FlagBits: 1, Link: "down", LastChange: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		},
	}
}

func TestInterfaces(t *testing.T) {
	golden(t, "interfaces", func(w io.Writer) error { return show.Interfaces(w, interfaces()) })
}

func TestInterface(t *testing.T) {
	for i, name := range []string{"interface", "interface-down"} {
		golden(t, name, func(w io.Writer) error { return show.Interface(w, interfaces()[i]) })
	}
}

func TestForwarding(t *testing.T) {
	golden(t, "forwarding", func(w io.Writer) error {
		return show.Forwarding(w, engine.Forwarding{
			Mode: "io", Modes: []string{"io", "mac"},
			Connect: []engine.Connection{{From: "a", To: "b"}, {From: "b", To: "a"}},
		})
	})
}

func TestUnits(t *testing.T) {
	for want, got := range map[string]string{
		"0": show.Count(0), "999": show.Count(999), "1,000": show.Count(1000), "18,446,744,073,709,551,615": show.Count(math.MaxUint64),
		"0 pps": show.PPS(0), "999 pps": show.PPS(999.4), "1.00 kpps": show.PPS(999.6), "1.23 Mpps": show.PPS(1_234_567),
		"12.3 Mpps": show.PPS(12_345_678), "123 Mpps": show.PPS(123_456_789), "1.00 Mpps": show.PPS(999_999), "-": show.PPS(math.NaN()),
		"10.0 kpps": show.PPS(9_999), "100 kpps": show.PPS(99_990),
		"9.87 Gbit/s": show.BPS(9_870_000_000), "0 bit/s": show.BPS(0),
		"0 B": show.Bytes(0), "1023 B": show.Bytes(1023), "1.00 KiB": show.Bytes(1024), "4.50 GiB": show.Bytes(9 << 29), "16.0 EiB": show.Bytes(math.MaxUint64),
		"50.0%": show.Share(0.5), "100.0%": show.Share(1),
		"0s": show.Nanoseconds(0), "12.3µs": show.Nanoseconds(12_345), "123µs": show.Nanoseconds(123_456), "1.23ms": show.Nanoseconds(1_234_567), "3s": show.Nanoseconds(3e9),
		"1.02s": show.Seconds(1.0199), "3m25s": show.Seconds(205.1),
		"any": show.CPU(dataplane.Unpinned), "7": show.CPU(7),
	} {
		assert.Equal(t, want, got)
	}
}

// TestScaleProperties: never more than four digits before the unit, whatever the
// number.
func TestScaleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(0, 1e14).Draw(t, "x")
		number, unit, ok := strings.Cut(show.PPS(x), " ")
		assert.True(t, ok)
		assert.LessOrEqual(t, len(number), 4, "%v: %s", x, show.PPS(x))
		assert.True(t, strings.HasSuffix(unit, "pps"))
		n := rapid.Uint64().Draw(t, "n")
		number, _, _ = strings.Cut(show.Bytes(n), " ")
		assert.LessOrEqual(t, len(number), 4, show.Bytes(n))
	})
}

// TestTableProperties: every line of a table is as wide as its columns ask for, and
// every cell is there.
func TestTableProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.StringMatching(`[a-z0-9µ]{0,9}`)
		tab := show.NewTable("LEFT", "RIGHT→")
		var want []string
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			a, b := cell.Draw(t, "a"), cell.Draw(t, "b")
			tab.Row(a, b)
			for _, c := range []string{a, b} {
				if c == "" {
					c = "-"
				}
				want = append(want, c)
			}
		}
		var b bytes.Buffer
		require.NoError(t, tab.Write(&b, "> "))
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		var got []string
		width := -1
		for i, line := range lines {
			assert.True(t, strings.HasPrefix(line, "> "))
			if n := len([]rune(line)); width >= 0 {
				assert.Equal(t, width, n, "the last column is aligned to the right")
			} else {
				width = n
			}
			if i > 0 {
				got = append(got, strings.Fields(line)[1:]...)
			}
		}
		assert.Equal(t, want, got)
	})
}

func ExampleTable() {
	t := show.NewTable("PORT", "FRAMES→")
	t.Row("eth1", show.Count(1234567))
	t.Row("eth2", show.Count(89))
	if err := t.Write(os.Stdout, ""); err != nil {
		fmt.Println(err)
	}
	// Output:
	// PORT     FRAMES
	// eth1  1,234,567
	// eth2         89
}

// A port that was removed is told from one of its name that is there, and its queues, which
// nobody polls, are not listed.
func TestRemovedPort(t *testing.T) {
	s := sample()
	s.Ports[1].Name, s.Ports[1].Removed = s.Ports[0].Name, true
	for name, write := range map[string]func(io.Writer, *engine.Stats) error{"stats": show.Stats, "summary": show.Summary} {
		var b strings.Builder
		require.NoError(t, write(&b, s))
		assert.Regexp(t, `(?m)^eth1 +afxdp`, b.String(), name)
		assert.Regexp(t, `(?m)^eth1 \(removed\) +afxdp`, b.String(), name)
		assert.Regexp(t, `(?m)^eth1 \(removed\) +drop: tx_full +1,000$`, b.String(), name)
		assert.LessOrEqual(t, strings.Count(b.String(), "eth1/0"), 1, name)
	}
}
