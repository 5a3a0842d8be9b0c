package ring_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/pmdtest"
	"example.org/pmd/pmd/ring"
)

// news is a Host that keeps what it is told.
type news struct {
	mu   sync.Mutex
	told []string
}

func (n *news) Exclusive(_ pmd.Queue, fn func()) { fn() }

func (n *news) Notify(d pmd.Device, what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, d.Info().Name+": "+what)
}

// newEnv returns a pool in a space of its own and an environment that hands it
// out. The pool must be whole again when the test ends.
func newEnv(t testing.TB, cfg mbuf.Config) (*mbuf.Pool, pmd.Env, *news) {
	space := mbuf.NewSpace()
	pool, err := space.NewPool(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, space.Release(pool), "a frame leaked") })
	host := &news{}
	return pool, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }, Host: host}, host
}

func open(t testing.TB, dr *ring.Driver, env pmd.Env, text string) (pmd.Device, error) {
	spec, err := pmd.ParseSpec(text)
	require.NoError(t, err)
	return dr.Open(context.Background(), spec, env)
}

func TestConformance(t *testing.T) {
	for _, size := range []int{2, 64, 1024} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			pmdtest.TestDevice(t, pmdtest.Harness{
				Pool: mbuf.Config{Frames: 8192},
				Open: func(t testing.TB, env pmd.Env) pmdtest.Setup {
					a, b, err := ring.NewPair(ring.Config{Size: size}, env)
					require.NoError(t, err)
					far := ring.NewEndpoint(b)
					return pmdtest.Setup{
						Device: a,
						Inject: func(packets [][]byte) int {
							n, err := far.Send(packets...)
							require.NoError(t, err)
							return n
						},
						Collect: func() [][]byte { return far.Receive(math.MaxInt) },
						Walk:    far.Walk,
						Release: func() { require.NoError(t, far.Close()) },
					}
				},
			})
		})
	}
}

// A looped port is its own far side.
func TestLoop(t *testing.T) {
	pool, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	dev, err := open(t, &ring.Driver{}, env, "ring:loop=on,size=8,name=lo")
	require.NoError(t, err)
	require.True(t, dev.Info().Up)
	assert.Equal(t, "lo", dev.Info().Name)
	local := mbuf.NewLocal()
	cache := local.Add(pool)
	q := dev.Queues()[0]
	q.Bind(pmd.Binding{Local: local, Port: 9})
	frames := make([]mbuf.Frame, 10)
	require.Equal(t, 10, cache.TakeFrames(frames, 256, 100, pool.Meta(1)))
	require.Equal(t, 8, q.TxBurst(frames))
	led := mbuf.NewLedger(pool)
	led.Begin()
	q.Walk(led)
	local.Walk(led)
	led.Frames(mbuf.OwnerBurst, frames[8:])
	a := led.Account()
	assert.True(t, a.Balanced(), "%+v", a)
	assert.Equal(t, 8, a.ByOwner[mbuf.OwnerDevice], "frames in the loop are counted once")
	got := make([]mbuf.Frame, 10)
	require.Equal(t, 8, q.RxBurst(got))
	for i, f := range got[:8] {
		assert.Equal(t, frames[i].Addr, f.Addr, "same memory, same order")
		assert.EqualValues(t, 9, f.Meta.Port(), "the receiving port")
	}
	local.Free(got[:8])
	require.Equal(t, 2, q.TxBurst(frames[8:])) // these are inside as it closes
	q.Unbind()
	local.Drain()
	require.NoError(t, dev.Close())
	assert.Equal(t, pool.Frames(), pool.Available(), "closed with frames inside: they return")
}

