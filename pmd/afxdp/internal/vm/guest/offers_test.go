//go:build linux

package guest_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/safchain/ethtool"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/afxdp/internal/vm"
	"example.org/pmd/pmd/afxdp/internal/xsk"
	"example.org/pmd/pmd/mbuf"
)

// What each driver has, found out by trying each by itself.
func TestOffers(t *testing.T) {
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v0"}, PeerName: "v1"}))
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v2"}, PeerName: "v3"}))
	t.Cleanup(func() {
		for _, name := range []string{"v0", "v2"} {
			l, err := netlink.LinkByName(name)
			require.NoError(t, err)
			require.NoError(t, netlink.LinkDel(l))
		}
	})
	for _, name := range []string{"v0", "v1", "v2", "v3"} {
		l, err := netlink.LinkByName(name)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetUp(l))
	}
	cards := [][2]string{{pair(t, 1).port, pair(t, 2).port}}
	if driverOf(cards[0][0]) != "igb" { // whose kernel is another build of the same
		cards = append(cards, [2]string{"v0", "v2"})
	}
	links, err := netlink.LinkList()
	require.NoError(t, err)
	for _, l := range links { // cards that are there for this alone
		name := l.Attrs().Name
		if d := driverOf(name); d != "veth" && d != driverOf(cards[0][0]) && d != driverOf(pair(t, 1).far) {
			cards = append(cards, [2]string{name, ""})
		}
	}
	for _, c := range cards {
		has := probe(t, c[0], c[1])
		if has[vm.Native] == vm.Yes {
			for _, m := range metadata() {
				has[m.f] = verdict(tryPort(t, c[0], m.options))
			}
		}
		offered[driverOf(c[0])] = has
		report(vm.Line{Offer: &vm.Offer{Driver: driverOf(c[0]), Has: has}})
		t.Logf("%s: %v", driverOf(c[0]), has)
	}
}

// What packets can carry besides their bytes: forwarded as well where it is offered, and
// refused by name where it is not.
func TestForwardMetadata(t *testing.T) {
	p := pair(t, 1)
	has := offered[driverOf(p.port)]
	if has[vm.TxChecksumCopy] == "" {
		t.Skip("TestOffers, which comes before, has not tried it")
	}
	for _, m := range metadata() {
		if has[m.f] != vm.Yes {
			option := m.options[strings.LastIndex(m.options, ",")+1:]
			require.ErrorContains(t, tryPort(t, p.port, m.options), option, "the option that cannot be had")
			continue
		}
		t.Run(m.options, func(t *testing.T) {
			options := m.options
			if !strings.HasPrefix(options, "mode=") {
				options = "mode=" + modes(t, p.port)[0] + "," + options
			}
			r := newRig(t, strings.TrimPrefix(options, "mode="), "csum", dataplane.Config{})
			require.NotEmpty(t, r.port(0).Obtained["metadata"])
			for _, card := range []string{r.a.port, r.b.port} {
				// In copy mode the kernel would leave checksums to the card, and that to the
				// far one, which does not see to it.
				kernelChecksums(t, card)
			}
			r.count = 300
			r.carries()
			if m.f == vm.TxStampCopy || m.f == vm.TxStampZC {
				s := r.port(0).Queues[0].TxStamps
				require.NotNil(t, s)
				require.NotZero(t, s.Stamped)
				t.Logf("%s: %+v", m.options, *s)
			}
		})
	}
}

// kernelChecksums has the kernel complete checksums that an interface would.
func kernelChecksums(t testing.TB, name string) {
	t.Helper()
	e, err := ethtool.NewEthtool()
	require.NoError(t, err)
	defer e.Close()
	const offload = "tx-checksum-ip-generic"
	has, err := e.Features(name)
	require.NoError(t, err)
	if has[offload] {
		require.NoError(t, e.Change(name, map[string]bool{offload: false}))
		t.Cleanup(func() {
			if e, err := ethtool.NewEthtool(); err == nil {
				_ = e.Change(name, map[string]bool{offload: true})
				e.Close()
			}
		})
	}
}

// metaOption is an option of ports for what packets carry besides their bytes.
type metaOption struct {
	f       vm.Feature
	options string
}

func metadata() []metaOption {
	return []metaOption{
		{vm.RxHash, "rx-hash=on"}, {vm.RxTimestamp, "rx-timestamp=on"}, {vm.RxVLAN, "rx-vlan=on"},
		{vm.TxChecksumCopy, "mode=copy,tx-checksum=on"}, {vm.TxChecksumZC, "mode=zerocopy,tx-checksum=on"},
		{vm.TxStampCopy, "mode=copy,tx-timestamp=on"}, {vm.TxStampZC, "mode=zerocopy,tx-timestamp=on"},
	}
}

