package report

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/bench"
	"example.org/pmd/bench/gate"
)

// sample are results as a machine could have them, with everything that a page can show.
func sample() (out []*bench.Result) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	result := func(s bench.Scenario, pps float64, revision string) *bench.Result {
		r := &bench.Result{
			Version: bench.ResultVersion, Time: at, Name: s.Name(), Scenario: s, Ports: []string{s.Driver, s.Driver}, Polled: []int{1}, PPS: pps, NsPerPacket: 1e9 / pps,
			Environment: bench.Environment{Kernel: "6.18.4", OS: "linux", Arch: "amd64", Go: "go1.26.8", Revision: revision, CPU: "AMD EPYC 9554", CPUs: 8, Virtual: true, SMT: "off"},
		}
		for i := range 5 {
			f := 1 + 0.02*float64(i-2)
			r.Rounds = append(r.Rounds, bench.Round{Packets: uint64(pps * f), Seconds: 1, PPS: pps * f})
		}
		at = at.Add(time.Minute)
		out = append(out, r)
		return r
	}
	scenario := func(name string) bench.Scenario {
		s, err := bench.ParseScenario(name)
		if err != nil {
			panic(err)
		}
		return s
	}
	for i, rev := range []string{"1f0c2a9d7e5b", "58bb21c90d1e", "9e04d7712ab3", "c3a51be98f20"} {
		for _, size := range bench.Sizes() {
			s := bench.Scenario{Driver: "pcap", Mode: "csum", Size: size, Flows: "1", Cores: 1, Idle: "adaptive"}
			result(s, (60e6+4e6*float64(i))/(1+float64(size)/900), rev)
			if size != bench.IMIX {
				s.Driver, s.Mode = "afxdp", "io"
				result(s, 1.7e6/(1+float64(size)/5000), rev)
			}
		}
		for n, mode := range []string{"io", "macswap", "5tswap", "txonly"} {
			result(scenario("driver=null/mode="+mode), 600e6/float64(n+1)*(1+0.03*float64(i)), rev)
		}
		result(scenario("driver=pcap/mode=5tswap/flows=zipf"), 90e6, rev)
		result(scenario("driver=ring/mode=io/cores=2"), 120e6, rev)
	}
	r := result(scenario("driver=afxdp/mode=io"), 1.71e6, "c3a51be98f20+")
	for i, load := range []float64{0.1, 0.5, 0.9} {
		l := bench.Latency{Load: load, PPS: load * 1.7e6, Frames: 1_000_000}
		for n, p := range []float64{50, 90, 99, 99.9, 99.99, 100} {
			l.Percentiles = append(l.Percentiles, bench.Percentile{Percent: p, Ns: 9000 * float64(int(1)<<n) * float64(i+1)})
		}
		r.Latency = append(r.Latency, l)
	}
	r.Disturbed = "4 % of the CPU time was stolen by the hypervisor"
	n := result(scenario("driver=null/mode=io"), 650e6, "c3a51be98f20+")
	n.Partial = true
	return out
}

// samplePeers are comparisons.
func samplePeers() (out []*bench.PeerResult) {
	for i, peer := range []string{"testpmd", "l2fwd", "xdp-redirect"} {
		r := &bench.PeerResult{Version: bench.PeerVersion, Valid: 5, Comparison: bench.Comparison{Peer: bench.Peer{Name: peer}, Driver: "afxdp", Mode: "io", Size: 64, Cores: 1}}
		r.Name = r.Comparison.Name()
		r.Ours, r.Theirs = bench.Sample{PPS: 1.7e6, CPU: 1}, bench.Sample{PPS: 1.5e6 * float64(i*i+1), CPU: 1}
		r.Ratio = bench.Interval{Median: 1.13 / float64(i*i+1), Low: 1.07 / float64(i*i+1), High: 1.2 / float64(i*i+1), Confidence: 0.9375}
		out = append(out, r)
	}
	r := &bench.PeerResult{Version: bench.PeerVersion, Valid: 5, Comparison: bench.Comparison{Peer: bench.Peer{Name: "testpmd"}, Driver: "afxdp", Mode: "io", Size: 64, Cores: 1, Loads: []int{10, 90}}}
	r.Name, r.Ratio.Median = r.Comparison.Name(), 1
	for i, load := range []float64{0.1, 0.9} {
		for n, p := range []float64{50, 99} {
			ratio := 0.8 + 0.1*float64(2*i+n)
			r.Latency = append(r.Latency, bench.LatencyRatio{Load: load, PPS: load * 1.5e6, Percent: p, Ours: 9e3 * ratio, Theirs: 9e3, OursSent: 1000, TheirsSent: 1000,
				Ratio: bench.Interval{Median: ratio, Low: 0.9 * ratio, High: 1.1 * ratio, Confidence: 0.9375}})
		}
	}
	return append(out, r)
}

