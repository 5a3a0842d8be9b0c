package mbuf

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Caches of one pool, in any sequence of calls: no frame is handed out twice,
// none is lost, and none is refused while cache or pool has one. The twin is the
// set of frames that are out.
func TestCacheAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, release := openPool(t, 2048)
		caches := []*Cache{NewCache(p), NewCache(p), NewCache(p)}
		out := map[uint64]bool{}
		var held []Frame
		led := NewLedger(p)
		take := func(got []Frame) {
			for _, f := range got {
				base := p.Base(f.Addr)
				require.False(t, out[base], "frame %#x handed out twice", base)
				out[base] = true
			}
			held = append(held, got...)
		}
		give := func(n int) []Frame {
			back := held[len(held)-n:]
			held = held[:len(held)-n]
			for _, f := range back {
				delete(out, p.Base(f.Addr))
			}
			return back
		}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			c := caches[rapid.IntRange(0, len(caches)-1).Draw(t, "cache")]
			n := rapid.IntRange(0, 900).Draw(t, "n")
			can := min(n, c.Len()+p.Available())
			switch rapid.SampledFrom([]string{"take", "frames", "frames", "put", "putframes", "sent", "return", "drain"}).Draw(t, "op") {
			case "take":
				dst := make([]uint64, n)
				k := c.Take(dst)
				require.Equal(t, can, k)
				frames := make([]Frame, k)
				for i, a := range dst[:k] {
					require.Equal(t, p.Base(a), a, "Take hands out the start of chunks")
					frames[i] = Frame{Addr: a + 300, Len: 60}
				}
				take(frames)
			case "frames":
				dst := make([]Frame, n)
				k := c.TakeFrames(dst, 300, 77, 5)
				require.Equal(t, can, k)
				for _, f := range dst[:k] {
					require.Equal(t, Frame{Addr: p.Base(f.Addr) + 300, Len: 77, Meta: 5}, f)
				}
				take(dst[:k])
			case "put":
				var addrs []uint64
				for _, f := range give(min(n, len(held))) {
					addrs = append(addrs, f.Addr)
				}
				c.Put(addrs)
			case "putframes":
				c.PutFrames(give(min(n, len(held))))
			case "sent":
				back := give(min(n, len(held), MaxPutSent))
				want := uint64(0)
				for _, f := range back {
					want += uint64(f.Len)
				}
				bytes, ok := c.PutSent(back)
				require.True(t, ok)
				require.Equal(t, want, bytes)
			case "return":
				s := NewFrameSet(p)
				back := give(min(n, len(held)))
				for _, f := range back {
					require.True(t, s.Add(f.Addr))
				}
				require.Equal(t, len(back), p.Return(s))
				require.Zero(t, s.Len())
			case "drain":
				c.Drain()
				require.Zero(t, c.Len())
			}
			led.Begin()
			for _, c := range caches {
				c.Walk(led)
			}
			led.Frames(OwnerBurst, held)
			a := led.Account()
			require.True(t, a.Balanced(), "%+v", a)
			require.Equal(t, len(out), a.ByOwner[OwnerBurst])
		}
		caches[0].PutFrames(held)
		for _, c := range caches {
			c.Drain()
		}
		require.Equal(t, p.Frames(), p.Available())
		release()
	})
}

// naiveValid says from first principles whether f can be sent.
func naiveValid(p *Pool, f Frame) bool {
	if f.Len == 0 || f.Addr >= uint64(len(p.Mem())) {
		return false
	}
	left := p.FrameSize() - int(f.Addr-p.Base(f.Addr))
	return int64(f.Len) <= int64(left)
}

// PutSent, Check and Valid agree with first principles, whatever the frames say,
// and PutSent takes all or nothing.
func TestPutSentAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, release := openPool(t, 1024)
		size := uint64(len(p.Mem()))
		c := NewCache(p)
		frames := make([]Frame, rapid.IntRange(0, MaxPutSent).Draw(t, "n"))
		require.Equal(t, len(frames), c.TakeFrames(frames, 256, 64, p.Meta(1)))
		given := append([]Frame(nil), frames...)
		want, bytes := true, uint64(0)
		bad := rapid.IntRange(0, 3).Draw(t, "bad lengths (1), addresses (2)")
		for i := range given {
			given[i].Len = rapid.Uint32Range(1, 1792).Draw(t, "len")
			if bad&1 != 0 && rapid.IntRange(0, 20).Draw(t, "spoil length") == 0 {
				given[i].Len = rapid.SampledFrom([]uint32{0, 1792, 1793, 2048, 2049, 1 << 31, ^uint32(0)}).Draw(t, "length")
			}
			if bad&2 != 0 && rapid.IntRange(0, 20).Draw(t, "spoil address") == 0 {
				given[i].Addr = rapid.SampledFrom([]uint64{size - 1, size, size + 256, 1 << 63, ^uint64(0), given[i].Addr + 1791}).Draw(t, "address")
			}
			ok := naiveValid(p, given[i])
			require.Equal(t, ok, c.Valid(given[i]), "%+v", given[i])
			want = want && ok
			bytes += uint64(given[i].Len)
		}
		sum, ok := c.Check(given)
		require.Equal(t, want, ok)
		if ok {
			require.Equal(t, bytes, sum)
		}
		// A spoilt address can be that of a frame not taken, which would be freed
		// twice: with those, only a burst that is refused can be given.
		if bad&2 == 0 || !want {
			sum, ok = c.PutSent(given)
			require.Equal(t, want, ok)
			if ok {
				require.Equal(t, bytes, sum)
				frames = nil
			} else {
				require.Zero(t, sum)
			}
		}
		a := account(p, c.Walk, func(l *Ledger) { l.Frames(OwnerBurst, frames) })
		require.True(t, a.Balanced(), "%+v", a)
		c.PutFrames(frames)
		c.Drain()
		release()
	})
	assert.Panics(t, func() { NewCache(newPool(t, 64)).PutSent(make([]Frame, MaxPutSent+1)) })
}

