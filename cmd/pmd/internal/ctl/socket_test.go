package ctl

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/usage"
)

// deadSocket leaves a socket that nobody answers on, as a killed process does.
func deadSocket(t testing.TB, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	require.FileExists(t, path)
}

func TestListenMode(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	require.NoError(t, err)
	st, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	require.NoError(t, l.Close())
	assert.NoFileExists(t, path)
	assert.NoError(t, l.Close(), "twice is harmless")
}

func TestListenRefusesALiveSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	require.NoError(t, err)
	defer l.Close()
	_, err = Listen(path)
	require.ErrorIs(t, err, ErrInUse)
	assert.ErrorContains(t, err, "pmd stop --socket "+path)
	assert.False(t, usage.Is(err))
	conn, err := net.Dial("unix", path)
	require.NoError(t, err, "the live one was not touched")
	_ = conn.Close()
}

func TestListenReplacesADeadSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	deadSocket(t, path)
	l, err := Listen(path)
	require.NoError(t, err)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	_ = conn.Close()
	require.NoError(t, l.Close())
}

func TestListenLeavesOtherFilesAlone(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err := Listen(path)
	require.ErrorContains(t, err, "is no socket")
	assert.True(t, usage.Is(err))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(b))
}

func TestListenRefusesBadPlaces(t *testing.T) {
	_, err := Listen("/" + strings.Repeat("x", 200))
	assert.True(t, usage.Is(err))
	_, err = Listen(filepath.Join(shortDir(t), "no", "such", "s"))
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, "--socket")
}

// TestCloseLeavesAnothersSocket: an operator removed our file and started another
// process in its place; our end must not take that one's file.
func TestCloseLeavesAnothersSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	ours, err := Listen(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	theirs, err := Listen(path)
	require.NoError(t, err)
	defer theirs.Close()
	require.NoError(t, ours.Close())
	assert.FileExists(t, path)
}

// TestListenOneWins: of many that find the same dead socket, one gets the place, and
// it can be reached.
func TestListenOneWins(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("directories cannot be locked here")
	}
	path := filepath.Join(shortDir(t), "s")
	for range 5 {
		deadSocket(t, path)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var winners []net.Listener
		for range 8 {
			wg.Go(func() {
				l, err := Listen(path)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					winners = append(winners, l)
					return
				}
				assert.ErrorIs(t, err, ErrInUse)
			})
		}
		wg.Wait()
		require.Len(t, winners, 1)
		go func() {
			for {
				c, err := winners[0].Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "x")
				_ = c.Close()
			}
		}()
		conn, err := net.Dial("unix", path)
		require.NoError(t, err)
		_ = conn.Close()
		require.NoError(t, winners[0].Close())
	}
}

func TestDefaultSocket(t *testing.T) {
	if os.Geteuid() == 0 {
		assert.Equal(t, "/run/pmd/pmd.sock", DefaultSocket())
		return
	}
	t.Setenv("XDG_RUNTIME_DIR", "/x")
	assert.Equal(t, "/x/pmd/pmd.sock", DefaultSocket())
	t.Setenv("XDG_RUNTIME_DIR", "relative")
	assert.True(t, strings.HasPrefix(DefaultSocket(), os.TempDir()))
}

func TestMakeDir(t *testing.T) {
	dir := filepath.Join(shortDir(t), "d")
	require.NoError(t, makeDir(dir))
	st, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())
	require.NoError(t, makeDir(dir), "it is ours")

	require.NoError(t, os.Chmod(dir, 0o777))
	assert.ErrorContains(t, makeDir(dir), "other users")
	link := filepath.Join(filepath.Dir(dir), "link")
	require.NoError(t, os.Symlink("/", link))
	assert.Error(t, makeDir(link))
}

func TestErrno(t *testing.T) {
	_, err := net.Dial("unix", "/no/such/socket")
	require.Error(t, err)
	assert.EqualError(t, errno(err), "no such file or directory")
	plain := errors.New("x")
	assert.Equal(t, plain, errno(plain))
}
