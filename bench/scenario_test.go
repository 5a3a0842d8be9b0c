package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd/mbuf"
)

// A name says all of a scenario, and no two have the same.
func TestNames(t *testing.T) {
	names := map[string]bool{}
	for _, s := range Scenarios() {
		back, err := ParseScenario(s.Name())
		require.NoError(t, err)
		assert.Equal(t, s, back)
		assert.False(t, names[s.Name()], s.Name())
		names[s.Name()] = true
	}
	for _, name := range []string{"driver=null/mode=io/size=64", "driver=afxdp/mode=io/size=64", "driver=pcap/mode=macswap/size=64", "driver=ring/mode=io/size=64/cores=2", "driver=afxdp/mode=io/size=1518"} {
		assert.True(t, names[name], name)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := Scenario{
			Driver: rapid.SampledFrom(drivers()).Draw(t, "driver"), Mode: rapid.SampledFrom(forward.Modes()).Draw(t, "mode"),
			Size: rapid.SampledFrom(append(Sizes(), 63, 1519, 65)).Draw(t, "size"), Flows: rapid.SampledFrom([]string{"1", "10k", "zipf", "2"}).Draw(t, "flows"),
			Cores: rapid.IntRange(-1, 3).Draw(t, "cores"), Idle: dataplane.Idle(rapid.SampledFrom(append(dataplane.IdlePolicies(), "nap")).Draw(t, "idle")),
		}
		if s.Validate() != nil {
			return
		}
		back, err := ParseScenario(s.Name())
		require.NoError(t, err)
		require.Equal(t, s.withDefaults(), back)
	})
}

func TestBadNames(t *testing.T) {
	for name, want := range map[string]string{
		"":                                 "write KEY=VALUE/…",
		"null":                             "write KEY=VALUE/…",
		"driver=null/driver=null/mode=io":  "each key once",
		"driver=nul/mode=io":               "there are null, ring, pcap, afxdp",
		"driver=null/mode=iO":              "there are 5tswap",
		"driver=null/mode=io/size=63":      "use 64 to 1518, or imix",
		"driver=null/mode=io/size=0":       "size=0 is not a number to use here",
		"driver=null/mode=io/size=x":       "size=x is not a number",
		"driver=null/mode=io/size=imix":    "the pcap driver has it",
		"driver=null/mode=io/flows=10k":    "pcap has flows",
		"driver=afxdp/mode=io/flows=zipf":  "pcap has both",
		"driver=afxdp/mode=io/cores=2":     "the other CPU",
		"driver=null/mode=io/cores=3":      "use 1 or 2",
		"driver=ring/mode=rxonly":          "nothing would pass the ring",
		"driver=null/mode=io/idle=nap":     "there are spin",
		"driver=null/mode=io/speed=1":      "no key",
		"driver=afxdp-sim/mode=csum":       "have no headers",
		"driver=afxdp-sim/mode=io/cores=2": "the other CPU",
	} {
		_, err := ParseScenario(name)
		require.ErrorIs(t, err, ErrScenario, name)
		assert.ErrorContains(t, err, want, name)
	}
}