func TestDriverPairs(t *testing.T) {
	pool, env, host := newEnv(t, mbuf.Config{Frames: 128})
	dr := &ring.Driver{}
	assert.Equal(t, "ring", dr.Kind())
	a, err := open(t, dr, env, "ring:pair=x,size=64")
	require.NoError(t, err)
	assert.False(t, a.Info().Up)
	assert.Contains(t, a.Info().Detail, "other end")
	la := mbuf.NewLocal()
	ca := la.Add(pool)
	f := make([]mbuf.Frame, 4)
	require.Equal(t, 4, ca.TakeFrames(f, 256, 60, pool.Meta(0)))
	qa := a.Queues()[0]
	qa.Bind(pmd.Binding{Local: la})
	assert.Zero(t, qa.TxBurst(f), "nobody is there to receive")

	b, err := open(t, dr, env, "ring:pair=x,name=right")
	require.NoError(t, err)
	assert.Equal(t, []string{"x.a", "right"}, []string{a.Info().Name, b.Info().Name})
	assert.NotEqual(t, a.Info().MAC, b.Info().MAC)
	assert.True(t, a.Info().Up && b.Info().Up)
	assert.Equal(t, "64", b.Info().Obtained["size"], "the second end takes the size of the first")

	_, err = open(t, dr, env, "ring:pair=x")
	require.ErrorIs(t, err, pmd.ErrSpec)
	assert.ErrorContains(t, err, "both ends of pair x are open")

	// The receiver goes while frames are under way: they return to the pool.
	require.Equal(t, 4, qa.TxBurst(f))
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	la.Drain()
	assert.Equal(t, pool.Frames(), pool.Available())
	assert.False(t, a.Info().Up)
	require.Equal(t, 4, ca.TakeFrames(f, 256, 60, pool.Meta(0)))
	assert.Zero(t, qa.TxBurst(f))
	la.Free(f)

	// Its end is free again, for a port of the same size only.
	_, err = open(t, dr, env, "ring:pair=x,size=32")
	require.ErrorContains(t, err, "the other end has 64")
	b, err = open(t, dr, env, "ring:pair=x,size=64")
	require.NoError(t, err)
	assert.Equal(t, "x.b", b.Info().Name)
	qa.Unbind()
	la.Drain()
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
	assert.Equal(t, []string{"x.a: peer opened", "x.a: peer closed", "x.a: peer opened", "x.b: peer closed"}, host.told)

	// With both gone the pair is forgotten: another size is fine.
	a, err = open(t, dr, env, "ring:pair=x,size=32")
	require.NoError(t, err)
	require.NoError(t, a.Close())
}

func TestOpenErrors(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	_, other, _ := newEnv(t, mbuf.Config{Frames: 64})
	for _, c := range []struct{ spec, want string }{
		{"ring:", "either pair=NAME or loop=on"},
		{"ring:pair=a,loop=on", "either pair=NAME or loop=on"},
		{"ring:loop=off", "either pair=NAME or loop=on"},
		{"ring:pair=a,size=3", "power of two"},
		{"ring:pair=a,size=1", "power of two from 2 to 65536"},
		{"ring:pair=a,size=131072", "power of two from 2 to 65536"},
		{"ring:pair=a,queues=2", `no option "queues"`},
	} {
		_, err := open(t, &ring.Driver{}, env, c.spec)
		require.ErrorIs(t, err, pmd.ErrSpec, c.spec)
		assert.ErrorContains(t, err, c.want, c.spec)
	}
	_, _, err := ring.NewPair(ring.Config{Size: 100}, env)
	require.ErrorIs(t, err, pmd.ErrSpec)

	dr := &ring.Driver{}
	a, err := open(t, dr, env, "ring:pair=a")
	require.NoError(t, err)
	_, err = open(t, dr, other, "ring:pair=a")
	require.ErrorContains(t, err, "both ends must share one")
	require.NoError(t, a.Close())
	_, err = dr.Open(context.Background(), pmd.Spec{Driver: "ring", Interface: "eth1"}, env)
	require.ErrorIs(t, err, pmd.ErrSpec)

	broken := fmt.Errorf("no memory")
	_, err = ring.NewLoop(ring.Config{}, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return nil, broken }})
	require.ErrorIs(t, err, broken)
}

func TestEndpointSend(t *testing.T) {
	pool, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	a, b, err := ring.NewPair(ring.Config{Size: 4}, env)
	require.NoError(t, err)
	ea, eb := ring.NewEndpoint(a), ring.NewEndpoint(b)
	n, err := ea.Send([]byte("one"), nil)
	require.ErrorContains(t, err, "packet 1 of 0 bytes")
	assert.Equal(t, 1, n)
	n, err = ea.Send(make([]byte, pool.MaxLen()), make([]byte, pool.MaxLen()+1))
	require.Error(t, err)
	assert.Equal(t, 1, n)
	n, err = ea.Send([]byte("three"), []byte("four"), []byte("five"))
	require.NoError(t, err, "a full ring is no error")
	assert.Equal(t, 2, n)
	got := eb.Receive(3)
	require.Len(t, got, 3)
	assert.Equal(t, "one", string(got[0]))
	assert.Equal(t, "three", string(got[2]))
	assert.Len(t, eb.Receive(3), 1)
	assert.Nil(t, eb.Receive(3))
	require.NoError(t, ea.Close())
	require.NoError(t, eb.Close())
}