// sampleGate is what the gate says of a change: one outcome of each verdict, and one without
// a figure.
func sampleGate() (out []*gate.Outcome) {
	for i, o := range []gate.Outcome{
		{Scenario: "driver=null/mode=io/size=64", Verdict: gate.Slower, BaseNs: 2, HeadNs: 2.2, Pairs: 24, Ratio: gate.Interval{Median: 1.101, Lo: 1.08, Hi: 1.12, Confidence: 0.999}},
		{Scenario: "driver=pcap/mode=csum/size=imix", Verdict: gate.NotSlower, BaseNs: 9, HeadNs: 8.1, Pairs: 12, Ratio: gate.Interval{Median: 0.9, Lo: 0.88, Hi: 0.93, Confidence: 0.999}},
		{Scenario: "driver=afxdp/mode=io/size=64", Verdict: gate.Inconclusive, BaseNs: 590, HeadNs: 600, Pairs: 12, Void: 3, Ratio: gate.Interval{Median: 1.02, Lo: 0.93, Hi: 1.12, Confidence: 0.999}},
		{Scenario: "driver=afxdp/mode=txonly/size=64", Verdict: gate.Inconclusive, Void: 9, Why: "9 of 9 pairs were disturbed"},
	} {
		o.Version, o.Time, o.Tolerance = gate.OutcomeVersion, time.Date(2026, 3, 2, 12, i, 0, 0, time.UTC), 0.05
		o.Base, o.Head = gate.Revision{Name: "origin/main", Commit: "9e04d77"}, gate.Revision{Name: gate.WorkingTree, Commit: "c3a51be+"}
		out = append(out, &o)
	}
	return out
}

func written(t testing.TB, results []*bench.Result) string { return writtenAll(t, results, nil) }

func writtenAll(t testing.TB, results []*bench.Result, peers []*bench.PeerResult, outcomes ...*gate.Outcome) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Write(&b, Records{bench.Records{Results: results, Peers: peers}, outcomes}))
	return b.String()
}

// The rates that everybody knows: 14.88 Mpps of 64 bytes on 10 Gbit/s (RFC 2544 has the
// same arithmetic in its appendix), where the 64 bytes contain the check sequence.
func TestLineRate(t *testing.T) {
	afxdp := func(size int) bench.Scenario { return bench.Scenario{Driver: "afxdp", Size: size} }
	assert.InDelta(t, 14_880_952.4, LineRate(afxdp(64), 10e9), 0.1)
	assert.InDelta(t, 148_809_523.8, LineRate(afxdp(64), 100e9), 0.1)
	assert.InDelta(t, 812_743.8, LineRate(afxdp(1518), 10e9), 0.1)
	// Ports in memory have frames without it.
	assert.InDelta(t, LineRate(afxdp(68), 25e9), LineRate(bench.Scenario{Driver: "null", Size: 64}, 25e9), 1e-6)
	assert.InDelta(t, 10e9/8/(361.8333+24), LineRate(bench.Scenario{Driver: "pcap", Size: bench.IMIX}, 10e9), 1)
}

var (
	svgs    = regexp.MustCompile(`(?s)<svg .*?</svg>`)
	groups  = regexp.MustCompile(`(?s)<g class="series [^"]*" data-name="([^"]*)">(.*?)</g>`)
	dots    = regexp.MustCompile(`class="dot" d="M([0-9.-]+) ([0-9.-]+)`)
	curves  = regexp.MustCompile(`class="curve" d="([^"]*)"`)
	corners = regexp.MustCompile(`[ML]([0-9.-]+) ([0-9.-]+)`)
	plots   = regexp.MustCompile(`class="frame plot" x="([0-9.]+)" y="([0-9.]+)" width="([0-9.]+)" height="([0-9.]+)"`)
	boxes   = regexp.MustCompile(`viewBox="0 0 ([0-9.]+) ([0-9.]+)"`)
	texts   = regexp.MustCompile(`<text class="([^"]*)" x="([0-9.-]+)" y="([0-9.-]+)" text-anchor="[a-z]+">([^<]*)</text>`)
)

