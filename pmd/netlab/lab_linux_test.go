//go:build linux

package netlab_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// bench is two namespaces and a pair between them, the usual case.
type bench struct {
	lab  *netlab.Lab
	a, b *netlab.Namespace
	veth *netlab.Veth
}

var (
	v4a, v4b = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")
	v6a, v6b = netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("2001:db8::2/64")
)

func newBench(t *testing.T, change func(a, b *netlab.VethEnd)) bench {
	t.Helper()
	l := netlabtest.New(t)
	a, err := l.Namespace("a")
	require.NoError(t, err)
	b, err := l.Namespace("b")
	require.NoError(t, err)
	ea := netlab.VethEnd{Namespace: a, Name: "a0", Addrs: []netip.Prefix{v4a}}
	eb := netlab.VethEnd{Namespace: b, Name: "b0", Addrs: []netip.Prefix{v4b}}
	if change != nil {
		change(&ea, &eb)
	}
	v, err := l.Veth(ea, eb)
	require.NoError(t, err)
	return bench{l, a, b, v}
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(fds)
}

// leftOf lists what the machine still has of a lab: only that lab's own, since
// other tests and programs may be making theirs.
func leftOf(t *testing.T, l *netlab.Lab) []string {
	t.Helper()
	left, err := filepath.Glob("/run/netns/" + l.Name("-*"))
	require.NoError(t, err)
	links, err := os.ReadDir("/sys/class/net")
	require.NoError(t, err)
	for _, i := range links {
		if strings.HasPrefix(i.Name(), l.Name("")) {
			left = append(left, i.Name())
		}
	}
	return left
}

func TestNothingIsLeft(t *testing.T) {
	netlabtest.RequireRoot(t)
	all := func(closeAll bool) {
		l, err := netlab.New("test")
		require.NoError(t, err)
		defer func() {
			assert.NotEmpty(t, leftOf(t, l), "the root interface at least")
			assert.NoError(t, l.Close())
			assert.NoError(t, l.Close(), "a second Close")
			assert.Empty(t, leftOf(t, l))
		}()
		a, err := l.Namespace("a")
		require.NoError(t, err)
		v, err := l.Veth(netlab.VethEnd{Name: l.Name("r")}, netlab.VethEnd{Namespace: a, Name: "a0", Addrs: []netip.Prefix{v4a, v6a}})
		require.NoError(t, err)
		s, err := a.Sink("a0", false)
		require.NoError(t, err)
		g, err := l.Root().Generator(v.A.Name, netlab.GeneratorConfig{})
		require.NoError(t, err)
		require.NoError(t, g.Start(-1))
		p, err := a.Start(exec.Command("sleep", "60"))
		require.NoError(t, err)

		// Mistakes half-way leave nothing either.
		_, err = l.Namespace("a")
		require.ErrorIs(t, err, os.ErrExist)
		_, err = l.Veth(netlab.VethEnd{Name: l.Name("x"), Addrs: []netip.Prefix{v4b, v4b}}, netlab.VethEnd{Namespace: a, Name: "x0"})
		require.ErrorIs(t, err, unix.EEXIST)
		_, err = l.Veth(netlab.VethEnd{Name: l.Name("x")}, netlab.VethEnd{Namespace: a, Name: "a0"})
		require.ErrorIs(t, err, unix.EEXIST)
		_, err = a.Sink("a0", false)
		require.ErrorIs(t, err, unix.EBUSY)
		_, err = a.Sink("nosuch0", false)
		require.ErrorContains(t, err, "nosuch0")
		_, err = a.Generator("a0", netlab.GeneratorConfig{Size: 1})
		require.Error(t, err)

		if closeAll { // one by one, and then by the lab once more
			for _, c := range []interface{ Close() error }{g, p, s, v, a} {
				assert.NoError(t, c.Close())
				assert.NoError(t, c.Close())
			}
			assert.Empty(t, leftOf(t, l), "before the lab is closed")
			_, err = l.Veth(netlab.VethEnd{Name: l.Name("r")}, netlab.VethEnd{Name: l.Name("s")})
			require.NoError(t, err, "the names are free again")
		}
	}
	all(false) // what is opened once for the whole process, such as epoll
	before := openFiles(t)
	all(false)
	all(true)
	// The end of a thread takes the kernel a moment.
	require.Eventually(t, func() bool { return openFiles(t) <= before }, 30*time.Second, 10*time.Millisecond,
		"%d descriptors before", before)
}

