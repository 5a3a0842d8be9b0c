package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/bench"
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
	} {
		status, stdout, stderr := call(strings.Fields(line)...)
		assert.Equal(t, ExitUsage, status, line)
		assert.Empty(t, stdout, line)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), "%s: %s", line, stderr)
	}
}
