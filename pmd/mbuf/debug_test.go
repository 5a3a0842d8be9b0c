//go:build pmddebug

package mbuf

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The debug build panics where a frame is freed twice, whatever way it goes.
func TestDoubleFreePanics(t *testing.T) {
	require.True(t, Debug)
	ways := map[string]func(p *Pool, c *Cache, f Frame){
		"Put":       func(_ *Pool, c *Cache, f Frame) { c.Put([]uint64{f.Addr}) },
		"PutFrames": func(_ *Pool, c *Cache, f Frame) { c.PutFrames([]Frame{f}) },
		"PutSent":   func(_ *Pool, c *Cache, f Frame) { c.PutSent([]Frame{f}) },
		"Return": func(p *Pool, _ *Cache, f Frame) {
			s := NewFrameSet(p)
			s.Add(f.Addr)
			p.Return(s)
		},
	}
	for first, free := range ways {
		for second, again := range ways {
			t.Run(first+"/"+second, func(t *testing.T) {
				p, err := NewSpace().NewPool(Config{Frames: 64, HugePages: HugeOff})
				require.NoError(t, err)
				c := NewCache(p)
				var f [1]Frame
				require.Equal(t, 1, c.TakeFrames(f[:], 256, 60, p.Meta(0)))
				free(p, c, f[0])
				assert.Panics(t, func() { again(p, c, f[0]) })
			})
		}
	}
}

// A frame that was never handed out cannot be freed, and one that is in a cache
// twice is told when it is handed out again.
func TestStrayPanics(t *testing.T) {
	p, err := NewSpace().NewPool(Config{Frames: 64, HugePages: HugeOff})
	require.NoError(t, err)
	c := NewCache(p)
	assert.Panics(t, func() { c.Put([]uint64{2048}) })
	var f [2]uint64
	require.Equal(t, 2, c.Take(f[:]))
	c.addrs[c.n-1] = f[0]
	assert.Panics(t, func() { c.Take(f[:1]) })
}
