package bench

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestComparisons(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Comparisons() {
		assert.False(t, seen[c.Name()], c.Name())
		seen[c.Name()] = true
		assert.True(t, c.Matches(c.Name()))
		assert.True(t, c.Matches(c.Peer.Name))
		assert.True(t, c.Matches("peer="+c.Peer.Name+"/mode="+c.Mode))
		assert.False(t, c.Matches("mode="+c.Mode+"/driver=none"))
		if c.Peer.Program != "" {
			assert.NotEmpty(t, c.Peer.Install, "what adds %s", c.Peer.Name)
			t.Run(c.Name(), func(t *testing.T) {
				t.Setenv("PATH", t.TempDir())
				require.ErrorContains(t, c.Lacking(), c.Peer.Install)
			})
		}
	}
	assert.True(t, seen["peer=testpmd/driver=null/mode=io/size=64"])
}

// half is a side whose rounds have these rates; -1 is an unaccounted frame.
func half(log *string, name string, rates ...float64) func(context.Context, time.Duration) (Sample, error) {
	return func(context.Context, time.Duration) (Sample, error) {
		*log += name
		pps := rates[0]
		rates = rates[1:]
		if pps < 0 {
			return Sample{}, voidf("one frame is missing")
		}
		return Sample{PPS: pps, Seconds: 1, Packets: uint64(pps), CPU: 2}, nil
	}
}

func TestPeerRounds(t *testing.T) {
	cfg := RunConfig{Rounds: 7, Length: time.Second}
	log := ""
	a := &arena{ours: half(&log, "o", 200, 220, 240, 999, 260, 280, 300), theirs: half(&log, "t", 100, 100, 100, -1, 100, 100, 0)}
	res, err := a.run(t.Context(), cfg, nil)
	require.NoError(t, err)
	assert.Equal(t, "ottoottoottoot", log, "who is first changes")
	assert.Len(t, res.Rounds, 7)
	assert.Equal(t, 5, res.Valid)
	assert.Equal(t, "the peer: one frame is missing", res.Rounds[3].Void)
	assert.Equal(t, "the peer: no frame moved", res.Rounds[6].Void)
	assert.InDelta(t, 240, res.Ours.PPS, 1e-9)
	assert.InDelta(t, 100, res.Theirs.PPS, 1e-9)
	assert.InDelta(t, 2.4, res.Ratio.Median, 1e-9)
	assert.InDelta(t, 2.0, res.Ratio.Low, 1e-9)
	assert.InDelta(t, 2.8, res.Ratio.High, 1e-9)
	assert.InDelta(t, 1-2/math.Pow(2, 5), res.Ratio.Confidence, 1e-9)

	res.Comparison.Cores, res.Name = 1, "peer=x"
	var text bytes.Buffer
	require.NoError(t, WritePeerBench(&text, res))
	assert.Equal(t, 5, strings.Count(text.String(), "BenchmarkPeers/peer=x/side=pmd "), text.String())
	text.Reset()
	require.NoError(t, res.WriteJSON(&text))
	assert.Equal(t, 1, strings.Count(text.String(), "\n"))
}

