package afxdp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/internal/netif"
	"example.org/pmd/pmd/journal"
)

// Kinds of setting in the journal.
const (
	// kindFeature is an ethtool feature: "on" or "off".
	kindFeature = "feature"
	// kindSysfs is a file in the interface's folder in sysfs.
	kindSysfs = "sysfs"
)

// offloads are the features that change frames before an XDP program sees them, by
// their names in netdev_features_strings (net/ethtool/common.c), and what they do.
var offloads = [...]struct{ name, harm string }{
	{"rx-lro", "large receive offload merges packets"},
	{"rx-gro-hw", "hardware GRO merges packets"},
	{"rx-vlan-hw-parse", "the NIC takes VLAN tags out of frames"},
	{"rx-vlan-stag-hw-parse", "the NIC takes 802.1ad tags out of frames"},
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

// namespace is where an interface is, and its settings.
type namespace struct{ netif.Namespace }

func newNamespace(name string) namespace { return namespace{netif.NewNamespace(name)} }

// read returns the value of a setting. It is called inside the namespace.
func (n namespace) read(iface string, c journal.Change) (value string, err error) {
	switch c.Kind {
	case kindFeature:
		err = withEthtool(func(e *ethtool.Ethtool) error {
			all, err := e.Features(iface)
			value = onOff(all[c.Key])
			return err
		})
	case kindSysfs:
		err = n.Sysfs(iface, func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, filepath.Base(c.Key)))
			value = strings.TrimSpace(string(b))
			return err
		})
	default:
		err = fmt.Errorf("setting of unknown kind %q", c.Kind)
	}
	return value, err
}

// write gives a setting a value and reads it back: a driver may accept a wish that
// it cannot fulfil. It is called inside the namespace.
func (n namespace) write(iface string, c journal.Change, value string) error {
	var err error
	switch c.Kind {
	case kindFeature:
		err = withEthtool(func(e *ethtool.Ethtool) error { return e.Change(iface, map[string]bool{c.Key: value == "on"}) })
	case kindSysfs:
		err = n.Sysfs(iface, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, filepath.Base(c.Key)), []byte(value), 0)
		})
	}
	if err != nil {
		return err
	}
	got, err := n.read(iface, c)
	if err == nil && got != value {
		err = fmt.Errorf("it stays %s: %w", got, unix.EOPNOTSUPP)
	}
	return err
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// wanted lists the settings that have to change. It is called inside the
// namespace.
func (d *Device) wanted(name string) ([]journal.Change, error) {
	var list []journal.Change
	if !d.cfg.KeepOffloads {
		err := withEthtool(func(e *ethtool.Ethtool) error {
			all, err := e.Features(name)
			for _, o := range offloads {
				if all[o.name] {
					list = append(list, journal.Change{Kind: kindFeature, Key: o.name, Was: "on", Set: "off"})
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
			{Kind: kindSysfs, Key: deferHardIRQs, Set: strconv.Itoa(deferCount)},
			{Kind: kindSysfs, Key: groFlushTimeout, Set: strconv.Itoa(flushTimeout)},
		} {
			var err error
			if c.Was, err = d.ns.read(name, c); err != nil {
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
	s.note, err = d.drv.notes().Write(journal.Record{
		Interface: a.Name, Index: a.Index, Netns: d.ns.Path(), NetnsID: d.ns.ID(), Changes: list,
	})
	if err != nil {
		return nil, fmt.Errorf("note what is to be put back (offloads=keep without busy-poll changes nothing): %w", err)
	}
	for i, c := range list {
		if err := d.ns.write(a.Name, c, c.Set); err != nil {
			err = fmt.Errorf("set %s to %s: %w%s", c.Key, c.Set, err, harm(c))
			s.note.Changes = list[:i]
			return nil, errors.Join(err, d.ns.putBack(s.note))
		}
		s.what = append(s.what, fmt.Sprintf("%s %s (was %s)", c.Key, c.Set, c.Was))
	}
	return s, nil
}

// harm says what to do about an offload that stays on.
func harm(c journal.Change) string {
	for _, o := range offloads {
		if c.Kind == kindFeature && c.Key == o.name {
			return fmt.Sprintf("; %s: offloads=keep takes the interface all the same", o.harm)
		}
	}
	return ""
}

// putBack undoes the changes of a note, last first, and removes it. A setting that
// somebody has changed since is left alone, and so is an interface that is not
// the same any more. It is called inside the namespace.
func (n namespace) putBack(note *journal.Note) error {
	l, err := netlink.LinkByIndex(note.Index)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return note.Remove() // its settings went with it
	}
	if err != nil {
		return errors.Join(err, note.Close())
	}
	name := l.Attrs().Name // it may have been renamed
	var errs []error
	for _, c := range slices.Backward(note.Changes) {
		now, err := n.read(name, c)
		if err == nil && now == c.Set && now != c.Was {
			err = n.write(name, c, c.Was)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("afxdp: %s: put %s back to %s: %w", name, c.Key, c.Was, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, note.Close())...)
	}
	return note.Remove()
}

// notes is the driver's journal.
func (d *Driver) notes() *journal.Journal {
	dir := d.JournalDir
	if dir == "" {
		dir = journal.DefaultDir()
	}
	return journal.New(dir)
}

// recoverSettings puts back what processes changed that were killed. What cannot be
// put back is not this port's trouble: the note stays for another try.
func (d *Driver) recoverSettings() {
	orphans, _ := d.notes().Orphans()
	for _, note := range orphans {
		ns := newNamespace(note.Netns)
		id := ns.ID()
		switch {
		case id != note.NetnsID && note.Netns != "":
			_ = note.Remove() // that namespace is gone, and its interfaces with it
			continue
		case id != note.NetnsID:
			_ = note.Close() // of a process in another namespace
			continue
		}
		_ = ns.Do(func() error { return ns.putBack(note) })
		_ = note.Close() // if the namespace could not be entered
	}
}
