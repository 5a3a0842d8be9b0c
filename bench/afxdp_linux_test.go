//go:build linux

package bench

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afpacket"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

func newWire(tb testing.TB) *wire { return newWideWire(tb, 1) }

// newWideWire makes a wire whose interfaces have this many queues.
func newWideWire(tb testing.TB, queues int) *wire {
	tb.Helper()
	w, err := makeWire(netlabtest.New(tb), queues)
	require.NoError(tb, err)
	return w
}

// passToStack has the generator's frames, which come by XDP, go on towards the stack of
// the ports' namespace, in front of which packet sockets are.
func (w *wire) passToStack(tb testing.TB) {
	tb.Helper()
	_, err := w.ports.PassProgram("p0")
	require.NoError(tb, err)
}

// Modes do on veth what they do in memory.
func TestVethEffect(t *testing.T) {
	w := newWire(t)
	for _, mode := range []string{"io", "mac", "macswap", "rxonly"} {
		r, err := Start(t.Context(), RigConfig{Mode: mode, Cores: []int{pollCPU(t)}, Open: w.open})
		require.NoError(t, err)
		w.checkEffect(t, mode)
		require.NoError(t, r.Close())
	}
}

// benchmarkAFPacket measures packet sockets on the wire.
func benchmarkAFPacket(b *testing.B, mode, ring string) {
	netlabtest.RequireRoot(b)
	w := newWire(b)
	w.passToStack(b)
	benchmarkWire(b, w, mode, w.openAs(afpacket.Driver{}, "afpacket:%s,ring="+ring))
}

// benchmarkWire measures ports on the wire while host a floods it.
func benchmarkWire(b *testing.B, w *wire, mode string, open func(context.Context, pmd.Env) ([]pmd.Device, error)) {
	r, err := Start(b.Context(), RigConfig{Mode: mode, Cores: []int{pollCPU(b)}, Open: open})
	require.NoError(b, err)
	w.checkEffect(b, mode)
	sink, err := w.b.Sink("hb", false)
	require.NoError(b, err)
	before, err := r.Stats(b.Context())
	require.NoError(b, err)
	stop := w.flood(b, 0)
	measure(b, r, mode)
	stop()
	// The poller may still be at the last frames.
	var sent, got uint64
	require.Eventually(b, func() bool {
		after, err := r.Stats(b.Context())
		require.NoError(b, err)
		sent = after.Ports[1].TxPackets - before.Ports[1].TxPackets
		got, _, err = sink.Count()
		require.NoError(b, err)
		return sent == got && after.Ports[1].InHand == 0
	}, 30*time.Second, 5*time.Millisecond, "frames sent and frames that arrived")
	require.NoError(b, r.Close())
}

// flood sends 60-byte frames, 64 on a real wire, from host a as fast as the CPU can,
// until the returned function is called.
func (w *wire) flood(tb testing.TB, cpus ...int) (stop func()) {
	tb.Helper()
	end, err := w.generate(netlab.GeneratorConfig{Size: 60}, cpus...)
	require.NoError(tb, err)
	return func() {
		tb.Helper()
		_, err := end()
		require.NoError(tb, err)
	}
}

// checkEffect sends frames through the port pair by hand and looks at what
// arrives.
func (w *wire) checkEffect(tb testing.TB, mode string) {
	tb.Helper()
	in, out := packetSocket(tb, w.a, "ha"), packetSocket(tb, w.b, "hb")
	frame := make([]byte, 60)
	copy(frame, []byte{2, 0, 0, 0, 0, 0xd, 2, 0, 0, 0, 0, 0x5, 0x88, 0xb5})
	want := append([]byte{}, frame...)
	if mode == "macswap" {
		copy(want, frame[6:12])
		copy(want[6:], frame[:6])
	}
	got := make([]byte, 2048)
	deadline := time.Now().Add(2 * time.Second)
	for i := uint32(0); ; i++ {
		binary.BigEndian.PutUint32(frame[20:], i)
		_, err := unix.Write(in, frame)
		require.NoError(tb, err)
		n, err := unix.Read(out, got)
		if mode == "rxonly" {
			require.Error(tb, err, "rxonly sends nothing")
			return
		}
		if err != nil {
			require.True(tb, time.Now().Before(deadline), "no frame arrived: %v", err)
			continue
		}
		copy(want[20:24], got[20:24])
		if mode == "mac" {
			require.NotEqual(tb, frame[:12], got[:12])
			copy(want[:12], got[:12])
		}
		require.Equal(tb, want, got[:n])
		return
	}
}

// packetSocket opens a socket that sends and receives local experimental frames
// (EtherType 0x88b5, IEEE 802) on an interface, giving up a read after 50 ms.
func packetSocket(tb testing.TB, ns *netlab.Namespace, ifname string) int {
	tb.Helper()
	fd := -1
	require.NoError(tb, ns.Do(func() (err error) {
		const proto = 0x88b5
		be := proto>>8 | proto&0xff<<8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, be); err != nil {
			return err
		}
		link, err := ns.Handle().LinkByName(ifname)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(be), Ifindex: link.Attrs().Index})
	}))
	tb.Cleanup(func() { unix.Close(fd) })
	return fd
}