func number(t testing.TB, s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return v
}

// checkCharts checks that every chart has axes with labels, and data that lie in its plot.
func checkCharts(t testing.TB, page string) (charts int) {
	t.Helper()
	for _, text := range svgs.FindAllString(page, -1) {
		charts++
		name := text[:min(120, len(text))]
		p := plots.FindStringSubmatch(text)
		require.NotNil(t, p, name)
		x, y := number(t, p[1]), number(t, p[2])
		right, bottom := x+number(t, p[3]), y+number(t, p[4])
		box := boxes.FindStringSubmatch(text)
		require.LessOrEqual(t, right, number(t, box[1]), name)
		require.LessOrEqual(t, bottom, number(t, box[2]), name)
		kinds := map[string]int{}
		for _, l := range texts.FindAllStringSubmatch(text, -1) {
			kinds[l[1]]++
			assert.NotEmpty(t, l[4], name)
			assert.True(t, number(t, l[2]) >= 0 && number(t, l[2]) <= number(t, box[1]) && number(t, l[3]) >= 0 && number(t, l[3]) <= number(t, box[2]), "%s: %v", name, l)
		}
		assert.GreaterOrEqual(t, kinds["axis"], 1, name)
		assert.GreaterOrEqual(t, kinds["tick x"], 2, name)
		assert.GreaterOrEqual(t, kinds["tick y"], 1, name)
		all := groups.FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, all, name)
		named := 0
		for _, g := range all {
			points := dots.FindAllStringSubmatch(g[2], -1)
			curve := curves.FindStringSubmatch(g[2])
			require.True(t, len(points) > 0 || curve != nil, "%s: series %s is empty", name, g[1])
			if len(points) > 0 {
				named++
			}
			if curve != nil {
				points = append(points, corners.FindAllStringSubmatch(curve[1], -1)...)
			}
			for _, d := range points {
				px, py := number(t, d[1]), number(t, d[2])
				// A marker begins at its edge, not its middle.
				assert.True(t, px >= x-6 && px <= right+6 && py >= y-6 && py <= bottom+6, "%s: series %s has a point outside of the plot: %v", name, g[1], d)
			}
		}
		if strings.Contains(text, `class="legend"`) {
			assert.Equal(t, named, strings.Count(text[strings.Index(text, `class="legend"`):], `class="dot"`), "%s: legend", name)
		}
	}
	return charts
}

func TestPage(t *testing.T) {
	page := writtenAll(t, sample(), samplePeers(), sampleGate()...)
	assert.GreaterOrEqual(t, checkCharts(t, page), 2*(1+2+1+2+1+1))
	for _, s := range []string{"throughput", "sizes", "latency", "peers", "gate", "history"} {
		assert.Contains(t, page, `<section id="`+s+`">`)
	}
	for _, s := range []string{"AMD EPYC 9554", "c3a51be98&#43;", "interrupted after 5 rounds", "stolen by the hypervisor", ">100G<", ">p99.99<", "l2fwd afxdp io 64 B", ">IMIX<", ">testpmd afxdp io 64 B 90 % p99<",
		"c3a51be&#43; against 9e04d77", ">inconclusive<"} {
		assert.True(t, strings.Contains(page, s), s) // without the page in the message
	}
	// Nothing is loaded from elsewhere, and nothing runs.
	for _, s := range []string{"<script", "http://", "https://", "url(", "<link", "<img", "@import"} {
		assert.False(t, strings.Contains(page, s), s)
	}
	assert.Equal(t, strings.Count(page, "<figure>"), strings.Count(page, "<table>"), "a table beside each chart")
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		assert.False(t, ids[m[1]], "id %s is there twice", m[1])
		ids[m[1]] = true
	}
	// One result is a page, too; none is not.
	page = written(t, sample()[:1])
	assert.Equal(t, 2, checkCharts(t, page))
	assert.NotContains(t, page, `id="history"`)
	assert.Equal(t, 4, checkCharts(t, writtenAll(t, nil, samplePeers())))
	// Of what the gate could not tell there is a table, and no chart.
	assert.Equal(t, 2, checkCharts(t, writtenAll(t, nil, nil, sampleGate()...)))
	page = writtenAll(t, nil, nil, sampleGate()[3])
	assert.Zero(t, checkCharts(t, page))
	assert.Contains(t, page, ">inconclusive<")
	require.Error(t, Write(io.Discard, Records{}))
	require.Error(t, Write(io.Discard, Records{Records: bench.Records{Results: []*bench.Result{{}}, Peers: []*bench.PeerResult{{}}}}))
}

