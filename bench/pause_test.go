package bench

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd/null"
)

// TestCollectorPause forwards while statistics are read ten times a second, which is
// what makes garbage, for two seconds or for PMD_SOAK: no frame may be dropped, and the
// collector has nothing to do. Then it makes the collector run, and logs what that
// adds to the longest turn of the poll loop.
func TestCollectorPause(t *testing.T) {
	soak := 2 * time.Second
	if s := os.Getenv("PMD_SOAK"); s != "" {
		var err error
		soak, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	r, err := Start(t.Context(), RigConfig{Mode: "macswap", Cores: []int{pollCPU(t)}, Open: openNull(null.Config{})})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), soak+30*time.Second)
	defer cancel()
	_, err = r.Measure(ctx, 0, 200*time.Millisecond)
	require.NoError(t, err)
	// window returns the longest turn of a tenth of a second.
	window := func(collect bool) float64 {
		require.NoError(t, r.d.ResetMaxTurn(ctx))
		time.Sleep(100 * time.Millisecond)
		if collect {
			runtime.GC()
		}
		s, err := r.Stats(ctx)
		require.NoError(t, err)
		_, _, dropped := totals(s)
		require.Zero(t, dropped)
		return float64(s.Cores[0].MaxTurnNs) / 1e3
	}
	runtime.GC() // or what other tests left is collected now
	before := collections()
	var without, with []float64
	for end := time.Now().Add(soak); time.Now().Before(end); {
		without = append(without, window(false))
	}
	ran := collections() - before
	for range 10 {
		with = append(with, window(true))
	}
	require.NoError(t, r.Check(ctx))
	require.NoError(t, r.Close())
	t.Logf("%v with statistics ten times a second: %d collections; longest turn %.0f µs, median of tenths of a second %.0f µs",
		soak, ran, slices.Max(without), median(without))
	t.Logf("with a collection in each tenth of a second: median %.0f µs", median(with))
	require.LessOrEqual(t, ran, uint64(soak/time.Minute), "collections")
}

// collections returns how often the collector has run.
func collections() uint64 {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
