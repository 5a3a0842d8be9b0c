package mbuf

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLocal(t *testing.T) {
	s := NewSpace()
	var pools []*Pool
	for range 3 {
		p, err := s.NewPool(Config{Frames: 128, HugePages: HugeOff})
		require.NoError(t, err)
		pools = append(pools, p)
	}
	l := NewLocal()
	for i, p := range pools {
		c := l.Add(p)
		assert.Same(t, c, l.Add(p), "known already")
		assert.Same(t, c, l.Cache(p.ID()))
		assert.Same(t, p, c.Pool())
		assert.Equal(t, i+1, l.Pools())
	}
	assert.Nil(t, l.Cache(77))
	// Frames of all pools, in any order, find their way home.
	rapid.Check(t, func(t *rapid.T) {
		var burst []Frame
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			p := pools[rapid.IntRange(0, 2).Draw(t, "pool")]
			var f [1]Frame
			require.Equal(t, 1, l.Cache(p.ID()).TakeFrames(f[:], 256, 4, p.Meta(0)))
			require.Len(t, l.Bytes(f[0]), 4)
			l.Bytes(f[0])[0] = p.ID() + 1
			require.Equal(t, p.ID()+1, p.Mem()[f[0].Addr])
			burst = append(burst, f[0])
		}
		l.Free(burst)
		for _, p := range pools {
			a := account(p, l.Walk)
			require.True(t, a.Balanced(), "%+v", a)
		}
	})
	l.Remove(pools[0])
	assert.Equal(t, 2, l.Pools())
	assert.Equal(t, 128, pools[0].Available(), "Remove drains")
	assert.Nil(t, l.Cache(0))
	l.Remove(pools[0])
	assert.Equal(t, 2, l.Pools(), "removing twice is harmless")
	l.Drain()
	for _, p := range pools {
		require.NoError(t, s.Release(p))
	}
}

// A Local that still knows a released pool is not misled by the next pool with
// the same id.
func TestLocalPoolIDUsedAgain(t *testing.T) {
	s := NewSpace()
	l := NewLocal()
	old, err := s.NewPool(Config{Frames: 64, HugePages: HugeOff})
	require.NoError(t, err)
	l.Add(old)
	require.NoError(t, s.Release(old))
	p, err := s.NewPool(Config{Frames: 128, HugePages: HugeOff})
	require.NoError(t, err)
	require.Equal(t, old.ID(), p.ID())
	c := l.Add(p)
	require.Same(t, p, c.Pool())
	assert.Equal(t, 1, l.Pools())
	l.Remove(old)
	assert.Same(t, c, l.Cache(p.ID()), "the old pool is not known any more")
	var f [1]Frame
	require.Equal(t, 1, c.TakeFrames(f[:], 256, 4, p.Meta(0)))
	l.Bytes(f[0])[0] = 1
	l.Free(f[:])
	l.Remove(p)
	require.NoError(t, s.Release(p))
}
