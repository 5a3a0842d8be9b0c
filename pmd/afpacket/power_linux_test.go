package afpacket_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afpacket"
	"example.org/pmd/pmd/netlab"
)

// What the tests give p0.
var (
	givenMAC = net.HardwareAddr{2, 0, 0, 0xaa, 0xbb, 3}
	givenIP4 = net.HardwareAddr{1, 0, 0x5e, 0x11, 0x22, 0x34}
	givenIP6 = net.HardwareAddr{0x33, 0x33, 0, 0, 0x77, 0x67}
)

const givenMTU = 1300

// powerHelper and powerDir, in the environment, make TestPowersHelper a process that uses
// every power of a port and waits to be killed; without them it has nothing to do.
const (
	powerHelper = "PMD_AFPACKET_POWERS"
	powerDir    = "PMD_AFPACKET_JOURNAL"
)

func TestPowersHelper(t *testing.T) {
	text := os.Getenv(powerHelper)
	if text == "" {
		return
	}
	_, err := powerful(text, os.Getenv(powerDir))
	fmt.Println("used", err)
	select {}
}

// powerful opens a port and uses all its powers.
func powerful(text, dir string) (pmd.Device, error) {
	spec, err := pmd.ParseSpec(text)
	if err != nil {
		return nil, err
	}
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	if err != nil {
		return nil, err
	}
	dev, err := afpacket.Driver{JournalDir: dir}.Open(context.Background(), spec, d.Env())
	if err != nil {
		return nil, err
	}
	for _, err := range []error{
		dev.(pmd.MTUSetter).SetMTU(1400), dev.(pmd.MTUSetter).SetMTU(givenMTU), dev.(pmd.MACSetter).SetMAC(givenMAC),
		dev.(pmd.PromiscSetter).SetPromisc(true), dev.(pmd.AllMultiSetter).SetAllMulti(true),
		dev.(pmd.GroupSetter).SetGroups([]net.HardwareAddr{givenIP4, givenIP6}),
	} {
		if err != nil {
			return nil, err
		}
	}
	return dev, nil
}

// held is what the kernel has of p0 for as long as a process asks for it: whether it is
// promiscuous and takes all multicast frames, as sysfs tells, since netlink leaves out what
// memberships bring, and which of the groups of the test it is in (/proc/net/dev_mcast:
// index, name, users, users for good, address).
func held(t *testing.T, ns *netlab.Namespace) (promisc, allMulti bool, groups []string) {
	t.Helper()
	out, err := exec.Command("nsenter", "--net="+ns.Path(), "unshare", "-m", "sh", "-c", "mount -t sysfs sysfs /sys && cat /sys/class/net/p0/flags").CombinedOutput()
	require.NoError(t, err, "%s", out)
	flags, err := strconv.ParseUint(strings.TrimSpace(string(out)), 0, 64)
	require.NoError(t, err)
	var text []byte
	require.NoError(t, ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev_mcast")
		return err
	}))
	for _, g := range []net.HardwareAddr{givenIP4, givenIP6} {
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) == 5 && f[1] == "p0" && f[4] == strings.ReplaceAll(g.String(), ":", "") {
				groups = append(groups, g.String())
			}
		}
	}
	return flags&unix.IFF_PROMISC != 0, flags&unix.IFF_ALLMULTI != 0, groups
}

// What a port's powers do is seen in the kernel's interface. After kill -9 modes and groups
// are gone at once, and the next process gives the interface its MTU and address again,
// whichever port it opens.
func TestPowersOfAKilledProcess(t *testing.T) {
	_, ns := onePort(t, 1500)
	l, err := ns.Handle().LinkByName("p0")
	require.NoError(t, err)
	before := l.Attrs()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestPowersHelper$", "-test.v")
	cmd.Env = append(os.Environ(), powerHelper+"=afpacket:p0,promisc=off,netns="+ns.Path(), powerDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewScanner(out)
	for said.Scan() && !strings.HasPrefix(said.Text(), "used") {
	}
	require.Equal(t, "used <nil>", said.Text())

	promisc, allMulti, groups := held(t, ns)
	assert.True(t, promisc && allMulti, "%v %v", promisc, allMulti)
	assert.Equal(t, []string{givenIP4.String(), givenIP6.String()}, groups)
	l, err = ns.Handle().LinkByName("p0")
	require.NoError(t, err)
	assert.Equal(t, givenMTU, l.Attrs().MTU)
	assert.Equal(t, givenMAC, l.Attrs().HardwareAddr)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { promisc, allMulti, groups = held(t, ns); return !promisc && !allMulti && len(groups) == 0 }, 30*time.Second, 10*time.Millisecond)
	l, err = ns.Handle().LinkByName("p0")
	require.NoError(t, err)
	assert.Equal(t, givenMAC, l.Attrs().HardwareAddr, "nobody has put it back yet")

	_, other := onePort(t, 1500)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	spec, err := pmd.ParseSpec("afpacket:p0,netns=" + other.Path())
	require.NoError(t, err)
	dev, err := afpacket.Driver{JournalDir: dir}.Open(t.Context(), spec, d.Env())
	require.NoError(t, err)
	l, err = ns.Handle().LinkByName("p0")
	require.NoError(t, err)
	assert.Equal(t, before.MTU, l.Attrs().MTU)
	assert.Equal(t, before.HardwareAddr, l.Attrs().HardwareAddr)
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())
}
