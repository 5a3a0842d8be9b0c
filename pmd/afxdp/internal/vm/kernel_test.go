package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChoose(t *testing.T) {
	names := []string{
		"linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-50-cloud-amd64", "linux-image-6.1.0-50-amd64", "linux-image-6.1.0-51-cloud-amd64",
		"linux-image-6.1.0-60-rt-amd64", "linux-image-6.1.0-51-cloud-amd64-dbg",
		"linux-image-6.12.95+deb12-cloud-amd64", "linux-image-6.12.100+deb12.1-cloud-amd64",
		"linux-image-7.3.4+deb13-cloud-amd64", "linux-image-7.10.1+deb13-cloud-amd64",
		"linux-binary-7.10.1+deb13-cloud-amd64", "linux-modules-7.10.1+deb13-cloud-amd64", "linux-binary-7.3.4+deb13-cloud-amd64",
	}
	all := AllSeries()
	for _, c := range []struct {
		series  int
		flavour string
		newest  bool
		want    string
		in      []string
	}{
		{0, FlavourCloud, false, "6.1.0-50-cloud-amd64", []string{"linux-image-6.1.0-50-cloud-amd64"}},
		{0, FlavourCloud, true, "6.1.0-51-cloud-amd64", []string{"linux-image-6.1.0-51-cloud-amd64"}},
		{0, FlavourGeneric, true, "6.1.0-50-amd64", []string{"linux-image-6.1.0-50-amd64"}},
		{1, FlavourCloud, true, "6.12.100+deb12.1-cloud-amd64", []string{"linux-image-6.12.100+deb12.1-cloud-amd64"}},
		{1, FlavourGeneric, true, "", nil},
		{2, FlavourCloud, true, "7.10.1+deb13-cloud-amd64", []string{"linux-binary-7.10.1+deb13-cloud-amd64", "linux-modules-7.10.1+deb13-cloud-amd64"}},
		{2, FlavourCloud, false, "7.3.4+deb13-cloud-amd64", []string{"linux-image-7.3.4+deb13-cloud-amd64"}},
	} {
		release, in := all[c.series].choose(names, c.flavour, c.newest)
		require.Equal(t, c.want, release)
		require.Equal(t, c.in, in)
	}
	// Without the pinned one, the newest.
	release, _ := all[0].choose(slices.DeleteFunc(names, func(n string) bool { return strings.Contains(n, "6.1.0-50") }), FlavourCloud, false)
	require.Equal(t, "6.1.0-51-cloud-amd64", release)
}

// fakeArchive plays the package tools: it has one kernel.
type fakeArchive struct {
	names    []string
	calls    []string
	update   error
	download error
	unpack   error
	contents []string // files of a package
}

func (f *fakeArchive) store(t *testing.T) *Store {
	s := NewStore(t.TempDir())
	s.open = func() (*archive, error) {
		a, err := newArchive(filepath.Join(s.Dir, "apt"), stanza{"types": "deb"})
		a.run = f.run
		return a, err
	}
	return s
}

func (f *fakeArchive) run(_ context.Context, dir, name string, args ...string) (string, error) {
	switch {
	case name == "apt-get" && slices.Contains(args, "update"):
		f.calls = append(f.calls, "update")
		return "", f.update
	case name == "apt-cache":
		f.calls = append(f.calls, "names")
		return strings.Join(f.names, "\n"), nil
	case name == "apt-get" && slices.Contains(args, "install"):
		f.calls = append(f.calls, "install")
		if !slices.Contains(args, "--download-only") || !slices.Contains(args, "Dir::Cache::Archives="+dir) {
			return "", errors.New("that would touch the system")
		}
		if f.download != nil {
			return "", f.download
		}
		return "", os.WriteFile(filepath.Join(dir, args[len(args)-1]+".deb"), []byte("deb"), 0o644)
	case name == "apt-get" && slices.Contains(args, "download"):
		f.calls = append(f.calls, "download")
		if f.download != nil {
			return "", f.download
		}
		return "", os.WriteFile(filepath.Join(dir, args[len(args)-1]+".deb"), []byte("deb"), 0o644)
	case name == "dpkg":
		f.calls = append(f.calls, "unpack")
		for _, c := range f.contents {
			file := filepath.Join(args[2], c)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return "", err
			}
			if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
				return "", err
			}
		}
		return "", f.unpack
	}
	return "", errors.New("unexpected: " + name)
}

const release61 = "6.1.0-50-cloud-amd64"

func goodArchive() *fakeArchive {
	return &fakeArchive{
		names:    []string{"linux-image-" + release61},
		contents: []string{"boot/vmlinuz-" + release61, "lib/modules/" + release61 + "/kernel/net/x.ko"},
	}
}

func TestKernel(t *testing.T) {
	f := goodArchive()
	s := f.store(t)
	k, err := s.Kernel(t.Context(), AllSeries()[0], FlavourCloud)
	require.NoError(t, err)
	require.Equal(t, release61, k.Release)
	require.Empty(t, k.Note)
	require.FileExists(t, k.Image)
	require.DirExists(t, k.Modules)
	require.Equal(t, []string{"update", "names", "download", "unpack"}, f.calls)
	_, err = s.Kernel(t.Context(), AllSeries()[0], FlavourCloud)
	require.NoError(t, err)
	require.Len(t, f.calls, 4, "the second time it is there")
	// Half of it is gone: it is fetched again.
	require.NoError(t, os.Remove(k.Image))
	_, err = s.Kernel(t.Context(), AllSeries()[0], FlavourCloud)
	require.NoError(t, err)
	require.Equal(t, []string{"update", "names", "download", "unpack"}, f.calls[4:])
}

