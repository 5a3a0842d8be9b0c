//go:build linux

// Package guest_test runs as the init of a virtual machine: see package vm,
// which builds, boots and questions it. Anywhere else it does nothing.
package guest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/afxdp/internal/vm"
)

func TestMain(m *testing.M) {
	if os.Getpid() != 1 {
		fmt.Println("these tests run inside a virtual machine only: PMD_VM=1 go test ../")
		return
	}
	status := 1
	if err := setUp(); err != nil {
		fmt.Println("guest:", err)
	} else {
		status = m.Run()
	}
	report(vm.Line{End: &status})
	unix.Sync()
	// A NIC whose program has just been taken off may be in the middle of a reset.
	time.Sleep(500 * time.Millisecond)
	fmt.Println("guest: power off:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
	select {}
}

// setUp does what an init has to.
func setUp() error {
	for _, m := range []struct{ kind, at string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}, {"bpf", "/sys/fs/bpf"},
	} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	// A task that hangs in the kernel says where, on kernels that watch for it.
	_ = os.WriteFile("/proc/sys/kernel/hung_task_timeout_secs", []byte("20"), 0)
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	report(vm.Line{Release: unix.ByteSliceToString(u.Release[:])})
	files, err := filepath.Glob(vm.ModuleDir + "/*.ko")
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", filepath.Base(name), err)
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", l.Attrs().Name, err)
		}
		// The far sides hear everything, from now on: newer kernels tell a card so in
		// the background, and until then it drops what is for others.
		if strings.HasPrefix(l.Attrs().HardwareAddr.String(), "02:70:6d:64:") && strings.HasSuffix(l.Attrs().HardwareAddr.String(), ":01") {
			if err := netlink.SetPromiscOn(l); err != nil {
				return fmt.Errorf("set %s promiscuous: %w", l.Attrs().Name, err)
			}
		}
	}
	time.Sleep(100 * time.Millisecond)
	return nil
}

// results is the serial port that results go to.
var results = sync.OnceValues(func() (*os.File, error) { return os.OpenFile("/dev/ttyS1", os.O_WRONLY, 0) })

// report sends a line to the host. Without it there is no use in going on.
func report(l vm.Line) {
	f, err := results()
	if err == nil {
		err = json.NewEncoder(f).Encode(l)
	}
	if err != nil {
		fmt.Println("guest: report:", err)
	}
}

// wirePair is two cards on one hub: the port and its peer.
type wirePair struct{ port, far string }

// interfaceOf returns the interface with an address, waiting for it a while: drivers
// find their cards in the background.
func interfaceOf(t testing.TB, mac string) string {
	t.Helper()
	for range 200 {
		all, err := net.Interfaces()
		require.NoError(t, err)
		for _, i := range all {
			if i.HardwareAddr.String() == mac {
				return i.Name
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	require.Fail(t, "no interface has address "+mac, "the kernel lacks its driver, or QEMU the card")
	return ""
}

// pair returns the cards on a hub.
func pair(t testing.TB, hub int) wirePair {
	t.Helper()
	return wirePair{
		port: interfaceOf(t, vm.NIC{Hub: hub}.MAC()),
		far:  interfaceOf(t, vm.NIC{Hub: hub, Far: true}.MAC()),
	}
}

// driverOf returns the kernel's name of an interface's driver.
func driverOf(name string) string {
	target, err := os.Readlink(filepath.Join("/sys/class/net", name, "device/driver"))
	if err != nil {
		return "veth"
	}
	return filepath.Base(target)
}

// running waits until an interface has carrier. A driver may reset the link when a
// program comes or goes.
func running(t testing.TB, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		l, err := netlink.LinkByName(name)
		return err == nil && l.Attrs().RawFlags&unix.IFF_RUNNING != 0
	}, 10*time.Second, time.Millisecond, "%s has no carrier", name)
}

// wire is a packet socket on the far side of a port.
type wire struct {
	fd  int
	buf []byte
}

// openWire opens a packet socket on an interface for one EtherType. It never blocks.
func openWire(t testing.TB, name string, etherType uint16) *wire {
	t.Helper()
	ifi, err := net.InterfaceByName(name)
	require.NoError(t, err)
	running(t, name)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20))
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	// Past the queueing discipline: Debian's is fq_codel, which drops what has waited for
	// 5 ms (RFC 8289), as frames of an emulated card do, and tells nobody of us.
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1))
	require.NoError(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: etherType>>8 | etherType<<8, Ifindex: ifi.Index}))
	return &wire{fd: fd, buf: make([]byte, 1<<14)}
}

func (w *wire) close() { _ = unix.Close(w.fd) }

// send sends packets and returns how many the card took.
func (w *wire) send(packets ...[]byte) int {
	for i, p := range packets {
		if _, err := unix.Write(w.fd, p); err != nil {
			return i
		}
	}
	return len(packets)
}

// next returns the next packet, which the following call overwrites, or nil.
func (w *wire) next() []byte {
	n, _, err := unix.Recvfrom(w.fd, w.buf, 0)
	if err != nil {
		return nil
	}
	return w.buf[:n]
}

// dropped returns and clears how many packets the socket had no room for.
func (w *wire) dropped(t testing.TB) uint64 {
	s, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	require.NoError(t, err)
	return uint64(s.Drops)
}

// offered remembers what TestOffers found out: driver and feature.
var offered = map[string]map[vm.Feature]string{}

// modes returns the modes that the ports' driver has.
func modes(t testing.TB, port string) []string {
	t.Helper()
	driver := driverOf(port)
	if offered[driver] == nil {
		offered[driver] = probe(t, port, "")
	}
	var out []string
	for _, m := range []struct {
		f    vm.Feature
		name string
	}{{vm.ZeroCopy, "zerocopy"}, {vm.Copy, "copy"}} {
		if offered[driver][m.f] == vm.Yes {
			out = append(out, m.name)
		}
	}
	require.NotEmpty(t, out, "driver %s: %v", driver, offered[driver])
	return out
}
