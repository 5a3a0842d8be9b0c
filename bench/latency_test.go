package bench

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/pmd/netlab"
)

// series are frames due a microsecond apart that took as many nanoseconds, with numbers
// from first.
func series(first uint64, latency ...uint64) (out []netlab.Arrival) {
	for i, l := range latency {
		due := 1_000_000 + uint64(i)*1000
		out = append(out, netlab.Arrival{Sequence: first + uint64(i), Due: due, Arrived: due + l})
	}
	return out
}

func TestDelays(t *testing.T) {
	whole := series(7, 100, 200, 300, 400, 500)
	for name, c := range map[string]struct {
		arrivals                          []netlab.Arrival
		received, lost, twice, late, slow uint64
	}{
		"all":              {whole, 5, 0, 0, 0, 500},
		"one lost":         {slices.Delete(slices.Clone(whole), 2, 3), 4, 1, 0, 0, 500},
		"the last lost":    {whole[:4], 4, 1, 0, 0, 400},
		"one twice":        {append(slices.Clone(whole), whole[1]), 5, 0, 1, 0, 500},
		"two swapped":      {[]netlab.Arrival{whole[1], whole[0], whole[2], whole[3], whole[4]}, 5, 0, 0, 1, 500},
		"the first at end": {append(slices.Clone(whole[1:]), whole[0]), 5, 0, 0, 1, 500},
		"none":             {nil, 0, 5, 0, 0, 0},
	} {
		d := newDelays()
		require.NoError(t, d.add(c.arrivals, 7, 5, 1000), name)
		assert.Equal(t, []uint64{5, c.received, c.lost, c.twice, c.late, 0}, []uint64{d.Sent, d.Received, d.Lost, d.Duplicates, d.Reordered, d.Unsent}, name)
		assert.Equal(t, int64(c.received), d.histogram.TotalCount(), name)
		assert.Equal(t, int64(c.slow), d.histogram.Max(), name)
	}
	d := newDelays()
	require.ErrorContains(t, d.add(series(6, 1), 7, 5, 1000), "frame 6 arrived, and 7 to 11 were sent")
	require.Error(t, d.add(series(12, 1), 7, 5, 1000))
	assert.Zero(t, d.Sent)
}

// A sender that stood still for ten frames has ten that waited for its next one, each a
// little less than the one before.
func TestDelaysOmission(t *testing.T) {
	a := series(0, 100, 100, 100)
	a[2].Due += 10_000
	a[2].Arrived += 10_000
	d := newDelays()
	require.NoError(t, d.add(a, 0, 3, 1000))
	assert.Equal(t, uint64(10), d.Unsent)
	assert.Equal(t, int64(13), d.histogram.TotalCount())
	assert.InEpsilon(t, 10_100, d.histogram.Max(), 0.001)
	assert.InEpsilon(t, 4_100, d.histogram.ValueAtPercentile(100*7./13), 0.001)

	// What was lost was sent: the gap that it leaves is none of the sender's.
	a = series(0, 100, 100, 100, 100)
	d = newDelays()
	require.NoError(t, d.add([]netlab.Arrival{a[0], a[3]}, 0, 4, 1000))
	assert.Zero(t, d.Unsent)
	assert.Equal(t, uint64(2), d.Lost)
}

// Whatever is lost, doubled and swapped on the way, the account is the one kept by whoever
// did it, and does not depend on the order for its latencies.
func TestDelaysProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		latency := rapid.SliceOfN(rapid.Uint64Range(1, 1_000_000), 1, 300).Draw(t, "latency")
		first := rapid.Uint64Range(0, 1<<40).Draw(t, "first")
		lose := rapid.SliceOfN(rapid.IntRange(0, 9), len(latency), len(latency)).Draw(t, "fate")
		shuffle := rapid.Bool().Draw(t, "shuffle")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)) //nolint:gosec // a test's
		var arrivals []netlab.Arrival
		var lost, twice uint64
		for i, a := range series(first, latency...) {
			switch lose[i] {
			case 0:
				lost++
			case 1:
				twice++
				arrivals = append(arrivals, a, a)
			default:
				arrivals = append(arrivals, a)
			}
		}
		ordered := newDelays()
		require.NoError(t, ordered.add(arrivals, first, uint64(len(latency)), 1000))
		assert.Zero(t, ordered.Reordered)
		if shuffle {
			random.Shuffle(len(arrivals), func(i, j int) { arrivals[i], arrivals[j] = arrivals[j], arrivals[i] })
		}
		d := newDelays()
		require.NoError(t, d.add(arrivals, first, uint64(len(latency)), 1000))
		// A naive count of those that came after a higher number.
		var late uint64
		seen := map[uint64]bool{}
		highest, found := uint64(0), false
		for _, a := range arrivals {
			if !seen[a.Sequence] && found && a.Sequence < highest {
				late++
			}
			seen[a.Sequence] = true
			highest, found = max(highest, a.Sequence), true
		}
		assert.Equal(t, late, d.Reordered)
		assert.Equal(t, lost, d.Lost)
		assert.Equal(t, twice, d.Duplicates)
		assert.Equal(t, d.Sent, d.Received+d.Lost)
		assert.Zero(t, d.Unsent)
		assert.True(t, ordered.histogram.Equals(d.histogram))
	})
}

func TestLatencyOf(t *testing.T) {
	var rounds []Round
	for i := range uint64(2) {
		d := newDelays()
		require.NoError(t, d.add(series(0, 1000*(i+1), 1000*(i+1)), 0, 3, 1000))
		rounds = append(rounds, Round{delays: d})
	}
	l, err := latencyOf(rounds, 500, 1000)
	require.NoError(t, err)
	assert.Equal(t, uint64(4), l.Frames)
	assert.Equal(t, uint64(2), l.Lost)
	assert.InDelta(t, 0.5, l.Load, 1e-9)
	require.Len(t, l.Percentiles, len(percents()))
	assert.InEpsilon(t, 1000, l.Percentiles[0].Ns, 0.001)
	assert.InEpsilon(t, 2000, l.Percentiles[len(l.Percentiles)-1].Ns, 0.001)
}
