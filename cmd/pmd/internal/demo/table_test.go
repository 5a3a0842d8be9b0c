package demo

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update")
	assert.Equal(t, string(want), string(got))
}

// printAll writes a whole report.
func printAll(p *printer, r *Report) {
	p.header("two hosts, and pmd between them", "a1 ── a0 ┤ pmd, CPU 1 ├ b0 ── b1", r.Ports)
	for _, c := range r.Checks {
		p.check(c)
	}
	p.results(r)
	p.verdict(r, 5432*time.Millisecond, "Everything the demo made is removed.")
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	printAll(&printer{w: &b}, sample())
	golden(t, "failed.golden", b.Bytes())

	b.Reset()
	r := sample()
	r.Checks, r.Drops = r.Checks[:1], nil
	printAll(&printer{w: &b}, r)
	golden(t, "passed.golden", b.Bytes())
}

func TestTableColour(t *testing.T) {
	var plain, coloured bytes.Buffer
	printAll(&printer{w: &plain}, sample())
	printAll(&printer{w: &coloured, colour: true}, sample())
	assert.NotContains(t, plain.String(), "\x1b")
	assert.Contains(t, coloured.String(), "\x1b[32m✓\x1b[0m")
	assert.Contains(t, coloured.String(), "\x1b[31m✗\x1b[0m")
	// Colour adds nothing but colour.
	assert.Equal(t, plain.String(), regexp.MustCompile(`\x1b\[[0-9]*m`).ReplaceAllString(coloured.String(), ""))
}

// failing is a writer that breaks after some calls.
type failing struct{ left int }

func (f *failing) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errors.New("broken")
	}
	return len(b), nil
}

func TestTableKeepsWriteError(t *testing.T) {
	p := &printer{w: &failing{left: 2}}
	printAll(p, sample())
	assert.EqualError(t, p.err, "broken")
}

func TestKeepLines(t *testing.T) {
	assert.Equal(t, "\n  Look at it from another terminal; Ctrl-C ends it and removes everything:\n\n    one\n    two\n",
		keepLines([]string{"one", "two"}))
}

func TestSelf(t *testing.T) {
	const installed = "/usr/local/bin/pmd"
	for name, c := range map[string]struct {
		path, inPath, want string
		err                error
	}{
		"in PATH":       {installed, installed, "pmd", nil},
		"another there": {"/home/me/bin/pmd", installed, "/home/me/bin/pmd", nil},
		"go run":        {"/tmp/go-build123/b001/exe/pmd", "", "go run ./cmd/pmd", nil},
		"go run cached": {"/root/.cache/go-build/ab/abc-d/pmd", "", "go run ./cmd/pmd", nil},
		"unknown":       {"", "", "pmd", errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			got := self(
				func() (string, error) { return c.path, c.err },
				func(string) (string, error) {
					if c.inPath == "" {
						return "", os.ErrNotExist
					}
					return c.inPath, nil
				})
			assert.Equal(t, c.want, got)
		})
	}
}
