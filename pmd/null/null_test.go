package null_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/pmdtest"
)

// newEnv returns a pool in a space of its own and an environment that hands it
// out. The pool must be whole again when the test ends.
func newEnv(t testing.TB, cfg mbuf.Config) (*mbuf.Pool, pmd.Env) {
	space := mbuf.NewSpace()
	pool, err := space.NewPool(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, space.Release(pool), "a frame leaked") })
	return pool, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }}
}

func open(t testing.TB, env pmd.Env, text string) (pmd.Device, error) {
	spec, err := pmd.ParseSpec(text)
	require.NoError(t, err)
	return null.Driver{}.Open(context.Background(), spec, env)
}

// owner is a goroutine's side of the first queue of a device.
type owner struct {
	pmd.Queue
	local *mbuf.Local
}

func bind(t testing.TB, dev pmd.Device, port uint16) *owner {
	o := &owner{dev.Queues()[0], mbuf.NewLocal()}
	o.local.Add(o.Pool())
	o.Bind(pmd.Binding{Local: o.local, Port: port})
	t.Cleanup(func() {
		o.Unbind()
		o.local.Drain()
		require.NoError(t, dev.Close())
	})
	return o
}

func TestConformance(t *testing.T) {
	for _, spec := range []string{"null:", "null:queues=2", "null:copy=on,size=1514,queues=3", "null:rx=off"} {
		t.Run(spec, func(t *testing.T) {
			pmdtest.TestDevice(t, pmdtest.Harness{
				Pool:   mbuf.Config{Frames: 4096},
				Source: !strings.Contains(spec, "rx=off"), Sink: true,
				Open: func(t testing.TB, env pmd.Env) pmdtest.Setup {
					dev, err := open(t, env, spec)
					require.NoError(t, err)
					return pmdtest.Setup{Device: dev}
				},
			})
		})
	}
}

// onesSum adds 16-bit words as RFC 1071 says, without carrying until the end: a
// second way to the same figure.
func onesSum(parts ...[]byte) uint16 {
	var s uint64
	for _, p := range parts {
		for i, b := range p {
			s += uint64(b) << (8 * uint(1-i%2))
		}
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

func TestUDPTemplate(t *testing.T) {
	for _, size := range []int{60, 61, 64, 65, 128, 1514, 1792} {
		_, env := newEnv(t, mbuf.Config{Frames: 64})
		dev, err := null.New(null.Config{Size: size}, env)
		require.NoError(t, err)
		o := bind(t, dev, 5)
		var f [1]mbuf.Frame
		require.Equal(t, 1, o.RxBurst(f[:]))
		b := o.local.Bytes(f[0])
		require.Len(t, b, size)
		assert.Equal(t, byte(0x02), b[0], "destination: locally administered unicast")
		assert.Equal(t, dev.Info().MAC, net.HardwareAddr(b[6:12]), "source")
		ip, udp := b[14:], b[34:]
		assert.EqualValues(t, 0x0800, binary.BigEndian.Uint16(b[12:]))
		assert.EqualValues(t, len(ip), binary.BigEndian.Uint16(ip[2:]), "IPv4 total length")
		assert.EqualValues(t, len(udp), binary.BigEndian.Uint16(udp[4:]), "UDP length")
		assert.EqualValues(t, 0xffff, onesSum(ip[:20]), "IPv4 header checksum, size %d", size)
		pseudo := []byte{0, 17, udp[4], udp[5]}
		assert.EqualValues(t, 0xffff, onesSum(ip[12:20], pseudo, udp), "UDP checksum, size %d", size)
		assert.Equal(t, 1, o.TxBurst(f[:]))
	}
}

func TestContent(t *testing.T) {
	for _, c := range []struct {
		opt  string
		size int
		want []byte
	}{
		{"content=zero", 64, nil},
		{"content=c0ffee", 64, []byte{0xc0, 0xff, 0xee}},
		{"content=" + strings.Repeat("a5", 70), 70, slices.Repeat([]byte{0xa5}, 70)},
		{"content=01,size=100", 100, []byte{1}},
	} {
		for _, copyOn := range []string{"off", "on"} {
			t.Run(fmt.Sprintf("%.20s/copy=%s", c.opt, copyOn), func(t *testing.T) {
				_, env := newEnv(t, mbuf.Config{Frames: 256})
				dev, err := open(t, env, "null:"+c.opt+",copy="+copyOn)
				require.NoError(t, err)
				o := bind(t, dev, 5)
				want := make([]byte, c.size)
				copy(want, c.want)
				frames := make([]mbuf.Frame, 100)
				for round := range 3 {
					n := o.RxBurst(frames)
					require.Equal(t, 100, n)
					for _, f := range frames {
						b := o.local.Bytes(f)
						if round > 0 && copyOn == "off" {
							require.Equal(t, byte(0x77), b[0], "frames keep the bytes they have")
						} else {
							require.Equal(t, want, b)
						}
						b[0] = 0x77
					}
					require.Equal(t, n, o.TxBurst(frames))
				}
			})
		}
	}
}

// A pool with a frame out is left alone.
func TestNoStampWhileFramesAreOut(t *testing.T) {
	pool, env := newEnv(t, mbuf.Config{Frames: 64})
	cache := mbuf.NewCache(pool)
	var out [1]uint64
	require.Equal(t, 1, cache.Take(out[:]))
	dev, err := null.New(null.Config{Content: []byte{0xee}}, env)
	require.NoError(t, err)
	for _, b := range pool.Mem() {
		require.Zero(t, b)
	}
	cache.Put(out[:])
	cache.Drain()
	require.NoError(t, dev.Close())
}

func TestOptions(t *testing.T) {
	_, env := newEnv(t, mbuf.Config{Frames: 64})
	dev, err := open(t, env, "null:name=sink,rx=off,size=100,queues=4")
	require.NoError(t, err)
	info := dev.Info()
	assert.Equal(t, "sink", info.Name)
	assert.Equal(t, "null", info.Driver)
	assert.Equal(t, 1792-14, info.MTU)
	assert.Equal(t, "off", info.Obtained["rx"])
	assert.Len(t, dev.Queues(), 4)
	o := bind(t, dev, 1)
	var f [4]mbuf.Frame
	assert.Zero(t, o.RxBurst(f[:]), "rx=off")

	full, err := open(t, env, "null:tx=off")
	require.NoError(t, err)
	o = bind(t, full, 1)
	require.Equal(t, 4, o.RxBurst(f[:]))
	assert.Zero(t, o.TxBurst(f[:]), "tx=off")
	o.local.Free(f[:])
	assert.NotEqual(t, info.MAC, full.Info().MAC)
	assert.Equal(t, "null", null.Driver{}.Kind())
}

func TestOpenErrors(t *testing.T) {
	_, env := newEnv(t, mbuf.Config{Frames: 64})
	for _, c := range []struct{ spec, want string }{
		{"null:size=59", "from 60 to"},
		{"null:size=2000", "use 60 to 1792"},
		{"null:size=x", "size=x"},
		{"null:queues=0", "from 1 to 64"},
		{"null:queues=65", "from 1 to 64"},
		{"null:content=", "hex digits"},
		{"null:content=abc", "hex digits"},
		{"null:content=xyz", "hex digits"},
		{"null:size=60,content=" + strings.Repeat("00", 61), "does not fit"},
		{"null:copy=maybe", "on or off"},
		{"null:speed=9", `no option "speed"`},
	} {
		_, err := open(t, env, c.spec)
		require.ErrorIs(t, err, pmd.ErrSpec, c.spec)
		assert.ErrorContains(t, err, c.want, c.spec)
		assert.NotContains(t, err.Error(), "\n", c.spec)
	}
	_, err := null.Driver{}.Open(context.Background(), pmd.Spec{Driver: "null", Interface: "eth1"}, env)
	require.ErrorIs(t, err, pmd.ErrSpec)
	_, err = null.New(null.Config{Queues: -1}, env)
	require.ErrorIs(t, err, pmd.ErrSpec)
	broken := fmt.Errorf("no memory")
	_, err = null.New(null.Config{}, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return nil, broken }})
	require.ErrorIs(t, err, broken)
}