func TestExhaustion(t *testing.T) {
	p := newPool(t, 512)
	a, b := NewCache(p), NewCache(p)
	all := make([]Frame, 600)
	require.Equal(t, 512, a.TakeFrames(all, 256, 60, p.Meta(0)))
	assert.Zero(t, p.Available())
	assert.Zero(t, a.TakeFrames(all[512:], 256, 60, 0))
	assert.Zero(t, b.Take(make([]uint64, 1)))
	a.PutFrames(all[:1])
	assert.Zero(t, b.Take(make([]uint64, 1)), "one cache does not see into another")
	assert.Equal(t, 1, a.TakeFrames(all[:1], 256, 60, 0))
	a.PutFrames(all[:512])
	a.Drain()
	assert.Equal(t, 300, b.TakeFrames(all[:300], 256, 60, 0))
	b.PutFrames(all[:300])
	b.Drain()
}

// A whole burst more than the pool has cannot be put: it was freed twice.
func TestTooManyFramesPanics(t *testing.T) {
	if Debug {
		t.Skip("the debug build finds the first of them")
	}
	p := newPool(t, 64)
	c := NewCache(p)
	var f [2]uint64
	require.Equal(t, 2, c.Take(f[:]))
	c.Put(f[:])
	c.Put(f[:1])
	assert.PanicsWithValue(t, "mbuf: pool pool0: more frames given back than it has: a frame was freed twice", c.Drain)
	c.n--
	c.Drain()
}

func TestCacheAllocatesNothing(t *testing.T) {
	if Debug {
		t.Skip("the debug build keeps a record")
	}
	p := newPool(t, 4096)
	c, l := NewCache(p), NewLedger(p)
	frames, addrs := make([]Frame, 700), make([]uint64, 700)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		n := c.TakeFrames(frames, 256, 64, 0)
		c.PutFrames(frames[:n/2])
		c.PutSent(frames[n/2:][:200])
		c.PutFrames(frames[n/2+200 : n])
		c.Put(addrs[:c.Take(addrs)])
		c.Drain()
		l.Begin()
		c.Walk(l)
		l.Account()
	}))
}

// Cores with a cache each trade through the pool: nobody ever sees a frame that
// another has. The race detector watches the bytes.
func TestCoresTradeFrames(t *testing.T) {
	const cores, rounds = 4, 300
	p := newPool(t, 4096)
	var wg sync.WaitGroup
	caches := make([]*Cache, cores)
	lost := make(chan string, cores)
	// Frames also travel from core to core, so that caches fill and run dry.
	var mail [cores]chan []Frame
	for i := range mail {
		mail[i] = make(chan []Frame, 4)
	}
	for i := range caches {
		caches[i] = NewCache(p)
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, mem := caches[i], p.Mem()
			for r := range rounds {
				burst := make([]Frame, 1+(r*7+i*13)%300)
				burst = burst[:c.TakeFrames(burst, 256, 8, p.Meta(uint16(i)))]
				for _, f := range burst {
					mem.Bytes(f)[0] = byte(i)
				}
				runtime.Gosched()
				for _, f := range burst {
					if mem.Bytes(f)[0] != byte(i) {
						lost <- "a frame changed under its owner"
						return
					}
				}
				select {
				case mail[(i+1)%cores] <- burst:
				default:
					c.PutFrames(burst)
				}
				select {
				case in := <-mail[i]:
					c.PutFrames(in)
				default:
				}
			}
		}()
	}
	wg.Wait()
	close(lost)
	for s := range lost {
		t.Error(s)
	}
	var held []Frame
	for i := range mail {
		close(mail[i])
		for in := range mail[i] {
			held = append(held, in...)
		}
	}
	owners := []func(*Ledger){func(l *Ledger) { l.Frames(OwnerBurst, held) }}
	for _, c := range caches {
		owners = append(owners, c.Walk)
	}
	a := account(p, owners...)
	require.True(t, a.Balanced(), "%+v", a)
	caches[0].PutFrames(held)
	for _, c := range caches {
		c.Drain()
	}
}

// Coloured frames lie in their chunks, whatever is taken, and those of a burst have their
// first bytes in many places of a cache.
func TestTakeColoured(t *testing.T) {
	p := newPool(t, 1024)
	c := NewCache(p)
	defer c.Drain()
	for _, length := range []int{1, 64, p.MaxLen() - colourMax, p.MaxLen() - colourMax + 1, p.MaxLen()} {
		colours := p.Colours(p.DataOffset(), length)
		assert.Equal(t, length <= p.MaxLen()-colourMax, colours != 0, length)
		for _, n := range []int{1, 3, 4, 64, 66} {
			frames := make([]Frame, n)
			require.Equal(t, n, c.TakeColoured(frames, uint32(p.DataOffset()), uint32(length), p.Meta(3), colours))
			places := map[uint64]int{}
			for _, f := range frames {
				assert.True(t, c.Valid(f))
				assert.Equal(t, p.Meta(3), f.Meta)
				assert.Equal(t, uint32(length), f.Len)
				assert.Equal(t, Coloured(p.Base(f.Addr), uint32(p.DataOffset()), colours), f.Addr)
				assert.GreaterOrEqual(t, f.Addr-p.Base(f.Addr), uint64(p.DataOffset()))
				places[f.Addr%4096/64]++
			}
			if n >= 64 && colours != 0 {
				assert.GreaterOrEqual(t, len(places), 16)
			}
			c.PutFrames(frames)
		}
	}
}
