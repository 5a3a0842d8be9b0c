package netif

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/journal"
)

// Kinds of setting in the journal.
const (
	// KindFeature is an ethtool feature: "on" or "off".
	KindFeature = "feature"
	// KindSysfs is a file in the interface's folder in sysfs.
	KindSysfs = "sysfs"
	// KindLink is an attribute of the interface itself, KeyMTU or KeyMAC.
	KindLink = "link"
)

// Keys of KindLink.
const (
	KeyMTU = "mtu"
	KeyMAC = "address"
)

// Read returns the value of a setting. It is called inside the namespace.
func (n Namespace) Read(ifname string, c journal.Change) (value string, err error) {
	switch c.Kind {
	case KindFeature:
		err = WithEthtool(func(e *ethtool.Ethtool) error {
			all, err := e.Features(ifname)
			value = "off"
			if all[c.Key] {
				value = "on"
			}
			return err
		})
	case KindSysfs:
		err = n.Sysfs(ifname, func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, filepath.Base(c.Key)))
			value = strings.TrimSpace(string(b))
			return err
		})
	case KindLink:
		var l netlink.Link
		if l, err = netlink.LinkByName(ifname); err == nil {
			value = linkValue(l, c.Key)
		}
	default:
		err = fmt.Errorf("setting of unknown kind %q", c.Kind)
	}
	return value, err
}

// linkValue returns a setting of KindLink.
func linkValue(l netlink.Link, key string) string {
	if key == KeyMTU {
		return strconv.Itoa(l.Attrs().MTU)
	}
	return l.Attrs().HardwareAddr.String()
}

// Write gives a setting a value and reads it back: a driver may accept a wish that
// it cannot fulfil. It is called inside the namespace.
func (n Namespace) Write(ifname string, c journal.Change, value string) error {
	var err error
	switch c.Kind {
	case KindFeature:
		err = WithEthtool(func(e *ethtool.Ethtool) error { return e.Change(ifname, map[string]bool{c.Key: value == "on"}) })
	case KindSysfs:
		err = n.Sysfs(ifname, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, filepath.Base(c.Key)), []byte(value), 0)
		})
	case KindLink:
		err = setLink(ifname, c.Key, value)
	}
	if err != nil {
		return err
	}
	got, err := n.Read(ifname, c)
	if err == nil && got != value {
		err = fmt.Errorf("it stays %s: %w", got, unix.EOPNOTSUPP)
	}
	return err
}

// setLink changes a setting of KindLink.
func setLink(ifname, key, value string) error {
	l, err := netlink.LinkByName(ifname)
	if err != nil {
		return err
	}
	if key == KeyMTU {
		mtu, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, mtu)
	}
	mac, err := net.ParseMAC(value)
	if err != nil {
		return err
	}
	return netlink.LinkSetHardwareAddr(l, mac)
}

// Note writes down changes of an interface that are about to be made. It is called inside
// the namespace.
func (n Namespace) Note(j *journal.Journal, l netlink.Link, changes []journal.Change) (*journal.Note, error) {
	return j.Write(journal.Record{
		Interface: l.Attrs().Name, Index: l.Attrs().Index, Netns: n.Path(), NetnsID: n.ID(), Changes: changes,
	})
}

// PutBack undoes the changes of a note, last first, and removes it. A setting that
// somebody has changed since is left alone, and so is an interface that is not
// the same any more. It is called inside the namespace.
func (n Namespace) PutBack(note *journal.Note) error {
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
		now, err := n.Read(name, c)
		if err == nil && now == c.Set && now != c.Was {
			err = n.Write(name, c, c.Was)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: put %s back to %s: %w", name, c.Key, c.Was, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, note.Close())...)
	}
	return note.Remove()
}

// Journal returns the journal in a folder, by default journal.DefaultDir.
func Journal(dir string) *journal.Journal {
	if dir == "" {
		dir = journal.DefaultDir()
	}
	return journal.New(dir)
}

// Recover puts back what processes changed that were killed. What cannot be put back is
// not the caller's trouble: the note stays for another try.
func Recover(j *journal.Journal) {
	orphans, _ := j.Orphans()
	for _, note := range orphans {
		ns := NewNamespace(note.Netns)
		id := ns.ID()
		switch {
		case id != note.NetnsID && note.Netns != "":
			_ = note.Remove() // that namespace is gone, and its interfaces with it
			continue
		case id != note.NetnsID:
			_ = note.Close() // of a process in another namespace
			continue
		}
		_ = ns.Do(func() error { return ns.PutBack(note) })
		_ = note.Close() // if the namespace could not be entered
	}
}

// WithEthtool calls fn with an ethtool socket in the calling thread's namespace.
func WithEthtool(fn func(*ethtool.Ethtool) error) error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer e.Close()
	growStack()
	return fn(e)
}

// growStack makes room on the stack for what the ethtool library puts there. It
// passes addresses of its variables to the kernel as numbers, and they must not
// move before the call: they would if the stack had to grow on the way.
//
//go:noinline
func growStack() {
	var room [128 << 10]byte
	keepRoom(&room)
}

//go:noinline
func keepRoom(room *[128 << 10]byte) { room[0] = 1 }