func TestKernelOtherThanPinned(t *testing.T) {
	f := goodArchive()
	const other = "6.1.0-77-cloud-amd64"
	f.names = []string{"linux-image-" + other}
	f.contents = []string{"boot/vmlinuz-" + other, "lib/modules/" + other + "/kernel/net/x.ko"}
	f.update = errors.New("one suite has gone") // which was not ours
	k, err := f.store(t).Kernel(t.Context(), AllSeries()[0], FlavourCloud)
	require.NoError(t, err)
	require.Equal(t, other, k.Release)
	require.Contains(t, k.Note, release61, "it is told that the pinned one is not there")
}

func TestKernelFailures(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*fakeArchive)
		want  []string
	}{
		"damaged download": {
			func(f *fakeArchive) { f.download = errors.New("apt-get: exit status 100: Hash Sum mismatch") },
			[]string{"fetch " + release61, "download linux-image-" + release61, "Hash Sum mismatch"},
		},
		"full disk": {
			func(f *fakeArchive) { f.unpack = errors.New("dpkg: No space left on device") },
			[]string{"fetch " + release61, "unpack linux-image-" + release61, "No space left"},
		},
		"no such kernel, and no lists": {
			func(f *fakeArchive) { f.names, f.update = nil, errors.New("could not resolve the mirror") },
			[]string{"list of packages", "no such kernel", "could not resolve"},
		},
		"a package without a kernel": {
			func(f *fakeArchive) { f.contents = f.contents[1:] },
			[]string{"fetch " + release61, "no kernel with modules"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := goodArchive()
			c.spoil(f)
			s := f.store(t)
			_, err := s.Kernel(t.Context(), AllSeries()[0], FlavourCloud)
			require.Error(t, err)
			for _, want := range append(c.want, "kernel 6.1 (cloud-amd64)") {
				require.ErrorContains(t, err, want)
			}
			left, _ := filepath.Glob(filepath.Join(s.Dir, "*", "*-*"))
			hidden, _ := filepath.Glob(filepath.Join(s.Dir, "*", ".*"))
			if name != "a package without a kernel" {
				require.Empty(t, append(left, hidden...), "nothing half done is left")
			}
		})
	}
}

func TestQEMU(t *testing.T) {
	f := &fakeArchive{contents: []string{qemuProgram, "usr/share/seabios/bios.bin"}}
	s := f.store(t)
	command, err := s.QEMU(t.Context())
	require.NoError(t, err)
	line := strings.Join(command, " ")
	own := filepath.Join(s.Dir, "qemu")
	require.Contains(t, line, " "+filepath.Join(own, qemuProgram)+" ")
	require.Contains(t, line, "-L "+filepath.Join(own, "usr/share/seabios"), "it takes its own firmware")
	require.Contains(t, line, "QEMU_MODULE_DIR="+own, "and modules")
	require.Equal(t, []string{"update", "install", "unpack"}, f.calls)
	_, err = s.QEMU(t.Context())
	require.NoError(t, err)
	require.Len(t, f.calls, 3, "the second time it is there")

	for name, c := range map[string]struct {
		spoil func(*fakeArchive)
		want  string
	}{
		"damaged download":     {func(f *fakeArchive) { f.download = errors.New("Hash Sum mismatch") }, "download qemu-system-x86 of bookworm-backports: Hash Sum"},
		"full disk":            {func(f *fakeArchive) { f.unpack = errors.New("No space left on device") }, "unpack qemu-system-x86.deb: No space left"},
		"a package without it": {func(f *fakeArchive) { f.contents = f.contents[1:] }, "no such file"},
		"no such package":      {func(f *fakeArchive) { f.update, f.download = errors.New("could not resolve"), errors.New("no package") }, "could not resolve"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeArchive{contents: []string{qemuProgram, "x"}}
			c.spoil(f)
			_, err := f.store(t).QEMU(t.Context())
			require.ErrorContains(t, err, "QEMU of bookworm-backports: fetch: ")
			require.ErrorContains(t, err, c.want)
		})
	}
	s = NewStore(t.TempDir())
	s.open = func() (*archive, error) { return nil, errors.New("the system is another") }
	_, err = s.QEMU(t.Context())
	require.ErrorIs(t, err, ErrNoArchive)
}

func TestQEMUVersion(t *testing.T) {
	major, version, err := QEMUVersion(t.Context(), []string{"echo", "QEMU emulator version 10.0.2 (Debian)"})
	require.NoError(t, err)
	require.Equal(t, 10, major)
	require.Equal(t, "10.0.2", version)
	_, _, err = QEMUVersion(t.Context(), []string{"echo", "hello"})
	require.ErrorContains(t, err, "does not tell its version")
	_, _, err = QEMUVersion(t.Context(), []string{"sh", "-c", "echo libx.so: no such file >&2; exit 127"})
	require.ErrorContains(t, err, "libx.so")
}

func TestNoArchive(t *testing.T) {
	s := NewStore(t.TempDir())
	s.open = func() (*archive, error) { return nil, errors.New("the system is another") }
	_, err := s.Kernel(t.Context(), AllSeries()[0], FlavourCloud)
	require.ErrorIs(t, err, ErrNoArchive)
	require.ErrorContains(t, err, "the system is another")
}

func TestCommand(t *testing.T) {
	out, err := command(t.Context(), t.TempDir(), "sh", "-c", "echo $LC_ALL; echo one >&2; echo two >&2; exit 3")
	require.Equal(t, "C\n", out)
	require.EqualError(t, err, "sh: exit status 3: one | two")
}
