package pcap_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/pcap"
	"example.org/pmd/pmd/pmdtest"
)

func TestConformance(t *testing.T) {
	path := save(t, plain.encode(numbered(300, 60, 64, 1514, 700)))
	for _, c := range []struct {
		name, spec string
		source     bool
	}{
		{"replay", "pcap:loop=on,rx=" + path, true},
		{"replay of one", "pcap:loop=on,rx=" + save(t, plain.encode(numbered(1, 64))), true},
		{"rate", "pcap:loop=on,rate=100M,rx=" + path, true},
		{"rate to sleep between", "pcap:loop=on,rate=20k,rx=" + path, true},
		{"recorded", "pcap:loop=on,rate=recorded,speed=1e6,rx=" + path, true},
		{"recorded to sleep between", "pcap:loop=on,rate=recorded,speed=20,rx=" + path, true},
		{"write", "pcap:tx=", false},
		{"write with a smaller buffer", "pcap:buffer=4M,tx=", false},
		{"write compressed", "pcap:tx=gz", false},
		{"both", "pcap:loop=on,rx=" + path + ",tx=", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			writes := strings.Contains(c.spec, "tx=")
			pmdtest.TestDevice(t, pmdtest.Harness{
				Pool: mbuf.Config{Frames: 4096}, Source: c.source, Paced: strings.HasSuffix(c.name, "to sleep between"), Sink: true, Async: writes,
				Open: func(t testing.TB, env pmd.Env) pmdtest.Setup {
					spec, out := c.spec, filepath.Join(t.TempDir(), "out.pcapng")
					if writes {
						var zip bool
						spec, zip = strings.CutSuffix(spec, "gz")
						if zip {
							out += ".gz"
						}
						spec += out
					}
					dev, err := open(t, env, spec)
					require.NoError(t, err)
					s := pmdtest.Setup{Device: dev}
					if writes && !strings.HasSuffix(out, ".gz") {
						s.Collect = follow(t, out)
					}
					return s
				},
			})
		})
	}
}

// Whatever the form of the file, the bursts and the laps: what is received is what was
// recorded, in order.
func TestReplayAgainstTwin(t *testing.T) {
	dir := t.TempDir()
	all := forms()
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(all).Draw(t, "form")
		var records []record
		longest := rapid.SampledFrom([]int{100, 1792}).Draw(t, "longest")
		for i := range rapid.IntRange(1, 400).Draw(t, "packets") {
			n := rapid.IntRange(0, longest).Draw(t, "length")
			data := bytes.Repeat([]byte{byte(i)}, n)
			if n > 1 {
				data[n-1] = byte(i >> 8)
			}
			records = append(records, record{data: data, at: time.Duration(i), orig: n + i%2, flow: i % 3})
		}
		records = append(records, record{data: []byte{1}}) // one that can be replayed
		loops := rapid.IntRange(1, 3).Draw(t, "loops")
		bursts := rapid.SliceOfN(rapid.IntRange(1, 300), 1, 5).Draw(t, "bursts")
		rate := rapid.SampledFrom([]string{"flat", "500M", "recorded,speed=1e6"}).Draw(t, "rate")
		if loops > 1 && strings.HasPrefix(rate, "recorded") {
			records = append(records, record{data: []byte{2}, at: 10 * time.Millisecond})
		}
		var want [][]byte
		var cut uint64
		for range loops {
			for _, r := range records {
				if len(r.data) > 0 {
					want = append(want, r.data)
				}
			}
		}
		for _, r := range records {
			if r.orig > len(r.data) && len(r.data) > 0 {
				cut++
			}
		}
		path := filepath.Join(dir, "in.pcap")
		require.NoError(t, os.WriteFile(path, f.encode(records), 0o600))

		space := mbuf.NewSpace()
		pool, err := space.NewPool(mbuf.Config{Frames: 1024, HugePages: mbuf.HugeOff})
		require.NoError(t, err)
		host := &news{}
		env := pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }, Host: host}
		spec, err := pmd.ParseSpec(fmt.Sprintf("pcap:rx=%s,loop=%d,rate=%s", path, loops, rate))
		require.NoError(t, err)
		dev, err := pcap.Driver{}.Open(context.Background(), spec, env)
		require.NoError(t, err)
		o := &owner{Queue: dev.Queues()[0], dev: dev, local: mbuf.NewLocal()}
		o.local.Add(pool)
		o.Bind(pmd.Binding{Local: o.local, Port: 7})
		var got [][]byte
		frames := make([]mbuf.Frame, 300)
		for i, deadline := 0, time.Now().Add(10*time.Second); len(got) < len(want) && time.Now().Before(deadline); i++ {
			n := o.RxBurst(frames[:bursts[i%len(bursts)]])
			for _, f := range frames[:n] {
				assert.EqualValues(t, 7, f.Meta.Port())
				got = append(got, bytes.Clone(o.local.Bytes(f)))
				clear(o.local.Bytes(f))
			}
			o.local.Free(frames[:n])
		}
		require.Equal(t, len(want), len(got))
		for i := range want {
			require.Equal(t, want[i], got[i], "packet %d", i)
		}
		require.Zero(t, o.RxBurst(frames), "after the end")
		c := o.Counters()
		require.EqualValues(t, len(want), c.RxPackets)
		info := dev.Info()
		require.True(t, info.Up)
		require.Equal(t, "finished", info.Obtained["replay"])
		require.Equal(t, fmt.Sprint(len(want)/loops), info.Obtained["packets"])
		if cut > 0 {
			require.Equal(t, fmt.Sprint(cut), info.Obtained["cut_when_captured"])
		}
		require.NoError(t, o.close())
		require.NoError(t, space.Release(pool))
	})
}

