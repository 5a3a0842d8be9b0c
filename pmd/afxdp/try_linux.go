package afxdp

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/afxdp/internal/xsk"
)

// tryQueues is how many queues [TryFeatures] needs: one for each socket, since a
// queue is busy for a moment after its socket was closed.
const tryQueues = 3

// TryFeatures tries what the driver uses of the kernel, in the calling thread's
// network namespace, and says of each feature whether it works. It makes a veth
// pair with a large MTU, with which the namespace is to go: call it in one made for
// it. An error means that there is no pair to try on.
func TryFeatures() ([]Feature, error) {
	const mtu = 9000 // more than one page: only programs with frags attach
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "try0", mtu
	attrs.NumTxQueues, attrs.NumRxQueues = tryQueues, tryQueues
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: "try1", PeerMTU: mtu, PeerTxQLen: -1,
		PeerNumTxQueues: tryQueues, PeerNumRxQueues: tryQueues,
	})
	if err != nil {
		return nil, fmt.Errorf("afxdp: make a veth pair to try on: %w", err)
	}
	for _, name := range []string{"try0", "try1"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			return nil, fmt.Errorf("afxdp: make a veth pair to try on: %s: %w", name, err)
		}
	}
	l, err := netlink.LinkByName("try0")
	if err != nil {
		return nil, fmt.Errorf("afxdp: make a veth pair to try on: %w", err)
	}
	t := &trial{ifindex: l.Attrs().Index}
	defer t.close()
	if err := t.programs(); err != nil {
		return nil, err
	}
	if err := t.sockets(); err != nil {
		return nil, err
	}
	if xdpFeatures(t.ifindex) == nil {
		err = unix.EOPNOTSUPP
	}
	t.note(FeatureXDPFamily, "6.3", err)
	return t.list, nil
}

// trial is what TryFeatures holds and found.
type trial struct {
	ifindex int
	list    []Feature
	undo    []func() error
}

// note enters a result.
func (t *trial) note(name, since string, err error) {
	t.list = append(t.list, Feature{Name: name, Since: since, Err: err})
}

// close gives up everything that is held, last made first. What cannot be closed
// goes with the process.
func (t *trial) close() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		_ = t.undo[i]()
	}
}

// programs tries to attach a program in the driver, first one that knows frags.
func (t *trial) programs() error {
	p, err := newProgram(tryQueues, 0, nil)
	frags := err
	if err == nil {
		t.undo = append(t.undo, p.Close)
		var l link.Link
		if l, err = link.AttachXDP(link.XDPOptions{Program: p.Program, Interface: t.ifindex, Flags: link.XDPDriverMode}); err == nil {
			t.undo = append(t.undo, l.Close)
			t.note(FeatureProgram, "5.9", nil)
			t.note(FeatureFrags, "5.18", nil)
			return nil
		}
		frags = err
	}
	// Without frags the MTU has to be that of a page.
	for _, name := range []string{"try0", "try1"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetMTU(l, 1500)
		}
		if err != nil {
			return fmt.Errorf("afxdp: %s: set the MTU: %w", name, err)
		}
	}
	if p, err = loadProgram(tryQueues, 0, nil); err == nil {
		t.undo = append(t.undo, p.Close)
		var l link.Link
		if l, err = link.AttachXDP(link.XDPOptions{Program: p.Program, Interface: t.ifindex, Flags: link.XDPDriverMode}); err == nil {
			t.undo = append(t.undo, l.Close)
		}
	}
	t.note(FeatureProgram, "5.9", err)
	t.note(FeatureFrags, "5.18", frags)
	return nil
}

// errNoSocket is why what needs a socket was not tried.
var errNoSocket = errors.New("not tried without a socket")

// sockets tries what an AF_XDP socket is asked for.
func (t *trial) sockets() error {
	const frames, size = 64, 4096
	mem, err := unix.Mmap(-1, 0, frames*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("afxdp: memory to try with: %w", err)
	}
	t.undo = append(t.undo, func() error { return unix.Munmap(mem) })
	open := func(queue uint32, shared int, flags uint16) (*xsk.Socket, error) {
		s, err := xsk.Open(xsk.Config{
			Name: "try0", Ifindex: uint32(t.ifindex), Queue: queue, SharedFD: shared, Bind: flags,
			RxRing: minRing, TxRing: minRing, FillRing: minRing, CompRing: minRing, Mem: mem, FrameSize: size,
		})
		if err == nil {
			t.undo = append(t.undo, s.Close)
		}
		return s, err
	}
	s, err := open(0, 0, unix.XDP_COPY|unix.XDP_USE_NEED_WAKEUP)
	t.note(FeatureSocket, "5.4", err)
	shared, busy, budget := errNoSocket, errNoSocket, errNoSocket
	if err == nil {
		_, shared = open(1, s.FD(), 0)
		busy = s.SetBusyPoll(busyPollTime, MaxBusyPoll)
		budget = s.SetTxBudget(minRing)
	}
	t.note(FeatureShared, "5.10", shared)
	_, err = open(2, 0, unix.XDP_COPY|unix.XDP_USE_SG)
	t.note(FeatureSG, "6.6", err)
	t.note(FeatureBusyPoll, "5.11", busy)
	t.note(FeatureTxBudget, "6.17", budget)
	return nil
}
