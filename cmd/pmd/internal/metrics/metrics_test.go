package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cmd/pmd/internal/version"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

var update = flag.Bool("update", false, "write the golden file anew")

var discard = slog.New(slog.DiscardHandler)

// fixed is a source that always has the same to say.
type fixed struct {
	stats *engine.Stats
	err   error
	panic bool
}

func (f fixed) Totals(context.Context) (*engine.Stats, error) {
	if f.panic {
		panic("boom")
	}
	return f.stats, f.err
}

var build = version.Info{Version: "v1.2.3", Revision: "4f1c", Go: "go1.26.0"}

func sample() *engine.Stats {
	port := func(id int, name string, n uint64) engine.Port {
		return engine.Port{
			PortStats: dataplane.PortStats{
				ID: dataplane.PortID(id), Name: name, Driver: "afxdp", Mode: "copy", Up: id == 0, MAC: "02:00:00:00:00:01", MTU: 1500,
				RxPackets: n, RxBytes: 60 * n, TxPackets: n - 7, TxBytes: 60 * (n - 7), InHand: 3,
				Drops: map[string]uint64{"tx_full": 4}, Missed: map[string]uint64{"rx_ring_full": 42},
				UnpolledQueues: []int{2, 3}, Generated: 2 * n, Counters: map[string]uint64{"rx_bad_udp_csum": 6},
			},
			Queues: []engine.Queue{{QueueStats: dataplane.QueueStats{
				CPU: id, Worker: id, RxPackets: n, RxBytes: 60 * n, TxPackets: n - 7, TxBytes: 60 * (n - 7), InFlight: 3, Wakeups: n / 64,
				TxStamps: &dataplane.TxStamps{Asked: n / 32, Stamped: n/32 - 1, LastNs: 1, MinNs: 2, MeanNs: 3, MaxNs: 4},
			}}},
		}
	}
	return &engine.Stats{
		Time: time.Unix(1_700_000_100, 0), Uptime: 100, Forward: "io", AccountAge: 0.5,
		Ports: []engine.Port{port(0, "eth1", 1_000_000), port(1, `odd"na\me`, 1_000)},
		Cores: []engine.Core{{
			CoreStats: dataplane.CoreStats{
				Worker: 0, CPU: 2, State: "running", Turns: 5000, EmptyTurns: 4000, BusyNs: 12_500_000_000, TotalNs: 100_000_000_000,
				MaxTurnNs: 250_000, Moves: 1, Copies: 2, Held: 5, Sleeps: 700, SleepNs: 7_000_000_000,
				Cycles: dataplane.Cycles{Turns: 39, Packets: 7900, Receive: 205_400, Stage: 23_700, Transmit: 252_800, Idle: 118_500, Control: 790},
				Poll: dataplane.PollState{
					Burst: 256, Handlers: 2, PendingPolls: 1, ShortTicks: 30, LostPolls: 20, Stalled: 2, Suspect: 12,
				},
			},
			RxPackets: 1_000_000, TxPackets: 999_993,
		}},
		Pools: []dataplane.PoolStats{{
			Account: mbuf.Account{Pool: "pool0", Frames: 16384, Accounted: 16384}, FrameSize: 2048, Owners: map[string]int{"pool": 16000, "kernel_rx": 384},
		}},
	}
}

func TestGolden(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(NewCollector(fixed{stats: sample()}, build))
	families, err := reg.Gather()
	require.NoError(t, err)
	var b bytes.Buffer
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&b, f)
		require.NoError(t, err)
	}
	golden := filepath.Join("testdata", "metrics.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, b.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err, "run the test with -update to make it")
	assert.Equal(t, string(want), b.String(), "run the test with -update if this is right")
}