func TestClosedLabMakesNothing(t *testing.T) {
	netlabtest.RequireRoot(t)
	l, err := netlab.New("test")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = l.Namespace("late")
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = l.Veth(netlab.VethEnd{}, netlab.VethEnd{})
	require.Error(t, err)
	assert.Empty(t, leftOf(t, l))
}

func TestNewRefusesPrefix(t *testing.T) {
	_, err := netlab.New("far-too-long")
	require.ErrorContains(t, err, "1 to 6")
	_, err = netlab.New("../x")
	require.Error(t, err)
}

// netNS identifies the namespace of the calling thread.
func netNS(t *testing.T) string {
	t.Helper()
	s, err := os.Readlink("/proc/thread-self/ns/net")
	require.NoError(t, err)
	return s
}

func TestDo(t *testing.T) {
	l := netlabtest.New(t)
	a, err := l.Namespace("a")
	require.NoError(t, err)
	b, err := l.Namespace("b")
	require.NoError(t, err)

	home := netNS(t)
	var inA, inB, backInA string
	require.NoError(t, a.Do(func() error {
		inA = netNS(t)
		err := b.Do(func() error { inB = netNS(t); return nil })
		backInA = netNS(t)
		return err
	}))
	assert.Len(t, map[string]bool{home: true, inA: true, inB: true}, 3)
	assert.Equal(t, inA, backInA)
	assert.Equal(t, home, netNS(t))
	assert.ErrorIs(t, a.Do(func() error { return os.ErrInvalid }), os.ErrInvalid)
	assert.Panics(t, func() { _ = a.Do(func() error { panic("inside") }) })
	assert.Equal(t, home, netNS(t), "after a panic")

	require.NoError(t, a.Close())
	assert.ErrorIs(t, a.Do(func() error { t.Error("called in a closed namespace"); return nil }), os.ErrClosed)
	assert.Equal(t, home, netNS(t))
}

func TestNamespaceHasAName(t *testing.T) {
	l := netlabtest.New(t)
	a, err := l.Namespace("a")
	require.NoError(t, err)
	assert.Equal(t, "a", a.Name())

	var inside, named unix.Stat_t
	require.NoError(t, a.Do(func() error { return unix.Stat("/proc/thread-self/ns/net", &inside) }))
	require.NoError(t, unix.Stat(a.Path(), &named))
	assert.Equal(t, inside.Ino, named.Ino)
	if !strings.HasPrefix(a.Path(), "/run/netns/") {
		t.Logf("mounting is not permitted here, path is %s", a.Path())
	} else if ip, err := exec.LookPath("ip"); err == nil {
		out, err := exec.Command(ip, "netns", "exec", filepath.Base(a.Path()), ip, "-o", "link", "show", "lo").CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Contains(t, string(out), ",UP,")
	}
	require.NoError(t, a.Close())
	assert.NoFileExists(t, a.Path())
}

// A socket is made on the thread that asks for it, whatever package net does:
// the kernel says which namespace it is in.
func TestSocketsAreInside(t *testing.T) {
	m := newBench(t, nil)
	var want unix.Stat_t
	require.NoError(t, unix.Stat(m.a.Path(), &want))
	inside := func(what string, c any) {
		raw, err := c.(interface {
			SyscallConn() (syscall.RawConn, error)
		}).SyscallConn()
		require.NoError(t, err)
		var got unix.Stat_t
		require.NoError(t, raw.Control(func(fd uintptr) {
			ns, err := unix.IoctlRetInt(int(fd), unix.SIOCGSKNS)
			if assert.NoError(t, err) {
				assert.NoError(t, unix.Fstat(ns, &got))
				unix.Close(ns)
			}
		}))
		assert.Equal(t, want.Ino, got.Ino, what)
	}
	ctx := t.Context()
	far, err := m.b.Listen(ctx, "tcp", "192.0.2.2:0")
	require.NoError(t, err)
	defer far.Close()
	for range 20 {
		c, err := m.a.Dial(ctx, "tcp", far.Addr().String())
		require.NoError(t, err)
		inside("Dial tcp", c)
		c.Close()
	}
	c, err := m.a.Dial(ctx, "udp", "192.0.2.2:9")
	require.NoError(t, err)
	defer c.Close()
	inside("Dial udp", c)
	l, err := m.a.Listen(ctx, "tcp", "192.0.2.1:0")
	require.NoError(t, err)
	defer l.Close()
	inside("Listen", l)
	p, err := m.a.ListenPacket(ctx, "ip4:icmp", "0.0.0.0")
	require.NoError(t, err)
	defer p.Close()
	inside("ListenPacket", p)

	_, err = m.a.Dial(ctx, "tcp", "localhost:80")
	require.ErrorContains(t, err, "literal")
	_, err = m.a.Listen(ctx, "tcp", ":0")
	require.ErrorContains(t, err, "literal")
}

