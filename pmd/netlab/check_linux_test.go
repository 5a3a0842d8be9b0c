//go:build linux

package netlab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/netlab"
)

// udp is the usual exchange between the two ends of a bench.
func udp(count int) netlab.UDPConfig {
	return netlab.UDPConfig{
		A:     netip.AddrPortFrom(v4a.Addr(), 0),
		B:     netip.AddrPortFrom(v4b.Addr(), 0),
		Count: count,
	}
}

func TestPing(t *testing.T) {
	m := newBench(t, func(a, b *netlab.VethEnd) {
		a.Addrs, b.Addrs = append(a.Addrs, v6a), append(b.Addrs, v6b)
	})
	for _, dst := range []netip.Addr{v4b.Addr(), v6b.Addr()} {
		res, err := netlab.Ping(t.Context(), m.a, dst, 10)
		require.NoError(t, err)
		assert.Equal(t, 10, res.Sent, dst)
		assert.Equal(t, 10, res.Received, dst)
		assert.Zero(t, res.Lost())
		assert.Positive(t, res.Min)
		assert.LessOrEqual(t, res.Min, res.Avg)
		assert.LessOrEqual(t, res.Avg, res.Max)
	}
	// Nobody there: an account, not an error.
	res, err := netlab.Ping(t.Context(), m.a, netip.MustParseAddr("192.0.2.77"), 1)
	require.NoError(t, err)
	assert.Equal(t, netlab.PingResult{Sent: 1}, res)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = netlab.Ping(ctx, m.a, netip.MustParseAddr("192.0.2.78"), 100)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(begin), 30*time.Second)

	_, err = netlab.Ping(t.Context(), m.a, netip.MustParseAddr("203.0.113.1"), 1)
	require.ErrorContains(t, err, "unreachable")
	_, err = netlab.Ping(t.Context(), m.a, v4b.Addr(), 0)
	require.ErrorContains(t, err, "0 requests")
}

func TestTCPTransfer(t *testing.T) {
	m := newBench(t, func(a, b *netlab.VethEnd) {
		a.Addrs, b.Addrs = append(a.Addrs, v6a), append(b.Addrs, v6b)
	})
	const n = 16<<20 + 1
	for _, at := range []netip.Addr{v4b.Addr(), v6b.Addr()} {
		res, err := netlab.TCPTransfer(t.Context(), m.a, m.b, netip.AddrPortFrom(at, 0), n)
		require.NoError(t, err)
		assert.Equal(t, []int64{n, n}, []int64{res.Sent, res.Received})
		assert.Equal(t, res.SentSum, res.ReceivedSum)
		t.Logf("%v: %.2f Gbit/s", at, res.BitsPerSecond()/1e9)
	}
	res, err := netlab.TCPTransfer(t.Context(), m.a, m.b, netip.AddrPortFrom(v4b.Addr(), 0), 0)
	require.NoError(t, err)
	assert.Zero(t, res.Received)
}

// With offloads off, no frame of a stack exceeds the MTU and every checksum is
// finished: what a forwarder that moves bytes must be able to rely on.
func TestStackSendsWireFrames(t *testing.T) {
	m := newBench(t, nil)
	fd := packetSocket(t, m.b, m.veth.B.Index)
	_, err := netlab.TCPTransfer(t.Context(), m.a, m.b, netip.AddrPortFrom(v4b.Addr(), 0), 1<<20)
	require.NoError(t, err)
	largest, frames := 0, 0
	for _, f := range received(t, fd, 500) {
		largest, frames = max(largest, len(f)), frames+1
		require.True(t, tcpChecksumRight(f), "frame %d of %d bytes", frames, len(f))
	}
	assert.Equal(t, 1514, largest)
	assert.Greater(t, frames, 100)
}

