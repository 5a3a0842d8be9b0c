package pcap_test

import (
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

// The disk is full: the port goes down and says why, what was taken and not written is
// counted as lost, and the file ends with a whole packet.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("mount: ", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	_, env, host := newEnv(t, mbuf.Config{Frames: 1024})
	path := filepath.Join(dir, "out.pcapng")
	dev, err := open(t, env, "pcap:tx="+path)
	require.NoError(t, err)
	o := bind(t, dev, 1)
	packet := make([]byte, 1000)
	sent := uint64(0)
	for deadline := time.Now().Add(10 * time.Second); dev.Info().Up && time.Now().Before(deadline); sent += 64 {
		for range 64 {
			o.send(t, packet)
		}
		time.Sleep(time.Millisecond)
	}
	info := dev.Info()
	require.False(t, info.Up)
	assert.Contains(t, info.Detail, path)
	assert.Contains(t, info.Detail, "no space left on device")
	require.Eventually(t, func() bool { return o.Counters().InFlight == 0 }, 30*time.Second, time.Millisecond)
	o.send(t, packet) // it goes on taking them, and loses them
	require.Eventually(t, func() bool { return o.Counters().InFlight == 0 }, 30*time.Second, time.Millisecond)
	c := o.Counters()
	assert.Equal(t, sent+1, c.TxPackets+c.Drops[pmd.ReasonTxLost])
	assert.NotZero(t, c.Drops[pmd.ReasonTxLost])
	assert.Len(t, host.all(), 1, "told once")
	require.ErrorContains(t, o.close(), "no space left on device")
	require.NoError(t, o.dev.Close(), "twice")
	assert.Len(t, readBack(t, path), int(c.TxPackets))
}
