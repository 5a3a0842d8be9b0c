package bench

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/netlab/netlabtest"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/tap"
)

// benchmarkTap measures a tap port by itself. rx: a sender in the kernel's stack gives
// frames to the device, and the port receives and drops them. tx: frames from a null
// port are sent to the kernel's stack, which knows no protocol of theirs.
func benchmarkTap(b *testing.B, way string) {
	netlabtest.RequireRoot(b)
	lab := netlabtest.New(b)
	ns, err := lab.Namespace("tap")
	require.NoError(b, err)
	mode := "io"
	if way == "rx" {
		mode = "rxonly"
	}
	r, err := Start(b.Context(), RigConfig{Mode: mode, Cores: []int{pollCPU(b)}, Open: func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
		spec, err := pmd.ParseSpec("tap:tap0,netns=" + ns.Path())
		if err != nil {
			return nil, err
		}
		dev, err := tap.Driver{}.Open(ctx, spec, env)
		if err != nil {
			return nil, err
		}
		source, err := null.New(null.Config{Size: 60, NoRx: way == "rx", Content: experimental()}, env)
		if err != nil {
			return nil, err
		}
		return []pmd.Device{source, dev}, nil
	}})
	require.NoError(b, err)
	stop := func() {}
	if way == "rx" {
		stop = sendAll(b, packetSocket(b, ns, "tap0"))
	}
	measure(b, r, mode)
	stop()
	require.NoError(b, r.Close())
}

// experimental is the head of a frame that no network stack answers (EtherType
// 0x88b5, IEEE 802).
func experimental() []byte { return []byte{2, 0, 0, 0, 0, 0xd, 2, 0, 0, 0, 0, 0x5, 0x88, 0xb5} }

// sendAll sends frames as fast as one thread can, until the returned function is
// called.
func sendAll(tb testing.TB, fd int) (stop func()) {
	tb.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	frame := append(experimental(), make([]byte, 46)...)
	require.NoError(tb, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1))
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			for range 64 {
				_, _ = unix.Write(fd, frame) // a full queue is an error, and meant
			}
		}
	}()
	return func() { close(quit); <-done }
}