func FuzzParseScenario(f *testing.F) {
	for _, s := range Scenarios() {
		f.Add(s.Name())
	}
	f.Add("driver==/mode=io//")
	f.Fuzz(func(t *testing.T, name string) {
		s, err := ParseScenario(name)
		if err != nil {
			require.ErrorIs(t, err, ErrScenario)
			return
		}
		again, err := ParseScenario(s.Name())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

// Every kind of scenario runs, moves frames, and its result is written and read.
func TestRun(t *testing.T) {
	var all []*Result
	for _, name := range []string{
		"driver=null/mode=txonly", "driver=null/mode=rxonly/size=1518", "driver=null/mode=io/cores=2",
		"driver=ring/mode=macswap", "driver=ring/mode=io/cores=2",
		"driver=pcap/mode=csum/size=imix", "driver=pcap/mode=5tswap/flows=zipf",
		"driver=afxdp/mode=io/size=1518/flows=10k", "driver=afxdp/mode=rxonly", "driver=afxdp/mode=txonly",
		"driver=afxdp-sim/mode=io", "driver=afxdp-sim/mode=rxonly/size=1024",
	} {
		s, err := ParseScenario(name)
		require.NoError(t, err)
		if err := s.Lacking(); err != nil {
			t.Logf("%s: not here: %v", name, err)
			continue
		}
		length := MinRoundLength
		if s.feeds() {
			length *= 4 // a busy machine may keep the generator waiting
		}
		r, err := s.Run(t.Context(), RunConfig{Length: length})
		require.NoError(t, err, name)
		require.Len(t, r.Rounds, MinRounds)
		assert.Positive(t, r.PPS, name)
		assert.InEpsilon(t, float64(s.Cores)*1e9/r.PPS, r.NsPerPacket, 1e-9)
		assert.Len(t, r.Polled, s.Cores)
		if s.Driver == DriverAFXDP {
			assert.Equal(t, []string{"afxdp copy", "afxdp copy"}, r.Ports)
		}
		all = append(all, r)
	}
	var lines, text bytes.Buffer
	for _, r := range all {
		require.NoError(t, r.WriteJSON(&lines))
	}
	cut := lines.String()[:lines.Len()-10]
	back, err := ReadResults(&lines)
	require.NoError(t, err)
	assert.Equal(t, all, back)
	_, err = ReadResults(strings.NewReader(cut))
	assert.ErrorContains(t, err, "not a whole result")
	_, err = ReadResults(strings.NewReader(`{"version":2}`))
	assert.ErrorContains(t, err, "line 1: a result of version 2")

	require.NoError(t, WriteBench(&text, all...))
	n := 0
	for r := benchfmt.NewReader(&text, "text"); r.Scan(); {
		res, ok := r.Result().(*benchfmt.Result)
		require.True(t, ok, "%v", r.Result())
		want := all[n/MinRounds]
		assert.Equal(t, "Forward/"+want.Name, string(res.Name))
		assert.Equal(t, want.Environment.Kernel, res.GetConfig("kernel"))
		v, ok := res.Value("pkts/s")
		assert.True(t, ok)
		assert.InEpsilon(t, want.Rounds[n%MinRounds].PPS, v, 1e-6)
		n++
	}
	assert.Equal(t, MinRounds*len(all), n)
}

// An interrupted run keeps its rounds, and removes what it made.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var r *Result
	for limit := warmUp + 300*time.Millisecond; r == nil; limit *= 2 {
		require.Less(t, limit, time.Minute, "it is never ready for a round")
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		var err error
		r, err = Scenario{Driver: DriverPcap, Mode: "io", Size: 64}.Run(ctx, RunConfig{Rounds: 100, Length: MinRoundLength})
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	assert.True(t, r.Partial)
	assert.Less(t, len(r.Rounds), 100)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// A round of which frames are missing is no result.
func TestVoidRound(t *testing.T) {
	b, err := openBed(t.Context(), Scenario{Driver: DriverNull, Mode: "io", Size: 64})
	require.NoError(t, err)
	_, err = b.round(t.Context(), MinRoundLength)
	require.NoError(t, err)
	// A stage that forgets its frames.
	require.NoError(t, b.rig.d.SetStage(t.Context(), dataplane.StageFunc(forget)))
	_, err = b.round(t.Context(), MinRoundLength)
	require.Error(t, err)
	_ = b.close()
}

// forget is a stage that loses the frames it is given.
func forget(*dataplane.Worker, dataplane.PortID, []mbuf.Frame) {}

func TestRunConfig(t *testing.T) {
	assert.NoError(t, RunConfig{}.Validate())
	assert.ErrorContains(t, RunConfig{Rounds: 4}.Validate(), "no results of fewer")
	assert.ErrorContains(t, RunConfig{Rounds: -1}.Validate(), "rounds")
	assert.ErrorContains(t, RunConfig{Length: time.Millisecond}.Validate(), "50ms")
	_, err := Scenario{Driver: DriverNull, Mode: "io", Size: 64}.Run(t.Context(), RunConfig{Rounds: 4})
	assert.Error(t, err)
	_, err = Scenario{Driver: "x"}.Run(t.Context(), RunConfig{})
	assert.True(t, errors.Is(err, ErrScenario))
}

// Captures have the sizes and flows that they say.
func TestTraffic(t *testing.T) {
	for _, s := range []Scenario{{Size: IMIX}, {Size: 64, Flows: FlowsMany}, {Size: 128, Flows: FlowsZipf}, {Size: 1518}} {
		s = s.withDefaults()
		path, err := writeTraffic(t.TempDir(), s, s.captureFrames())
		require.NoError(t, err)
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		r, err := pcapgo.NewReader(f)
		require.NoError(t, err)
		sizes, flows, n := map[int]int{}, map[string]int{}, 0
		for {
			p, info, err := r.ReadPacketData()
			if err != nil {
				break
			}
			sizes[info.CaptureLength]++
			flows[string(p[26:30])]++
			n++
		}
		switch s.Size {
		case IMIX:
			assert.InDelta(t, 7.0/12, float64(sizes[64])/float64(n), 0.01)
			assert.InDelta(t, 1.0/12, float64(sizes[1518])/float64(n), 0.01)
		default:
			assert.Equal(t, n, sizes[s.Size])
		}
		top := 0
		for _, k := range flows {
			top = max(top, k)
		}
		switch s.Flows {
		case FlowsOne:
			assert.Len(t, flows, 1)
		case FlowsMany:
			assert.Greater(t, len(flows), 9000)
			assert.Less(t, top, 30)
		case FlowsZipf:
			assert.Greater(t, len(flows), 1000)
			assert.Greater(t, top, n/20)
		}
	}
}

func TestDisturbance(t *testing.T) {
	a := parseStat("cpu  100 0 100 1000 0 0 0 50 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nctxt 1000\n")
	b := parseStat("cpu  200 0 150 1800 0 0 0 100 0 0\nctxt 3000\n")
	require.True(t, a.known)
	b.own, b.at = 1, a.at.Add(2*time.Second)
	d := between(a, b, "1.5 2 3")
	assert.Equal(t, Disturbance{Known: true, Steal: 0.05, Others: 0.05, Switches: 1000, Load: 1.5}, d)
	assert.Contains(t, d.Disturbed(), "5 % of the CPU time was stolen")
	assert.Empty(t, Disturbance{}.Disturbed())
	assert.Contains(t, Disturbance{Others: 0.2}.Disturbed(), "20 % of it went to other processes")
	assert.False(t, parseStat("").known)
	assert.False(t, parseStat("cpu a b c d e f g h\n").known)
	assert.Equal(t, Disturbance{}, between(machineTimes{}, a, ""))
}

func FuzzParseStat(f *testing.F) {
	f.Add("cpu  100 0 100 1000 0 0 0 50 0 0\nctxt 1000\n")
	f.Fuzz(func(_ *testing.T, text string) { parseStat(text) })
}

// Whatever a file holds, it is read or refused with a line, and what is read can be written.
func FuzzReadResults(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"driver=null/mode=io/size=64","rounds":[{"pps":6e8}],"pps":6e8}` + "\n\n" + `{"version":2}`))
	f.Add([]byte(`{"version":1,"name":"driver=null/mode=io","latency":[{"percentiles":[{"percent":50,"ns":1}]}]}` + "\n" + `{"version":1,"name":"peer=x","ratio":{"median":2}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		records, err := ReadRecords(bytes.NewReader(text))
		if err != nil {
			require.ErrorContains(t, err, "bench: line ")
			require.LessOrEqual(t, len(records.Results)+len(records.Peers), bytes.Count(text, []byte("\n")))
		}
		var again bytes.Buffer
		for _, r := range records.Results {
			require.NoError(t, r.WriteJSON(&again))
		}
		for _, r := range records.Peers {
			require.NoError(t, r.WriteJSON(&again))
		}
		back, err := ReadRecords(&again)
		require.NoError(t, err)
		require.Len(t, back.Results, len(records.Results))
		require.Len(t, back.Peers, len(records.Peers))
	})
}
