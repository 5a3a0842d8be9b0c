//go:build pmddebug

package ifnet_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/ifnet"
)

// The debug build refuses a replica on any other goroutine than its core's.
func TestReplicaOnAnotherCore(t *testing.T) {
	require.True(t, ifnet.Debug)
	live := newLive(t, 2)
	s, err := ifnet.New(ifnet.Config{Cores: live})
	require.NoError(t, err)
	_, err = s.Attach(bg, ifnet.Params{Name: "eth0", QueueLimit: 1})
	require.NoError(t, err)
	own := make([]*ifnet.Replica, 2)
	s.Bind(func(core int, r *ifnet.Replica) {
		own[core] = r
		require.NotNil(t, r.ByName("eth0"))
	})
	live.Round(func(core int) {
		require.NotPanics(t, func() { own[core].WithAddr(mustAddr("192.0.2.1")) })
		other := own[1-core]
		for _, use := range []func(){
			func() { other.WithAddr(mustAddr("192.0.2.1")) },
			func() { other.WithDstAddr(mustAddr("192.0.2.1")) },
			func() { other.WithNet(mustAddr("192.0.2.1")) },
			func() { other.ByName("eth0") },
			func() { other.ByIndex(1) },
			func() { other.Interfaces(func(*ifnet.View) bool { return true }) },
		} {
			require.Panics(t, use, "core %d", core)
		}
	})
	v := own[0]
	require.Panics(t, func() { v.WithAddr(mustAddr("192.0.2.1")) }, "nor control")
	require.NoError(t, s.Close())
}
