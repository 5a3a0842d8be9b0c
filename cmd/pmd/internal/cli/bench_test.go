package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/bench"
	"example.org/pmd/bench/gate"
	"example.org/pmd/cmd/pmd/internal/app"
)

func TestBench(t *testing.T) {
	status, stdout, stderr := call("bench", "list")
	require.Zero(t, status, stderr)
	assert.Regexp(t, `(?m)^driver=null/mode=io/size=64 +yes$`, stdout)
	status, stdout, _ = call("bench", "list", "--json")
	require.Zero(t, status)
	assert.Equal(t, len(bench.Scenarios()), strings.Count(stdout, "\n"))
	assert.Contains(t, stdout, `{"name":"driver=null/mode=io/size=64","scenario":{"driver":"null"`)

	const name = "driver=null/mode=io"
	status, stdout, stderr = call("bench", "run", name, "--length", "50ms")
	require.Zero(t, status, stderr)
	assert.Regexp(t, `^driver=null/mode=io/size=64: [0-9.]+ Mpps, [0-9.]+ ns/pkt of a core, median of 5 rounds`, stdout)
	status, stdout, stderr = call("bench", "run", name, "--length", "50ms", "--json")
	require.Zero(t, status, stderr)
	results, err := bench.ReadResults(strings.NewReader(stdout))
	require.NoError(t, err)
	require.Len(t, results, 1)
	assert.Len(t, results[0].Rounds, 5)
	status, stdout, stderr = call("bench", "run", name, "--length", "50ms", "--bench")
	require.Zero(t, status, stderr)
	assert.Regexp(t, `(?m)^BenchmarkForward/driver=null/mode=io/size=64 [0-9]+ [0-9.e-]+ ns/pkt [0-9.e+]+ pkts/s$`, stdout)

	for _, line := range []string{
		"bench run null", "bench run --rounds 4", "bench run --rounds 0", "bench run --length 1ms", "bench run --json --bench", "bench nothing",
		"bench gate", "bench gate --base HEAD --tolerance x", "bench gate --base HEAD --tolerance 0%", "bench gate --base HEAD --tolerance 0.1%",
		"bench gate --base HEAD --limit 1s", "bench gate --base HEAD --limit 0", "bench gate --base HEAD --layouts 0", "bench gate --base HEAD --layouts 99",
		"bench gate --base HEAD --scenario null", "bench gate --base no-such-revision --scenario driver=null/mode=io",
	} {
		status, stdout, stderr := call(strings.Fields(line)...)
		assert.Equal(t, ExitUsage, status, line)
		assert.Empty(t, stdout, line)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), "%s: %s", line, stderr)
	}
}

// What the gate writes, and how it exits.
func TestBenchGateReport(t *testing.T) {
	rep := &gate.Report{
		Base: gate.Revision{Name: "origin/main", Commit: "1111111", Subject: "before"},
		Head: gate.Revision{Name: gate.WorkingTree, Commit: "2222222+", Subject: "after"},
		Outcomes: []*gate.Outcome{
			{Scenario: "driver=null/mode=io/size=64", Verdict: gate.Slower, Tolerance: 0.05, BaseNs: 2, HeadNs: 2.2, Pairs: 24, Void: 1,
				Ratio: gate.Interval{Median: 1.101, Lo: 1.08, Hi: 1.12, Confidence: 0.999}},
			{Scenario: "driver=null/mode=macswap/size=64", Verdict: gate.Inconclusive, Tolerance: 0.05, Void: 9, Why: "9 of 9 pairs were disturbed"},
			{Scenario: "driver=pcap/mode=csum/size=imix", Verdict: gate.NotSlower, Tolerance: 0.05, BaseNs: 9, HeadNs: 8.1, Pairs: 12,
				Ratio: gate.Interval{Median: 0.9, Lo: 0.88, Hi: 0.93, Confidence: 0.999}},
		},
		LeftOut: map[string]string{"driver=afxdp/mode=io/size=64": "not root"},
	}
	var out strings.Builder
	require.NoError(t, writeGate(&out, rep))
	assert.Equal(t, `base  1111111   origin/main   before
head  2222222+  working tree  after

SCENARIO                          BASE ns/pkt  HEAD ns/pkt   CHANGE  99.9 % INTERVAL  PAIRS  VOID  VERDICT
driver=null/mode=io/size=64              2.00         2.20  +10.1 %  +8.0 to +12.0 %     24     1  slower
driver=null/mode=macswap/size=64            -            -        -                -      -     9  inconclusive
driver=pcap/mode=csum/size=imix          9.00         8.10  -10.0 %  -12.0 to -7.0 %     12     0  not slower

driver=null/mode=macswap/size=64: 9 of 9 pairs were disturbed
driver=afxdp/mode=io/size=64: left out: not root
Tolerance 5 %: slower.
`, out.String())
	for v, want := range map[gate.Verdict]int{gate.Slower: ExitFailure, gate.Inconclusive: ExitInconclusive, gate.NotSlower: ExitOK} {
		var stderr bytes.Buffer
		rep.Outcomes[0].Verdict = v
		if v != gate.Slower {
			rep.Outcomes[1].Verdict = v
		}
		assert.Equal(t, want, tell(&app.App{Stderr: &stderr}, verdictError(rep)))
		if v == gate.Slower {
			assert.Equal(t, "pmd: bench gate: slower: driver=null/mode=io/size=64 by +10.1 % (+8.0 to +12.0 %)\n", stderr.String())
		}
	}
}

