//go:build linux

package netlab_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// A sink that records has each frame of a generator with stamps, in order, due one interval
// after the other and arrived after it was due; beyond what it keeps it counts.
func TestArrivals(t *testing.T) {
	const frames, rate = 3000, 20_000
	lab := netlabtest.New(t)
	ns, err := lab.Namespace("a")
	require.NoError(t, err)
	_, err = lab.Veth(netlab.VethEnd{Namespace: ns, Name: "x0"}, netlab.VethEnd{Namespace: ns, Name: "x1"})
	require.NoError(t, err)
	sink, err := ns.NewSink("x1", netlab.SinkConfig{Record: frames})
	require.NoError(t, err)
	gen, err := ns.Generator("x0", netlab.GeneratorConfig{Sequence: true, Stamp: true, Rate: rate})
	require.NoError(t, err)
	for round := range uint64(2) {
		res, err := gen.Run(t.Context(), -1, frames-10)
		require.NoError(t, err)
		require.Equal(t, res.Generated, res.Sent)
		got, missed, err := sink.Arrivals()
		require.NoError(t, err)
		assert.Zero(t, missed)
		require.Len(t, got, frames-10)
		for i, a := range got {
			require.Equal(t, round*(frames-10)+uint64(i), a.Sequence)
			require.GreaterOrEqual(t, a.Arrived, a.Due)
			// A generator that is kept waiting for long leaves intervals out.
			if i > 0 {
				require.GreaterOrEqual(t, a.Due-got[i-1].Due, uint64(1e9/rate-1))
			}
		}
	}
	_, err = gen.Run(t.Context(), -1, frames+10)
	require.NoError(t, err)
	got, missed, err := sink.Arrivals()
	require.NoError(t, err)
	assert.Len(t, got, frames)
	assert.Equal(t, uint64(10), missed)
	require.NoError(t, sink.Close())
	_, _, err = sink.Arrivals()
	require.Error(t, err)

	_, err = ns.NewSink("x1", netlab.SinkConfig{Record: -1})
	require.ErrorContains(t, err, "arrivals to keep")
	_, err = ns.Generator("x0", netlab.GeneratorConfig{Sequence: true, Stamp: true})
	require.ErrorContains(t, err, "Rate")
}
