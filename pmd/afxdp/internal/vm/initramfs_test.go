package vm

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"
)

// elfWith makes an ELF file whose one section of interest is .modinfo.
func elfWith(modinfo string) []byte {
	names := "\x00.shstrtab\x00.modinfo\x00"
	const header, entry = 64, 64
	at := uint64(header)
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	put := func(fields ...any) {
		for _, f := range fields {
			_ = binary.Write(&b, binary.LittleEndian, f) // to memory
		}
	}
	shoff := at + uint64(len(names)+len(modinfo))
	// Relocatable, x86-64, version 1, no entry, no program headers.
	put(uint16(1), uint16(62), uint32(1), uint64(0), uint64(0), shoff, uint32(0), uint16(header), uint16(0), uint16(0), uint16(entry), uint16(3), uint16(1))
	b.WriteString(names)
	b.WriteString(modinfo)
	section := func(name uint32, kind uint32, offset, size uint64) {
		put(name, kind, uint64(0), uint64(0), offset, size, uint32(0), uint32(0), uint64(1), uint64(0))
	}
	section(0, 0, 0, 0)
	section(1, 3, at, uint64(len(names)))
	section(11, 1, at+uint64(len(names)), uint64(len(modinfo)))
	return b.Bytes()
}

// writeModules makes a folder of modules by name and what they depend on.
func writeModules(t *testing.T, depends map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, list := range depends {
		data := elfWith("license=GPL\x00depends=" + list + "\x00name=x\x00")
		if filepath.Ext(name) == ".xz" {
			var b bytes.Buffer
			w, err := xz.NewWriter(&b)
			require.NoError(t, err)
			_, err = w.Write(data)
			require.NoError(t, err)
			require.NoError(t, w.Close())
			data = b.Bytes()
		}
		file := filepath.Join(dir, "kernel", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, data, 0o644))
	}
	return dir
}

func namesOf(modules []module) (out []string) {
	for _, m := range modules {
		out = append(out, m.name)
	}
	return out
}

func TestLoadModules(t *testing.T) {
	dir := writeModules(t, map[string]string{
		"net/virtio_net.ko.xz":  "net_failover,virtio_ring",
		"net/net-failover.ko":   "failover",
		"net/failover.ko.xz":    "",
		"virtio/virtio_ring.ko": "",
		"net/veth.ko":           "",
		"net/other.ko":          "missing_one",
	})
	m, err := loadModules(dir, []string{"virtio-net", "veth", "virtio_ring", "built_in"})
	require.NoError(t, err)
	require.Equal(t, []string{"failover", "net_failover", "virtio_ring", "virtio_net", "veth"}, namesOf(m))
	for _, m := range m {
		require.Equal(t, "\x7fELF", string(m.data[:4]), "%s is plain", m.name)
	}
	m, err = loadModules(dir, []string{"other"})
	require.NoError(t, err, "what has no file is built in")
	require.Equal(t, []string{"other"}, namesOf(m))
}

func TestLoadModulesFailures(t *testing.T) {
	dir := writeModules(t, map[string]string{"a.ko": "b", "b.ko": "c", "c.ko": "a", "d.ko.zst": "", "e.ko.xz": ""})
	_, err := loadModules(dir, []string{"a"})
	require.ErrorContains(t, err, "depends on itself")
	_, err = loadModules(dir, []string{"d"})
	require.ErrorContains(t, err, "module d: d.ko.zst: neither plain nor xz")
	for _, damage := range []string{"", "garbage that is long enough to be something"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "kernel/e.ko.xz"), []byte(damage), 0o644))
		_, err = loadModules(dir, []string{"e"})
		require.ErrorContains(t, err, "module e")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "kernel/b.ko"), []byte(damage), 0o644))
		_, err = loadModules(dir, []string{"a"})
		require.ErrorContains(t, err, "module b")
	}
	_, err = loadModules(filepath.Join(dir, "nowhere"), []string{"a"})
	require.ErrorContains(t, err, "modules")
}

func FuzzDependencies(f *testing.F) {
	f.Add(elfWith("depends=a,b\x00"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = dependencies(data) })
}

// cpioEntry is one file of an archive.
type cpioEntry struct {
	name             string
	mode, maj, minor int
	data             []byte
}

// readCpio is the naive reader.
func readCpio(t *testing.T, b []byte) (out []cpioEntry) {
	t.Helper()
	field := func(at, i int) int {
		n, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32)
		require.NoError(t, err)
		return int(n)
	}
	up := func(n int) int { return (n + 3) / 4 * 4 }
	for at := 0; ; {
		require.Equal(t, "070701", string(b[at:at+6]), "an entry at %d", at)
		e := cpioEntry{mode: field(at, 1), maj: field(at, 9), minor: field(at, 10)}
		name := b[at+110 : at+110+field(at, 11)]
		require.Zero(t, name[len(name)-1])
		e.name = string(name[:len(name)-1])
		start := up(at + 110 + len(name))
		e.data = b[start : start+field(at, 6)]
		at = up(start + len(e.data))
		if e.name == "TRAILER!!!" {
			require.Len(t, b, at, "nothing follows the end")
			return out
		}
		out = append(out, e)
	}
}

func TestInitramfs(t *testing.T) {
	dir := t.TempDir()
	program, file := filepath.Join(dir, "program"), filepath.Join(dir, "initramfs")
	require.NoError(t, os.WriteFile(program, []byte("the program"), 0o644))
	require.NoError(t, writeInitramfs(file, program, []module{{"b", []byte("12345")}, {"a", nil}}))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	got := map[string]cpioEntry{}
	for _, e := range readCpio(t, b) {
		got[e.name] = e
	}
	require.Equal(t, cpioEntry{"init", modeFile, 0, 0, []byte("the program")}, got["init"])
	require.Equal(t, []byte("12345"), got["modules/000-b.ko"].data)
	require.Contains(t, got, "modules/001-a.ko")
	require.Equal(t, modeDir, got["proc"].mode)
	require.Equal(t, cpioEntry{"dev/console", modeChar, 5, 1, []byte{}}, got["dev/console"])
}

func TestInitramfsFailures(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	require.ErrorIs(t, writeInitramfs(filepath.Join(dir, "x"), program, nil), os.ErrNotExist)
	require.NoError(t, os.WriteFile(program, make([]byte, 4<<20), 0o644))
	require.ErrorIs(t, writeInitramfs(filepath.Join(dir, "no/such/folder"), program, nil), os.ErrNotExist)
	if _, err := os.Stat("/dev/full"); err == nil {
		require.ErrorContains(t, writeInitramfs("/dev/full", program, nil), "no space left")
	}
}
