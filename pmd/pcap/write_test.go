package pcap_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// follow returns a function that reads what was written since the last call. It knows
// blocks by their lengths only.
func follow(t testing.TB, path string) func() [][]byte {
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	var buf []byte
	return func() (out [][]byte) {
		more, err := io.ReadAll(f)
		require.NoError(t, err)
		buf = append(buf, more...)
		le := binary.LittleEndian
		for len(buf) >= 8 {
			n := int(le.Uint32(buf[4:]))
			if n > len(buf) {
				break
			}
			if le.Uint32(buf) == 6 {
				out = append(out, bytes.Clone(buf[28:28+le.Uint32(buf[20:])]))
			}
			buf = buf[n:]
		}
		return out
	}
}

// written is what a reader of other people finds in a file.
type written struct {
	data  []byte
	orig  int
	at    time.Time
	iface string
}

// readBack reads a pcapng file with gopacket.
func readBack(t require.TestingT, path string) (out []written) {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	require.Equal(t, layers.LinkTypeEthernet, r.LinkType())
	for {
		data, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err, "packet %d", len(out)+1)
		iface, err := r.Interface(ci.InterfaceIndex)
		require.NoError(t, err)
		require.EqualValues(t, 9, iface.TimestampResolution)
		out = append(out, written{data, ci.Length, ci.Timestamp, iface.Name})
	}
}

// fill takes frames and writes these packets into them.
func (o *owner) fill(packets ...[]byte) []mbuf.Frame {
	pool := o.Pool()
	frames := make([]mbuf.Frame, len(packets))
	n := o.local.Cache(pool.ID()).TakeFrames(frames, uint32(pool.DataOffset()), 0, pool.Meta(1))
	for i := range frames[:n] {
		frames[i].Len = uint32(len(packets[i]))
		copy(o.local.Bytes(frames[i]), packets[i])
	}
	return frames[:n]
}

// send sends all of the packets, waiting for room.
func (o *owner) send(t require.TestingT, packets ...[]byte) {
	for deadline := time.Now().Add(10 * time.Second); len(packets) > 0; {
		frames := o.fill(packets[:min(len(packets), 64)]...)
		n := o.TxBurst(frames)
		o.local.Free(frames[n:])
		packets = packets[n:]
		require.True(t, time.Now().Before(deadline), "the file takes nothing more")
		if n < len(frames) {
			runtime.Gosched()
		}
	}
}

// What is sent is in the file once the port is closed, with times between those
// around the call and the name of the port, whatever the sizes, the snap length, the
// buffer and the compression.
func TestWriteAgainstTwin(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(dir, rapid.SampledFrom([]string{"out.pcapng", "out.pcapng.gz"}).Draw(rt, "file"))
		snap := rapid.SampledFrom([]int{0, 1, 60, 61, 1500}).Draw(rt, "snaplen")
		buffer := rapid.SampledFrom([]string{"64k", "16M"}).Draw(rt, "buffer")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 1792), 0, 300).Draw(rt, "sizes")
		packets := make([][]byte, len(sizes))
		for i, n := range sizes {
			packets[i] = bytes.Repeat([]byte{byte(i), byte(n)}, n)[:n]
		}
		space := mbuf.NewSpace()
		pool, err := space.NewPool(mbuf.Config{Frames: 1024, HugePages: mbuf.HugeOff})
		require.NoError(rt, err)
		env := pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }, Host: &news{}}
		dev, err := open(t, env, fmt.Sprintf("pcap:name=port7,tx=%s,snaplen=%d,buffer=%s", path, snap, buffer))
		require.NoError(rt, err)
		o := &owner{Queue: dev.Queues()[0], dev: dev, local: mbuf.NewLocal()}
		o.local.Add(pool)
		o.Bind(pmd.Binding{Local: o.local})
		before := time.Now()
		o.send(rt, packets...)
		after := time.Now()
		require.NoError(rt, o.close())
		c := o.Counters()
		require.EqualValues(rt, len(packets), c.TxPackets)
		require.Zero(rt, c.InFlight)
		got := readBack(rt, path)
		require.Len(rt, got, len(packets))
		for i, p := range packets {
			want := p
			if snap != 0 {
				want = p[:min(len(p), snap)]
			}
			require.Equal(rt, want, got[i].data, "packet %d", i)
			require.Equal(rt, len(p), got[i].orig)
			require.Equal(rt, "port7", got[i].iface)
			require.False(rt, got[i].at.Before(before.Round(0)) || got[i].at.After(after.Round(0)), "time of packet %d: %v", i, got[i].at)
		}
		require.NoError(rt, space.Release(pool))
	})
}

