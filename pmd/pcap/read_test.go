package pcap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

var (
	le    = binary.LittleEndian
	ngBE  = form{name: "pcapng/us/be", order: binary.BigEndian, ng: true}
	ngLE  = form{name: "pcapng/ns/le", order: binary.LittleEndian, ng: true, nano: true}
	three = numbered(3, 60)
)

// patched returns b with these bytes at an offset.
func patched(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

func TestFileErrors(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	classic, ng := plain.encode(three), ngLE.encode(three)
	sll := numbered(3, 60)
	sll[0].link = 113
	wifi := numbered(3, 60)
	wifi[1].link = 105
	ngBlocks := ngLE.block(ngLE.sectionHead(nil, []uint16{1}), 6, make([]byte, 20))
	for _, c := range []struct {
		name  string
		file  []byte
		opts  string
		wants []string
	}{
		{"empty", nil, "", []string{"the file is empty"}},
		{"three bytes", classic[:3], "", []string{"has only 3 bytes"}},
		{"text", []byte("interface,packets\n"), "", []string{"is not a capture file: it begins with 696e7465"}},
		{"zeros", make([]byte, 1000), "", []string{"begins with 00000000"}},
		{"part of a header", classic[:20], "", []string{"ends within the header of the capture"}},
		{"header only", classic[:24], "", []string{"has no packet (it is a pcap, nanoseconds, little-endian file with a header only)"}},
		{"other version", patched(classic, 4, 3), "", []string{"version 3"}},
		{"zstd", []byte("\x28\xb5\x2f\xfd....."), "", []string{"zstd -d"}},
		{"lz4", []byte("\x04\x22\x4d\x18....."), "", []string{"lz4 -d"}},
		{"xz", []byte("\xfd7zXZ\x00....."), "", []string{"xz -d"}},
		{"bzip2", []byte("BZh9....."), "", []string{"bzip2 -d"}},
		{"zip", []byte("PK\x03\x04....."), "", []string{"unzip"}},
		{"snoop", []byte("snoop\x00\x00\x00\x00\x00\x00\x02"), "", []string{"editcap -F pcapng"}},
		{"kuznetzov", patched(classic, 0, 0x34, 0xcd, 0xb2, 0xa1), "", []string{"longer record headers", "editcap"}},
		{"gzip of nothing", zipped(nil), "", []string{"has only 0 bytes (uncompressed)"}},
		{"gzip twice", zipped(zipped(classic)), "", []string{"compressed with gzip twice"}},
		{"gzip cut in its header", zipped(classic)[:5], "", []string{"gzip header"}},
		{"gzip cut", zipped(plain.encode(numbered(2000, 60)))[:2000], "", []string{"(uncompressed)", "the file ends within it", "partial=on"}},
		{"gzip changed", patched(zipped(classic), len(zipped(classic))-8, 1, 2, 3), "", []string{"checksum", "partial=on"}},
		{"cut in a packet", classic[:len(classic)-1], "", []string{"packet 3 at byte 176: the file ends within it", "partial=on to replay the 2 packets before"}},
		{"cut in a record header", classic[:24+76+76+7], "", []string{"packet 3 at byte 176"}},
		{"cut behind a record header", classic[:24+76+76+16], "", []string{"packet 3 at byte 176"}},
		{"a length beyond reason", patched(classic, 24+76+8, 0xff, 0xff, 0xff, 0xff), "", []string{"packet 2 at byte 100"}},
		{"cooked capture", plain.encode(sll), "", []string{"packet 1 at byte 24 is of link type LINUX_SLL (113): only Ethernet"}},
		{"mixed pcapng", ngBE.encode(wifi), "", []string{"packet 2 at byte", "IEEE802_11 (105)"}},
		{"unknown link type", patched(classic, 20, 147), "", []string{"is of link type 147"}},
		{"pcapng without an interface", ngLE.block(ngLE.sectionHead(nil, nil), 6, make([]byte, 20)), "", []string{"packet 1 at byte 28"}},
		{"pcapng with a wrong order mark", patched(ng, 8, 1, 1, 1, 1), "", []string{"byte order"}},
		{"pcapng of version 2", patched(ng, 12, 2), "", []string{"Version"}},
		{"pcapng cut", ng[:len(ng)-50], "", []string{"packet 3 at byte", "the file ends within it"}},
		{"pcapng block of length 0", patched(ngBlocks, len(ngBlocks)-28, 0, 0, 0, 0), "", []string{"packet 1 at byte"}},
		{"longer than a frame", plain.encode(numbered(3, 60, 1793)), "", []string{"packet 2 at byte 100 has 1793 bytes, a frame of the pool holds 1792", "frame-size=4096", "oversize=skip"}},
		{"nothing but long", plain.encode(numbered(3, 2000)), ",oversize=skip", []string{"no packet of it can be replayed: 3 longer than 1792 bytes, 0 empty"}},
		{"nothing but empty", plain.encode(numbered(3, 0)), "", []string{"no packet of it", "3 empty"}},
		{"larger than may be", plain.encode(numbered(800, 1500)), ",max-memory=1M", []string{"has 1.2M, more than max-memory=1M", "editcap"}},
		{"needs more than may be", plain.encode(numbered(40000, 1)), ",max-memory=1M", []string{"needs more memory than max-memory=1M"}},
		{"gzip that grows", zipped(plain.encode(numbered(800, 1500))), ",max-memory=1M", []string{"max-memory=1M"}},
		{"nothing but empty in gzip", zipped(plain.encode(numbered(1100, 0))), ",partial=on", []string{"no packet of it", "1100 empty"}},
		{"no times", ngLE.block(ngLE.sectionHead(nil, []uint16{1}), 3, append(le.AppendUint32(nil, 60), make([]byte, 60)...)), ",rate=recorded", []string{"have no times"}},
		{"one time", plain.encode(numbered(1, 60)), ",rate=recorded,loop=on", []string{"all its packets have one time"}},
		{"damaged at once", classic[:30], ",partial=on", []string{"packet 1 at byte 24"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := save(t, c.file)
			_, err := open(t, env, "pcap:name=p,rx="+path+c.opts)
			require.Error(t, err)
			assert.NotErrorIs(t, err, pmd.ErrSpec)
			assert.ErrorContains(t, err, "pcap p: rx=: "+path)
			for _, w := range c.wants {
				assert.ErrorContains(t, err, w)
			}
			assert.NotContains(t, err.Error(), "\n")
			assert.Less(t, len(err.Error()), 600)
		})
	}
	dir := t.TempDir()
	_, err := open(t, env, "pcap:rx="+dir)
	require.ErrorContains(t, err, "is a directory")
	_, err = open(t, env, "pcap:rx="+filepath.Join(dir, "no.pcap"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "no.pcap")
	_, err = open(t, env, "pcap:rx=/dev/zero")
	require.ErrorContains(t, err, "is not a capture file")
	if os.Geteuid() != 0 {
		path := save(t, classic)
		require.NoError(t, os.Chmod(path, 0))
		_, err = open(t, env, "pcap:rx="+path)
		require.ErrorIs(t, err, os.ErrPermission)
	}
}

// A sparse file is refused by its size, before a byte is read or memory taken.
func TestSparseFile(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	path := save(t, plain.encode(three))
	require.NoError(t, os.Truncate(path, 64<<30))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := open(t, env, "pcap:rx="+path)
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, err, "has 64G, more than max-memory=1G")
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

// Opening ends when it is told to.
func TestCancelledOpen(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	spec, err := pmd.ParseSpec("pcap:rx=" + save(t, plain.encode(numbered(10000, 60))))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = openSpec(ctx, spec, env)
	require.ErrorIs(t, err, context.Canceled)
}

// partial=on and oversize=skip replay the rest, and Info says what is missing.
func TestLeftOut(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	whole := plain.encode(numbered(10, 60, 3000))
	dev, err := open(t, env, "pcap:partial=on,oversize=skip,rx="+save(t, whole[:len(whole)-1]))
	require.NoError(t, err)
	o := bind(t, dev, 1)
	got := o.receive(t, 100, 32)
	require.Len(t, got, 5)
	for i, p := range got {
		assert.Equal(t, numbered(10, 60, 3000)[2*i].data, p)
	}
	obtained := dev.Info().Obtained
	assert.Equal(t, "4", obtained["oversize_skipped"])
	assert.Contains(t, obtained["damage"], "packet 10 at byte")
	assert.Equal(t, "5", obtained["packets"])
}

// Packets of a Simple Packet Block have no time, and no more bytes than the interface
// was told to keep.
func TestSimplePackets(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	file := ngLE.sectionHead(nil, []uint16{1})
	for i := range 5 {
		file = ngLE.block(file, 3, append(le.AppendUint32(nil, 60), bytes.Repeat([]byte{byte(i)}, 60)...))
	}
	dev, err := open(t, env, "pcap:rx="+save(t, file))
	require.NoError(t, err)
	got := bind(t, dev, 1).receive(t, 100, 32)
	require.Len(t, got, 5)
	assert.Equal(t, bytes.Repeat([]byte{4}, 60), got[4])
}

// A section that describes interfaces without end is refused before they take memory.
func TestManyInterfaces(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	file := ngLE.sectionHead(nil, make([]uint16, 1<<18))
	_, err := open(t, env, "pcap:rx="+save(t, file))
	require.ErrorContains(t, err, "more than 65536 interfaces")
}

// Whatever the bytes: an error that names the file, or a capture that can be replayed
// within its memory; never a panic.
func FuzzOpen(f *testing.F) {
	for _, fm := range forms() {
		f.Add(fm.encode(three), uint8(0))
	}
	f.Add(ngBE.encode(numbered(20, 0, 1, 2000)), uint8(3))
	f.Add(plain.encode(numbered(20, 0, 1, 2000))[:500], uint8(7))
	f.Add(patched(plain.encode(three), 24+8, 0xff, 0xff, 0xff, 0x7f), uint8(1))
	f.Add([]byte{}, uint8(0))
	_, env, _ := newEnv(f, mbuf.Config{Frames: 256, HugePages: mbuf.HugeOff})
	f.Fuzz(func(t *testing.T, file []byte, how uint8) {
		path := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		opts := ",max-memory=1M"
		if how&1 != 0 {
			opts += ",partial=on"
		}
		if how&2 != 0 {
			opts += ",oversize=skip"
		}
		if how&4 != 0 {
			opts += ",rate=recorded,speed=1e6"
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		dev, err := open(t, env, "pcap:rx="+path+opts)
		runtime.ReadMemStats(&after)
		// What is allocated on the way is not all alive at once: some times the limit.
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "memory to open %d bytes", len(file))
		if err != nil {
			require.ErrorContains(t, err, path)
			require.NotContains(t, strings.ReplaceAll(err.Error(), path, ""), "\n")
			return
		}
		o := bind(t, dev, 1)
		frames := make([]mbuf.Frame, 64)
		total := 0
		for range 10000 {
			n := o.RxBurst(frames)
			for _, f := range frames[:n] {
				require.NotEmpty(t, o.local.Bytes(f))
			}
			o.local.Free(frames[:n])
			if total += n; dev.Info().Obtained["replay"] == "finished" {
				break
			}
		}
		if how&4 == 0 {
			require.Equal(t, "finished", dev.Info().Obtained["replay"])
			require.Positive(t, total)
		}
	})
}
