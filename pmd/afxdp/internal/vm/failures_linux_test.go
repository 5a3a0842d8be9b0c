package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// smallDisk returns a folder on a file system of that many bytes.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skip("a small disk cannot be mounted: ", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// fill takes all the room there is.
func fill(t *testing.T, dir string) {
	t.Helper()
	require.ErrorIs(t, os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 4<<20), 0o644), unix.ENOSPC)
}

// makeDeb makes a package with one file of that many bytes.
func makeDeb(t *testing.T, dir, name string, bytes int) {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("no dpkg-deb: ", err)
	}
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "DEBIAN"), 0o755))
	control := "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "DEBIAN/control"), []byte(control), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(root, "data"), make([]byte, bytes), 0o644))
	_, err := command(t.Context(), root, "dpkg-deb", "--root-owner-group", "--build", root, filepath.Join(dir, name))
	require.NoError(t, err)
}

// The package tools themselves: a package that is damaged, and one for which there is no
// room. The error names package and reason, and nothing half unpacked is left.
func TestUnpackInTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*testing.T, string)
		disk  int
		want  string
	}{
		"good": {func(*testing.T, string) {}, 4 << 20, ""},
		// tar's words: some of it went to the disk, and then no more.
		"full disk": {func(*testing.T, string) {}, 64 << 10, "tar: ./data: "},
		"cut off": {func(t *testing.T, deb string) {
			st, err := os.Stat(deb)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(deb, st.Size()/2))
		}, 4 << 20, "dpkg"},
		"garbage": {func(t *testing.T, deb string) {
			require.NoError(t, os.WriteFile(deb, []byte("<html>404 Not Found</html>\n"), 0o644))
		}, 4 << 20, "dpkg-deb: error"},
	} {
		t.Run(name, func(t *testing.T) {
			debs, disk := t.TempDir(), smallDisk(t, c.disk)
			makeDeb(t, debs, "kernel.deb", 1<<20)
			c.spoil(t, filepath.Join(debs, "kernel.deb"))
			a, err := newArchive(t.TempDir(), stanza{"types": "deb"})
			require.NoError(t, err)
			err = a.unpack(t.Context(), debs, filepath.Join(disk, "kernels", "6.1"))
			left, _ := filepath.Glob(filepath.Join(disk, "kernels", "*"))
			hidden, _ := filepath.Glob(filepath.Join(disk, "kernels", ".*"))
			if c.want == "" {
				require.NoError(t, err)
				require.Len(t, left, 1)
				return
			}
			require.ErrorContains(t, err, "unpack kernel.deb")
			require.ErrorContains(t, err, c.want)
			require.Empty(t, append(left, hidden...))
		})
	}
}

// An initramfs for which there is no room is an error that says so, and no file.
func TestInitramfsOnFullDisk(t *testing.T) {
	disk, dir := smallDisk(t, 256<<10), t.TempDir()
	program := filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(program, make([]byte, 1<<20), 0o755))
	modules := writeModules(t, map[string]string{"veth.ko": ""})
	_, err := (&Kernel{Release: "6.1", Modules: modules}).Initramfs(disk, program)
	require.ErrorContains(t, err, "kernel 6.1: initramfs")
	require.ErrorIs(t, err, unix.ENOSPC)
	left, _ := filepath.Glob(filepath.Join(disk, "*"))
	require.Empty(t, left)
}

// Logs for which there is no room: QEMU goes on without them, so the guest seems to end
// without a result. The error says why.
func TestLogsOnFullDisk(t *testing.T) {
	m := machine(t, fake{})
	m.Logs = smallDisk(t, 64<<10)
	fill(t, m.Logs)
	_, _, err := m.Run(t.Context())
	require.ErrorContains(t, err, "the disk of "+m.Logs+" is full")
	var e *Error
	require.ErrorAs(t, err, &e)
}

// What guests do at their worst, each for real: the error names the step, the log is kept, and
// QEMU, the taps and their namespace are gone.
func TestGuestInTrouble(t *testing.T) {
	s := newSetting(t)
	series := AllSeries()
	k, err := s.store.Kernel(t.Context(), series[len(series)-1], FlavourCloud)
	if err != nil {
		skipOrFail(t, "%v", err)
	}
	dir := t.TempDir()
	program, err := BuildGuest(t.Context(), dir)
	require.NoError(t, err)
	good, err := k.Initramfs(dir, program)
	require.NoError(t, err)
	noModules, noProgram := filepath.Join(dir, "no-modules"), filepath.Join(dir, "no-program")
	require.NoError(t, writeInitramfs(noModules, program, nil))
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte("no program"), 0o755))
	require.NoError(t, writeInitramfs(noProgram, text, nil))

	for name, c := range map[string]struct {
		initramfs string
		kernel    []string // further arguments
		qemu      []string
		step      string
		want      string // in the error
		log       string // in the log
	}{
		"hangs":            {good, nil, []string{"-S"}, "boot", "it hangs: ended after 3s", ""},
		"panics":           {noProgram, nil, nil, "kernel", "Kernel panic", "Kernel panic"},
		"prints garbage":   {good, []string{"console=ttyS1"}, nil, "results", "line 1 of the results is garbage", ""},
		"has not AF_XDP":   {good, []string{"initcall_blacklist=xsk_init"}, nil, "tests", "failed: TestModeAuto", "EAFNOSUPPORT"},
		"has not a driver": {noModules, nil, nil, "tests", "failed: TestModeAuto", "the kernel lacks its driver"},
		"QEMU refuses":     {good, nil, []string{"-no-such-option"}, "QEMU", "no-such-option", ""},
	} {
		var ns string
		t.Run(name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			m := Machine{
				Name: "trouble", QEMU: slices.Concat(s.qemu, []string{"-pidfile", pidFile}, c.qemu), Kernel: k.Image, Initramfs: c.initramfs,
				Args: []string{"-test.v", "-test.run=TestModeAuto"}, KernelArgs: c.kernel, Logs: t.TempDir(), Limit: 2 * time.Minute,
			}
			if name == "hangs" {
				m.Limit = 3 * time.Second
			}
			nics, where := tapCardsIn(t, "virtio-net-pci", virtio, 2)
			m.NICs, ns = nics, where.Path()
			_, err := m.once(t.Context(), filepath.Join(m.Logs, "trouble"))
			var e *Error
			require.ErrorAs(t, err, &e)
			t.Log(err)
			require.Equal(t, c.step, e.Step, "%v", err)
			require.ErrorContains(t, err, c.want)
			log, err := os.ReadFile(e.Log)
			require.NoError(t, err, "the log is kept")
			require.Contains(t, string(log), c.log)
			text, err := os.ReadFile(pidFile)
			if errors.Is(err, os.ErrNotExist) {
				return // QEMU takes it away at a good end, or had none
			}
			require.NoError(t, err)
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			require.NoError(t, err)
			require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "QEMU is gone")
		})
		if strings.HasPrefix(ns, "/run/netns/") { // else it was a descriptor's name
			require.NoFileExists(t, ns, "and the taps' namespace")
		}
	}
}