// TestPortOpenedAnew: a name is one port to Prometheus, however often it was closed and opened
// again, and its counters never go back.
func TestPortOpenedAnew(t *testing.T) {
	s := sample()
	again, gone, more := s.Ports[0], s.Ports[0], s.Ports[0]
	again.ID, again.RxPackets = 2, 5
	again.Drops = map[string]uint64{"tx_full": 1, "no_port": 2}
	again.Queues = slices.Clone(again.Queues)
	again.Queues[0].RxPackets, again.Queues[0].CPU, again.Queues[0].TxStamps = 5, 7, &dataplane.TxStamps{Asked: 2, Stamped: 1}
	// Renamed to what another port was called before.
	gone.ID, gone.Name, gone.Removed, gone.Up = 3, s.Ports[1].Name, true, true
	more.Queues = append(slices.Clone(more.Queues), engine.Queue{QueueStats: dataplane.QueueStats{Index: 1, CPU: -1, Worker: -1, TxPackets: 11}})
	s.Ports[0] = more
	s.Ports[0].Removed, s.Ports[0].Up = true, false
	s.Ports = append(s.Ports, again, gone)
	text := scrape(t, fixed{stats: s})
	for _, line := range []string{
		`pmd_port_receive_packets_total{port="eth1"} 1.000005e+06`, `pmd_port_up{port="eth1"} 1`,
		`pmd_port_dropped_packets_total{port="eth1",reason="tx_full"} 5`, `pmd_port_dropped_packets_total{port="eth1",reason="no_port"} 2`,
		`pmd_queue_receive_packets_total{port="eth1",queue="0"} 1.000005e+06`, `pmd_queue_info{cpu="7",port="eth1",queue="0"} 1`,
		`pmd_queue_tx_stamps_asked_total{port="eth1",queue="0"} 31252`, `pmd_queue_tx_stamps_total{port="eth1",queue="0"} 31250`,
		`pmd_queue_tx_stamps_total{port="eth1",queue="1"} 0`, `pmd_queue_transmit_packets_total{port="eth1",queue="1"} 11`, `pmd_port_info{driver="afxdp",id="2",`,
		`pmd_port_up{port="odd\"na\\me"} 0`, `pmd_port_receive_packets_total{port="odd\"na\\me"} 1.001e+06`,
	} {
		assert.Contains(t, text, "\n"+line, line)
	}
	assert.Equal(t, map[string]uint64{"tx_full": 4}, s.Ports[0].Drops, "the statistics are left as they are")
}

// TestConventions has client_golang's own lint look at names, units and help.
func TestConventions(t *testing.T) {
	problems, err := testutil.CollectAndLint(NewCollector(fixed{stats: sample()}, build))
	require.NoError(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestEveryNumberHasAMetric: a number that the statistics have and the metrics lack
// was forgotten. Rates and shares are not exported: who reads metrics has counters
// to make them of.
func TestEveryNumberHasAMetric(t *testing.T) {
	elsewhere := []string{
		"engine.Stats.Uptime",                                                                                             // pmd_start_time_seconds
		"engine.Stats.RateSeconds",                                                                                        // of rates
		"dataplane.PortStats.UnpolledQueues",                                                                              // pmd_port_unpolled_queues counts them
		"dataplane.PortStats.ID", "dataplane.QueueStats.Index", "dataplane.QueueStats.CPU", "dataplane.QueueStats.Worker", // labels
		"dataplane.CoreStats.Worker", "dataplane.CoreStats.CPU",
		"dataplane.CoreStats.Busy", "engine.Core.BusyNow", "engine.Core.SleepNow", "engine.Core.CyclesNow", "engine.Core.TurnsPS", "engine.Port.DropPPS", // of counters
		"engine.Rates.RxPPS", "engine.Rates.TxPPS", "engine.Rates.RxBPS", "engine.Rates.TxBPS",
		"mbuf.Account.ByOwner", // pmd_pool_owner_frames
		// Tunables, and moments of one turn: pmd core show.
		"dataplane.PollConfig.Enable", "dataplane.PollConfig.PollHz", "dataplane.PollConfig.EachBurst", "dataplane.PollConfig.BurstMax",
		"dataplane.PollConfig.UserFrac", "dataplane.PollConfig.RegFrac", "dataplane.PollState.Phase", "dataplane.PollState.ResidualBurst",
	}
	s := sample()
	want := map[string][]string{}
	n := 1000
	number := func(name string, set func(n int)) {
		n++
		set(n)
		// Times are told in seconds.
		want[name] = []string{fmt.Sprintf(" %d\n", n), fmt.Sprintf(" %v\n", float64(n)*nano)}
	}
	var visit func(name string, v reflect.Value)
	visit = func(name string, v reflect.Value) {
		if slices.Contains(elsewhere, name) {
			return // with all that is in it
		}
		switch v.Kind() {
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				return
			}
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() {
					visit(v.Type().String()+"."+f.Name, v.Field(i))
				}
			}
		case reflect.Slice:
			for i := range min(v.Len(), 1) {
				visit(name, v.Index(i))
			}
		case reflect.Int, reflect.Int64:
			number(name, func(n int) { v.SetInt(int64(n)) })
		case reflect.Uint16, reflect.Uint64, reflect.Uint32:
			number(name, func(n int) { v.SetUint(uint64(n)) })
		case reflect.Float64:
			number(name, func(n int) { v.SetFloat(float64(n)) })
		case reflect.Array:
			number(name, func(int) { t.Fatalf("%s: teach this test of arrays", name) })
		}
	}
	visit("", reflect.ValueOf(s).Elem())
	require.Greater(t, len(want), 20, "the statistics were not walked")
	text := scrape(t, fixed{stats: s})
	for name, values := range want {
		found := false
		for _, v := range values {
			found = found || strings.Contains(text, v)
		}
		assert.True(t, found, "%s is no metric: add it to the table in table.go, or here to elsewhere", name)
	}
}

// scrape returns the text that Prometheus gets.
func scrape(t testing.TB, s Source) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(s, discard).ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path, nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	return w.Body.String()
}