// A capture larger than the first slabs, replayed twice.
func TestReplayLarge(t *testing.T) {
	records := numbered(20000, 60, 1514, 64, 256)
	_, env, host := newEnv(t, mbuf.Config{Frames: 1024})
	dev, err := open(t, env, "pcap:loop=2,name=big,rx="+save(t, plain.encode(records)))
	require.NoError(t, err)
	o := bind(t, dev, 1)
	got := o.receive(t, math.MaxInt, 64, 256, 1, 32)
	require.Len(t, got, 2*len(records))
	for i := range got {
		require.True(t, bytes.Equal(records[i%len(records)].data, got[i]), "packet %d", i)
	}
	require.Eventually(t, func() bool { return len(host.all()) == 1 }, 30*time.Second, time.Millisecond)
	assert.Contains(t, host.all()[0], "has finished, packets: 40000")
}

// The pool has no frame: nothing is lost of the replay.
func TestReplayWithoutFrames(t *testing.T) {
	records := numbered(1000, 60)
	pool, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	dev, err := open(t, env, "pcap:rx="+save(t, plain.encode(records)))
	require.NoError(t, err)
	o := bind(t, dev, 1)
	frames := make([]mbuf.Frame, 100)
	n := o.RxBurst(frames)
	require.Equal(t, pool.Frames(), n, "all there are")
	require.Zero(t, o.RxBurst(frames[n:]))
	o.local.Free(frames[:n])
	got := o.receive(t, 1000, 32)
	require.Len(t, got, len(records)-n)
	assert.Equal(t, records[n].data, got[0])
}

// At a rate: about as many as it says, however often one asks, and never more.
func TestRate(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{})
	dev, err := open(t, env, "pcap:loop=on,rate=50k,rx="+save(t, plain.encode(numbered(10, 60))))
	require.NoError(t, err)
	assert.Equal(t, "50000", dev.Info().Obtained["rate"])
	o := bind(t, dev, 1)
	frames := make([]mbuf.Frame, 64)
	n := 0
	receive := func() int {
		k := o.RxBurst(frames)
		o.local.Free(frames[:k])
		n += k
		return k
	}
	before := time.Now()
	receive() // the schedule begins
	start := time.Now()
	for time.Since(start) < 200*time.Millisecond {
		receive()
		runtime.Gosched()
	}
	due := time.Since(start).Seconds() * 50000
	for receive() == len(frames) { // what was due while we did not run
	}
	assert.LessOrEqual(t, float64(n), time.Since(before).Seconds()*50000+1)
	if o.Queue.(pmd.Missed).Missed()["rx_late"] == 0 {
		assert.GreaterOrEqual(t, float64(n), due)
	}
}

// At recorded times, and twice as fast.
func TestRecorded(t *testing.T) {
	records := numbered(21, 60)
	for i := range records {
		records[i].at = time.Duration(i) * 5 * time.Millisecond
	}
	records[5].at, records[6].at = records[6].at, records[5].at // not in order
	for _, speed := range []float64{1, 2} {
		_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
		dev, err := open(t, env, fmt.Sprintf("pcap:rate=recorded,speed=%g,rx=%s", speed, save(t, plain.encode(records))))
		require.NoError(t, err)
		o := bind(t, dev, 1)
		var f [8]mbuf.Frame
		start := time.Now()
		for n := 0; n < len(records); {
			k := o.RxBurst(f[:])
			at := time.Since(start) // after, so that it is never too early
			for range k {
				// The later of two that are not in order goes first.
				due := time.Duration(n) * 5 * time.Millisecond
				if n == 5 {
					due += 5 * time.Millisecond
				}
				require.GreaterOrEqual(t, at, time.Duration(float64(due)/speed), "packet %d", n)
				n++
			}
			o.local.Free(f[:k])
			require.Less(t, at, time.Minute)
			runtime.Gosched()
		}
	}
}