// Two goroutines, each with an end: every packet arrives once, in order, and the
// counters of both ends agree.
func TestTwoCores(t *testing.T) {
	const total = 10000
	pool, env, _ := newEnv(t, mbuf.Config{Frames: 1024})
	a, b, err := ring.NewPair(ring.Config{Size: 64}, env)
	require.NoError(t, err)
	run := func(d *ring.Device, port uint16, got *[]uint32) pmd.QueueCounters {
		local := mbuf.NewLocal()
		cache := local.Add(pool)
		q := d.Queues()[0]
		q.Bind(pmd.Binding{Local: local, Port: port})
		out, in := make([]mbuf.Frame, 32), make([]mbuf.Frame, 32)
		for sent := uint32(0); sent < total || len(*got) < total; {
			k := cache.TakeFrames(out[:min(32, total-sent)], 256, 60, pool.Meta(0))
			for i := range out[:k] {
				// The length is the number: it travels in the handle.
				out[i].Len = 60 + (sent+uint32(i))%1000
			}
			n := q.TxBurst(out[:k])
			local.Free(out[n:k])
			sent += uint32(n)
			n = q.RxBurst(in)
			if n == 0 {
				runtime.Gosched() // the other end may need this processor
			}
			for _, f := range in[:n] {
				*got = append(*got, f.Len)
			}
			local.Free(in[:n])
		}
		q.Unbind()
		local.Drain()
		return q.Counters()
	}
	var wg sync.WaitGroup
	var got [2][]uint32
	var counts [2]pmd.QueueCounters
	for i, d := range []*ring.Device{a, b} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			counts[i] = run(d, uint16(i), &got[i])
		}()
	}
	wg.Wait()
	for i := range got {
		require.Len(t, got[i], total)
		for k, l := range got[i] {
			require.Equal(t, 60+uint32(k)%1000, l)
		}
		assert.EqualValues(t, total, counts[i].TxPackets)
		assert.Equal(t, counts[i].TxBytes, counts[1-i].RxBytes)
	}
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
}

// A pair behaves as two slices of handles do.
func TestPairAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 16
		// A pool for each try: one that fails leaves frames out. A cache may
		// keep 768 frames from the other end, hence so many.
		space := mbuf.NewSpace()
		pool, err := space.NewPool(mbuf.Config{Frames: 4096, HugePages: mbuf.HugeOff})
		require.NoError(t, err)
		env := pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }}
		a, b, err := ring.NewPair(ring.Config{Size: size}, env)
		require.NoError(t, err)
		var twin [2][]uint64 // on their way to end i
		var locals [2]*mbuf.Local
		queues := [2]pmd.Queue{a.Queues()[0], b.Queues()[0]}
		for i, q := range queues {
			locals[i] = mbuf.NewLocal()
			locals[i].Add(pool)
			q.Bind(pmd.Binding{Local: locals[i], Port: uint16(i)})
		}
		led := mbuf.NewLedger(pool)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "end")
			if rapid.Bool().Draw(t, "send") {
				src := make([]mbuf.Frame, rapid.IntRange(0, 20).Draw(t, "burst"))
				require.Equal(t, len(src), locals[i].Cache(pool.ID()).TakeFrames(src, 256, 60, pool.Meta(uint16(i))))
				n := queues[i].TxBurst(src)
				require.Equal(t, min(len(src), size-len(twin[1-i])), n)
				for _, f := range src[:n] {
					twin[1-i] = append(twin[1-i], f.Addr)
				}
				locals[i].Free(src[n:])
			} else {
				dst := make([]mbuf.Frame, rapid.IntRange(0, 20).Draw(t, "burst"))
				n := queues[i].RxBurst(dst)
				require.Equal(t, min(len(dst), len(twin[i])), n)
				for k, f := range dst[:n] {
					require.Equal(t, twin[i][k], f.Addr)
					require.EqualValues(t, i, f.Meta.Port())
				}
				twin[i] = twin[i][n:]
				locals[i].Free(dst[:n])
			}
			led.Begin()
			for k := range queues {
				queues[k].Walk(led)
				locals[k].Walk(led)
			}
			acct := led.Account()
			require.True(t, acct.Balanced(), "%+v", acct)
			require.Equal(t, len(twin[0])+len(twin[1]), acct.ByOwner[mbuf.OwnerDevice])
		}
		for k := range queues {
			queues[k].Unbind()
			locals[k].Drain()
		}
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
		require.Equal(t, pool.Frames(), pool.Available())
		require.NoError(t, space.Release(pool))
	})
}

func BenchmarkRing(b *testing.B) {
	for _, burst := range []int{32, 64, 256} {
		b.Run(fmt.Sprintf("op=loop/burst=%d", burst), func(b *testing.B) {
			pool, env, _ := newEnv(b, mbuf.Config{Frames: 1024})
			dev, err := ring.NewLoop(ring.Config{}, env)
			require.NoError(b, err)
			local := mbuf.NewLocal()
			cache := local.Add(pool)
			q := dev.Queues()[0]
			q.Bind(pmd.Binding{Local: local})
			frames := make([]mbuf.Frame, burst)
			cache.TakeFrames(frames, 256, 64, pool.Meta(0))
			b.ReportAllocs()
			sent := 0
			for b.Loop() {
				sent += q.TxBurst(frames)
				q.RxBurst(frames)
			}
			ns := float64(b.Elapsed().Nanoseconds()) / float64(sent)
			b.ReportMetric(1e9/ns, "pkts/s")
			b.ReportMetric(ns, "ns/pkt")
			b.ReportMetric(0, "ns/op")
			local.Free(frames)
			q.Unbind()
			local.Drain()
			require.NoError(b, dev.Close())
		})
	}
}