func TestTCPTransferFails(t *testing.T) {
	m := newBench(t, nil)
	// Nothing gets through.
	_, err := m.b.Sink("b0", false)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = netlab.TCPTransfer(ctx, m.a, m.b, netip.AddrPortFrom(v4b.Addr(), 0), 1000)
	// Whichever notices first: the context, or the connection's own deadline.
	require.True(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
	require.Less(t, time.Since(begin), 30*time.Second)

	_, err = netlab.TCPTransfer(t.Context(), m.a, m.b, netip.MustParseAddrPort("203.0.113.1:0"), 1000)
	require.ErrorContains(t, err, "assign requested address")
	_, err = netlab.TCPTransfer(t.Context(), m.a, m.b, netip.AddrPort{}, 1000)
	require.ErrorContains(t, err, "literal")
}

// Cut off half-way: an error with what arrived, in bounded time.
func TestTCPTransferCut(t *testing.T) {
	m := newBench(t, nil)
	within(t, 300*time.Millisecond, func(ctx context.Context) bool {
		res, err := netlab.TCPTransfer(ctx, m.a, m.b, netip.AddrPortFrom(v4b.Addr(), 0), 1<<40)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		return res.Received > 0
	})
}

func TestUDPNumbered(t *testing.T) {
	m := newBench(t, nil)
	const n = 4000
	res, err := netlab.UDPNumbered(t.Context(), m.a, m.b, udp(n))
	require.NoError(t, err)
	for _, d := range []netlab.UDPDirection{res.AtoB, res.BtoA} {
		assert.Equal(t, netlab.UDPDirection{Sent: n, Received: n}, d)
		assert.True(t, d.Clean())
	}
	for what, cfg := range map[string]netlab.UDPConfig{
		"0 datagrams": udp(0),
		"of 15 bytes": {A: udp(1).A, B: udp(1).B, Count: 1, Size: 15},
		"literal":     {Count: 1},
	} {
		_, err := netlab.UDPNumbered(t.Context(), m.a, m.b, cfg)
		assert.ErrorContains(t, err, what)
	}
}

// A path that loses, changes and repeats is told apart from a good one.
func TestUDPNumberedTellsDamage(t *testing.T) {
	m := newBench(t, nil)
	// Of the datagrams to B: number divisible by 4, dropped; by 5, a bit of
	// the number is flipped. The checksum is set to "none", or B's own stack
	// would drop the second kind.
	_, err := m.b.Attach("b0", asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 60),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, 23, asm.Byte),
		asm.JNE.Imm(asm.R4, 17, "pass"), // UDP
		asm.StoreImm(asm.R2, 40, 0, asm.Half),
		asm.LoadMem(asm.R4, asm.R2, 42, asm.DWord),
		asm.HostTo(asm.BE, asm.R4, asm.DWord),
		asm.Mov.Reg(asm.R5, asm.R4),
		asm.Mod.Imm(asm.R5, 4),
		asm.JEq.Imm(asm.R5, 0, "drop"),
		asm.Mod.Imm(asm.R4, 5),
		asm.JNE.Imm(asm.R4, 0, "pass"),
		asm.LoadMem(asm.R4, asm.R2, 49, asm.Byte),
		asm.Xor.Imm(asm.R4, 1),
		asm.StoreMem(asm.R2, 49, asm.R4, asm.Byte),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"),
		asm.Return(),
	})
	require.NoError(t, err)
	const n = 1000
	res, err := netlab.UDPNumbered(t.Context(), m.a, m.b, udp(n))
	require.NoError(t, err)
	dropped, changed := n/4, n/5-n/20
	assert.Equal(t, netlab.UDPDirection{
		Sent: n, Received: n - dropped - changed, Lost: dropped + changed, Corrupted: changed,
	}, res.AtoB)
	assert.False(t, res.AtoB.Clean())
	assert.True(t, res.BtoA.Clean())
}

func TestUDPNumberedEndsWithContext(t *testing.T) {
	m := newBench(t, nil)
	within(t, 100*time.Millisecond, func(ctx context.Context) bool {
		cfg := udp(1_000_000)
		cfg.Rate = 10
		res, err := netlab.UDPNumbered(ctx, m.a, m.b, cfg)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, res.AtoB.Sent, res.AtoB.Received+res.AtoB.Lost)
		return res.AtoB.Sent > 0
	})
}

// within makes a call that ends with its context, with a longer time each try until it
// has got anywhere: how soon that is, is up to the machine.
func within(t *testing.T, time0 time.Duration, call func(context.Context) (began bool)) {
	t.Helper()
	for limit := time0; ; limit *= 4 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		begin := time.Now()
		began := call(ctx)
		cancel()
		require.Less(t, time.Since(begin), limit+30*time.Second)
		if began {
			return
		}
		require.Less(t, limit, 30*time.Second, "it never begins")
	}
}

// received reads up to n frames from a packet socket, as many as there are.
func received(t *testing.T, fd, n int) [][]byte {
	t.Helper()
	var frames [][]byte
	for range n {
		buf := make([]byte, 70000)
		size, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		require.NoError(t, err)
		frames = append(frames, buf[:size])
	}
	return frames
}

// tcpChecksumRight sums up a TCP/IPv4 frame and its pseudo header (RFC 9293,
// section 3.1), the slow way.
func tcpChecksumRight(f []byte) bool {
	ip := f[14:]
	ip = ip[:binary.BigEndian.Uint16(ip[2:])]
	segment := ip[int(ip[0]&15)*4:]
	pseudo := append([]byte(nil), ip[12:20]...)
	pseudo = append(pseudo, 0, ip[9])
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(segment)))
	pseudo = append(pseudo, segment...)
	if len(pseudo)%2 == 1 {
		pseudo = append(pseudo, 0)
	}
	sum := 0
	for i := 0; i < len(pseudo); i += 2 {
		sum += int(binary.BigEndian.Uint16(pseudo[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}