func TestOptionErrors(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	path := save(t, plain.encode(numbered(3, 60)))
	for _, c := range []struct{ spec, want string }{
		{"pcap:", "give rx=FILE"},
		{"pcap:rx=", "rx=: use the name of a file"},
		{"pcap:tx=", "tx=: use the name of a file"},
		{"pcap:rx=a,loop=0", "loop=0: use on, off or a number from 1 to"},
		{"pcap:rx=a,loop=x", "loop=x"},
		{"pcap:rx=a,rate=fast", "rate=fast: use recorded, flat, or packets a second"},
		{"pcap:rx=a,rate=0", "rate=0"},
		{"pcap:rx=a,rate=-5", "rate=-5"},
		{"pcap:rx=a,rate=1G", "rate=1G"},
		{"pcap:rx=a,rate=1.5", "rate=1.5"},
		{"pcap:rx=a,rate=k", "rate=k"},
		{"pcap:rx=a,rate=recorded,speed=0", "speed=0"},
		{"pcap:rx=a,rate=recorded,speed=-1", "speed=-1"},
		{"pcap:rx=a,rate=recorded,speed=NaN", "speed=NaN"},
		{"pcap:rx=a,rate=recorded,speed=1e9", "speed=1e+09"},
		{"pcap:rx=a,speed=2", "needs rate=recorded"},
		{"pcap:rx=a,max-memory=1k", "max-memory=1k: use a size from 1M"},
		{"pcap:rx=a,max-memory=0", "max-memory=0"},
		{"pcap:rx=a,max-memory=1e30", "max-memory=1e30"},
		{"pcap:rx=a,partial=some", "on or off"},
		{"pcap:rx=a,oversize=cut", "use refuse, skip"},
		{"pcap:rx=a,frame-size=1024", "frame-size=1024"},
		{"pcap:tx=a,snaplen=-1", "snaplen=-1"},
		{"pcap:tx=a,snaplen=300000", "snaplen=300000"},
		{"pcap:tx=a,buffer=100", "buffer=100"},
		{"pcap:tx=a,buffer=100000", "power of two"},
		{"pcap:rx=a,queues=2", `no option "queues"`},
		{"pcap:rx=" + path + ",tx=" + path, "are the same file"},
	} {
		_, err := open(t, env, c.spec)
		require.ErrorIs(t, err, pmd.ErrSpec, c.spec)
		assert.ErrorContains(t, err, c.want, c.spec)
		assert.NotContains(t, err.Error(), "\n", c.spec)
	}
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, plain.encode(numbered(3, 60)), b, "a capture to replay must not be overwritten")

	_, err = pcap.Driver{}.Open(context.Background(), pmd.Spec{Driver: "pcap", Interface: "eth1"}, env)
	require.ErrorIs(t, err, pmd.ErrSpec)
	_, err = pcap.New(context.Background(), pcap.Config{RX: "a", PPS: 5, Recorded: true}, env)
	require.ErrorIs(t, err, pmd.ErrSpec)
	broken := fmt.Errorf("no memory")
	_, err = pcap.New(context.Background(), pcap.Config{RX: "a"}, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return nil, broken }})
	require.ErrorIs(t, err, broken)
	assert.Equal(t, "pcap", pcap.Driver{}.Kind())
}

// Numbers with units, and what the pool is asked for.
func TestOptions(t *testing.T) {
	pool, env, _ := newEnv(t, mbuf.Config{Frames: 64, FrameSize: 4096})
	var asked pmd.Class
	env.Pool = func(c pmd.Class) (*mbuf.Pool, error) { asked = c; return pool, nil }
	path := save(t, plain.encode(numbered(3, 60, 3000)))
	dev, err := open(t, env, "pcap:name=p,loop=7,rate=1.5M,frame-size=4096,max-memory=2M,snaplen=96,buffer=128k,rx="+path+",tx="+path+".out")
	require.NoError(t, err)
	assert.Equal(t, 4096, asked.FrameSize)
	info := dev.Info()
	assert.Equal(t, map[string]string{
		"rx": path, "format": "pcap, nanoseconds, little-endian", "packets": "3", "bytes": "3120", "longest": "3000",
		"loop": "7", "rate": "1500000", "replay": "running", "tx": path + ".out", "buffer": "128k", "snaplen": "96",
	}, info.Obtained)
	assert.Equal(t, "p", info.Name)
	assert.Equal(t, 4096-256-14, info.MTU)
	assert.True(t, info.Up)
	require.NoError(t, dev.Close())
	require.NoError(t, dev.Close())
	assert.Equal(t, "closed", dev.Info().Detail)
	assert.False(t, dev.Info().Up)
}