func TestBenchPeers(t *testing.T) {
	status, stdout, stderr := call("bench", "peers", "--list")
	require.Zero(t, status, stderr)
	assert.Regexp(t, `(?m)^peer=testpmd/driver=null/mode=io/size=64 +net_null io +(yes|no: .+)$`, stdout)
	status, stdout, _ = call("bench", "peers", "--list", "--only", "testpmd/driver=pcap", "--json")
	require.Zero(t, status)
	assert.Equal(t, 2, strings.Count(stdout, "\n"), stdout)

	// Nothing that is not there is run, and what would add it is told.
	t.Setenv("PATH", t.TempDir())
	status, stdout, stderr = call("bench", "peers", "--only", "testpmd")
	require.Zero(t, status, stderr)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "left out: no dpdk-testpmd on PATH: apt-get install dpdk-dev")

	for _, line := range []string{
		"bench peers --rounds 4", "bench peers --rounds 0", "bench peers --length 1ms", "bench peers --only nobody", "bench peers --json --bench", "bench peers x",
	} {
		status, stdout, stderr := call(strings.Fields(line)...)
		assert.Equal(t, ExitUsage, status, line)
		assert.Empty(t, stdout, line)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), "%s: %s", line, stderr)
	}
}

func TestBenchReport(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	const line = `{"version":1,"name":"driver=null/mode=io/size=64","scenario":{"driver":"null","mode":"io","size":64},"rounds":[{"pps":6e8}],"pps":6e8}` + "\n"
	good := write("good", line+line)
	status, stdout, stderr := call("bench", "report", good)
	require.Zero(t, status, stderr)
	assert.True(t, strings.HasPrefix(stdout, "<!DOCTYPE html>"))
	out := filepath.Join(dir, "out.html")
	status, _, stderr = call("bench", "report", good, good, "-o", out)
	require.Zero(t, status, stderr)
	page, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Contains(t, string(page), `id="history"`)

	for _, d := range []struct {
		status    int
		text, say string
	}{
		{1, line + line[:40], "line 2: not a whole result"},
		{1, line + "\n" + `{"version":9}` + "\n", "line 3: a result of version 9, this program reads version 1"},
		{1, `{"version":1}`, "line 1: not a result"},
		{1, line + `{"version":1,"name":"driver=null/mode=io","rounds":7}`, "line 2: not a result"},
		{2, "", "no results"},
	} {
		status, stdout, stderr := call("bench", "report", write("bad", d.text))
		assert.Equal(t, d.status, status, stderr)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, d.say)
	}
	status, _, _ = call("bench", "report")
	assert.Equal(t, ExitUsage, status)
	status, _, stderr = call("bench", "report", filepath.Join(dir, "none"))
	assert.Equal(t, ExitFailure, status)
	assert.Contains(t, stderr, "no such file")
}
