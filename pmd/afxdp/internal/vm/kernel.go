package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Series is a line of kernels of which one is tried.
type Series struct {
	// Name is what people call it: "6.1", "newest".
	Name string
	// Pin is the release that is taken if the archive has it: what uname -r says,
	// without the flavour.
	Pin string
	// pattern matches releases of the series, without the flavour.
	pattern string
}

// AllSeries returns the kernels that the driver is tried on, oldest first. It is a
// function and not a variable so that nobody can change it.
func AllSeries() []Series {
	return []Series{
		{Name: "6.1", Pin: "6.1.0-50", pattern: `6\.1\.0-\d+`},
		{Name: "6.12", Pin: "6.12.95+deb12", pattern: `6\.12\.\d+\+deb12(\.\d+)?`},
		{Name: "newest", Pin: "7.3.4+deb13", pattern: `\d+\.\d+\.\d+\+deb13(\.\d+)?`},
	}
}

// Flavours of Debian's kernels: the one for virtual machines, which is smaller, and
// the one with the drivers of all NICs.
const (
	FlavourCloud   = "cloud-amd64"
	FlavourGeneric = "amd64"
)

// Kernel is an unpacked kernel.
type Kernel struct {
	// Release is what uname -r says.
	Release string
	// Image is the file to boot.
	Image string
	// Modules is the folder of its modules.
	Modules string
	// Note tells why it is this one, if it is not the one that was asked for.
	Note string
}

// Store is the folder of kernels that were fetched. Its methods may be called from
// several processes at once: they wait for each other.
type Store struct {
	// Dir is the folder; it is made if need be.
	Dir string
	// Newest takes the newest kernel of a series although the archive has the
	// pinned one.
	Newest bool

	open func() (*archive, error)
}

// NewStore returns the store in dir, which is filled from the archive that the
// system itself is installed from.
func NewStore(dir string) *Store {
	s := &Store{Dir: dir}
	s.open = func() (*archive, error) {
		mirror, err := mirrorStanza(os.DirFS("/"))
		if err != nil {
			return nil, err
		}
		return newArchive(filepath.Join(dir, "apt"), mirror)
	}
	return s
}

// Kernel returns a kernel of the series, from the store or else from the archive.
// Errors name the step, and wrap ErrNoArchive if the machine is none whose archive
// has kernels for us.
func (s *Store) Kernel(ctx context.Context, series Series, flavour string) (*Kernel, error) {
	fail := func(step string, err error) (*Kernel, error) {
		return nil, fmt.Errorf("kernel %s (%s): %s: %w", series.Name, flavour, step, err)
	}
	unlock, err := s.lock()
	if err != nil {
		return fail("lock the store", err)
	}
	defer unlock()
	pinned := series.Pin + "-" + flavour
	if !s.Newest {
		if k, err := s.unpacked(pinned); err == nil {
			return k, nil
		}
	}
	a, err := s.open()
	if err != nil {
		return fail("archive", fmt.Errorf("%w: %w", ErrNoArchive, err))
	}
	updateErr := a.update(ctx) // one suite that fails does not matter, if it is not ours
	names, err := a.names(ctx, "linux-")
	if err != nil {
		return fail("list of packages", errors.Join(err, updateErr))
	}
	release, packages := series.choose(names, flavour, s.Newest)
	if release == "" {
		return fail("list of packages", errors.Join(errors.New("the archive has no such kernel"), updateErr))
	}
	k, err := s.unpacked(release)
	if err != nil {
		// What is there is not a kernel: make room for one.
		if err := os.RemoveAll(s.dir(release)); err != nil {
			return fail("clear "+s.dir(release), err)
		}
		if err := a.fetch(ctx, s.dir(release), packages); err != nil {
			return fail("fetch "+release, err)
		}
		if k, err = s.unpacked(release); err != nil {
			return fail("fetch "+release, err)
		}
	}
	if release != pinned && !s.Newest {
		k.Note = fmt.Sprintf("the archive does not have %s", pinned)
	}
	return k, nil
}

// ErrNoArchive is wrapped by errors of a machine that has no archive of kernels.
var ErrNoArchive = errors.New("no archive with Debian's kernels")

// dir is where a release is.
func (s *Store) dir(release string) string { return filepath.Join(s.Dir, "kernels", release) }

// lock keeps other processes out of the store.
func (s *Store) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil // which unlocks
}

// unpacked returns a release that is in the store.
func (s *Store) unpacked(release string) (*Kernel, error) {
	k := &Kernel{Release: release}
	for _, name := range []string{"boot/vmlinuz-" + release, "usr/lib/modules/" + release + "/vmlinuz", "lib/modules/" + release + "/vmlinuz"} {
		if st, err := os.Stat(filepath.Join(s.dir(release), name)); err == nil && st.Size() > 0 {
			k.Image = filepath.Join(s.dir(release), name)
		}
	}
	for _, name := range []string{"usr/lib/modules/", "lib/modules/"} {
		dir := filepath.Join(s.dir(release), name+release)
		if _, err := os.Stat(filepath.Join(dir, "kernel")); err == nil {
			k.Modules = dir
		}
	}
	if k.Image == "" || k.Modules == "" {
		return nil, fmt.Errorf("%s: no kernel with modules", s.dir(release))
	}
	return k, nil
}

// choose picks a release of the series among package names, and says what packages
// it is in: one, or since Debian 13 one for the image and one for the modules.
func (s Series) choose(names []string, flavour string, newest bool) (release string, packages []string) {
	re := regexp.MustCompile(`^linux-image-(` + s.pattern + `-` + regexp.QuoteMeta(flavour) + `)$`)
	for _, name := range names {
		m := re.FindStringSubmatch(name)
		switch {
		case m == nil:
		case !newest && m[1] == s.Pin+"-"+flavour:
			return m[1], packagesOf(names, m[1])
		case compareReleases(m[1], release) > 0:
			release = m[1]
		}
	}
	if release == "" {
		return "", nil
	}
	return release, packagesOf(names, release)
}

func packagesOf(names []string, release string) []string {
	split := []string{"linux-binary-" + release, "linux-modules-" + release}
	if slices.Contains(names, split[0]) && slices.Contains(names, split[1]) {
		return split
	}
	return []string{"linux-image-" + release}
}

var digits = regexp.MustCompile(`\d+`)

// compareReleases compares by the numbers in them.
func compareReleases(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

func numbers(release string) (out []int) {
	// The flavour has a number of its own.
	release, _, _ = strings.Cut(release, "-cloud")
	for _, d := range digits.FindAllString(strings.TrimSuffix(release, "-amd64"), -1) {
		n, _ := strconv.Atoi(d) // digits only
		out = append(out, n)
	}
	return out
}
