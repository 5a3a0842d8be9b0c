//go:build linux

package afxdp_test

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/netlab"
)

// What the tests give p0.
var (
	otherMAC = net.HardwareAddr{2, 0, 0, 0xaa, 0xbb, 1}
	thirdMAC = net.HardwareAddr{2, 0, 0, 0xaa, 0xbb, 2}
	groupA   = net.HardwareAddr{1, 0, 0x5e, 0x11, 0x22, 0x33}
	groupB   = net.HardwareAddr{0x33, 0x33, 0, 0, 0x77, 0x66}
)

// asKernel returns p0 as the kernel has it.
func asKernel(t *testing.T, ns *netlab.Namespace) *netlink.LinkAttrs {
	t.Helper()
	l, err := ns.Handle().LinkByName("p0")
	require.NoError(t, err)
	return l.Attrs()
}

// flags are p0's as the driver sees them: those that memberships bring included, which
// netlink leaves out.
func flags(t *testing.T, ns *netlab.Namespace) uint64 {
	t.Helper()
	v, err := strconv.ParseUint(strings.TrimPrefix(sysfs(t, ns, "flags"), "0x"), 16, 64)
	require.NoError(t, err)
	return v
}

// inGroup reports whether p0 receives for a group (/proc/net/dev_mcast: index, name,
// users, users for good, address).
func inGroup(t *testing.T, ns *netlab.Namespace, group net.HardwareAddr) bool {
	t.Helper()
	var text []byte
	require.NoError(t, ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev_mcast")
		return err
	}))
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 5 && f[1] == "p0" && f[4] == strings.ReplaceAll(group.String(), ":", "") {
			return true
		}
	}
	return false
}

// powers uses every power of a port on p0.
func powers(dev pmd.Device) error {
	for _, call := range []func() error{
		func() error { return dev.(pmd.MTUSetter).SetMTU(1400) },
		func() error { return dev.(pmd.MTUSetter).SetMTU(1300) },
		func() error { return dev.(pmd.MACSetter).SetMAC(thirdMAC) },
		func() error { return dev.(pmd.MACSetter).SetMAC(otherMAC) },
		func() error { return dev.(pmd.PromiscSetter).SetPromisc(true) },
		func() error { return dev.(pmd.AllMultiSetter).SetAllMulti(true) },
		func() error { return dev.(pmd.GroupSetter).SetGroups([]net.HardwareAddr{groupA, groupB}) },
	} {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

// used checks that the kernel has all of it.
func used(t *testing.T, ns *netlab.Namespace) {
	t.Helper()
	a := asKernel(t, ns)
	require.Equal(t, 1300, a.MTU)
	require.Equal(t, otherMAC, a.HardwareAddr)
	require.Equal(t, 2, a.Promisc, "the port as it was opened, and the power")
	require.NotZero(t, flags(t, ns)&unix.IFF_ALLMULTI)
	require.True(t, inGroup(t, ns, groupA) && inGroup(t, ns, groupB))
}

// nothingHeld checks that the kernel has nothing that a process must be alive to hold.
func nothingHeld(t *testing.T, ns *netlab.Namespace) {
	t.Helper()
	require.Zero(t, asKernel(t, ns).Promisc)
	require.Zero(t, flags(t, ns)&(unix.IFF_ALLMULTI|unix.IFF_PROMISC))
	require.False(t, inGroup(t, ns, groupA) || inGroup(t, ns, groupB))
}

// The kernel's interface is as before once the port is closed; what somebody else has
// changed meanwhile stays.
func TestPowersAreGivenBack(t *testing.T) {
	ns := wideLink(t, 1)
	before := asKernel(t, ns)
	d, dev := openPort(t, ns, "")
	require.NoError(t, powers(dev))
	used(t, ns)
	require.Equal(t, 2, dev.Info().Promiscuity)

	// Limits: the port's, then the driver's, each with what to do.
	err := dev.(pmd.MTUSetter).SetMTU(60_000)
	require.ErrorIs(t, err, unix.EINVAL)
	require.ErrorContains(t, err, "afxdp: p0: MTU 60000: the port takes no more than 1774: invalid argument; open it with frags=on")
	require.ErrorContains(t, dev.(pmd.MTUSetter).SetMTU(3000), "open it with frame-size=4096 (MTU up to 3822), or frags=on")
	err = dev.(pmd.MTUSetter).SetMTU(20)
	require.ErrorIs(t, err, unix.EINVAL)
	require.ErrorContains(t, err, "ip -d link show dev p0")
	require.Equal(t, 1300, asKernel(t, ns).MTU)

	// One group after the other, one mode after the other.
	require.NoError(t, dev.(pmd.GroupSetter).SetGroups([]net.HardwareAddr{groupB}))
	require.False(t, inGroup(t, ns, groupA))
	require.True(t, inGroup(t, ns, groupB))
	require.NoError(t, dev.(pmd.AllMultiSetter).SetAllMulti(false))
	require.Zero(t, flags(t, ns)&unix.IFF_ALLMULTI)
	require.NoError(t, dev.(pmd.PromiscSetter).SetPromisc(false))
	require.Equal(t, 1, asKernel(t, ns).Promisc, "the port was opened so")

	require.NoError(t, powers(dev))
	require.NoError(t, dev.Close())
	after := asKernel(t, ns)
	require.Equal(t, before.MTU, after.MTU)
	require.Equal(t, before.HardwareAddr, after.HardwareAddr)
	nothingHeld(t, ns)
	for _, err := range []error{dev.(pmd.MTUSetter).SetMTU(1400), dev.(pmd.PromiscSetter).SetPromisc(true)} {
		require.ErrorIs(t, err, unix.ENODEV)
		require.ErrorContains(t, err, "closed")
	}
	require.NoError(t, d.Close())

	d, dev = openPort(t, ns, "promisc=off")
	require.NoError(t, dev.(pmd.MACSetter).SetMAC(otherMAC))
	require.NoError(t, dev.(pmd.MTUSetter).SetMTU(1400))
	link(t, ns, "p0", func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetHardwareAddr(l, thirdMAC) })
	require.NoError(t, dev.Close())
	require.Equal(t, thirdMAC, asKernel(t, ns).HardwareAddr, "it is somebody else's choice now")
	require.Equal(t, before.MTU, asKernel(t, ns).MTU)
	require.NoError(t, d.Close())
}

// What changes in the kernel is told, with Info as it is then, and does not hinder traffic.
func TestKernelChangesAreTold(t *testing.T) {
	r := newRig(t, 2, "")
	r.reaches(0, 1)
	for _, change := range []struct {
		words string
		fn    func(*netlink.Handle, netlink.Link) error
		seen  func(p dataplane.PortStats) bool
	}{
		{"MTU 1400 (was 1500)", func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetMTU(l, 1400) },
			func(p dataplane.PortStats) bool { return p.MTU == 1400 }},
		{"address 02:00:00:aa:bb:01 (was", func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetHardwareAddr(l, otherMAC) },
			func(p dataplane.PortStats) bool { return p.MAC == otherMAC.String() }},
		{"promiscuity 2 (was 1)", func(h *netlink.Handle, l netlink.Link) error { return h.SetPromiscOn(l) },
			func(p dataplane.PortStats) bool { return p.Up }},
		{"the interface is down", func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetDown(l) },
			func(p dataplane.PortStats) bool { return !p.Up }},
	} {
		link(t, r.ports, "p0", change.fn)
		require.Eventually(t, func() bool { return r.Said("", "p0", change.words) && change.seen(r.Port(0)) }, 10*time.Second, time.Millisecond, change.words)
	}
	link(t, r.ports, "p0", func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetUp(l) })
	r.WaitUp(0, true)
	r.reaches(0, 1)
	r.Balanced()
}

