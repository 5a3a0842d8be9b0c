package netif

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/journal"
)

// Membership holds modes and groups of interfaces for as long as it is open: the kernel
// counts who wants them, and whoever ends wants nothing any more (packet(7),
// PACKET_ADD_MEMBERSHIP). The zero value holds nothing and is ready.
type Membership struct {
	fd   int
	open bool
}

// Add takes a mode, unix.PACKET_MR_PROMISC or PACKET_MR_ALLMULTI, or with
// PACKET_MR_MULTICAST a group. It is called inside the namespace.
func (m *Membership) Add(ifindex int, mode uint16, group net.HardwareAddr) error {
	if !m.open {
		// Protocol 0 receives nothing.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		m.fd, m.open = fd, true
	}
	return m.set(unix.PACKET_ADD_MEMBERSHIP, ifindex, mode, group)
}

// Drop gives up what Add took.
func (m *Membership) Drop(ifindex int, mode uint16, group net.HardwareAddr) error {
	return m.set(unix.PACKET_DROP_MEMBERSHIP, ifindex, mode, group)
}

func (m *Membership) set(opt, ifindex int, mode uint16, group net.HardwareAddr) error {
	mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: mode}
	mreq.Alen = uint16(copy(mreq.Address[:], group))
	if err := unix.SetsockoptPacketMreq(m.fd, unix.SOL_PACKET, opt, &mreq); err != nil {
		return fmt.Errorf("membership of a packet socket: %w", err)
	}
	return nil
}

// Close gives up everything.
func (m *Membership) Close() error {
	if !m.open {
		return nil
	}
	m.open = false
	return unix.Close(m.fd)
}

// Powers is what control has asked of the kernel's interface beyond what its port needs.
// It is asked for again when an interface is taken anew, and given up with it. It belongs
// to the goroutine that holds the interface; all methods but Forget are called inside the
// namespace.
type Powers struct {
	ns      Namespace
	journal *journal.Journal

	// What is wished.
	mtu               int
	mac               net.HardwareAddr
	promisc, allMulti bool
	groups            []net.HardwareAddr

	// What is held.
	members Membership
	notes   map[string]*journal.Note // by the key of KindLink
}

// NewPowers returns the powers over an interface in ns, which write down in j what is to
// be put back.
func NewPowers(ns Namespace, j *journal.Journal) *Powers {
	return &Powers{ns: ns, journal: j, notes: map[string]*journal.Note{}}
}

// Take does to an interface that was just taken what was wished before. An MTU or MAC
// address that it refuses is not wished any more.
func (p *Powers) Take(l netlink.Link) error {
	i := l.Attrs().Index
	var err error
	if p.promisc {
		err = p.members.Add(i, unix.PACKET_MR_PROMISC, nil)
	}
	if p.allMulti {
		err = errors.Join(err, p.members.Add(i, unix.PACKET_MR_ALLMULTI, nil))
	}
	for _, g := range p.groups {
		err = errors.Join(err, p.members.Add(i, unix.PACKET_MR_MULTICAST, g))
	}
	if p.mtu != 0 && p.set(l, KeyMTU, strconv.Itoa(p.mtu)) != nil {
		p.mtu = 0
	}
	if p.mac != nil && p.set(l, KeyMAC, p.mac.String()) != nil {
		p.mac = nil
	}
	return err
}

// Leave gives everything up.
func (p *Powers) Leave() error {
	err := p.members.Close()
	for _, key := range []string{KeyMAC, KeyMTU} {
		if n := p.notes[key]; n != nil {
			err = errors.Join(err, p.ns.PutBack(n))
		}
	}
	clear(p.notes)
	return err
}

// Forget is Leave when the namespace is gone, and the interface with it.
func (p *Powers) Forget() error {
	err := p.members.Close()
	for _, n := range p.notes {
		err = errors.Join(err, n.Remove())
	}
	clear(p.notes)
	return err
}

// set gives the interface an MTU or MAC address, and has written down before what it had
// when nobody had asked for another one.
func (p *Powers) set(l netlink.Link, key, value string) error {
	now, name := linkValue(l, key), l.Attrs().Name
	if now == value {
		return nil
	}
	c := journal.Change{Kind: KindLink, Key: key, Was: now, Set: value}
	old := p.notes[key]
	if old != nil && old.Changes[0].Set == now {
		c.Was = old.Changes[0].Was
	}
	var note *journal.Note
	if c.Was != c.Set {
		var err error
		if note, err = p.ns.Note(p.journal, l, []journal.Change{c}); err != nil {
			return fmt.Errorf("note what is to be put back: %w", err)
		}
	}
	err := p.ns.Write(name, c, value)
	if err != nil {
		old, note = note, old
	}
	if p.notes[key] = note; note == nil {
		delete(p.notes, key)
	}
	if old != nil {
		err = errors.Join(err, old.Remove())
	}
	return err
}

