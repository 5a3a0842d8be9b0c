package dataplane_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A program of another module brings its own stage and its own driver. It is
// built in a directory of its own, without a network.
func TestEmbedding(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool: ", err)
	}
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "embed"))))
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o644))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := func(name string, args ...string) string {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOPROXY=off", "GOFLAGS=-mod=mod -buildvcs=false")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s %v: %s", name, args, &stderr)
		return string(out)
	}
	run(goTool, "mod", "edit", "-replace", "example.org/pmd="+root)
	program := filepath.Join(dir, "embed.bin")
	run(goTool, "build", "-o", program, ".")

	text := run(program)
	require.Equal(t, 1, strings.Count(text, "\n"), "nothing is printed but the report: %s", text)
	var got struct {
		Received, Sent, Checksum uint64
		Workers                  int
		Balanced                 bool
		Drops                    map[string]uint64
	}
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	require.Equal(t, 2, got.Workers)
	require.Equal(t, uint64(800), got.Received)
	require.Equal(t, uint64(720), got.Sent)
	require.Equal(t, map[string]uint64{"tenth": 80}, got.Drops)
	require.True(t, got.Balanced)
	// Of 0 to 499 and of 0 to 299 all that do not end in 9.
	want := uint64(0)
	for _, n := range []uint64{500, 300} {
		for i := range n {
			if i%10 != 9 {
				want += i
			}
		}
	}
	require.Equal(t, want, got.Checksum)
}
