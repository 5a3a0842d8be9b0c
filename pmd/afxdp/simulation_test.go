//go:build linux

package afxdp_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
)

// The simulated kernel's frames go in at one port and out at the other, every one
// accounted for, and come home port by port.
func TestSimulation(t *testing.T) {
	topo, err := cpu.Local()
	require.NoError(t, err)
	cross := dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		for i := range burst {
			assert.Equal(t, uint32(100), burst[i].Len)
		}
		w.SendBurst(in^1, burst)
	})
	d, err := dataplane.New(dataplane.Config{Cores: []int{dataplane.Unpinned}, Stage: cross})
	require.NoError(t, err)
	_, err = afxdp.NewSimulation(afxdp.SimulationConfig{Size: 59}, d.Env())
	require.ErrorContains(t, err, "use 60 to")
	_, err = afxdp.NewSimulation(afxdp.SimulationConfig{Ring: 3}, d.Env())
	require.ErrorContains(t, err, "power of two")
	_, err = afxdp.NewSimulation(afxdp.SimulationConfig{CPU: -1}, d.Env())
	require.ErrorContains(t, err, "pin to CPU")
	ports, err := afxdp.NewSimulation(afxdp.SimulationConfig{CPU: topo.Allowed.Slice()[0], Size: 100}, d.Env())
	require.NoError(t, err)
	for _, p := range ports {
		_, err := d.AddPort(p, dataplane.PortConfig{})
		require.NoError(t, err)
	}
	sent := func() uint64 {
		s, err := d.Stats(t.Context())
		require.NoError(t, err)
		return min(s.Ports[0].TxPackets, s.Ports[1].TxPackets)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	require.Eventually(t, func() bool { return sent() > 10_000 }, 20*time.Second, time.Millisecond)
	s, err := d.StatsWithAccounts(t.Context())
	require.NoError(t, err)
	var rx, tx, dropped, inHand uint64
	for _, p := range s.Ports {
		rx, tx, inHand = rx+p.RxPackets, tx+p.TxPackets, inHand+p.InHand
		dropped += p.Drops["tx_full"] // the simulated NIC may have to wait for its CPU
		assert.Equal(t, "simulated", p.Mode)
	}
	assert.Equal(t, rx, tx+dropped+inHand)
	require.True(t, s.Pools[0].Balanced())
	require.NoError(t, d.RemovePort(0))
	s, err = d.StatsWithAccounts(t.Context())
	require.NoError(t, err)
	require.True(t, s.Pools[0].Balanced())
	stop()
	require.NoError(t, <-done)
	require.NoError(t, d.Close())
}
