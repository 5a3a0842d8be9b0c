package dataplane_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// wires joins two namespaces a and b through two AF_XDP ports of l: a — p0, p1 — b,
// the ports on the given workers.
func wires(t *testing.T, lab *netlab.Lab, l *dataplane.Dataplane, workers ...int) (a, b *netlab.Namespace) {
	t.Helper()
	ns := map[string]*netlab.Namespace{}
	for _, name := range []string{"a", "b", "ports"} {
		var err error
		ns[name], err = lab.Namespace(name)
		require.NoError(t, err)
	}
	drv := afxdp.NewDriver()
	for i, host := range []string{"a", "b"} {
		_, err := lab.Veth(
			netlab.VethEnd{Namespace: ns[host], Name: "h" + host, Addrs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.78.0.%d/24", i+1))}},
			netlab.VethEnd{Namespace: ns["ports"], Name: fmt.Sprint("p", i)})
		require.NoError(t, err)
		spec, err := pmd.ParseSpec(fmt.Sprintf("p%d,netns=%s", i, ns["ports"].Path()))
		require.NoError(t, err)
		dev, err := drv.Open(t.Context(), spec, l.Env())
		require.NoError(t, err)
		_, err = l.AddPort(dev, dataplane.PortConfig{Workers: workers[i : i+1]})
		require.NoError(t, err)
	}
	return ns["a"], ns["b"]
}

// Numbered datagrams between two kernel stacks, through AF_XDP ports whose queues
// move between two workers all the time: each arrives, once, in order.
func TestMovesUnderTrafficOfAFXDP(t *testing.T) {
	lab := netlabtest.New(t)
	// Workers without a CPU of their own may stand still for long: what comes
	// meanwhile must have room.
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2), SendQueue: 8192, Pool: mbuf.Config{Frames: 32768, HugePages: mbuf.HugeOff}})
	a, b := wires(t, lab, l.Dataplane, 0, 1)
	stop := l.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	type outcome struct {
		moves int
		err   error
	}
	done := make(chan outcome, 1)
	end := make(chan struct{})
	go func() {
		o := outcome{}
		for {
			select {
			case <-end:
				done <- o
				return
			case <-time.After(time.Millisecond):
			}
			if err := l.MoveQueue(ctx, dataplane.PortID(o.moves%2), 0, o.moves/2%2); err != nil {
				done <- outcome{o.moves, err}
				return
			}
			o.moves++
		}
	}()
	res, err := netlab.UDPNumbered(ctx, a, b, netlab.UDPConfig{
		A: netip.MustParseAddrPort("10.78.0.1:0"), B: netip.MustParseAddrPort("10.78.0.2:0"), Count: 4_000, Rate: 2_000,
	})
	close(end)
	o := <-done
	require.NoError(t, o.err)
	require.NoError(t, err)
	t.Logf("%d moves under %d datagrams each way", o.moves, res.AtoB.Sent)
	require.NoError(t, stop())
	for name, d := range map[string]netlab.UDPDirection{"a to b": res.AtoB, "b to a": res.BtoA} {
		require.True(t, d.Clean(), "%s: %+v; %v", name, d, l.stats().Ports)
		require.Zero(t, d.Reordered, "%s: %+v", name, d)
	}
	require.Greater(t, o.moves, 20) // some hundred, if the machine is ours
	l.balanced(0)
}
