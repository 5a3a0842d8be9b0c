//go:build linux

package netlab_test

import (
	"context"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/netlab"
)

// counted waits until the sink has counted want frames, or some time, and
// returns what it counted: what the generator's CPU queued, it may still be
// receiving.
func counted(t *testing.T, s *netlab.Sink, want uint64) (frames, bytes uint64) {
	t.Helper()
	for range 4000 {
		var err error
		frames, bytes, err = s.Count()
		require.NoError(t, err)
		if frames >= want {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return frames, bytes
}

func TestGeneratorToSinkExactly(t *testing.T) {
	m := newBench(t, func(a, _ *netlab.VethEnd) { a.MTU = 3400 }) // B keeps 1500
	s, err := m.b.Sink("b0", false)
	require.NoError(t, err)
	var frames, bytes uint64
	for _, c := range []struct {
		cfg netlab.GeneratorConfig
		n   uint64
	}{
		{netlab.GeneratorConfig{}, 1},
		{netlab.GeneratorConfig{}, 777_777},
		{netlab.GeneratorConfig{Flows: 1000, Sequence: true}, 100_001},
		{netlab.GeneratorConfig{Size: 1514}, 50_000},
		{netlab.GeneratorConfig{Rate: 200_000}, 12_345},
	} {
		g, err := m.a.Generator("a0", c.cfg)
		require.NoError(t, err)
		res, err := g.Run(t.Context(), 0, c.n)
		require.NoError(t, err)
		require.Equal(t, c.n, res.Generated)
		require.Equal(t, res.Generated, res.Sent+res.Lost)
		require.Positive(t, res.Elapsed)
		total, err := g.Frames()
		require.NoError(t, err)
		require.Equal(t, c.n, total)
		require.NoError(t, g.Close())

		size := uint64(max(c.cfg.Size, netlab.MinFrame))
		frames += res.Sent
		bytes += res.Sent * size
		gotFrames, gotBytes := counted(t, s, frames)
		require.Equal(t, frames, gotFrames)
		require.Equal(t, bytes, gotBytes)
		t.Logf("%d frames of %d bytes, %d lost, %.2f Mpps", res.Generated, size, res.Lost, res.PPS()/1e6)
	}
	_, err = m.a.Generator("a0", netlab.GeneratorConfig{Size: 1600})
	require.ErrorIs(t, err, unix.EMSGSIZE, "the peer's MTU counts")
}

func TestGeneratorLargestFrame(t *testing.T) {
	m := newBench(t, func(a, b *netlab.VethEnd) { a.MTU, b.MTU = 9000, 9000 })
	s, err := m.b.Sink("b0", false)
	require.NoError(t, err)
	g, err := m.a.Generator("a0", netlab.GeneratorConfig{Size: netlab.MaxFrame})
	require.NoError(t, err)
	res, err := g.Run(t.Context(), -1, 5000)
	require.NoError(t, err)
	frames, bytes := counted(t, s, res.Sent)
	assert.Equal(t, uint64(5000), res.Sent)
	assert.Equal(t, res.Sent, frames)
	assert.Equal(t, res.Sent*netlab.MaxFrame, bytes)
}

func TestGeneratorStops(t *testing.T) {
	m := newBench(t, nil)
	s, err := m.b.Sink("b0", false)
	require.NoError(t, err)
	for _, rate := range []uint64{0, 50_000} {
		g, err := m.a.Generator("a0", netlab.GeneratorConfig{Rate: rate})
		require.NoError(t, err)
		before, _, err := s.Count()
		require.NoError(t, err)

		_, err = g.Stop()
		require.ErrorIs(t, err, unix.ESRCH)
		require.NoError(t, g.Start(0))
		require.ErrorIs(t, g.Start(0), unix.EBUSY)
		require.Eventually(t, func() bool {
			n, err := g.Frames()
			require.NoError(t, err)
			return n > 5000
		}, 30*time.Second, 10*time.Millisecond)
		begin := time.Now()
		res, err := g.Stop()
		took := time.Since(begin)
		require.NoError(t, err)
		assert.Positive(t, res.Sent)
		frames, _ := counted(t, s, before+res.Sent)
		assert.Equal(t, before+res.Sent, frames)
		if rate > 0 {
			// Never faster than asked for; how much slower is up to the machine.
			assert.LessOrEqual(t, float64(res.Generated), float64(rate)*res.Elapsed.Seconds()+1)
		}
		t.Logf("rate %d: %.3f Mpps in %v, stopped in %v", rate, res.PPS()/1e6, res.Elapsed, took)

		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		res, err = g.Run(ctx, 0, 1<<40)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Positive(t, res.Generated)

		require.NoError(t, g.Start(0))
		require.NoError(t, g.Close(), "under way")
		require.NoError(t, g.Close())
		require.ErrorIs(t, g.Start(0), os.ErrClosed)
	}
}

func TestGeneratorRefuses(t *testing.T) {
	m := newBench(t, nil)
	g, err := m.a.Generator("a0", netlab.GeneratorConfig{})
	require.NoError(t, err)
	_, err = g.Run(t.Context(), 0, 1)
	require.ErrorIs(t, err, unix.ENXIO)
	require.ErrorContains(t, err, "has no XDP program")
	p, err := m.b.PassProgram("b0")
	require.NoError(t, err)
	_, err = g.Run(t.Context(), 1<<20, 1)
	require.ErrorIs(t, err, unix.EINVAL)
	require.ErrorContains(t, err, "CPU 1048576")
	_, err = g.Run(t.Context(), -1, 1)
	require.NoError(t, err)
	require.NoError(t, p.Close())

	_, err = m.a.Generator("nosuch0", netlab.GeneratorConfig{})
	require.ErrorContains(t, err, "nosuch0")
	_, err = m.a.Generator("lo", netlab.GeneratorConfig{})
	require.Error(t, err)
}

// The generator uses a sink that is on its own end already.
func TestBothWays(t *testing.T) {
	m := newBench(t, nil)
	sa, err := m.a.Sink("a0", false)
	require.NoError(t, err)
	sb, err := m.b.Sink("b0", false)
	require.NoError(t, err)
	ga, err := m.a.Generator("a0", netlab.GeneratorConfig{})
	require.NoError(t, err)
	gb, err := m.b.Generator("b0", netlab.GeneratorConfig{})
	require.NoError(t, err)
	require.NoError(t, ga.Start(-1))
	require.NoError(t, gb.Start(-1))
	time.Sleep(200 * time.Millisecond)
	ra, err := ga.Stop()
	require.NoError(t, err)
	rb, err := gb.Stop()
	require.NoError(t, err)
	gotB, _ := counted(t, sb, ra.Sent)
	gotA, _ := counted(t, sa, rb.Sent)
	assert.Equal(t, ra.Sent, gotB)
	assert.Equal(t, rb.Sent, gotA)
	t.Logf("a to b %+v, b to a %+v", ra, rb)
}

func TestSinkMatches(t *testing.T) {
	m := newBench(t, nil)
	s, err := m.b.NewSink("b0", netlab.SinkConfig{UDPPort: 9})
	require.NoError(t, err)
	g, err := m.a.Generator("a0", netlab.GeneratorConfig{})
	require.NoError(t, err)
	res, err := g.Run(t.Context(), -1, 10_000)
	require.NoError(t, err)
	frames, _ := counted(t, s, res.Sent)
	assert.Equal(t, res.Sent, frames)

	// Ping and other ports are given on, uncounted.
	p, err := netlab.Ping(t.Context(), m.a, v4b.Addr(), 3)
	require.NoError(t, err)
	assert.Equal(t, 3, p.Received)
	u, err := netlab.UDPNumbered(t.Context(), m.a, m.b, udp(100))
	require.NoError(t, err)
	assert.True(t, u.AtoB.Clean() && u.BtoA.Clean(), "%+v", u)
	again, _, err := s.Count()
	require.NoError(t, err)
	assert.Equal(t, frames, again)

	require.NoError(t, s.Close())
	s, err = m.b.NewSink("b0", netlab.SinkConfig{EtherType: 0x0806, Pass: true})
	require.NoError(t, err)
	l, err := m.b.Handle().LinkByName("b0")
	require.NoError(t, err)
	require.NotNil(t, l.Attrs().Xdp)
	assert.True(t, l.Attrs().Xdp.Attached)
	require.NoError(t, m.a.Do(func() error { return sendARP(m.veth.A.Index) }))
	frames, bytes := counted(t, s, 1)
	assert.Equal(t, []uint64{1, 42}, []uint64{frames, bytes})
}

// sendARP sends one frame of that type, with nothing in it, from the interface
// with that index.
func sendARP(ifindex int) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	f := make([]byte, 42)
	f[12], f[13] = 0x08, 0x06
	return unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: ifindex})
}

