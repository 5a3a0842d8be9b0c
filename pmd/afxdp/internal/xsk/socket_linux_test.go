//go:build linux

package xsk

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestConfig(t *testing.T) {
	mem := make([]byte, 8192)
	good := Config{Name: "eth1", Ifindex: 3, Mem: mem, FrameSize: 2048}
	require.NoError(t, good.Validate())
	full, err := good.withDefaults()
	require.NoError(t, err)
	assert.Equal(t, []uint32{2048, 2048, 4096, 2048}, []uint32{full.RxRing, full.TxRing, full.FillRing, full.CompRing})
	assert.Equal(t, 2048*2304, full.SndBuf)
	for name, c := range map[string]struct {
		change func(c *Config)
		says   string
	}{
		"small ring":      {func(c *Config) { c.RxRing = 32 }, "receive ring of 32"},
		"large ring":      {func(c *Config) { c.FillRing = 65536 }, "fill ring of 65536"},
		"odd ring":        {func(c *Config) { c.TxRing = 100 }, "transmit ring of 100"},
		"completion ring": {func(c *Config) { c.CompRing = 1024 }, "use as many"},
		"interface":       {func(c *Config) { c.Ifindex = 0 }, "no interface"},
		"frame size":      {func(c *Config) { c.FrameSize = 1024 }, "frame size 1024"},
		"no memory":       {func(c *Config) { c.Mem = nil }, "0 bytes"},
		"odd memory":      {func(c *Config) { c.Mem = mem[:3000] }, "3000 bytes"},
		"headroom":        {func(c *Config) { c.Headroom = 1792 }, "headroom 1792"},
		"shared":          {func(c *Config) { c.SharedFD = -1 }, "shared socket -1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			_, err := Open(cfg)
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, StepConfig, e.Step)
			require.ErrorIs(t, err, unix.EINVAL)
			assert.ErrorContains(t, err, c.says)
			assert.ErrorContains(t, err, "eth1 queue 0")
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

// TestOpenUnprivileged is the one thing to be seen without root.
func TestOpenUnprivileged(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may open sockets")
	}
	_, err := Open(Config{Ifindex: 1, Mem: make([]byte, 4096), FrameSize: 2048})
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, StepSocket, e.Step)
}

// TestErrorHints wants words for what a user is likely to meet.
func TestErrorHints(t *testing.T) {
	c := &Config{Name: "eth1", Queue: 2, Bind: unix.XDP_ZEROCOPY, TxRing: 512}
	for _, k := range []struct {
		step  Step
		errno unix.Errno
		says  string
	}{
		{StepSocket, unix.EPERM, "CAP_NET_RAW"},
		{StepSocket, unix.EAFNOSUPPORT, "CONFIG_XDP_SOCKETS"},
		{StepUmem, unix.ENOBUFS, "RLIMIT_MEMLOCK"},
		{StepUmem, unix.EINVAL, "begin at a page"},
		{StepBind, unix.EBUSY, "had one a moment ago"},
		{StepBind, unix.ENODEV, "namespace"},
		{StepBind, unix.EOPNOTSUPP, "copy mode"},
		{StepBind, unix.EBADF, "not bound"},
		{StepBind, unix.ENOTSOCK, "no AF_XDP socket"},
		{StepBind, unix.EINVAL, "flags 0x4"},
		{StepBudget, unix.EACCES, "32 to 512"},
		{StepBusy, unix.EPERM, "CAP_NET_ADMIN"},
	} {
		err := c.fail(k.step, k.errno)
		require.ErrorIs(t, err, k.errno)
		assert.True(t, strings.HasPrefix(err.Error(), "afxdp: eth1 queue 2: "+string(k.step)+": "), "%v", err)
		assert.ErrorContains(t, err, k.says)
	}
	err := c.fail(StepBudget, needs(unix.ENOPROTOOPT, "6.17"))
	require.ErrorIs(t, err, ErrNotSupported)
	require.ErrorIs(t, err, unix.ENOPROTOOPT)
	assert.ErrorContains(t, err, "6.17")
}

