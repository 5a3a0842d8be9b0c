package afxdp

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/internal/netif"
	"example.org/pmd/pmd/journal"
)

// offloads are the features that change frames before an XDP program sees them, by
// their names in netdev_features_strings (net/ethtool/common.c), and what they do.
// tag says that it is rx-vlan's to tell of what they take.
var offloads = [...]struct {
	name, harm string
	tag        bool
}{
	{"rx-lro", "large receive offload merges packets", false},
	{"rx-gro-hw", "hardware GRO merges packets", false},
	{"rx-vlan-hw-parse", "the NIC takes VLAN tags out of frames", true},
	{"rx-vlan-stag-hw-parse", "the NIC takes 802.1ad tags out of frames", true},
}

// What busy polling needs of an interface: its interrupt stays off while somebody
// polls (Documentation/networking/napi.rst, "Busy polling"). The timeout is how
// long a queue that is not polled waits for its packets, in nanoseconds.
const (
	deferHardIRQs   = "napi_defer_hard_irqs"
	groFlushTimeout = "gro_flush_timeout"

	deferCount   = 2
	flushTimeout = 200_000
)

// busyPollTime is how long one call may poll, in microseconds. A call by us polls
// once, whatever it is; it has to be more than 0.
const busyPollTime = 20

// settings is what a port changed of its interface, and the note that says so.
type settings struct {
	note *journal.Note
	// what names the changes, for people.
	what []string
}

// wanted lists the settings that have to change. It is called inside the
// namespace.
func (d *Device) wanted(name string) ([]journal.Change, error) {
	var list []journal.Change
	if !d.cfg.KeepOffloads {
		err := netif.WithEthtool(func(e *ethtool.Ethtool) error {
			all, err := e.Features(name)
			for _, o := range offloads {
				if all[o.name] && (!o.tag || !d.cfg.RxVLAN) {
					list = append(list, journal.Change{Kind: netif.KindFeature, Key: o.name, Was: "on", Set: "off"})
				}
			}
			return err
		})
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return nil, fmt.Errorf("read its features: %w", err)
		}
	}
	if d.cfg.BusyPoll > 0 {
		for _, c := range []journal.Change{
			{Kind: netif.KindSysfs, Key: deferHardIRQs, Set: strconv.Itoa(deferCount)},
			{Kind: netif.KindSysfs, Key: groFlushTimeout, Set: strconv.Itoa(flushTimeout)},
		} {
			var err error
			if c.Was, err = d.ns.Read(name, c); err != nil {
				return nil, fmt.Errorf("busy-poll: read %s: %w", c.Key, err)
			}
			if c.Was != c.Set {
				list = append(list, c)
			}
		}
	}
	return list, nil
}

// adjust changes the interface's settings as the port needs them, and writes down
// what they were before it does. On an error all is as it was. It is called inside
// the namespace.
func (d *Device) adjust(l netlink.Link) (*settings, error) {
	a := l.Attrs()
	list, err := d.wanted(a.Name)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	s := &settings{}
	s.note, err = d.ns.Note(d.drv.notes(), l, list)
	if err != nil {
		return nil, fmt.Errorf("note what is to be put back (offloads=keep without busy-poll changes nothing): %w", err)
	}
	for i, c := range list {
		if err := d.ns.Write(a.Name, c, c.Set); err != nil {
			err = fmt.Errorf("set %s to %s: %w%s", c.Key, c.Set, err, harm(c))
			s.note.Changes = list[:i]
			return nil, errors.Join(err, d.ns.PutBack(s.note))
		}
		s.what = append(s.what, fmt.Sprintf("%s %s (was %s)", c.Key, c.Set, c.Was))
	}
	return s, nil
}

// harm says what to do about an offload that stays on.
func harm(c journal.Change) string {
	for _, o := range offloads {
		if c.Kind == netif.KindFeature && c.Key == o.name {
			return fmt.Sprintf("; %s: offloads=keep takes the interface all the same", o.harm)
		}
	}
	return ""
}

// notes is the driver's journal.
func (d *Driver) notes() *journal.Journal { return netif.Journal(d.JournalDir) }