func TestVethIsAsAsked(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x42}
	m := newBench(t, func(a, b *netlab.VethEnd) {
		a.MAC, a.MTU, a.Queues = mac, 3000, 2
		a.Addrs = append(a.Addrs, v6a)
		b.MTU, b.TxOffload = 3000, true
	})
	la, err := m.a.Handle().LinkByName("a0")
	require.NoError(t, err)
	at := la.Attrs()
	assert.Equal(t, mac, at.HardwareAddr)
	assert.Equal(t, 3000, at.MTU)
	assert.Equal(t, []int{2, 2}, []int{at.NumRxQueues, at.NumTxQueues})
	assert.Equal(t, netlink.LinkOperState(netlink.OperUp), at.OperState)
	assert.Equal(t, m.veth.A.Index, at.Index)
	lb, err := m.b.Handle().LinkByName("b0")
	require.NoError(t, err)
	assert.Equal(t, 2, lb.Attrs().NumRxQueues, "the number of queues is taken over")
	assert.Positive(t, lb.Attrs().TxQLen, "the driver's own queue length")
	assert.Equal(t, m.veth.B.MAC, lb.Attrs().HardwareAddr)

	// The addresses asked for, the IPv6 one usable, and no other.
	addrs, err := m.a.Handle().AddrList(la, netlink.FAMILY_ALL)
	require.NoError(t, err)
	var got []string
	for _, a := range addrs {
		got = append(got, a.IPNet.String())
		assert.Zero(t, a.Flags&unix.IFA_F_TENTATIVE)
	}
	assert.ElementsMatch(t, []string{v4a.String(), v6a.String()}, got)

	for _, end := range []struct {
		i  netlab.Interface
		on bool
	}{{m.veth.A, false}, {m.veth.B, true}} {
		var on map[string]bool
		require.NoError(t, end.i.Namespace.Do(func() (err error) { on, err = netlab.Offloads(end.i.Name); return err }))
		assert.Len(t, on, 4)
		assert.Equal(t, end.on, on["transmit checksumming"], end.i.Name)
		assert.Equal(t, end.on, on["TCP segmentation offload"], end.i.Name)
		assert.Equal(t, end.on, on["generic segmentation offload"], end.i.Name)
	}
}

// Without IPv6 addresses nothing leaves on its own; without this the exact
// counts below would be luck.
func TestVethIsSilent(t *testing.T) {
	m := newBench(t, nil)
	s, err := m.b.Sink("b0", true)
	require.NoError(t, err)
	time.Sleep(1500 * time.Millisecond)
	frames, _, err := s.Count()
	require.NoError(t, err)
	assert.Zero(t, frames)
}

func TestNamespaceGoneUnderVeth(t *testing.T) {
	m := newBench(t, nil)
	require.NoError(t, m.a.Close())
	require.NoError(t, m.veth.Close())
	m = newBench(t, nil)
	require.NoError(t, m.a.Close())
	require.NoError(t, m.b.Close())
	require.NoError(t, m.veth.Close())
}

func TestProcessInside(t *testing.T) {
	m := newBench(t, nil)
	out := &strings.Builder{}
	cmd := exec.Command("cat", "/proc/net/dev")
	cmd.Stdout = out
	p, err := m.a.Start(cmd)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, p.Wait(ctx))
	assert.Contains(t, out.String(), "a0:")
	assert.NotContains(t, out.String(), "b0:")

	p, err = m.a.Start(exec.Command("sleep", "60"))
	require.NoError(t, err)
	begin := time.Now()
	require.NoError(t, m.lab.Close())
	require.Less(t, time.Since(begin), 10*time.Second)
	require.Error(t, p.Wait(ctx), "killed")
	_, err = m.a.Start(exec.Command("/nonexistent"))
	require.Error(t, err)
}