// TestSend sends frames from a socket to the stack at the other end of a pair.
func TestSend(t *testing.T) {
	enterNamespace(t)
	near, far := newVeth(t, "a")
	pool := newPool(t)
	p := openPort(t, pool, config(pool, near))
	w := openWire(t, far)

	zeroCopy, err := p.Options()
	require.NoError(t, err)
	assert.False(t, zeroCopy)
	assert.True(t, p.Tx.NeedWakeup(), "copy mode always wants to be woken")
	assert.False(t, p.Fill.NeedWakeup())
	require.NoError(t, p.SocketError())

	const frames = 300
	burst := p.make(t, 7000, frames, 100)
	n, why := p.Tx.Post(burst, p.txPosted)
	require.Equal(t, frames, n)
	require.Equal(t, Accepted, why)
	assert.Equal(t, frames, p.Tx.Pending())
	res := p.KickTx()
	assert.Zero(t, res.Errno)
	assert.Zero(t, res.Dropped)
	assert.GreaterOrEqual(t, res.Calls, frames/minBudget, "32 frames a call")
	assert.Zero(t, p.Tx.Pending())
	numbers, _ := w.receive(t, frames)
	assert.Equal(t, numbersFrom(7000, frames), numbers)
	done, bytes := p.completeAll(t)
	assert.Equal(t, frames, done)
	assert.EqualValues(t, frames*100, bytes)

	st, err := p.Statistics()
	require.NoError(t, err)
	assert.Zero(t, st.TxInvalidDescs)
	assert.NotZero(t, st.TxRingEmptyDescs)

	if err := p.SetTxBudget(256); err == nil {
		p.Tx.Post(p.make(t, 8000, 256, 60), p.txPosted)
		assert.Equal(t, KickResult{Calls: 1}, p.KickTx(), "one call now does it")
		numbers, _ = w.receive(t, 256)
		assert.Equal(t, numbersFrom(8000, 256), numbers)
		p.completeAll(t)
		for _, n := range []int{-1, 31, 513} {
			assert.ErrorIs(t, p.SetTxBudget(n), unix.EACCES, "%d", n)
		}
	} else {
		require.ErrorIs(t, err, ErrNotSupported)
	}
	if err := p.SetBusyPoll(20, 64); err == nil {
		require.NoError(t, p.SetBusyPoll(0, 0))
	} else {
		require.ErrorIs(t, err, ErrNotSupported)
	}
	assert.Zero(t, p.KickRx())
	p.pollRx = true
	assert.Zero(t, p.KickRx(), "by poll")
	assert.Zero(t, testing.AllocsPerRun(10, func() { p.KickTx(); p.KickRx() }))
}

// TestDropped sends frames of which the device refuses some: those longer than
// the MTU that SetMaxLen would have kept back.
func TestDropped(t *testing.T) {
	enterNamespace(t)
	near, far := newVeth(t, "a")
	pool := newPool(t)
	p := openPort(t, pool, config(pool, near))
	w := openWire(t, far)
	if !p.kicker.publishes {
		t.Skip("before Linux 6.17 the bytes of dropped frames are not exact")
	}
	const frames, length, tooLong = 200, 100, 1600
	burst := p.make(t, 1, frames, length)
	var want []uint32
	dropped := 0
	for i := range burst {
		if i%7 == 3 || i > 190 { // also several in a row, up to the last
			burst[i].Len = tooLong
			dropped++
			continue
		}
		want = append(want, uint32(1+i))
	}
	n, _ := p.Tx.Post(burst, p.txPosted)
	require.Equal(t, frames, n)
	res := p.KickTx()
	assert.Zero(t, res.Errno)
	assert.Equal(t, dropped, res.Dropped)
	assert.EqualValues(t, dropped*tooLong, res.DroppedBytes)
	assert.Zero(t, p.Tx.Pending())
	numbers, bytes := w.receive(t, frames-dropped)
	assert.Equal(t, want, numbers)
	done, doneBytes := p.completeAll(t)
	assert.Equal(t, frames, done, "dropped frames complete too")
	assert.EqualValues(t, bytes, doneBytes-res.DroppedBytes)
}

// TestReceive takes frames that the other end's stack sends.
func TestReceive(t *testing.T) {
	enterNamespace(t)
	near, far := newVeth(t, "a")
	pool := newPool(t)
	p := openPort(t, pool, config(pool, near))
	redirect(t, near, p.Socket)
	w := openWire(t, far)
	n, foreign := p.Fill.Fill(p.cache, 400, p.rxPosted)
	require.Equal(t, [2]int{400, 0}, [2]int{n, foreign})

	w.send(t, 500, 300, 90)
	meta := pool.Meta(5)
	got := collect(t, p, 300, meta)
	for i, f := range got {
		b := pool.Mem().Bytes(f)
		require.Equal(t, ethernet(500+uint32(i), 90), b)
		require.Equal(t, meta, f.Meta)
		require.EqualValues(t, pool.DataOffset(), f.Addr-pool.Base(f.Addr))
	}
	assert.Equal(t, 100, p.rxPosted.Len())

	// 100 chunks are left: of 150 frames more, 50 find none.
	w.send(t, 800, 150, 90)
	got = collect(t, p, 100, meta)
	assert.Equal(t, uint32(899), be32(pool.Mem().Bytes(got[99])[14:]))
	eventually(t, "drops", func() bool {
		st, err := p.Statistics()
		require.NoError(t, err)
		return st.RxDropped == 50 && st.RxFillRingEmptyDescs >= 50
	})
	assert.Zero(t, p.rxPosted.Len())
}

