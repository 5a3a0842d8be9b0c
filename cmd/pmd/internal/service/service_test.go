package service_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/service"
)

// manager listens as a service manager does.
func manager(t testing.TB, name string) *net.UnixConn {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	require.NoError(t, l.SetReadDeadline(time.Now().Add(5*time.Second)))
	return l
}

func TestNotify(t *testing.T) {
	dir, err := os.MkdirTemp("", "pmd")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	names := []string{filepath.Join(dir, "notify")}
	if runtime.GOOS == "linux" {
		names = append(names, fmt.Sprintf("@pmd-notify-%d", os.Getpid()))
	}
	for _, name := range names {
		l := manager(t, name)
		t.Setenv("NOTIFY_SOCKET", name)
		require.NoError(t, service.Notify(service.Ready, service.Status("two\nlines")))
		buf := make([]byte, 256)
		n, err := l.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "READY=1\nSTATUS=two lines", string(buf[:n]), "one datagram")
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "nobody"))
	assert.ErrorContains(t, service.Notify(service.Ready), "nobody")
	t.Setenv("NOTIFY_SOCKET", "")
	assert.NoError(t, service.Notify(service.Ready), "no manager, no error")
}

func ExampleNotify() {
	// Not run by a service manager: nothing happens.
	fmt.Println(service.Notify(service.Stopping))
	// Output: <nil>
}