// Inspect sees what is sent, invalid frames left out, while the port owns it.
func TestInspect(t *testing.T) {
	pool, env := newEnv(t, mbuf.Config{Frames: 256})
	var seen []uint64
	var bytes int
	dev, err := null.New(null.Config{Inspect: func(frames []mbuf.Frame, mem mbuf.Mem) {
		for _, f := range frames {
			seen = append(seen, f.Addr)
			bytes += len(mem.Bytes(f))
		}
	}}, env)
	require.NoError(t, err)
	o := bind(t, dev, 5)
	frames := make([]mbuf.Frame, 9)
	require.Equal(t, 9, o.RxBurst(frames))
	var want []uint64
	for i := range frames {
		if i == 4 {
			frames[i].Len = 0
			continue
		}
		want = append(want, frames[i].Addr)
	}
	require.Equal(t, 9, o.TxBurst(frames))
	assert.Equal(t, want, seen)
	c := o.Counters()
	assert.EqualValues(t, bytes, c.TxBytes)
	assert.EqualValues(t, 8, c.TxPackets)
	assert.EqualValues(t, 1, c.Drops[pmd.ReasonTxInvalid])
	assert.EqualValues(t, 9, c.RxPackets)
	assert.EqualValues(t, 9*64, c.RxBytes)
	o.local.Drain()
	assert.Equal(t, pool.Frames(), pool.Available())
}

func ExampleNew() {
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: 1024})
	if err != nil {
		fmt.Println(err)
		return
	}
	env := pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }}
	port, err := null.New(null.Config{Name: "source", Size: 128}, env)
	if err != nil {
		fmt.Println(err)
		return
	}
	local := mbuf.NewLocal()
	local.Add(pool)
	q := port.Queues()[0]
	q.Bind(pmd.Binding{Local: local, Port: 1})

	var burst [32]mbuf.Frame
	n := q.RxBurst(burst[:])
	sent := q.TxBurst(burst[:n])
	c := q.Counters()
	fmt.Printf("%s: %d frames in, %d out, %d bytes\n", port.Info().Name, n, sent, c.TxBytes)
	// Output: source: 32 frames in, 32 out, 4096 bytes
}
