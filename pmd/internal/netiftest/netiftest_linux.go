package netiftest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/pmdtest"
)

// experimental is the EtherType 0x88b5 in the byte order of the wire (IEEE 802,
// 9.2.4), read as a number of a little-endian machine.
const experimental = 0xb588

// patience bounds each wait for something that must happen.
const patience = 30 * time.Second

// Rig is a running dataplane.
type Rig struct {
	// Stop ends it, and checks that it ended well. It runs by itself at the end of
	// the test.
	Stop func()
	// Dataplane is what runs, Devices are its ports in order.
	Dataplane *dataplane.Dataplane
	Devices   []pmd.Device

	t *testing.T

	mu     sync.Mutex
	events []dataplane.Event
}

// Start opens an even number of ports with these specs, joins 0 and 1, 2 and 3, …,
// and polls them with one worker.
func Start(t *testing.T, drv pmd.Driver, specs ...string) *Rig {
	t.Helper()
	return StartWide(t, 1, drv, specs...)
}

// StartWide is Start with this many workers, and as many pools' worth of frames: of a port with
// as many queues worker i polls queue i.
func StartWide(t *testing.T, workers int, drv pmd.Driver, specs ...string) *Rig {
	t.Helper()
	r := &Rig{t: t}
	out, err := forward.Connect(len(specs))
	require.NoError(t, err)
	stage, err := forward.New("io", forward.Config{Out: out})
	require.NoError(t, err)
	r.Dataplane, err = dataplane.New(dataplane.Config{
		Stage: stage, OnEvent: r.event, Cores: slices.Repeat([]int{dataplane.Unpinned}, workers),
		Pool: mbuf.Config{Frames: workers * mbuf.DefaultFrames},
	})
	require.NoError(t, err)
	each := make([]int, workers)
	for i := range each {
		each[i] = i
	}
	for _, text := range specs {
		spec, err := pmd.ParseSpec(text)
		require.NoError(t, err)
		dev, err := drv.Open(t.Context(), spec, r.Dataplane.Env())
		require.NoError(t, err)
		var placed dataplane.PortConfig
		if len(dev.Queues()) == workers {
			placed.Workers = each
		}
		_, err = r.Dataplane.AddPort(dev, placed)
		require.NoError(t, err)
		r.Devices = append(r.Devices, dev)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Dataplane.Run(ctx) }()
	r.Stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, r.Dataplane.Close())
	})
	t.Cleanup(r.Stop)
	return r
}

func (r *Rig) event(e dataplane.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Events returns what the dataplane has told so far.
func (r *Rig) Events() []dataplane.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]dataplane.Event(nil), r.events...)
}

// Said reports whether a port has told something with these words, in an event of this kind;
// any will do if it is empty.
func (r *Rig) Said(kind, port, words string) bool {
	return slices.ContainsFunc(r.Events(), func(e dataplane.Event) bool {
		return (kind == "" || e.Kind == kind) && e.Port == port && strings.Contains(e.Text, words)
	})
}

// Port returns the statistics of port i.
func (r *Rig) Port(i int) dataplane.PortStats {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := r.Dataplane.Stats(ctx)
	require.NoError(r.t, err)
	return s.Ports[i]
}

// WaitUp waits until port i is up, or down.
func (r *Rig) WaitUp(i int, up bool) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.Port(i).Up == up }, patience, 5*time.Millisecond,
		"port %d: up should become %v", i, up)
}

// Balanced checks that every frame is accounted for: those received, and all of
// every pool.
func (r *Rig) Balanced() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := r.Dataplane.StatsWithAccounts(ctx)
	require.NoError(r.t, err)
	for _, p := range s.Pools {
		require.True(r.t, p.Balanced(), "%+v", p)
	}
	var received, sent, dropped, inHand uint64
	for _, c := range s.Cores {
		inHand += c.Held
	}
	for _, p := range s.Ports {
		received += p.RxPackets
		sent += p.TxPackets
		inHand += p.InHand
		for _, n := range p.Drops {
			dropped += n
		}
	}
	require.Equal(r.t, received, sent+dropped+inHand, "received = sent + dropped + in hand: %+v", s.Ports)
}

// Host is a namespace at the far side of a port.
type Host struct {
	// Namespace is where the host's kernel stack is.
	Namespace *netlab.Namespace
	// Addr is its address on the way through the port.
	Addr netip.Addr
}

// Reaches checks that a reaches b and b reaches a, with every datagram of some
// hundred.
func Reaches(t *testing.T, a, b Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	// The first packets may meet an ARP entry of the past.
	require.Eventually(t, func() bool {
		p, err := netlab.Ping(ctx, a.Namespace, b.Addr, 1)
		return err == nil && p.Received == 1
	}, patience, time.Millisecond, "%v does not reach %v", a.Addr, b.Addr)
	res, err := netlab.UDPNumbered(ctx, a.Namespace, b.Namespace, netlab.UDPConfig{
		A: netip.AddrPortFrom(a.Addr, 0), B: netip.AddrPortFrom(b.Addr, 0), Count: 500, Rate: 5000,
	})
	require.NoError(t, err)
	require.True(t, res.AtoB.Clean() && res.BtoA.Clean(), "%+v", res)
}

// Transfers sends bytes by TCP from a to b and compares their hashes.
func Transfers(t *testing.T, a, b Host, bytes int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	res, err := netlab.TCPTransfer(ctx, a.Namespace, b.Namespace, netip.AddrPortFrom(b.Addr, 0), bytes)
	require.NoError(t, err)
	t.Logf("%v to %v: %.0f Mbit/s", a.Addr, b.Addr, res.BitsPerSecond()/1e6)
}

// Drain receives frames of a queue that nobody owns until want have come, and returns
// how many did within a time.
func Drain(t *testing.T, q pmd.Queue, want int) (n int) {
	t.Helper()
	local := mbuf.NewLocal()
	q.Bind(pmd.Binding{Local: local})
	defer local.Drain()
	defer q.Unbind()
	burst := make([]mbuf.Frame, 64)
	for deadline := time.Now().Add(patience); n < want && time.Now().Before(deadline); {
		k := q.RxBurst(burst)
		local.Free(burst[:k])
		n += k
	}
	return n
}

// FarSide is what the conformance suite needs at the other side of a port: a socket
// on an interface there that puts packets in and takes them out.
func FarSide(t testing.TB, ns *netlab.Namespace, ifname string) pmdtest.Setup {
	t.Helper()
	fd := PacketSocket(t, ns, ifname)
	buf := make([]byte, 4096)
	return pmdtest.Setup{
		Inject: func(packets [][]byte) int {
			for i, p := range packets {
				if _, err := unix.Write(fd, p); err != nil {
					return i
				}
			}
			return len(packets)
		},
		Collect: func() (out [][]byte) {
			for {
				n, from, err := unix.Recvfrom(fd, buf, 0)
				if err != nil {
					return out
				}
				if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
					continue
				}
				out = append(out, append([]byte(nil), buf[:n]...))
			}
		},
		Release: func() { require.NoError(t, unix.Close(fd)) },
	}
}

// PacketSocket opens a socket that does not block, for frames of the EtherType of
// package pmdtest, on an interface.
func PacketSocket(t testing.TB, ns *netlab.Namespace, ifname string) (fd int) {
	t.Helper()
	require.NoError(t, ns.Do(func() error {
		ifi, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: experimental, Ifindex: ifi.Index})
	}))
	return fd
}
