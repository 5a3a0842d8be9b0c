package afxdp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/internal/netiftest"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// Frames that a driver does not let go of are in quarantine, each with its owner, and at
// home again once the queue is bound anew.
func TestDriverThatIsLate(t *testing.T) {
	lab := netlabtest.New(t)
	namespace := func(name string) *netlab.Namespace {
		ns, err := lab.Namespace(name)
		require.NoError(t, err)
		return ns
	}
	ports := namespace("ports")
	hosts := []netiftest.Host{}
	veth := func(i int) *netlab.Veth {
		v, err := lab.Veth(
			netlab.VethEnd{Namespace: hosts[i].Namespace, Name: fmt.Sprintf("h%d", i), Addrs: []netip.Prefix{netip.PrefixFrom(hosts[i].Addr, 24)}},
			netlab.VethEnd{Namespace: ports, Name: fmt.Sprintf("p%d", i)})
		require.NoError(t, err)
		return v
	}
	var veths []*netlab.Veth
	var specs []string
	for i := range 2 {
		hosts = append(hosts, netiftest.Host{Namespace: namespace(fmt.Sprintf("h%d", i)), Addr: netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)})})
		veths = append(veths, veth(i))
		specs = append(specs, fmt.Sprintf("p%d,netns=%s", i, ports.Path()))
	}
	var late atomic.Bool
	drv := NewDriver()
	drv.JournalDir = t.TempDir()
	drv.released = func(d *Device, c *connection, i int) error {
		if late.Load() {
			return fmt.Errorf("queue %d is late: %w", i, unix.EBUSY)
		}
		return d.waitReleased(c, i)
	}
	r := netiftest.StartWide(t, 1, drv, specs...)
	quarantine := func() int {
		s, err := r.Dataplane.StatsWithAccounts(t.Context())
		require.NoError(t, err)
		require.True(t, s.Pools[0].Balanced(), "%+v", s.Pools[0])
		return s.Pools[0].Owners["quarantine"]
	}
	for range 2 {
		netiftest.Reaches(t, hosts[0], hosts[1])
		late.Store(true)
		require.NoError(t, veths[0].Close())
		r.WaitUp(0, false)
		require.Eventually(t, func() bool { return strings.Contains(r.Port(0).Detail, "queue 0 is late") }, 30*time.Second, time.Millisecond)
		require.NotZero(t, quarantine())
		late.Store(false)
		veths[0] = veth(0)
		r.WaitUp(0, true)
		require.Zero(t, quarantine())
	}
	netiftest.Reaches(t, hosts[0], hosts[1])
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
	require.NoError(t, untilFree(time.Hour, answers(busy, busy, nil)))
	require.ErrorIs(t, untilFree(time.Hour, answers(busy, unix.ENODEV)), unix.ENODEV)
	require.True(t, errors.Is(untilFree(30*time.Millisecond, answers(busy)), unix.EBUSY), "for a bounded time")
}
