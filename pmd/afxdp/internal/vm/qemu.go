package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Where a QEMU is taken from that is newer than Debian 12's own.
const (
	qemuSuite   = "bookworm-backports"
	qemuPackage = "qemu-system-x86"
	qemuProgram = "usr/bin/qemu-system-x86_64"
)

// QEMU returns the command that runs a QEMU which has igb (8 or later), of the store or
// else from the archive. It is unpacked beside the system's, whose firmware and modules
// are another version's: the command tells it where its own are.
func (s *Store) QEMU(ctx context.Context) (command []string, err error) {
	fail := func(step string, err error) ([]string, error) {
		return nil, fmt.Errorf("QEMU of %s: %s: %w", qemuSuite, step, err)
	}
	unlock, err := s.lock()
	if err != nil {
		return fail("lock the store", err)
	}
	defer unlock()
	dir := filepath.Join(s.Dir, "qemu")
	if st, err := os.Stat(filepath.Join(dir, qemuProgram)); err != nil || st.Size() == 0 {
		a, err := s.open()
		if err != nil {
			return fail("archive", fmt.Errorf("%w: %w", ErrNoArchive, err))
		}
		updateErr := a.update(ctx) // one suite that fails does not matter, if it is not ours
		if err := os.RemoveAll(dir); err != nil {
			return fail("clear "+dir, err)
		}
		if err := a.fetchProgram(ctx, dir, qemuSuite, qemuPackage); err != nil {
			return fail("fetch", errors.Join(err, updateErr))
		}
		if _, err := os.Stat(filepath.Join(dir, qemuProgram)); err != nil {
			return fail("fetch", err)
		}
	}
	lib := filepath.Join(dir, "usr/lib/x86_64-linux-gnu")
	return []string{
		"env", "LD_LIBRARY_PATH=" + lib, "QEMU_MODULE_DIR=" + filepath.Join(lib, "qemu"), filepath.Join(dir, qemuProgram),
		"-L", filepath.Join(dir, "usr/share/qemu"), "-L", filepath.Join(dir, "usr/share/seabios"), "-L", filepath.Join(dir, "usr/lib/ipxe/qemu"),
	}, nil
}

var versionOf = regexp.MustCompile(`version (\d+)(\.\d+\.\d+)`)

// QEMUVersion asks a QEMU for its version.
func QEMUVersion(ctx context.Context, qemu []string) (major int, version string, err error) {
	argv := slices.Concat(qemu[1:], []string{"--version"})
	out, err := exec.CommandContext(ctx, qemu[0], argv...).CombinedOutput()
	if err != nil {
		return 0, "", fmt.Errorf("%w%s", err, lastWords(string(out), 3))
	}
	m := versionOf.FindStringSubmatch(string(out))
	if m == nil {
		return 0, "", fmt.Errorf("%s does not tell its version: %q", strings.Join(qemu, " "), out)
	}
	major, err = strconv.Atoi(m[1])
	return major, m[1] + m[2], err
}
