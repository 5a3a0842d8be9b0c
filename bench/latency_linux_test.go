package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Frames sent evenly through AF_XDP ports are all accounted for, and each took some time.
func TestPacedRun(t *testing.T) {
	s, err := ParseScenario("driver=afxdp/mode=io/rate=2000")
	require.NoError(t, err)
	if err := s.Lacking(); err != nil {
		t.Skip(err)
	}
	r, err := s.Run(t.Context(), RunConfig{Rounds: MinRounds, Length: 200 * time.Millisecond})
	require.NoError(t, err)
	require.Len(t, r.Latency, 1)
	l := r.Latency[0]
	assert.Positive(t, l.Frames)
	assert.Zero(t, l.Duplicates)
	assert.Zero(t, l.Reordered, "one core and one queue")
	var sent uint64
	for _, round := range r.Rounds {
		sent += round.delays.Sent
	}
	assert.Equal(t, sent, l.Frames+l.Lost)
	for i, p := range l.Percentiles {
		assert.Positive(t, p.Ns)
		if i > 0 {
			assert.GreaterOrEqual(t, p.Ns, l.Percentiles[i-1].Ns)
		}
	}
}