// Lines of all three commands are read in any mixture, and one that is nothing of that is
// refused by its number.
func TestRead(t *testing.T) {
	var lines bytes.Buffer
	encode := json.NewEncoder(&lines)
	require.NoError(t, sample()[0].WriteJSON(&lines))
	require.NoError(t, encode.Encode(sampleGate()[0]))
	require.NoError(t, samplePeers()[0].WriteJSON(&lines))
	require.NoError(t, encode.Encode(sampleGate()[3]))
	whole := lines.String()
	records, err := Read(strings.NewReader(whole))
	require.NoError(t, err)
	assert.Len(t, records.Results, 1)
	assert.Len(t, records.Peers, 1)
	require.Len(t, records.Gate, 2)
	assert.Equal(t, sampleGate()[0].Ratio, records.Gate[0].Ratio)
	for text, say := range map[string]string{
		whole + whole[:50]:                                                "line 5: not a whole result",
		whole + `{"version":9,"verdict":"slower"}`:                        "line 5: an outcome of the gate of version 9, this program reads version 1",
		`{"version":1,"verdict":"slower"}`:                                "line 1: not an outcome of the gate",
		`{"version":1,"scenario":"driver=null/mode=io","verdict":"fine"}`: `no verdict "fine"`,
		`{"version":1,"scenario":7,"verdict":"slower"}`:                   "line 1: not an outcome of the gate",
	} {
		_, err := Read(strings.NewReader(text))
		require.ErrorContains(t, err, say)
	}
}

// Whatever a file holds, it is read or refused with the line, and what was read makes a page
// or none.
func FuzzRead(f *testing.F) {
	var lines bytes.Buffer
	_ = sample()[0].WriteJSON(&lines)
	_ = samplePeers()[0].WriteJSON(&lines)
	_ = json.NewEncoder(&lines).Encode(sampleGate()[0])
	f.Add(lines.String())
	f.Add(`{"version":1,"scenario":"driver=null/mode=io","verdict":"slower","ratio":{"median":1e-300,"lo":-1,"hi":1e300,"confidence":1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		records, err := Read(strings.NewReader(text))
		if err != nil && !strings.Contains(err.Error(), "line ") {
			t.Fatal(err)
		}
		_ = Write(io.Discard, records)
	})
}

// What stands in a result is text on the page.
func TestEscapes(t *testing.T) {
	rs := sample()[:1]
	rs[0].Environment.CPU = `<script>alert(1)</script>`
	rs[0].Disturbed = `"><b>`
	page := written(t, rs)
	assert.NotContains(t, page, "<script")
	assert.NotContains(t, page, "<b>x")
	assert.Contains(t, page, "&lt;script&gt;")
}

// Whatever was measured, the data are in the plot.
func TestAnyFigures(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rs := sample()
		from := rapid.IntRange(0, len(rs)-1).Draw(rt, "from")
		rs = rs[from:min(len(rs), from+rapid.IntRange(1, 10).Draw(rt, "results"))]
		for _, r := range rs {
			f := math.Pow(10, rapid.Float64Range(-9, 4).Draw(rt, "factor"))
			r.PPS *= f
			for i := range r.Rounds {
				r.Rounds[i].PPS *= f * rapid.Float64Range(0.5, 2).Draw(rt, "round")
			}
		}
		peers := samplePeers()
		for _, p := range peers {
			p.Ratio.Median = math.Pow(10, rapid.Float64Range(-3, 3).Draw(rt, "ratio"))
			p.Ratio.Low, p.Ratio.High = p.Ratio.Median*0.9, p.Ratio.Median*1.1
		}
		checkCharts(t, writtenAll(t, rs, peers))
	})
}
