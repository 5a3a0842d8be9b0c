package xsk

import (
	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/require"
)

// testQueue is everything a queue's owner has: rings, a cache and the two sets
// of posted frames.
type testQueue struct {
	*Rings
	sim                *Sim
	pool               *mbuf.Pool
	cache              *mbuf.Cache
	rxPosted, txPosted *mbuf.FrameSet
}

// testingT is what tests, benchmarks and properties have in common.
type testingT interface {
	require.TestingT
	Helper()
}

// newTestQueue returns a simulated queue over a pool of its own.
func newTestQueue(t testingT, frames int, cfg SimConfig) *testQueue {
	t.Helper()
	// Tests do not bring every frame home, so the pool cannot be released.
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: frames, HugePages: mbuf.HugeOff, MultiBuffer: cfg.MultiBuffer})
	require.NoError(t, err)
	cfg.Mem, cfg.FrameSize = pool.Mem(), uint32(pool.FrameSize())
	sim, err := NewSim(cfg)
	require.NoError(t, err)
	return &testQueue{
		Rings: sim.Rings(), sim: sim, pool: pool, cache: mbuf.NewCache(pool),
		rxPosted: mbuf.NewFrameSet(pool), txPosted: mbuf.NewFrameSet(pool),
	}
}

// rings64 are rings of 64 entries each, beginning with index start.
func rings64(start uint32) SimConfig {
	return SimConfig{RxRing: 64, TxRing: 64, FillRing: 64, CompRing: 64, Start: start}
}
