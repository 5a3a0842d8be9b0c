//go:build linux

package afxdp_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/afxdp"
)

// Frames that a driver does not let go of are in quarantine, each with its owner, and at
// home again once the queue is bound anew.
func TestDriverThatIsLate(t *testing.T) {
	var late atomic.Bool
	r := buildRigWith(t, 2, 1, "", func(*rig) {}, func(drv *afxdp.Driver) {
		drv.SetLate(func() error {
			if late.Load() {
				return fmt.Errorf("the driver is late: %w", unix.EBUSY)
			}
			return nil
		})
	})
	quarantine := func() int {
		s, err := r.Dataplane.StatsWithAccounts(t.Context())
		require.NoError(t, err)
		require.True(t, s.Pools[0].Balanced(), "%+v", s.Pools[0])
		return s.Pools[0].Owners["quarantine"]
	}
	for range 2 {
		r.reaches(0, 1)
		late.Store(true)
		require.NoError(t, r.veths[0].Close())
		r.WaitUp(0, false)
		require.Eventually(t, func() bool { return strings.Contains(r.Port(0).Detail, "the driver is late") }, 30*time.Second, time.Millisecond)
		require.NotZero(t, quarantine())
		late.Store(false)
		r.veths[0] = r.veth(0)
		r.WaitUp(0, true)
		require.Zero(t, quarantine())
	}
	r.reaches(0, 1)
}

func TestUntilFree(t *testing.T) {
	answers := func(list ...error) func() error {
		return func() error {
			err := list[0]
			if len(list) > 1 {
				list = list[1:]
			}
			return err
		}
	}
	busy := fmt.Errorf("bind: %w", unix.EBUSY)
	require.NoError(t, afxdp.UntilFree(time.Hour, answers(busy, busy, nil)))
	require.ErrorIs(t, afxdp.UntilFree(time.Hour, answers(busy, unix.ENODEV)), unix.ENODEV)
	require.ErrorIs(t, afxdp.UntilFree(30*time.Millisecond, answers(busy)), unix.EBUSY, "for a bounded time")
}
