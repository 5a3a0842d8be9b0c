package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Revision is one of the two that are compared.
type Revision struct {
	// Name is what it was called: a revision as git knows it, or WorkingTree.
	Name string `json:"name"`
	// Commit is the abbreviated commit, with "+" if it is the working tree and that has
	// changes, and Subject the first line of its message.
	Commit  string `json:"commit"`
	Subject string `json:"subject"`

	// tree is the hash of its content.
	tree string
}

// WorkingTree names the files as they are in the checkout, committed or not, without
// those that git ignores.
const WorkingTree = "working tree"

// ErrSource is wrapped by errors about the revisions: one that does not exist, does not
// build, or does not know a scenario.
var ErrSource = errors.New("cannot be compared")

// workshop is where snapshots are taken and built: a temporary folder. Nothing is written
// into the checkout or its repository.
type workshop struct {
	dir string // of all that is made
	top string // of the checkout
	env []string
}

// openWorkshop makes one for the checkout that dir is in.
func openWorkshop(ctx context.Context, dir string) (w *workshop, err error) {
	w = &workshop{top: dir}
	top, err := w.git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, fmt.Errorf("gate: %w: %s is not in a git checkout of this project: %w", ErrSource, dir, err)
	}
	objects, err := w.git(ctx, "rev-parse", "--path-format=absolute", "--git-path", "objects")
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	w.top = top
	if w.dir, err = os.MkdirTemp("", "pmd-gate-"); err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	own := filepath.Join(w.dir, "objects")
	if err := errors.Join(os.Mkdir(own, 0o700), os.Mkdir(w.bin(), 0o700)); err != nil {
		return nil, fmt.Errorf("gate: %w", errors.Join(err, w.close()))
	}
	// An index and a store of objects of its own: the repository's are only read.
	w.env = []string{
		"GIT_INDEX_FILE=" + filepath.Join(w.dir, "index"), "GIT_OBJECT_DIRECTORY=" + own, "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + objects,
	}
	return w, nil
}

// close removes all that was made.
func (w *workshop) close() error { return os.RemoveAll(w.dir) }

func (w *workshop) bin() string { return filepath.Join(w.dir, "bin") }

// git runs a command of git in the checkout and returns the line it prints.
func (w *workshop) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", w.top}, args...)...)
	cmd.Env = append(os.Environ(), w.env...)
	return output(cmd)
}

// output runs a command that prints a line, and makes its complaint part of the error.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, brief(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// brief is the begin of a longer complaint, in one line.
func brief(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > 6 {
		lines = append(lines[:6], "…")
	}
	return strings.Join(lines, "; ")
}

// find looks a revision up.
func (w *workshop) find(ctx context.Context, name string) (r Revision, err error) {
	r.Name = name
	commit := name
	if name == WorkingTree {
		commit = "HEAD"
	}
	line, err := w.git(ctx, "log", "-1", "--format=%h%x00%T%x00%s", "--end-of-options", commit+"^{commit}", "--")
	if err != nil {
		return r, fmt.Errorf("gate: %w: revision %q is not in this repository (a shallow clone has few: git fetch --deepen): %w", ErrSource, name, err)
	}
	f := strings.SplitN(line, "\x00", 3)
	r.Commit, r.tree, r.Subject = f[0], f[1], f[2]
	if name != WorkingTree {
		return r, nil
	}
	for _, args := range [][]string{{"read-tree", "HEAD"}, {"add", "--all", "--", ":/"}} {
		if _, err := w.git(ctx, args...); err != nil {
			return r, fmt.Errorf("gate: snapshot of the working tree: %w", err)
		}
	}
	tree, err := w.git(ctx, "write-tree")
	if err != nil {
		return r, fmt.Errorf("gate: snapshot of the working tree: %w", err)
	}
	if tree != r.tree {
		r.Commit, r.tree = r.Commit+"+", tree
	}
	return r, nil
}

// build builds the program of a revision, linked in several layouts, numbered from the
// first. The returned programs are in the order of the layouts.
func (w *workshop) build(ctx context.Context, r Revision, first, layouts int) (programs []string, err error) {
	// The same folder for every revision: paths are part of a program.
	src := filepath.Join(w.dir, "src")
	if err := os.RemoveAll(src); err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	for _, args := range [][]string{{"read-tree", r.tree}, {"checkout-index", "--all", "--prefix=" + src + "/"}} {
		if _, err := w.git(ctx, args...); err != nil {
			return nil, fmt.Errorf("gate: snapshot of %s: %w", r.Name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(src, "cmd", "pmd")); err != nil {
		return nil, fmt.Errorf("gate: %w: %s (%s) has no cmd/pmd", ErrSource, r.Name, r.Commit)
	}
	for i := range layouts {
		program := filepath.Join(w.bin(), fmt.Sprintf("%s.%d", r.tree, first+i))
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false",
			fmt.Sprintf("-ldflags=-s -w -randlayout=%d", first+i), "-o", program, "./cmd/pmd")
		cmd.Dir = src
		cmd.Env = append(os.Environ(), "GOWORK=off")
		group(cmd)
		if _, err := output(cmd); err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("gate: %w", ctx.Err())
			}
			return nil, fmt.Errorf("gate: %w: %s (%s) does not build: %w", ErrSource, r.Name, r.Commit, err)
		}
		programs = append(programs, program)
	}
	return programs, nil
}

// same tells whether two files have the same content.
func same(a, b string) (bool, error) {
	var sums [2][]byte
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			return false, fmt.Errorf("gate: %w", err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return false, fmt.Errorf("gate: %w", err)
		}
		sums[i] = h.Sum(nil)
	}
	return bytes.Equal(sums[0], sums[1]), nil
}