// tryPort opens a port with these options and closes it.
func tryPort(t testing.TB, name, options string) error {
	t.Helper()
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil), Pool: mbuf.Config{Frames: 4096}})
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close(), "all frames are home") }()
	spec, err := pmd.ParseSpec(name + "," + options)
	require.NoError(t, err)
	dev, err := afxdp.NewDriver().Open(t.Context(), spec, d.Env())
	if err != nil {
		return err
	}
	return dev.Close()
}

// probe tries what the driver of an interface has. other is another of the same
// driver, to share a UMEM with, or empty.
func probe(t testing.TB, name, other string) map[vm.Feature]string {
	t.Helper()
	running(t, name)
	has := map[vm.Feature]string{}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "BSD", Flags: frags(t),
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	require.NoError(t, err)
	defer prog.Close()
	attach := func(name string) (done func(), err error) {
		ifi, err := net.InterfaceByName(name)
		require.NoError(t, err)
		l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifi.Index, Flags: link.XDPDriverMode})
		if err != nil {
			return func() {}, err
		}
		return func() { require.NoError(t, l.Close()) }, nil
	}
	detach, err := attach(name)
	has[vm.Native] = verdict(err)
	defer detach()
	if err != nil {
		// Without it a socket works behind the driver, in copy mode.
		has[vm.Copy] = "generic only"
		return has
	}
	running(t, name)
	if other != "" {
		detach, err := attach(other)
		require.NoError(t, err)
		defer detach()
		running(t, other)
	}
	const copyMode, zeroCopy = unix.XDP_COPY, unix.XDP_ZEROCOPY
	for _, try := range []struct {
		f     vm.Feature
		flags uint16
		also  func(s *xsk.Socket, mem []byte) error
	}{
		{vm.Copy, copyMode, nil},
		{vm.ZeroCopy, zeroCopy, func(s *xsk.Socket, _ []byte) error {
			zc, err := s.Options()
			if err == nil && !zc {
				err = errors.New("the kernel says it is copy mode")
			}
			return err
		}},
		{vm.NeedWakeup, unix.XDP_USE_NEED_WAKEUP, nil},
		{vm.BusyPoll, 0, func(s *xsk.Socket, _ []byte) error { return s.SetBusyPoll(20, 64) }},
		{vm.MultiBufCopy, copyMode | unix.XDP_USE_SG, nil},
		{vm.MultiBufZC, zeroCopy | unix.XDP_USE_SG, nil},
		{vm.SharedUMEMCopy, copyMode, shareWith(t, other)},
		{vm.SharedUMEMZC, zeroCopy, shareWith(t, other)},
	} {
		if other == "" && (try.f == vm.SharedUMEMCopy || try.f == vm.SharedUMEMZC) {
			has[try.f] = "not tried"
			continue
		}
		has[try.f] = verdict(withSocket(t, name, try.flags, try.also))
	}
	return has
}

// frags is the flag for frames of several buffers, if this kernel knows it.
func frags(t testing.TB) uint32 {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "BSD", Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		return 0
	}
	require.NoError(t, p.Close())
	return unix.BPF_F_XDP_HAS_FRAGS
}

// umem is the memory of a probe's socket, in chunks of 2048 bytes.
const umem = 4 << 20

func socketConfig(t testing.TB, name string, flags uint16, mem []byte) xsk.Config {
	ifi, err := net.InterfaceByName(name)
	require.NoError(t, err)
	return xsk.Config{Name: name, Ifindex: uint32(ifi.Index), Bind: flags, Mem: mem, FrameSize: 2048}
}

// withSocket opens a socket and does something with it.
func withSocket(t testing.TB, name string, flags uint16, also func(*xsk.Socket, []byte) error) error {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, umem, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(mem)) }()
	s, err := openPatiently(socketConfig(t, name, flags, mem))
	if err != nil {
		return err
	}
	if also != nil {
		err = also(s, mem)
	}
	return errors.Join(err, s.Close())
}

// openPatiently opens a socket, waiting for the queue's last one to be torn down.
func openPatiently(c xsk.Config) (s *xsk.Socket, err error) {
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s, err = xsk.Open(c); !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return s, err
		}
	}
}

// shareWith has another interface's socket share the first one's memory.
func shareWith(t testing.TB, other string) func(*xsk.Socket, []byte) error {
	return func(s *xsk.Socket, mem []byte) error {
		c := socketConfig(t, other, 0, mem)
		c.SharedFD = s.FD()
		second, err := openPatiently(c)
		if err != nil {
			return err
		}
		return second.Close()
	}
}

// verdict words the outcome of a try.
func verdict(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return vm.Yes
	case errors.As(err, &errno):
		if errno == unix.EOPNOTSUPP { // which has two names
			return "no: EOPNOTSUPP"
		}
		return "no: " + unix.ErrnoName(errno)
	}
	return fmt.Sprintf("no: %v", err)
}
