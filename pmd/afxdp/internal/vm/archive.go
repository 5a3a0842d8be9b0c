package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// stanza is one source of packages in the form of sources.list(5): its fields by
// their names in lower case.
type stanza map[string]string

// suites are where Debian's kernels are: its oldest supported one, and those of
// its backports.
const suites = "bookworm bookworm-backports trixie-backports"

// mirrorStanza finds where the system itself gets Debian's packages and returns
// that source with suites in the place of its own. root is the system's root.
func mirrorStanza(root fs.FS) (stanza, error) {
	release, err := fs.ReadFile(root, "etc/os-release")
	if err != nil {
		return nil, err
	}
	os := map[string]string{}
	for line := range strings.Lines(string(release)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		os[key] = strings.Trim(value, `"`)
	}
	if os["ID"] != "debian" {
		return nil, fmt.Errorf("the system is %s: the kernels are taken from a Debian system's own archive", os["ID"])
	}
	files, err := fs.Glob(root, "etc/apt/sources.list.d/*")
	if err != nil {
		return nil, err
	}
	for _, name := range append([]string{"etc/apt/sources.list"}, files...) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			continue
		}
		var found []stanza
		switch {
		case strings.HasSuffix(name, ".sources"):
			found = parseStanzas(string(text))
		case strings.HasSuffix(name, ".list"):
			found = parseLines(string(text))
		}
		for _, s := range found {
			if has(s["types"], "deb") && has(s["suites"], os["VERSION_CODENAME"]) && has(s["components"], "main") && s["enabled"] != "no" {
				s["types"], s["suites"], s["components"] = "deb", suites, "main"
				return s, nil
			}
		}
	}
	return nil, fmt.Errorf("no source of %s main under /etc/apt", os["VERSION_CODENAME"])
}

// has reports whether a list of words has this one.
func has(list, word string) bool { return slices.Contains(strings.Fields(list), word) }

// parseStanzas reads the form of *.sources files (deb822).
func parseStanzas(text string) (out []stanza) {
	s, last := stanza{}, ""
	for line := range strings.Lines(text + "\n\n") {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			if len(s) > 0 {
				out = append(out, s)
			}
			s, last = stanza{}, ""
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				s[last] += "\n" + line
			}
		default:
			key, value, ok := strings.Cut(line, ":")
			if ok {
				last = strings.ToLower(strings.TrimSpace(key))
				s[last] = strings.TrimSpace(value)
			}
		}
	}
	return out
}

// parseLines reads the form of *.list files: deb [option=value …] uri suite component….
func parseLines(text string) (out []stanza) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "deb" {
			continue
		}
		s := stanza{"types": "deb"}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				continue
			}
			for option := range strings.FieldsSeq(options) {
				key, value, _ := strings.Cut(option, "=")
				if key == "arch" {
					key = "architectures"
				}
				s[strings.ToLower(key)] = strings.ReplaceAll(value, ",", " ")
			}
			rest = after
		}
		f := strings.Fields(rest)
		if len(f) < 3 {
			continue
		}
		s["uris"], s["suites"], s["components"] = f[0], f[1], strings.Join(f[2:], " ")
		out = append(out, s)
	}
	return out
}

// String writes the stanza as a *.sources file has it.
func (s stanza) String() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s: %s\n", key, s[key])
	}
	return b.String()
}

// archive is the package tools with a configuration of their own: its own sources
// and state, so that nothing of the system's is changed.
type archive struct {
	dir string // all of its state
	run func(ctx context.Context, dir, name string, args ...string) (string, error)
}

// newArchive writes the configuration for a mirror into dir.
func newArchive(dir string, mirror stanza) (*archive, error) {
	a := &archive{dir: dir, run: command}
	for _, d := range []string{"sources", "lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	return a, os.WriteFile(filepath.Join(dir, "sources/debian.sources"), []byte(mirror.String()), 0o644)
}

// tool runs one of the package tools in folder cwd.
func (a *archive) tool(ctx context.Context, cwd, name string, args ...string) (string, error) {
	options := []string{
		"-q",
		"-o", "Dir::Etc::SourceList=/dev/null",
		"-o", "Dir::Etc::SourceParts=" + filepath.Join(a.dir, "sources"),
		"-o", "Dir::State=" + a.dir,
		"-o", "Dir::State::Lists=" + filepath.Join(a.dir, "lists"),
		"-o", "Dir::State::Status=/var/lib/dpkg/status",
		"-o", "Dir::Cache=" + filepath.Join(a.dir, "cache"),
		// Names and versions are all that is needed of the lists.
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"-o", "Acquire::Retries=2",
		"-o", "Acquire::http::Timeout=30",
	}
	if os.Geteuid() == 0 {
		// The sandbox's user may not be able to write here.
		options = append(options, "-o", "APT::Sandbox::User=root")
	}
	return a.run(ctx, cwd, name, append(options, args...)...)
}

// update fetches the lists of packages.
func (a *archive) update(ctx context.Context) error {
	_, err := a.tool(ctx, a.dir, "apt-get", "update")
	return err
}

// names returns the names of all packages that begin with prefix.
func (a *archive) names(ctx context.Context, prefix string) ([]string, error) {
	out, err := a.tool(ctx, a.dir, "apt-cache", "pkgnames", prefix)
	return strings.Fields(out), err
}

// fetch downloads packages, checked by the tools, and unpacks them into dir.
func (a *archive) fetch(ctx context.Context, dir string, packages []string) error {
	// apt-get download writes into the folder it is run in.
	debs, err := os.MkdirTemp(a.dir, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(debs)
	if _, err := a.tool(ctx, debs, "apt-get", append([]string{"download"}, packages...)...); err != nil {
		return fmt.Errorf("download %s: %w", strings.Join(packages, " "), err)
	}
	return a.unpack(ctx, debs, dir)
}

// fetchProgram is fetch for a program of a suite: of what it depends on, what the system
// does not have comes along.
func (a *archive) fetchProgram(ctx context.Context, dir, suite, name string) error {
	debs, err := os.MkdirTemp(a.dir, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(debs)
	if err := os.Mkdir(filepath.Join(debs, "partial"), 0o755); err != nil {
		return err
	}
	// Nothing is installed, so the system's package database need not be locked.
	_, err = a.tool(ctx, debs, "apt-get", "-o", "Debug::NoLocking=1", "-o", "Dir::Cache::Archives="+debs,
		"-t", suite, "--no-install-recommends", "--download-only", "-y", "install", name)
	if err != nil {
		return fmt.Errorf("download %s of %s: %w", name, suite, err)
	}
	return a.unpack(ctx, debs, dir)
}

// unpack unpacks every package in a folder into dir, which appears only when all
// of it is there.
func (a *archive) unpack(ctx context.Context, debs, dir string) error {
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil || len(files) == 0 {
		return errors.Join(errors.New("unpack: no package was downloaded"), err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for _, f := range files {
		if _, err := a.run(ctx, a.dir, "dpkg", "-x", f, tmp); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(f), err)
		}
	}
	return os.Rename(tmp, dir)
}

// command runs a program and returns what it printed. An error ends with the last
// lines it had to say.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	return commandEnv(ctx, dir, []string{"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}, name, args...)
}

// commandEnv is command with these variables in its environment.
func commandEnv(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w%s", name, errors.Join(context.Cause(ctx), err), lastWords(stderr.String(), 5))
	}
	return stdout.String(), nil
}

// lastWords returns the last n lines of a text that are not empty, for an error.
func lastWords(text string, n int) string {
	var lines []string
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return ": " + strings.Join(lines[max(0, len(lines)-n):], " | ")
}
