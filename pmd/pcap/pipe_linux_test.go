package pcap_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// A capture may come through a named pipe; whoever waits for it need not wait for longer
// than they want, neither for its writer nor for its bytes.
func TestNamedPipe(t *testing.T) {
	_, env, _ := newEnv(t, mbuf.Config{Frames: 64})
	file := plain.encode(numbered(100, 60))
	for name, write := range map[string]func(*os.File) error{
		"no writer": nil,
		"stalls":    func(f *os.File) error { _, err := f.Write(file[:500]); return err },
		"whole":     func(f *os.File) error { _, err := f.Write(file); return err },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pipe")
			require.NoError(t, unix.Mkfifo(path, 0o600))
			spec, err := pmd.ParseSpec("pcap:partial=on,rx=" + path)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			type answer struct {
				dev pmd.Device
				err error
			}
			done := make(chan answer, 1)
			go func() {
				dev, err := openSpec(ctx, spec, env)
				done <- answer{dev, err}
			}()
			if write != nil {
				w, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for the reader
				require.NoError(t, err)
				defer w.Close()
				require.NoError(t, write(w))
				if name == "whole" {
					require.NoError(t, w.Close())
				}
			}
			if name != "whole" {
				select {
				case a := <-done:
					require.Fail(t, "it did not wait", "%v", a.err)
				case <-time.After(20 * time.Millisecond):
				}
				cancel()
			}
			var a answer
			select {
			case a = <-done:
			case <-time.After(30 * time.Second):
				require.Fail(t, "it waits for ever")
			}
			if name == "whole" {
				require.NoError(t, a.err)
				assert.Equal(t, "100", a.dev.Info().Obtained["packets"])
				require.NoError(t, a.dev.Close())
				return
			}
			require.ErrorIs(t, a.err, context.Canceled)
			require.ErrorContains(t, a.err, path)
		})
	}
}
