package forward_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// A kernel finds its neighbours and has its pings answered, IPv4 and IPv6, by mode
// icmpecho through AF_XDP.
func TestICMPEchoAnswersAKernel(t *testing.T) {
	lab := netlabtest.New(t)
	host, err := lab.Namespace("host")
	require.NoError(t, err)
	ports, err := lab.Namespace("ports")
	require.NoError(t, err)
	_, err = lab.Veth(netlab.VethEnd{Namespace: host, Name: "h0", Addrs: []netip.Prefix{
		netip.MustParsePrefix("10.79.0.1/24"), netip.MustParsePrefix("fd00:79::1/64"),
	}}, netlab.VethEnd{Namespace: ports, Name: "p0"})
	require.NoError(t, err)

	d, err := dataplane.New(dataplane.Config{
		Stage: stage(t, "rxonly", forward.Config{}), Pool: mbuf.Config{Frames: 8192, HugePages: mbuf.HugeOff},
	})
	require.NoError(t, err)
	spec, err := pmd.ParseSpec("p0,netns=" + ports.Path())
	require.NoError(t, err)
	dev, err := afxdp.NewDriver().Open(t.Context(), spec, d.Env())
	require.NoError(t, err)
	_, err = d.AddPort(dev, dataplane.PortConfig{})
	require.NoError(t, err)
	require.NoError(t, d.SetStage(t.Context(), stage(t, "icmpecho", forward.Config{
		Out: []dataplane.PortID{0}, MACs: []net.HardwareAddr{dev.Info().MAC},
	})))
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(run) }()

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, dst := range []string{"10.79.0.2", "10.79.0.77", "fd00:79::2", "fd00:79::77"} {
		res, err := netlab.Ping(ctx, host, netip.MustParseAddr(dst), 10)
		require.NoError(t, err, dst)
		require.Equal(t, res.Sent, res.Received, "%s: %+v", dst, res)
	}
	stop()
	require.NoError(t, <-done)
	s, err := d.StatsWithAccounts(t.Context())
	require.NoError(t, err)
	p := s.Ports[0]
	require.GreaterOrEqual(t, p.TxPackets, uint64(44), "forty pings, and four neighbours asked for")
	require.Equal(t, p.RxPackets, p.TxPackets+p.Drops["unanswered"]+p.InHand, "%+v", p)
	require.NoError(t, d.Close())
}