// After kill -9 modes and groups are gone at once, and the next process gives the
// interface its MTU and address again, whichever port it opens.
func TestPowersOfAKilledProcess(t *testing.T) {
	ns := wideLink(t, 1)
	before := asKernel(t, ns)
	dir := filepath.Join(t.TempDir(), "journal")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperSpec+"=p0,offloads=keep,netns="+ns.Path(), helperDir+"="+dir, helperPowers+"=all")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "open\n", line)
	used(t, ns)
	require.Len(t, journalFiles(t, dir), 2, "of each setting the last change")
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return asKernel(t, ns).Promisc == 0 }, 10*time.Second, time.Millisecond)
	nothingHeld(t, ns)
	require.Equal(t, otherMAC, asKernel(t, ns).HardwareAddr, "nobody has put it back yet")

	other := wideLink(t, 1)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	drv := afxdp.NewDriver()
	drv.JournalDir = dir
	spec, err := pmd.ParseSpec("p0,offloads=keep,netns=" + other.Path())
	require.NoError(t, err)
	dev, err := drv.Open(t.Context(), spec, d.Env())
	require.NoError(t, err)
	after := asKernel(t, ns)
	assert.Equal(t, before.HardwareAddr, after.HardwareAddr)
	assert.Equal(t, before.MTU, after.MTU)
	assert.Empty(t, journalFiles(t, dir))
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())
}

// An interface that goes and comes back gets again what was asked for.
func TestPowersOutliveTheInterface(t *testing.T) {
	r := newRig(t, 2, "promisc=off")
	dev := r.Devices[0]
	require.NoError(t, powers(dev))
	require.NoError(t, r.veths[0].Close())
	r.WaitUp(0, false)
	err := dev.(pmd.MACSetter).SetMAC(thirdMAC)
	require.ErrorIs(t, err, unix.ENODEV)
	require.ErrorContains(t, err, "afxdp: p0: the interface is gone for now")
	r.veths[0] = r.veth(0)
	fresh := asKernel(t, r.ports).HardwareAddr
	r.WaitUp(0, true)
	require.Eventually(t, func() bool { return r.Port(0).MAC == otherMAC.String() && r.Port(0).MTU == 1300 }, 10*time.Second, time.Millisecond)
	a := asKernel(t, r.ports)
	require.Equal(t, 1, a.Promisc)
	require.True(t, inGroup(t, r.ports, groupA) && inGroup(t, r.ports, groupB))
	r.reaches(0, 1)
	r.Stop()
	nothingHeld(t, r.ports)
	a = asKernel(t, r.ports)
	require.Equal(t, 1500, a.MTU)
	if fresh.String() != otherMAC.String() { // else it was taken before we looked
		require.Equal(t, fresh, a.HardwareAddr)
	}
}
