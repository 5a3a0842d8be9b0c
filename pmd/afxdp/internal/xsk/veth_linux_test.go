//go:build linux

package xsk

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab/netlabtest"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// enterNamespace moves the test into a network namespace of its own, which
// goes away with everything in it when the test ends. Subtests would run on
// other threads, outside: such a test has none.
func enterNamespace(t *testing.T) {
	t.Helper()
	netlabtest.RequireRoot(t)
	runtime.LockOSThread()
	home, err := netns.Get()
	require.NoError(t, err)
	ns, err := netns.New()
	require.NoError(t, err)
	t.Cleanup(func() {
		// A thread that cannot go home stays locked and dies with the test.
		if err := netns.Set(home); err == nil {
			runtime.UnlockOSThread()
		}
		_, _ = home.Close(), ns.Close()
	})
	// Nobody must send what the test has not: no router solicitations.
	for _, k := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+k+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			require.NoError(t, err)
		}
	}
}

// newVeth makes a pair name+"0", name+"1" that is up and returns their indices.
func newVeth(t *testing.T, name string) (near, far int) {
	t.Helper()
	v := netlink.NewVeth(netlink.LinkAttrs{Name: name + "0"})
	v.PeerName = name + "1"
	require.NoError(t, netlink.LinkAdd(v))
	for _, n := range []string{name + "0", name + "1"} {
		l, err := netlink.LinkByName(n)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetUp(l))
		near, far = far, l.Attrs().Index
	}
	return near, far
}

// deleteLink deletes an interface by its index.
func deleteLink(t *testing.T, index int) {
	t.Helper()
	l, err := netlink.LinkByIndex(index)
	require.NoError(t, err)
	require.NoError(t, netlink.LinkDel(l))
}

// port is a real queue with its owner's things.
type port struct {
	*Socket
	cache              *mbuf.Cache
	rxPosted, txPosted *mbuf.FrameSet
}

func newPool(t *testing.T) *mbuf.Pool {
	t.Helper()
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: 4096, HugePages: mbuf.HugeOff})
	require.NoError(t, err)
	return pool
}

// config is a socket in copy mode on queue 0 with small rings.
func config(pool *mbuf.Pool, ifindex int) Config {
	return Config{
		Ifindex: uint32(ifindex), RxRing: 512, TxRing: 512, FillRing: 512, CompRing: 512,
		Bind: unix.XDP_COPY | unix.XDP_USE_NEED_WAKEUP, Mem: pool.Mem(), FrameSize: uint32(pool.FrameSize()),
	}
}

func openPort(t *testing.T, pool *mbuf.Pool, cfg Config) *port {
	t.Helper()
	s, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &port{Socket: s, cache: mbuf.NewCache(pool), rxPosted: mbuf.NewFrameSet(pool), txPosted: mbuf.NewFrameSet(pool)}
}

// make takes n frames and numbers them from first on.
func (p *port) make(t *testing.T, first uint32, n, length int) []mbuf.Frame {
	t.Helper()
	burst := make([]mbuf.Frame, n)
	pool := p.cache.Pool()
	require.Equal(t, n, p.cache.TakeFrames(burst, uint32(pool.DataOffset()), uint32(length), 0))
	for i, f := range burst {
		copy(pool.Mem().Bytes(f), ethernet(first+uint32(i), length))
	}
	return burst
}

// completeAll waits until nothing is posted for sending and returns the sums.
func (p *port) completeAll(t *testing.T) (n int, bytes uint64) {
	t.Helper()
	eventually(t, "completions", func() bool {
		k, b, foreign := p.Comp.Complete(p.cache, p.txPosted)
		require.Zero(t, foreign)
		n, bytes = n+k, bytes+b
		return p.txPosted.Len() == 0
	})
	return n, bytes
}

// testEtherType is one reserved for local experiments (IEEE 802, 0x88b5).
const testEtherType = 0x88b5

// ethernet returns a broadcast frame that carries a number.
func ethernet(n uint32, length int) []byte {
	p := make([]byte, length)
	for i := range 6 {
		p[i] = 0xff
	}
	p[6], p[11] = 2, 1
	p[12], p[13] = testEtherType>>8, testEtherType&0xff
	copy(p[14:], []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	return p
}

// wire is the kernel's end of a pair: a packet socket.
type wire struct {
	fd      int
	ifindex int
}

func openWire(t *testing.T, ifindex int) *wire {
	t.Helper()
	proto := uint16(testEtherType>>8 | testEtherType&0xff<<8)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(proto))
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
	require.NoError(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifindex}))
	return &wire{fd: fd, ifindex: ifindex}
}

// send sends numbered frames.
func (w *wire) send(t *testing.T, first uint32, n, length int) {
	t.Helper()
	for i := range n {
		_, err := unix.Write(w.fd, ethernet(first+uint32(i), length))
		require.NoError(t, err)
	}
}

// receive waits for n frames and returns their numbers and the sum of lengths.
func (w *wire) receive(t *testing.T, n int) (numbers []uint32, bytes int) {
	t.Helper()
	buf := make([]byte, 4096)
	eventually(t, "frames on the wire", func() bool {
		for len(numbers) < n {
			k, err := unix.Read(w.fd, buf)
			if err != nil {
				require.ErrorIs(t, err, unix.EAGAIN)
				return false
			}
			numbers = append(numbers, be32(buf[14:]))
			bytes += k
		}
		return true
	})
	return numbers, bytes
}

// redirect attaches a program to an interface that hands every frame of queue 0
// to the socket, and passes what it has no socket for.
func redirect(t *testing.T, ifindex int, s *Socket) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	require.NoError(t, m.Put(uint32(0), uint32(s.FD())))
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP,
		Instructions: asm.Instructions{
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Imm(asm.R2, 0),
			asm.Mov.Imm(asm.R3, 2), // XDP_PASS if there is no socket
			asm.FnRedirectMap.Call(),
			asm.Return(),
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = prog.Close() })
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex, Flags: link.XDPDriverMode})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
}

// eventually tries for half a minute.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited half a minute for ", what)
		}
	}
}

func numbersFrom(first uint32, n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = first + uint32(i)
	}
	return out
}