func TestHandler(t *testing.T) {
	text := scrape(t, fixed{stats: sample()})
	for _, name := range []string{`pmd_port_receive_packets_total{port="eth1"} 1e+06`, "\ngo_goroutines ", "\nprocess_start_time_seconds "} {
		if strings.HasPrefix(name, "\nprocess") {
			if _, err := os.Stat("/proc/self/stat"); err != nil {
				continue
			}
		}
		assert.Contains(t, text, name)
	}
}

func TestScrapeThatFails(t *testing.T) {
	for name, source := range map[string]fixed{
		"error": {err: dataplane.ErrClosed},
		"panic": {panic: true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			w := httptest.NewRecorder()
			h := Handler(source, slog.New(slog.NewTextHandler(&log, nil)))
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path, nil))
			assert.Equal(t, http.StatusInternalServerError, w.Code, "a target that is down, not one without traffic")
			assert.NotEmpty(t, log.String())
		})
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"9464": "127.0.0.1:9464", ":9464": "127.0.0.1:9464", "0": "127.0.0.1:0", "0.0.0.0:9464": "0.0.0.0:9464",
		"[::]:9464": "[::]:9464", "[::1]:09464": "[::1]:9464", "localhost:1": "localhost:1",
	} {
		got, err := Address(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "x", "65536", "-1", "127.0.0.1", "127.0.0.1:", "::1:9464", "a:b:c", "h:http"} {
		_, err := Address(text)
		assert.True(t, usage.Is(err), "%q: %v", text, err)
	}
}

// TestServer: over TCP there is GET /metrics and nothing else, stalled clients keep
// nobody from it, and an address that is taken is an error.
func TestServer(t *testing.T) {
	l, err := Listen("0")
	require.NoError(t, err)
	s := NewServer(Handler(fixed{stats: sample()}, discard), discard)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	addr := l.Addr().String()
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1", host)
	_, err = Listen(port)
	require.ErrorContains(t, err, "--metrics")
	assert.False(t, usage.Is(err))

	for i := range 40 {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, []string{"", "GET /met", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"}[i%3])
		require.NoError(t, err)
	}
	get := func(path string) int {
		resp, err := http.Get("http://" + addr + path)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	// Those of the 40 that asked for everything are being answered; only so many at
	// a time are, and another is told to come again.
	for deadline := time.Now().Add(scrapeTime); ; time.Sleep(time.Millisecond) {
		if status := get(Path); status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			assert.Equal(t, http.StatusOK, status)
			break
		}
	}
	for _, path := range []string{"/v1/stop", "/", "/metrics/x"} {
		assert.Equal(t, http.StatusNotFound, get(path), path)
	}
	resp, err := http.Post("http://"+addr+"/metrics", "text/plain", strings.NewReader("x"))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.NoError(t, s.Close())
	assert.ErrorIs(t, <-done, http.ErrServerClosed)
}

// TestDashboard: the panels for Grafana ask for metrics that exist, by labels that
// they have.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../../../../docs/grafana/pmd.json")
	require.NoError(t, err)
	var board struct {
		Title  string
		UID    string
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Query any } }
	}
	require.NoError(t, json.Unmarshal(b, &board))
	assert.NotEmpty(t, board.Title)
	assert.NotEmpty(t, board.UID)
	text := scrape(t, fixed{stats: sample()})
	names := regexp.MustCompile(`\b(?:pmd|go|process)_[a-z0-9_]+`)
	used := map[string]bool{}
	check := func(where, expr string) {
		found := names.FindAllString(expr, -1)
		assert.NotEmpty(t, found, "%s: %s", where, expr)
		for _, name := range found {
			used[name] = true
			assert.Contains(t, text, "# TYPE "+name+" ", where)
			if strings.HasSuffix(name, "_total") {
				assert.Regexp(t, `(rate|increase)\(`+name, expr, "%s: a counter is shown by its rate", where)
			}
		}
		for _, m := range regexp.MustCompile(`by ?\(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
			for _, label := range strings.Split(m[1], ",") {
				if label = strings.TrimSpace(label); label != "instance" && label != "job" {
					assert.Contains(t, text, label+`="`, "%s: label %s", where, label)
				}
			}
		}
	}
	for _, p := range board.Panels {
		if p.Type == "row" {
			continue
		}
		assert.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
	}
	for _, name := range []string{"pmd_port_receive_packets_total", "pmd_port_dropped_packets_total", "pmd_core_busy_seconds_total", "pmd_port_up"} {
		assert.True(t, used[name], "the dashboard does not show %s", name)
	}
}

func ExampleCollector() {
	n, err := testutil.GatherAndCount(func() *prometheus.Registry {
		reg := prometheus.NewRegistry()
		reg.MustRegister(NewCollector(fixed{stats: sample()}, build))
		return reg
	}(), "pmd_port_up")
	fmt.Println(n, err)
	// Output:
	// 2 <nil>
}
