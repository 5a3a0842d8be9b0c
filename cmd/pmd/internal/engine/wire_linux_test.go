package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// cable is an engine between two hosts, each behind an AF_XDP port on a veth pair: host 0 —
// p0, p1 — host 1. Every frame on it is a numbered datagram.
type cable struct {
	t     *testing.T
	ports *netlab.Namespace
	e     *Engine
	conns [2]net.PacketConn
	to    [2]net.Addr // where host i sends

	mu   sync.Mutex
	sent [2]int // by host i
	got  [2]arrivals
}

// arrivals are the datagrams that a host has received, of which none is to come twice or
// after a later one.
type arrivals struct{ n, last, wrong int }

func newCable(t *testing.T) *cable {
	lab := netlabtest.New(t)
	w := &cable{t: t}
	var err error
	w.ports, err = lab.Namespace("ports")
	require.NoError(t, err)
	var specs []string
	var macs [2]net.HardwareAddr
	var hosts [2]*netlab.Namespace
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 78, 0, byte(i + 1)}) }
	for i := range hosts {
		hosts[i], err = lab.Namespace(fmt.Sprint("host", i))
		require.NoError(t, err)
		_, err = lab.Veth(netlab.VethEnd{Namespace: hosts[i], Name: "h", Addrs: []netip.Prefix{netip.PrefixFrom(addr(i), 24)}},
			netlab.VethEnd{Namespace: w.ports, Name: fmt.Sprint("p", i)})
		require.NoError(t, err)
		l, err := hosts[i].Handle().LinkByName("h")
		require.NoError(t, err)
		macs[i] = l.Attrs().HardwareAddr
		specs = append(specs, fmt.Sprintf("p%d,promisc=off,netns=%s", i, w.ports.Path()))
	}
	for i, h := range hosts {
		// Nobody asks who has the other's address: what is on the wire are datagrams alone.
		l, err := h.Handle().LinkByName("h")
		require.NoError(t, err)
		require.NoError(t, h.Handle().NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: addr(1 - i).AsSlice(), HardwareAddr: macs[1-i]}))
		w.conns[i], err = h.ListenPacket(t.Context(), "udp", netip.AddrPortFrom(addr(i), 4789).String())
		require.NoError(t, err)
		t.Cleanup(func() { w.conns[i].Close() })
		w.to[i] = net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr(1-i), 4789))
		// What waited while a port was down comes all at once.
		raw, err := w.conns[i].(*net.UDPConn).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			assert.NoError(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20))
		}))
	}
	cfg := small(t, specs...)
	cfg.Unpinned = 2
	cfg.Pool = mbuf.Config{Frames: 16384, HugePages: mbuf.HugeOff}
	w.e, err = Start(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(w.e.Stop)
	for i := range w.conns {
		go w.receive(i)
	}
	return w
}