// A pipe that nobody reads from: the buffer fills up, the port takes no more, and
// what it took is written once somebody reads.
func TestSlowDisk(t *testing.T) {
	pool, env, _ := newEnv(t, mbuf.Config{Frames: 1024})
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	_, err := open(t, env, "pcap:tx="+path)
	require.ErrorContains(t, err, "nobody reads this pipe")
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	defer reader.Close()
	dev, err := open(t, env, "pcap:buffer=64k,tx="+path)
	require.NoError(t, err)
	o := bind(t, dev, 1)
	taken := 0
	packet := bytes.Repeat([]byte{0x5a}, 1000)
	full := 0
	for deadline := time.Now().Add(10 * time.Second); full < 100 && time.Now().Before(deadline); {
		frames := o.fill(packet, packet, packet, packet)
		n := o.TxBurst(frames)
		o.local.Free(frames[n:])
		if taken += n; n < len(frames) {
			full++
			time.Sleep(100 * time.Microsecond)
		} else {
			full = 0
		}
	}
	require.Equal(t, 100, full, "never full after %d frames", taken)
	c := o.Counters()
	assert.EqualValues(t, taken, c.TxPackets+c.InFlight)
	assert.Greater(t, c.InFlight, uint64(50))
	o.local.Drain()
	assert.Equal(t, pool.Frames(), pool.Available(), "a frame is held while its bytes wait")

	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(reader)
		got <- b
	}()
	require.NoError(t, o.close())
	file := save(t, <-got)
	require.Len(t, readBack(t, file), taken)
	assert.EqualValues(t, taken, o.Counters().TxPackets)
}

// Nobody reads any more: Close does not wait for ever, and says so.
func TestCloseWithDeadReader(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 1024})
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	defer reader.Close()
	dev, err := open(t, env, "pcap:buffer=64k,tx="+path)
	require.NoError(t, err)
	o := bind(t, dev, 1)
	packet := make([]byte, 1500)
	for range 400 {
		frames := o.fill(packet)
		o.local.Free(frames[o.TxBurst(frames):])
		time.Sleep(10 * time.Microsecond)
	}
	start := time.Now()
	require.ErrorContains(t, o.close(), "timeout")
	t.Logf("given up after %v", time.Since(start))
	c := o.Counters()
	assert.NotZero(t, c.Drops[pmd.ReasonTxLost])
	assert.Zero(t, c.InFlight)
}

func TestOutputErrors(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	dir := t.TempDir()
	_, err := open(t, env, "pcap:tx="+dir)
	require.ErrorContains(t, err, dir)
	_, err = open(t, env, "pcap:tx="+filepath.Join(dir, "no", "out"))
	require.ErrorContains(t, err, "no such file or directory")
	require.NotErrorIs(t, err, pmd.ErrSpec)

	path := filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("old "), 1000), 0o600))
	a, err := open(t, env, "pcap:tx="+path)
	require.NoError(t, err)
	_, err = open(t, env, "pcap:name=other,tx="+path)
	require.ErrorContains(t, err, "another port or process writes it")
	require.NoError(t, a.Close())
	assert.Empty(t, readBack(t, path), "what was there before is gone, and no packet came")
	b, err := open(t, env, "pcap:tx="+path)
	require.NoError(t, err, "the lock goes with the port")
	require.NoError(t, b.Close())
	c, err := open(t, env, "pcap:tx=/dev/null")
	require.NoError(t, err)
	o := bind(t, c, 1)
	o.send(t, make([]byte, 60))
	require.NoError(t, o.close())
	assert.EqualValues(t, 1, o.Counters().TxPackets)
}

// Wireshark's own tools read what we write.
func TestTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark on PATH (Debian: apt-get install tshark)")
	}
	_, env, _ := newEnv(t, mbuf.Config{Frames: 1024})
	for _, name := range []string{"out.pcapng", "out.pcapng.gz"} {
		path := filepath.Join(t.TempDir(), name)
		dev, err := open(t, env, "pcap:name=wan0,snaplen=100,tx="+path)
		require.NoError(t, err)
		o := bind(t, dev, 1)
		var want strings.Builder
		for i := range 20 {
			p := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, byte(i), 0x88, 0xb5}, make([]byte, 50+i*5)...)
			o.send(t, p)
			fmt.Fprintf(&want, "%d\t%d\twan0\t02:00:00:00:00:%02x\n", len(p), min(len(p), 100), i)
		}
		require.NoError(t, o.close())
		out, err := exec.Command(tshark, "-r", path, "-T", "fields",
			"-e", "frame.len", "-e", "frame.cap_len", "-e", "frame.interface_name", "-e", "eth.src").Output()
		require.NoError(t, err)
		assert.Equal(t, want.String(), string(out))
	}
	capinfos, err := exec.LookPath("capinfos")
	if err != nil {
		return
	}
	path := filepath.Join(t.TempDir(), "empty.pcapng")
	dev, err := open(t, env, "pcap:tx="+path)
	require.NoError(t, err)
	require.NoError(t, dev.Close())
	out, err := exec.Command(capinfos, path).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Regexp(t, `File timestamp precision: +nanoseconds \(9\)`, string(out))
	assert.Regexp(t, `Number of packets: +0`, string(out))
	assert.Contains(t, string(out), "Capture application: pmd")
}

// A compressed file is one that gzip's own checks accept.
func TestGzipIsWhole(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	path := filepath.Join(t.TempDir(), "out.gz")
	dev, err := open(t, env, "pcap:tx="+path)
	require.NoError(t, err)
	o := bind(t, dev, 1)
	o.send(t, make([]byte, 1000))
	require.NoError(t, o.close())
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, z)
	require.NoError(t, err)
}
