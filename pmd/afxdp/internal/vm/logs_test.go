package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each run has a folder of its own, and the oldest go.
func TestNewLogs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	first, err := NewLogs(dir)
	require.NoError(t, err)
	second, err := NewLogs(dir)
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	require.Equal(t, dir, filepath.Dir(first))
	old := time.Now().Add(-time.Hour)
	for i := range keptLogs {
		name := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, os.MkdirAll(filepath.Join(name, "some"), 0o755))
		require.NoError(t, os.Chtimes(name, old, old.Add(time.Duration(i)*time.Second)))
	}
	third, err := NewLogs(dir)
	require.NoError(t, err)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, keptLogs)
	for _, d := range []string{first, second, third, filepath.Join(dir, "3")} {
		require.DirExists(t, d)
	}
	require.NoDirExists(t, filepath.Join(dir, "2"))

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = NewLogs(file)
	require.Error(t, err)
}