// receive notes what host i receives, until its socket is closed.
func (w *cable) receive(i int) {
	buf := make([]byte, 256)
	for {
		n, _, err := w.conns[i].ReadFrom(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		a := &w.got[i]
		number := 0
		if n == 64 {
			number = int(binary.BigEndian.Uint32(buf))
		}
		if number <= a.last || number > w.sent[1-i] {
			a.wrong++
		}
		a.n, a.last = a.n+1, number
		w.mu.Unlock()
	}
}

// talk lets both hosts send, about two thousand datagrams a second, while fn runs.
func (w *cable) talk(fn func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	for i, conn := range w.conns {
		wg.Go(func() {
			msg := make([]byte, 64)
			for {
				select {
				case <-end:
					return
				case <-time.After(time.Millisecond):
				}
				for range 2 {
					w.mu.Lock()
					w.sent[i]++
					binary.BigEndian.PutUint32(msg, uint32(w.sent[i]))
					w.mu.Unlock()
					if _, err := conn.WriteTo(msg, w.to[i]); !assert.NoError(w.t, err) {
						return
					}
				}
			}
		})
	}
	defer wg.Wait()
	defer close(end)
	fn()
}

// counts returns how many datagrams host i has sent and the other one received.
func (w *cable) counts(i int) (sent, got int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[i], w.got[1-i].n
}

// stats returns the statistics of a port.
func (w *cable) stats(i int) *Port {
	w.t.Helper()
	s, err := w.e.Stats(context.Background())
	require.NoError(w.t, err)
	return &s.Ports[i]
}

// set changes a port's interface.
func (w *cable) set(ref string, set IfSettings) Interface {
	w.t.Helper()
	f, err := w.e.SetInterface(context.Background(), ref, set)
	require.NoError(w.t, err)
	return f
}

// arrive waits until as many datagrams of host i have arrived as were sent and were not lost,
// and checks that each did once and in order.
func (w *cable) arrive(i int, lost func() int) {
	w.t.Helper()
	until(w.t, "every datagram has arrived, or is counted as lost", func() bool {
		sent, got := w.counts(i)
		return sent == got+lost()
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.Zero(w.t, w.got[1-i].wrong, "once, in order, and whole")
}

// end stops the engine, which has every frame.
func (w *cable) end() {
	w.t.Helper()
	w.e.Stop()
	require.NoError(w.t, w.e.Wait())
	accountedFor(w.t, w.e.Final())
}

// An interface on the wire goes down and up under traffic both ways. What is sent there
// while it is down is counted, to the datagram; what comes from there waits in the kernel, or
// is counted by it.
func TestDownOnTheWire(t *testing.T) {
	w := newCable(t)
	dropped := func() int { return int(w.stats(1).Drops["not_polled"]) }
	w.talk(func() {
		for range 20 {
			_, before := w.counts(0)
			until(t, "datagrams through p1", func() bool { _, got := w.counts(0); return got > before })
			w.set("p1", IfSettings{Up: ptr(false)})
			down := w.stats(1)
			until(t, "datagrams for p1, which is down", func() bool { return dropped() > int(down.Drops["not_polled"]) })
			now := w.stats(1)
			assert.Equal(t, down.TxPackets, now.TxPackets, "what is down sends nothing")
			assert.Equal(t, down.RxPackets, now.RxPackets, "and receives nothing")
			w.set("p1", IfSettings{Up: ptr(true)})
		}
		l, err := w.ports.Handle().LinkByName("p1")
		require.NoError(t, err)
		assert.NotZero(t, l.Attrs().Flags&net.FlagUp, "the kernel's interface knows nothing of it")
	})
	w.arrive(0, dropped)
	w.arrive(1, func() int {
		m := w.stats(1).Missed
		return int(m["rx_dropped"] + m["rx_ring_full"])
	})
	sent, got := w.counts(0)
	t.Logf("%d datagrams for p1, %d while it was down; %d from there, %d missed", sent, sent-got, w.sent[1], w.sent[1]-w.got[0].n)
	w.end()
}

// Everything else that changes of an interface on the wire loses nothing: each datagram
// arrives once and in order while name, MTU, address, modes, addresses, groups and polling
// cores change, some of which the kernel's interface shows.
func TestChangesOnTheWire(t *testing.T) {
	w := newCable(t)
	ctx := context.Background()
	w.talk(func() {
		for round := range 15 {
			_, before := w.counts(0)
			name, mtu, mac := "wan"+strconv.Itoa(round), 1500-10*(round%2+1), net.HardwareAddr{2, 0, 0, 0, 9, byte(round)}
			f := w.set("0", IfSettings{
				Name: &name, MTU: &mtu, LLAddr: ptr(mac.String()), Metric: &round, Promisc: ptr(round%2 == 0), AllMulti: ptr(round%3 == 0),
				PollCPU: ptr("w" + strconv.Itoa(round%2)),
			})
			assert.Equal(t, name, f.Name)
			l, err := w.ports.Handle().LinkByName("p0")
			require.NoError(t, err, "the kernel's name stays")
			assert.Equal(t, mtu, l.Attrs().MTU)
			assert.Equal(t, mac, l.Attrs().HardwareAddr)
			assert.Equal(t, round%2 == 0, l.Attrs().Promisc > 0)
			_, err = w.e.AddAddr(ctx, name, AddrSettings{Address: "2001:db8::1/64"})
			require.NoError(t, err)
			_, err = w.e.Join(ctx, name, "224.0.0.251")
			require.NoError(t, err)
			_, err = w.e.DelAddr(ctx, name, AddrSettings{Address: "2001:db8::1"})
			require.NoError(t, err)
			_, err = w.e.Leave(ctx, name, "224.0.0.251")
			require.NoError(t, err)
			until(t, "datagrams", func() bool { _, got := w.counts(0); return got > before })
		}
	})
	none := func() int { return 0 }
	w.arrive(0, none)
	w.arrive(1, none)
	w.end()
	l, err := w.ports.Handle().LinkByName("p0")
	require.NoError(t, err)
	assert.Equal(t, 1500, l.Attrs().MTU, "all is given back")
	assert.Zero(t, l.Attrs().Promisc)
}
