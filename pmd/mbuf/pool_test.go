package mbuf

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string // part of the error; empty if there is none
	}{
		{Config{}, ""},
		{Config{Frames: 64, FrameSize: 4096, Headroom: 1024}, ""},
		{Config{Frames: MaxFrames}, ""},
		{Config{Frames: 63}, "63 frames: a pool has 64 to"},
		{Config{Frames: -1}, "-1 frames"},
		{Config{Frames: MaxFrames + 1}, "frames: a pool has"},
		{Config{FrameSize: 1024}, "frame size 1024: use 2048 or 4096"},
		{Config{FrameSize: 3000}, "frame size 3000"},
		{Config{Headroom: -1}, "headroom -1"},
		{Config{Headroom: 1025}, "headroom 1025: use 0 to 1024"},
	} {
		err := c.cfg.Validate()
		if c.want == "" {
			assert.NoError(t, err, "%+v", c.cfg)
			continue
		}
		assert.ErrorContains(t, err, c.want)
		_, err = NewSpace().NewPool(c.cfg)
		assert.ErrorContains(t, err, c.want)
	}
}

func TestPoolProperties(t *testing.T) {
	s := NewSpace()
	p, err := s.NewPool(Config{Name: "x", Frames: 100, FrameSize: 4096, Headroom: 64, HugePages: HugeOff})
	require.NoError(t, err)
	assert.Equal(t, "x", p.Name())
	assert.Equal(t, 128, p.Frames(), "rounded up to a power of two")
	assert.Equal(t, 128, p.Available())
	assert.Equal(t, 4096, p.FrameSize())
	assert.Equal(t, 64, p.Headroom())
	assert.Equal(t, 320, p.DataOffset())
	assert.Equal(t, 4096-320, p.MaxLen())
	assert.Len(t, p.Mem(), 128*4096)
	assert.EqualValues(t, 8192, p.Base(8192+4095))
	assert.NotEmpty(t, p.Pages())
	assert.Equal(t, p.ID(), p.Meta(9).Pool())
	assert.EqualValues(t, 9, p.Meta(9).Port())
	require.NoError(t, s.Release(p))

	p, err = NewSpace().NewPool(Config{})
	require.NoError(t, err)
	assert.Equal(t, DefaultFrames, p.Frames())
	assert.Equal(t, DefaultFrameSize, p.FrameSize())
	assert.Equal(t, "pool0", p.Name())
}

func TestReleaseWaitsForFrames(t *testing.T) {
	s := NewSpace()
	p, err := s.NewPool(Config{Frames: 64, HugePages: HugeOff})
	require.NoError(t, err)
	c := NewCache(p)
	var f [3]uint64
	require.Equal(t, 3, c.Take(f[:]))
	err = s.Release(p)
	require.ErrorIs(t, err, ErrInUse)
	assert.ErrorContains(t, err, "64 of 64 frames", "the cache has taken a bulk")
	c.Drain()
	err = s.Release(p)
	require.ErrorIs(t, err, ErrInUse)
	assert.ErrorContains(t, err, "3 of 64 frames")
	p.Mem()[f[0]] = 1 // still mapped
	c.Put(f[:])
	c.Drain()
	require.NoError(t, s.Release(p))
	assert.Empty(t, s.Pools())
	require.ErrorContains(t, s.Release(p), "not in this space")
}

func TestSpaceIsFull(t *testing.T) {
	s := NewSpace()
	var pools []*Pool
	for i := range MaxPools {
		p, err := s.NewPool(Config{Frames: 64, HugePages: HugeOff})
		require.NoError(t, err)
		require.EqualValues(t, i, p.ID())
		pools = append(pools, p)
	}
	_, err := s.NewPool(Config{Frames: 64})
	require.ErrorIs(t, err, ErrTooManyPools)
	assert.Equal(t, pools, s.Pools())
	require.NoError(t, s.Release(pools[7]))
	p, err := s.NewPool(Config{Frames: 64, HugePages: HugeOff})
	require.NoError(t, err)
	assert.EqualValues(t, 7, p.ID(), "an id is used again")
	pools[7] = p
	for _, p := range pools {
		require.NoError(t, s.Release(p))
	}
}

func TestHugePagesRequired(t *testing.T) {
	s := NewSpace()
	p, err := s.NewPool(Config{Frames: 64, HugePages: HugeRequire})
	if err != nil {
		assert.ErrorContains(t, err, "huge pages")
		return
	}
	assert.Equal(t, "huge 2M", p.Pages(), "no error, so they were to be had")
	require.NoError(t, s.Release(p))
}

func ExampleSpace() {
	space := NewSpace()
	pool, err := space.NewPool(Config{Name: "lan", Frames: 4096})
	if err != nil {
		fmt.Println(err)
		return
	}
	local := NewLocal() // one a core
	cache := local.Add(pool)

	burst := make([]Frame, 2)
	n := cache.TakeFrames(burst, uint32(pool.DataOffset()), 5, pool.Meta(1))
	copy(local.Bytes(burst[0]), "hello")
	fmt.Println(n, "frames,", string(local.Bytes(burst[0])))
	local.Free(burst[:n])

	local.Drain()
	fmt.Println(space.Release(pool))
	// Output:
	// 2 frames, hello
	// <nil>
}
