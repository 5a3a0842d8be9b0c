package vm

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// tapCards are cards of several queues, which QEMU's own hubs do not have: in a
// namespace that goes with the test, each hub is a bridge between two taps.
func tapCards(t *testing.T, model, options string, queues int) []NIC {
	t.Helper()
	nics, _ := tapCardsIn(t, model, options, queues)
	return nics
}

// tapCardsIn is tapCards that tells the namespace.
func tapCardsIn(t *testing.T, model, options string, queues int) (nics []NIC, ns *netlab.Namespace) {
	t.Helper()
	lab := netlabtest.New(t)
	ns, err := lab.Namespace("hubs")
	require.NoError(t, err)
	t.Cleanup(func() { // before the namespace goes
		if !t.Failed() {
			return
		}
		links, err := ns.Handle().LinkList()
		require.NoError(t, err)
		for _, l := range links {
			t.Logf("outside: %s: %+v", l.Attrs().Name, *l.Attrs().Statistics)
		}
	})
	for hub := 1; hub <= 2; hub++ {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("hub%d", hub)}}
		require.NoError(t, ns.Handle().LinkAdd(bridge))
		require.NoError(t, ns.Handle().LinkSetUp(bridge))
		port := NIC{Model: model, Options: options, Hub: hub, Taps: openTap(t, ns, bridge, fmt.Sprintf("port%d", hub), queues)}
		far := NIC{Model: "virtio-net-pci", Hub: hub, Far: true, Taps: openTap(t, ns, bridge, fmt.Sprintf("far%d", hub), 1)}
		nics = append(nics, port, far)
	}
	return nics, ns
}

// openTap makes a tap interface with some queues and puts it into a bridge.
func openTap(t *testing.T, ns *netlab.Namespace, bridge netlink.Link, name string, queues int) (files []*os.File) {
	t.Helper()
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	require.NoError(t, ns.Do(func() error {
		for range queues {
			f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			t.Cleanup(func() { f.Close() })
			files = append(files, f)
			ifr, err := unix.NewIfreq(name)
			if err != nil {
				return err
			}
			ifr.SetUint16(flags)
			if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, ifr); err != nil {
				return fmt.Errorf("tap %s: %w", name, err)
			}
		}
		return nil
	}))
	l, err := ns.Handle().LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, ns.Handle().LinkSetMaster(l, bridge))
	require.NoError(t, ns.Handle().LinkSetUp(l))
	return files
}
