//go:build linux

package afxdp_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/netlab"
)

// jumbo is the MTU of these tests: packets of six frames of 2048 bytes.
const jumbo = 9000

// setMTU gives both ends of port i an MTU.
func (r *rig) setMTU(i, mtu int) {
	r.t.Helper()
	for _, end := range []struct {
		ns   *netlab.Namespace
		name string
	}{{r.hosts[i], fmt.Sprintf("h%d", i)}, {r.ports, fmt.Sprintf("p%d", i)}} {
		link(r.t, end.ns, end.name, func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetMTU(l, mtu) })
	}
}

// transfers sends bytes over TCP both ways at once between two hosts, compared by
// their hash.
func (r *rig) transfers(a, b int, bytes int64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 60*time.Second)
	defer cancel()
	errs := make(chan error, 2)
	for _, way := range [][2]int{{a, b}, {b, a}} {
		go func() {
			_, err := netlab.TCPTransfer(ctx, r.hosts[way[0]], r.hosts[way[1]], netip.AddrPortFrom(addr(way[1]), 0), bytes)
			errs <- err
		}()
	}
	require.NoError(r.t, <-errs)
	require.NoError(r.t, <-errs)
}

// numbered sends datagrams of one size both ways; every one arrives.
func (r *rig) numbered(a, b, size int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	res, err := netlab.UDPNumbered(ctx, r.hosts[a], r.hosts[b], netlab.UDPConfig{
		A: netip.AddrPortFrom(addr(a), 0), B: netip.AddrPortFrom(addr(b), 0), Count: 300, Rate: 1500, Size: size,
	})
	require.NoError(r.t, err)
	require.True(r.t, res.AtoB.Clean() && res.BtoA.Clean(), "datagrams of %d bytes: %+v", size, res)
}

// Packets of several frames are forwarded whole between ports whose MTU asks for them,
// and counted as packets.
func TestJumbo(t *testing.T) {
	for _, test := range []struct {
		options string
		queues  int
	}{
		{"", 1}, {"", 2}, {"mode=generic", 1}, {"frame-size=4096,headroom=128", 1},
	} {
		t.Run(fmt.Sprintf("%s,queues=%d", test.options, test.queues), func(t *testing.T) {
			r := newJumboRig(t, test.queues, test.options)
			r.reaches(0, 1)
			before := r.Port(0)
			r.transfers(0, 1, 8<<20)
			r.numbered(0, 1, jumbo-28)
			r.numbered(0, 1, 1800)
			r.Balanced()
			after := r.Port(0)
			packets, bytes := after.RxPackets-before.RxPackets, after.RxBytes-before.RxBytes
			require.Greater(t, bytes/packets, uint64(2048), "bytes a packet: %d of %d", bytes, packets)
			require.Equal(t, "on", after.Obtained["frags"])
			require.Zero(t, after.Missed["rx_dropped"]+after.Missed["tx_invalid_descs"], "%v", after.Missed)
		})
	}
}

// newJumboRig is newWideRig of two ports with a large MTU.
func newJumboRig(t *testing.T, queues int, options string) *rig {
	t.Helper()
	return buildRig(t, 2, queues, options, func(r *rig) {
		r.setMTU(0, jumbo)
		r.setMTU(1, jumbo)
	})
}

// Every mode that forwards carries packets of several frames; those that change
// headers change them in the first frame, and checksums are of all of them.
func TestJumboModes(t *testing.T) {
	r := newJumboRig(t, 1, "")
	out, err := forward.Connect(2)
	require.NoError(t, err)
	cfg := forward.Config{Out: out}
	for i, h := range r.hosts {
		l, err := h.Handle().LinkByName(fmt.Sprintf("h%d", i))
		require.NoError(t, err)
		cfg.Peers = append(cfg.Peers, l.Attrs().HardwareAddr)
		mac, err := net.ParseMAC(r.Port(i).MAC)
		require.NoError(t, err)
		cfg.MACs = append(cfg.MACs, mac)
	}
	cfg.Options.NoisyBuffer, cfg.Options.NoisyFlush, cfg.Frames = 100, 1, 16384
	for _, mode := range []string{"io", "mac", "csum", "noisy"} {
		stage, err := forward.New(mode, cfg)
		require.NoError(t, err)
		require.NoError(t, r.Dataplane.SetStage(t.Context(), stage))
		r.reaches(0, 1)
		r.numbered(0, 1, jumbo-28)
		r.transfers(0, 1, 1<<20)
		r.Balanced()
	}
}

// A port that may not have several frames a packet refuses an MTU that asks for it,
// and says the limit; one that may has a limit too.
func TestJumboRefused(t *testing.T) {
	r := newRig(t, 1, "")
	r.Stop()
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	open := func(mtu int, options string) error {
		r.setMTU(0, mtu)
		dev, err := afxdp.NewDriver().Open(t.Context(), r.spec(0, options), d.Env())
		if err == nil {
			require.NoError(t, dev.Close())
		}
		return err
	}
	require.ErrorContains(t, open(jumbo, "frags=off"), "MTU 9000 is more than the 1774 that fit frames of 2048 bytes; use frags=on")
	require.ErrorContains(t, open(3000, "frags=off"), "use frame-size=4096 (MTU up to 3822), or frags=on")
	require.NoError(t, open(3000, "frags=off,frame-size=4096"))
	require.NoError(t, open(1500, "frags=on"))
	require.NoError(t, open(32000, ""))
	require.ErrorContains(t, open(32239, ""), "MTU 32239 is more than the 32238 that fit 18 frames of 2048 bytes; use frame-size=4096, or ip link set")
	require.NoError(t, open(60000, "frame-size=4096"))
}