// Latency is compared by percentile and load, round by round.
func TestPeerLatency(t *testing.T) {
	side := func(p99 ...float64) func(context.Context, time.Duration) (Sample, error) {
		return func(context.Context, time.Duration) (Sample, error) {
			s := Sample{PPS: 1000, Seconds: 1, Packets: 1000}
			for i, load := range []float64{0.1, 0.9} {
				s.Latency = append(s.Latency, Latency{Load: load, PPS: 1000 * load, Frames: 90, Lost: 10,
					Percentiles: []Percentile{{Percent: 50, Ns: 10}, {Percent: 99, Ns: p99[0] * float64(i+1)}}})
			}
			p99 = p99[1:]
			return s, nil
		}
	}
	a := &arena{ours: side(100, 200, 300, 400, 500), theirs: side(200, 200, 200, 1000, 500)}
	res, err := a.run(t.Context(), RunConfig{Rounds: 5, Length: time.Second}, nil)
	require.NoError(t, err)
	require.Len(t, res.Latency, 4)
	for i, want := range []LatencyRatio{
		{Load: 0.1, PPS: 100, Percent: 50, Ours: 10, Theirs: 10}, {Load: 0.1, PPS: 100, Percent: 99, Ours: 300, Theirs: 200},
		{Load: 0.9, PPS: 900, Percent: 50, Ours: 10, Theirs: 10}, {Load: 0.9, PPS: 900, Percent: 99, Ours: 600, Theirs: 400},
	} {
		got := res.Latency[i]
		ratio := got.Ratio
		got.Ratio = Interval{}
		want.OursLost, want.TheirsLost, want.OursSent, want.TheirsSent = 50, 50, 500, 500
		assert.Equal(t, want, got)
		if want.Percent == 99 {
			assert.InDelta(t, 1, ratio.Median, 1e-9, "of 0.5, 1, 1.5, 0.4 and 1")
			assert.InDelta(t, 0.4, ratio.Low, 1e-9)
			assert.InDelta(t, 1.5, ratio.High, 1e-9)
		}
	}
	res.Comparison.Cores, res.Name = 1, "peer=x"
	var text bytes.Buffer
	require.NoError(t, WritePeerBench(&text, res))
	assert.Equal(t, 5, strings.Count(text.String(), "BenchmarkPeers/peer=x/side=peer/at=90% "), text.String())
	assert.Contains(t, text.String(), " p99-ns")
}

// Fewer rounds than a result needs give no figures, and still are a line of JSON.
func TestPeerRoundsVoid(t *testing.T) {
	log := ""
	a := &arena{ours: half(&log, "o", 1, 1, 1, 1, 1), theirs: half(&log, "t", 1, 1, 1, 1, -1)}
	res, err := a.run(t.Context(), RunConfig{Rounds: 5, Length: time.Second}, nil)
	require.NoError(t, err)
	assert.Equal(t, 4, res.Valid)
	assert.Zero(t, res.Ratio)
	require.NoError(t, res.WriteJSON(&bytes.Buffer{}))

	a = &arena{ours: func(context.Context, time.Duration) (Sample, error) { return Sample{}, errors.New("broken") }}
	_, err = a.run(t.Context(), RunConfig{Rounds: 5, Length: time.Second}, nil)
	require.ErrorContains(t, err, "round 1: pmd: broken")
}

func TestPeerRoundsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	log := ""
	a := &arena{ours: half(&log, "o", 1, 1, 1, 1, 1), theirs: half(&log, "t", 1, 1, 1, 1, 1)}
	n := 0
	res, err := a.run(ctx, RunConfig{Rounds: 5, Length: time.Second}, func(PeerRound) {
		if n++; n == 2 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, res.Rounds, 2)
	assert.True(t, res.Partial)
}

// The interval is of values that were there, has the median inside, and at least the
// confidence asked for.
func TestInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(0.1, 10), MinRounds, 40).Draw(t, "ratios")
		i := interval(v)
		assert.InDelta(t, median(v), i.Median, 1e-9)
		assert.LessOrEqual(t, i.Low, i.Median)
		assert.GreaterOrEqual(t, i.High, i.Median)
		assert.GreaterOrEqual(t, i.Confidence, confidence)
		assert.Contains(t, v, i.Low)
		assert.Contains(t, v, i.High)
	})
}

func TestParseBusy(t *testing.T) {
	const stat = "cpu  900 900 900 900 900 900 900 900 0 0\ncpu0 100 200 300 4000 5000 10 20 7000 0 0\ncpu1 1 0 0 0 0 0 0 0 0 0\ncpu10 999 0 0 0 0 0 0 0 0 0\nctxt 7\n"
	assert.InDelta(t, 6.3, parseBusy(stat, []int{0}), 1e-9, "user, nice, system, irq and softirq")
	assert.InDelta(t, 6.31, parseBusy(stat, []int{0, 1}), 1e-9)
	assert.Zero(t, parseBusy("cpu0 x", []int{0}))
	assert.Zero(t, parseBusy("cpu0 x 1 1 1 1 1 1 1", []int{0}))
}