// collect receives n frames.
func collect(t *testing.T, p *port, n int, meta mbuf.Meta) []mbuf.Frame {
	t.Helper()
	var got []mbuf.Frame
	burst := make([]mbuf.Frame, 64)
	eventually(t, "frames", func() bool {
		k, foreign := p.Rx.Receive(burst, meta, p.rxPosted)
		require.Zero(t, foreign)
		got = append(got, burst[:k]...)
		return len(got) >= n
	})
	require.Len(t, got, n)
	return got
}

// TestSharedUmem forwards between two interfaces whose sockets share a UMEM,
// without copying.
func TestSharedUmem(t *testing.T) {
	enterNamespace(t)
	a0, a1 := newVeth(t, "a")
	b0, b1 := newVeth(t, "b")
	pool := newPool(t)
	in := openPort(t, pool, config(pool, a0))
	cfg := config(pool, b0)
	cfg.SharedFD = in.FD()
	out := openPort(t, pool, cfg)
	zeroCopy, err := out.Options()
	require.NoError(t, err)
	assert.False(t, zeroCopy, "the mode is inherited")
	out.cache = in.cache // one core
	redirect(t, a0, in.Socket)
	from, to := openWire(t, a1), openWire(t, b1)

	in.Fill.Fill(in.cache, 500, in.rxPosted)
	from.send(t, 0, 200, 64)
	frames := collect(t, in, 200, pool.Meta(0))
	n, why := out.Tx.Post(frames, out.txPosted)
	require.Equal(t, 200, n)
	require.Equal(t, Accepted, why)
	require.Zero(t, out.KickTx().Errno)
	numbers, _ := to.receive(t, 200)
	assert.Equal(t, numbersFrom(0, 200), numbers)
	done, _ := out.completeAll(t)
	assert.Equal(t, 200, done)

	// The socket that registered the UMEM goes; the other lives on, and a new
	// one joins it.
	require.NoError(t, in.Close())
	n, _ = out.Tx.Post(out.make(t, 900, 10, 64), out.txPosted)
	require.Equal(t, 10, n)
	require.Zero(t, out.KickTx().Errno)
	numbers, _ = to.receive(t, 10)
	assert.Equal(t, numbersFrom(900, 10), numbers)
	out.completeAll(t)
	cfg = config(pool, a0)
	cfg.SharedFD = out.FD()
	again, _ := reopen(t, cfg)
	require.NoError(t, again.Close())

	l := mbuf.NewLedger(pool)
	l.Begin()
	in.cache.Walk(l)
	l.Set(mbuf.OwnerKernelRx, in.rxPosted)
	assert.True(t, l.Account().Balanced(), "%+v", l.Account())
}

// reopen opens a queue whose socket was just closed: EBUSY passes.
func reopen(t *testing.T, cfg Config) (s *Socket, waited time.Duration) {
	t.Helper()
	start := time.Now()
	eventually(t, "the queue to be free", func() bool {
		var err error
		if s, err = Open(cfg); err != nil {
			require.ErrorIs(t, err, unix.EBUSY)
			return false
		}
		return true
	})
	return s, time.Since(start)
}

// TestReopen closes and opens the same queue again and again.
func TestReopen(t *testing.T) {
	enterNamespace(t)
	near, _ := newVeth(t, "a")
	pool := newPool(t)
	cfg := config(pool, near)
	s, err := Open(cfg)
	require.NoError(t, err)

	_, err = Open(cfg)
	require.ErrorIs(t, err, unix.EBUSY, "one socket a queue")
	assert.ErrorContains(t, err, "bind")

	var closing, waiting time.Duration
	const times = 5
	for range times {
		start := time.Now()
		require.NoError(t, s.Close())
		closing += time.Since(start)
		var w time.Duration
		s, w = reopen(t, cfg)
		waiting += w
	}
	t.Logf("close took %v, the queue was free %v after", closing/times, waiting/times)
	require.NoError(t, s.Close())

	// After a close nothing of the socket may be reached.
	require.NoError(t, s.Close(), "twice")
	assert.Equal(t, -1, s.FD())
	assert.Equal(t, unix.EBADF, s.KickRx())
	s.pollRx = true
	assert.Equal(t, unix.EBADF, s.KickRx())
	assert.Equal(t, KickResult{}, s.KickTx())
	_, err = s.Statistics()
	assert.ErrorIs(t, err, unix.EBADF)
}