// SetMTU gives the interface an MTU up to limit, which is what the port can take.
func (p *Powers) SetMTU(l netlink.Link, mtu, limit int) error {
	if mtu > limit {
		return fmt.Errorf("MTU %d: the port takes no more than %d: %w", mtu, limit, unix.EINVAL)
	}
	err := p.set(l, KeyMTU, strconv.Itoa(mtu))
	if err != nil {
		return fmt.Errorf("MTU %d: %w; ip -d link show dev %s tells what the driver takes", mtu, err, l.Attrs().Name)
	}
	p.mtu = mtu
	return nil
}

// SetMAC gives the interface an Ethernet address.
func (p *Powers) SetMAC(l netlink.Link, mac net.HardwareAddr) error {
	if err := pmd.CheckMAC(mac); err != nil {
		return err
	}
	if err := p.set(l, KeyMAC, mac.String()); err != nil {
		advice := ""
		if errors.Is(err, unix.EBUSY) {
			advice = "; the driver changes it only while the interface is down: ip link set dev " + l.Attrs().Name + " down"
		}
		return fmt.Errorf("address %v: %w%s", mac, err, advice)
	}
	p.mac = slices.Clone(mac)
	return nil
}

// SetPromisc turns promiscuous mode on or off.
func (p *Powers) SetPromisc(l netlink.Link, on bool) error {
	return p.setMode(l, &p.promisc, unix.PACKET_MR_PROMISC, on)
}

// SetAllMulti turns the reception of all multicast frames on or off.
func (p *Powers) SetAllMulti(l netlink.Link, on bool) error {
	return p.setMode(l, &p.allMulti, unix.PACKET_MR_ALLMULTI, on)
}

func (p *Powers) setMode(l netlink.Link, mode *bool, mr uint16, on bool) (err error) {
	switch {
	case on == *mode:
		return nil
	case on:
		err = p.members.Add(l.Attrs().Index, mr, nil)
	default:
		err = p.members.Drop(l.Attrs().Index, mr, nil)
	}
	if err == nil {
		*mode = on
	}
	return err
}

// SetGroups lets frames to these groups in.
func (p *Powers) SetGroups(l netlink.Link, groups []net.HardwareAddr) error {
	i := l.Attrs().Index
	var want, added []net.HardwareAddr
	for _, g := range groups {
		if len(g) != 6 || g[0]&1 == 0 {
			return fmt.Errorf("group %v: no multicast address: %w", g, unix.EINVAL)
		}
		if !contains(want, g) {
			want = append(want, slices.Clone(g))
		}
	}
	for _, g := range want {
		if contains(p.groups, g) {
			continue
		}
		if err := p.members.Add(i, unix.PACKET_MR_MULTICAST, g); err != nil {
			for _, a := range added {
				_ = p.members.Drop(i, unix.PACKET_MR_MULTICAST, a) // it was just added
			}
			return fmt.Errorf("group %v: %w", g, err)
		}
		added = append(added, g)
	}
	for _, g := range p.groups {
		if !contains(want, g) {
			_ = p.members.Drop(i, unix.PACKET_MR_MULTICAST, g) // it was added
		}
	}
	p.groups = want
	return nil
}

func contains(list []net.HardwareAddr, g net.HardwareAddr) bool {
	return slices.ContainsFunc(list, func(h net.HardwareAddr) bool { return slices.Equal(h, g) })
}

// Powered is a Keeper as a device with all powers over its interface.
type Powered struct {
	*Keeper
	// Limit is the largest MTU that the port can take.
	Limit int
}

// SetMTU implements pmd.MTUSetter.
func (d *Powered) SetMTU(mtu int) error {
	return d.Call(func(l netlink.Link) error { return d.Powers.SetMTU(l, mtu, d.Limit) })
}

// SetMAC implements pmd.MACSetter.
func (d *Powered) SetMAC(mac net.HardwareAddr) error {
	return d.Call(func(l netlink.Link) error { return d.Powers.SetMAC(l, mac) })
}

// SetPromisc implements pmd.PromiscSetter.
func (d *Powered) SetPromisc(on bool) error {
	return d.Call(func(l netlink.Link) error { return d.Powers.SetPromisc(l, on) })
}

// SetAllMulti implements pmd.AllMultiSetter.
func (d *Powered) SetAllMulti(on bool) error {
	return d.Call(func(l netlink.Link) error { return d.Powers.SetAllMulti(l, on) })
}

// SetGroups implements pmd.GroupSetter.
func (d *Powered) SetGroups(groups []net.HardwareAddr) error {
	return d.Call(func(l netlink.Link) error { return d.Powers.SetGroups(l, groups) })
}
