//go:build linux

package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
)

// What happens to ports in real life, on the best mode that the driver has.

// waitUp waits until port i is up, or down.
func (r *rig) waitUp(i int, up bool) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.port(i).Up == up }, 10*time.Second, 5*time.Millisecond, "port %d: up should become %v", i, up)
}

func TestLinkDownAndUp(t *testing.T) {
	r := newRig(t, modes(t, pair(t, 1).port)[0], "io", dataplane.Config{})
	for range 2 {
		l, err := netlink.LinkByName(r.a.port)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetDown(l))
		r.waitUp(0, false)
		r.balanced()
		require.NoError(t, netlink.LinkSetUp(l))
		r.waitUp(0, true)
		running(t, r.a.port)
		r.carries()
	}
}

// The card is taken from its driver and given back, as when it is unplugged.
func TestCardRemovedAndBack(t *testing.T) {
	r := newRig(t, modes(t, pair(t, 1).port)[0], "io", dataplane.Config{})
	r.carries()
	device, err := filepath.EvalSymlinks(filepath.Join("/sys/class/net", r.a.port, "device"))
	require.NoError(t, err)
	driver, err := filepath.EvalSymlinks(filepath.Join(device, "driver"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(driver, "unbind"), []byte(filepath.Base(device)), 0))
	r.waitUp(0, false)
	r.balanced()
	require.NoError(t, os.WriteFile(filepath.Join(driver, "bind"), []byte(filepath.Base(device)), 0))
	l, err := netlink.LinkByName(pair(t, 1).port)
	require.NoError(t, err)
	require.Equal(t, r.a.port, l.Attrs().Name, "the card has its name again")
	require.NoError(t, netlink.LinkSetUp(l))
	r.waitUp(0, true)
	running(t, r.a.port)
	r.carries()
}

// A queue is closed and taken again at once, each time in another mode.
func TestCloseAndReopenInAnotherMode(t *testing.T) {
	p := pair(t, 1)
	all := modes(t, p.port)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	drv := afxdp.NewDriver()
	for i := range 6 {
		mode := all[i%len(all)]
		spec, err := pmd.ParseSpec(p.port + ",mode=" + mode)
		require.NoError(t, err)
		dev, err := drv.Open(t.Context(), spec, d.Env())
		require.NoError(t, err, "round %d", i)
		require.Equal(t, mode, dev.Info().Mode)
		require.NoError(t, dev.Close(), "round %d", i)
	}
	require.NoError(t, d.Close(), "all frames are home")
}

// Of a card's queues those are taken that are live. One that is not is refused, with those
// that are.
func TestQueueNotLive(t *testing.T) {
	p := pair(t, 1)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	open := func(options string) (int, error) {
		spec, err := pmd.ParseSpec(p.port + options)
		require.NoError(t, err)
		dev, err := afxdp.NewDriver().Open(t.Context(), spec, d.Env())
		if err != nil {
			return 0, err
		}
		return len(dev.Queues()), dev.Close()
	}
	live, err := open(",queues=all")
	require.NoError(t, err)
	require.LessOrEqual(t, live, runtime.NumCPU(), "a queue has an interrupt of a CPU")
	for _, options := range []string{fmt.Sprintf(",queue=%d", live), fmt.Sprintf(",queues=%d", live+1)} {
		_, err = open(options)
		require.ErrorContains(t, err, fmt.Sprintf("%s queue %d: the interface has queues 0 to %d: ", p.port, live, live-1))
	}
	require.NoError(t, d.Close())
}

// Mode auto takes the best there is, and what it could not have is told.
func TestModeAuto(t *testing.T) {
	p := pair(t, 1)
	best := modes(t, p.port)[0]
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	spec, err := pmd.ParseSpec(p.port)
	require.NoError(t, err)
	dev, err := afxdp.NewDriver().Open(t.Context(), spec, d.Env())
	require.NoError(t, err)
	info := dev.Info()
	require.NoError(t, dev.Close())
	require.Equal(t, best, info.Mode)
	if best == afxdp.ModeZeroCopy {
		require.NotContains(t, info.Obtained, "zerocopy")
		require.NoError(t, d.Close())
		return
	}
	require.Contains(t, info.Obtained["zerocopy"], driverOf(p.port))
	require.Contains(t, info.Obtained["zerocopy"], "copy mode")
	spec, err = pmd.ParseSpec(p.port + ",mode=zerocopy")
	require.NoError(t, err)
	_, err = afxdp.NewDriver().Open(t.Context(), spec, d.Env())
	require.ErrorContains(t, err, "no zero-copy mode")
	require.NoError(t, d.Close())
}