// TestOpenErrors meets what the kernel refuses, and leaves nothing behind.
func TestOpenErrors(t *testing.T) {
	enterNamespace(t)
	near, _ := newVeth(t, "a")
	pool := newPool(t)
	before := openFiles(t)
	for name, c := range map[string]struct {
		change func(c *Config)
		step   Step
		errno  unix.Errno
	}{
		"zero-copy on veth":   {func(c *Config) { c.Bind = unix.XDP_ZEROCOPY }, StepBind, unix.EOPNOTSUPP},
		"flags that fight":    {func(c *Config) { c.Bind = unix.XDP_COPY | unix.XDP_ZEROCOPY }, StepBind, unix.EINVAL},
		"unknown flag":        {func(c *Config) { c.Bind = 1 << 10 }, StepBind, unix.EINVAL},
		"no such queue":       {func(c *Config) { c.Queue = 1000 }, StepBind, unix.EINVAL},
		"no such interface":   {func(c *Config) { c.Ifindex = 1 << 20 }, StepBind, unix.ENODEV},
		"memory off its page": {func(c *Config) { c.Mem = c.Mem[1024 : 1024+4096] }, StepUmem, unix.EINVAL},
		"shared with nothing": {func(c *Config) { c.SharedFD = 1 << 20 }, StepBind, unix.ENOTSOCK},
	} {
		cfg := config(pool, near)
		c.change(&cfg)
		_, err := Open(cfg)
		var e *Error
		require.ErrorAs(t, err, &e, name)
		assert.Equal(t, c.step, e.Step, "%s: %v", name, err)
		assert.ErrorIs(t, err, c.errno, name)
		t.Logf("%s: %v", name, err)
	}
	assert.Equal(t, before, openFiles(t), "descriptors left open")
	assert.Zero(t, ringMappings(t), "mappings left")

	s, err := Open(config(pool, near))
	require.NoError(t, err, "the failed ones have left the queue free")
	assert.Equal(t, 4, ringMappings(t))
	require.NoError(t, s.Close())
	assert.Zero(t, ringMappings(t))
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(files)
}

// ringMappings counts mapped sockets; ring memory shows as one.
func ringMappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	return strings.Count(string(maps), "socket:")
}

// TestInterfaceLife takes the interface down, up, and away.
func TestInterfaceLife(t *testing.T) {
	enterNamespace(t)
	near, far := newVeth(t, "a")
	pool := newPool(t)
	p := openPort(t, pool, config(pool, near))
	w := openWire(t, far)
	l, err := netlink.LinkByIndex(near)
	require.NoError(t, err)

	require.NoError(t, netlink.LinkSetDown(l))
	p.Tx.Post(p.make(t, 1, 5, 60), p.txPosted)
	res := p.KickTx()
	assert.Equal(t, KickResult{Calls: 1, Errno: unix.ENETDOWN}, res)
	assert.Equal(t, unix.ENETDOWN, p.KickRx())
	assert.Equal(t, 5, p.Tx.Pending(), "they wait")
	require.NoError(t, netlink.LinkSetUp(l))
	eventually(t, "the carrier", func() bool {
		l, err := netlink.LinkByIndex(near)
		require.NoError(t, err)
		return l.Attrs().OperState == netlink.OperUp
	})
	assert.Zero(t, p.KickTx().Errno, "the same socket works again")
	numbers, _ := w.receive(t, 5)
	assert.Equal(t, numbersFrom(1, 5), numbers)
	p.completeAll(t)
	require.NoError(t, p.SocketError())

	deleteLink(t, near)
	p.Tx.Post(p.make(t, 6, 5, 60), p.txPosted)
	assert.Equal(t, KickResult{Calls: 1, Errno: unix.ENXIO}, p.KickTx())
	assert.Equal(t, unix.ENXIO, p.KickRx())
	err = p.SocketError()
	require.ErrorIs(t, err, unix.ENETDOWN)
	require.NoError(t, p.SocketError(), "read once")
	assert.Equal(t, 5, p.txPosted.Len())
	require.NoError(t, p.Close())
	assert.True(t, errors.Is(err, unix.ENETDOWN))
}