// Every frame is the one its number says, to the last byte, also after a
// receiver has written over the pages of others.
func TestGeneratorFrames(t *testing.T) {
	m := newBench(t, nil)
	// Frames whose number divides by 3 are overwritten and dropped.
	const offSeq = 42
	_, err := m.b.Attach("b0", asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 60),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, offSeq, asm.DWord),
		asm.HostTo(asm.BE, asm.R4, asm.DWord),
		asm.Mod.Imm(asm.R4, 3),
		asm.JNE.Imm(asm.R4, 0, "pass"),
		asm.StoreImm(asm.R2, 0, -1, asm.Word),
		asm.StoreImm(asm.R2, 8, -1, asm.Word),
		asm.StoreImm(asm.R2, 24, -1, asm.Word),
		asm.StoreImm(asm.R2, 32, -1, asm.Word),
		asm.StoreImm(asm.R2, 52, -1, asm.Word),
		asm.Mov.Imm(asm.R0, 1), // XDP_DROP
		asm.Return(),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"),
		asm.Return(),
	})
	require.NoError(t, err)
	fd := packetSocket(t, m.b, m.veth.B.Index)

	const flows, n = 7, 3000
	cfg := netlab.GeneratorConfig{Flows: flows, Sequence: true, SrcMAC: m.veth.A.MAC, DstMAC: m.veth.B.MAC}
	g, err := m.a.Generator("a0", cfg)
	require.NoError(t, err)
	res, err := g.Run(t.Context(), -1, n)
	require.NoError(t, err)
	require.Equal(t, uint64(n), res.Sent)

	want, err := cfg.Frame()
	require.NoError(t, err)
	buf := make([]byte, 2048)
	for seq := range uint64(n) {
		if seq%3 == 0 {
			continue
		}
		size, _, err := unix.Recvfrom(fd, buf, 0)
		require.NoError(t, err, "frame %d", seq)
		binary.BigEndian.PutUint16(want[34:], uint16(1024+seq%flows))
		binary.BigEndian.PutUint64(want[offSeq:], seq)
		require.Equal(t, want, buf[:size], "frame %d", seq)
	}
}

// packetSocket returns a socket that sees every IPv4 frame of an interface.
func packetSocket(t *testing.T, n *netlab.Namespace, ifindex int) int {
	t.Helper()
	fd := -1
	require.NoError(t, n.Do(func() (err error) {
		const etherTypeIPv4 = 0x0800
		proto := int(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, etherTypeIPv4)))
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto); err != nil {
			return err
		}
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(proto), Ifindex: ifindex})
	}))
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}
