package afxdp

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd/internal/netif"
)

// Interfaces lists the interfaces of a network namespace, a name under /run/netns or
// a path, empty for the caller's own, in order of their numbers.
func Interfaces(netns string) (names []string, err error) {
	err = netif.NewNamespace(netns).Do(func() error {
		links, err := netlink.LinkList()
		slices.SortFunc(links, func(a, b netlink.Link) int { return cmp.Compare(a.Attrs().Index, b.Attrs().Index) })
		for _, l := range links {
			names = append(names, l.Attrs().Name)
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("afxdp: list the interfaces: %w", err)
	}
	return names, err
}

// Inspect reads the facts of one interface in that namespace. Nothing of it is
// changed, and no privilege is needed in the caller's own namespace; what then
// cannot be read is listed. An interface that is not there is an error that is
// ENODEV.
func Inspect(netns, name string) (*Facts, error) {
	ns := netif.NewNamespace(netns)
	f := &Facts{Name: name, NUMANode: -1}
	err := ns.Do(func() error {
		l, err := netlink.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return fmt.Errorf("no such interface; see ip link: %w", unix.ENODEV)
		}
		if err != nil {
			return err
		}
		f.readLink(l)
		f.readQueues(ns, l)
		if err := netif.WithEthtool(f.readEthtool); err != nil {
			f.unread("ethtool", err)
		}
		if v, ok := l.(*netlink.Veth); ok {
			f.Peer = findPeer(v)
		}
		if err := ns.Sysfs(name, f.readSysfs); err != nil {
			f.unread("sysfs", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("afxdp: %s: %w", name, err)
	}
	return f, nil
}

// unread notes what could not be read.
func (f *Facts) unread(what string, err error) {
	f.Unread = append(f.Unread, fmt.Sprintf("%s: %v", what, err))
}

// readLink reads what rtnetlink knows of the interface.
func (f *Facts) readLink(l netlink.Link) {
	a := l.Attrs()
	f.Index, f.MTU = a.Index, a.MTU
	if f.Kind = l.Type(); f.Kind == "device" {
		f.Kind = "" // the library's word for hardware
	}
	f.Loopback = a.RawFlags&unix.IFF_LOOPBACK != 0
	f.Up, f.Carrier = a.RawFlags&unix.IFF_UP != 0, a.RawFlags&unix.IFF_LOWER_UP != 0
	if len(a.HardwareAddr) == 6 {
		f.MAC = slices.Clone(a.HardwareAddr)
	}
	if a.MasterIndex != 0 {
		f.Master = fmt.Sprintf("interface %d", a.MasterIndex)
		if m, err := netlink.LinkByIndex(a.MasterIndex); err == nil {
			f.Master = m.Attrs().Name
		}
	}
	if err := netif.CheckEthernet(l); err != nil {
		f.NotEthernet = err.Error()
	}
	if err := netif.CheckManagement(l); err != nil {
		f.Management = err.Error()
	}
	if x := a.Xdp; x != nil && x.Attached {
		name := programName(x.ProgId)
		f.Program = &AttachedProgram{ID: x.ProgId, Name: name, Ours: name == redirectName}
	}
	f.XDP = xdpFeatures(a.Index)
}

// readQueues reads the receive queues and which of them RSS uses.
func (f *Facts) readQueues(ns netif.Namespace, l netlink.Link) {
	d := Device{cfg: Config{Interface: f.Name}, ns: ns}
	c := d.readChannels(l)
	f.Queues = QueueFacts{
		Live: c.live, Most: c.most, Unit: c.unit,
		Hashed:  slices.Sorted(maps.Keys(spreads(f.Name, c.live))),
		Steered: hasIndirection(f.Name),
	}
}

// readEthtool reads driver, rings and offloads. A driver without rings of its own
// is none to note.
func (f *Facts) readEthtool(e *ethtool.Ethtool) error {
	if name, err := e.DriverName(f.Name); err == nil {
		f.Driver = name
	}
	if r, err := e.GetRing(f.Name); err == nil {
		f.RxRing, f.TxRing = int(r.RxPending), int(r.TxPending)
		f.RxRingMax, f.TxRingMax = int(r.RxMaxPending), int(r.TxMaxPending)
	}
	all, err := e.FeaturesWithState(f.Name)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	for _, o := range offloads {
		if s := all[o.name]; s.Active {
			f.Offloads = append(f.Offloads, Offload{Name: o.name, Harm: o.harm, Fixed: !s.Available || s.NeverChanged})
		}
	}
	return err
}

// txChecksums are the features that leave checksums to hardware, by their names in
// netdev_features_strings.
var txChecksums = []string{"tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"}

// findPeer looks for the other end of a veth: in its namespace, or in one that has
// a name. It is called inside the namespace.
func findPeer(v *netlink.Veth) *Peer {
	a := v.Attrs()
	if a.NetNsID < 0 {
		return readPeer(a.ParentIndex)
	}
	named, err := filepath.Glob("/run/netns/*")
	if err != nil {
		return nil
	}
	for _, name := range named {
		if nsID(name) != a.NetNsID {
			continue
		}
		var p *Peer
		_ = netif.NewNamespace(name).Do(func() error {
			p = readPeer(a.ParentIndex)
			return nil
		})
		if p != nil {
			p.Netns = filepath.Base(name)
		}
		return p
	}
	return nil
}

// nsID returns the number by which the calling thread's namespace knows the one
// at this path, -1 if it knows none.
func nsID(name string) int {
	f, err := os.Open(name)
	if err != nil {
		return -1
	}
	defer f.Close()
	id, err := netlink.GetNetNsIdByFd(int(f.Fd()))
	if err != nil {
		return -1
	}
	return id
}

// readPeer reads the other end of a veth, in the namespace of which it is called.
func readPeer(index int) *Peer {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return nil
	}
	p := &Peer{Name: l.Attrs().Name}
	err = netif.WithEthtool(func(e *ethtool.Ethtool) error {
		all, err := e.Features(p.Name)
		p.TxChecksum = slices.ContainsFunc(txChecksums, func(name string) bool { return all[name] })
		return err
	})
	if err != nil {
		return nil
	}
	return p
}

// readSysfs reads what only sysfs tells. dir is the interface's folder there.
func (f *Facts) readSysfs(dir string) (err error) {
	// dir is SYS/class/net/NAME, whatever SYS is.
	sys := os.DirFS(filepath.Dir(filepath.Dir(filepath.Dir(dir))))
	if f.NUMANode, err = cpu.InterfaceNode(sys, f.Name); err != nil {
		f.NUMANode = -1
		return err
	}
	f.IRQs, err = msiInterrupts(sys, f.Name)
	return err
}

// msiInterrupts lists the MSI interrupts of an interface in ascending order. They
// belong to its PCI device (Documentation/ABI/testing/sysfs-bus-pci, msi_irqs);
// between it and the interface there may be a device of another bus, as virtio's.
func msiInterrupts(sys fs.FS, name string) (irqs []int, err error) {
	link, err := fs.ReadLink(sys, path.Join("class/net", name))
	if err != nil {
		return nil, err
	}
	for up := path.Join("class/net", link); strings.HasPrefix(up, "devices/"); up = path.Dir(up) {
		entries, err := fs.ReadDir(sys, path.Join(up, "msi_irqs"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, e := range entries {
			if n, err := strconv.Atoi(e.Name()); err == nil {
				irqs = append(irqs, n)
			}
		}
		slices.Sort(irqs)
		return irqs, err
	}
	return nil, nil
}
