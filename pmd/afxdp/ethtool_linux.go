package afxdp

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/internal/netif"
)

// channels are the receive queues of an interface.
type channels struct {
	// live is how many the interface receives on now, and most how many it can
	// have.
	live, most int
	// unit is what ethtool -L calls them, "combined" or "rx", empty if it
	// cannot set them.
	unit string
}

// set words the arguments of ethtool -L for n queues.
func (c channels) set(n int) string { return fmt.Sprintf("%s %d", c.unit, n) }

// ethtool words a command that works from where the user is.
func (d *Device) ethtool(flag, args string) string {
	prefix := ""
	if d.ns.Path() != "" {
		prefix = "nsenter --net=" + d.ns.Path() + " "
	}
	return fmt.Sprintf("%sethtool %s %s %s", prefix, flag, d.cfg.Interface, args)
}

// readChannels reads an interface's channels: through ethtool, or where the driver
// has none from sysfs, which has a folder for each queue that is in use
// (net/core/net-sysfs.c, real_num_rx_queues). It is called inside the namespace.
func (d *Device) readChannels(l netlink.Link) channels {
	a := l.Attrs()
	c := channels{most: max(a.NumRxQueues, 1)}
	err := netif.WithEthtool(func(e *ethtool.Ethtool) error {
		ch, err := e.GetChannels(a.Name)
		if err != nil {
			return err
		}
		c.live = int(ch.CombinedCount + ch.RxCount)
		if c.unit = "rx"; ch.MaxCombined > 0 {
			c.unit = "combined"
		}
		return nil
	})
	if err != nil || c.live == 0 {
		c.live = 1
		_ = d.ns.Sysfs(a.Name, func(dir string) error {
			rx, err := filepath.Glob(filepath.Join(dir, "queues/rx-*"))
			c.live = max(len(rx), 1)
			return err
		})
	}
	c.live = min(c.live, c.most)
	return c
}

// spreads reports which of the live queues receive what the NIC spreads by hash
// (RSS): those of the indirection table, or all if there is none to read.
func spreads(name string, live int) map[int]bool {
	set := map[int]bool{}
	err := netif.WithEthtool(func(e *ethtool.Ethtool) error {
		t, err := e.GetIndir(name)
		if err != nil {
			return err
		}
		for _, q := range t.RingIndex[:min(int(t.Size), len(t.RingIndex))] {
			set[int(q)] = true
		}
		return nil
	})
	if err == nil && len(set) > 0 {
		return set
	}
	for q := range live {
		set[q] = true
	}
	return set
}

// hasIndirection reports whether ethtool -X can change where RSS sends.
func hasIndirection(name string) bool {
	return netif.WithEthtool(func(e *ethtool.Ethtool) error {
		t, err := e.GetIndir(name)
		if err == nil && t.Size == 0 {
			return unix.EOPNOTSUPP
		}
		return err
	}) == nil
}

// unpolled returns the queues that frames come to and that this port does not poll, and
// says what to do, nothing if there are none. The frames are not lost: the program
// passes them to the kernel's stack. It is called inside the namespace.
func (d *Device) unpolled(l netlink.Link, c channels) (open []int, words string) {
	first, n := d.cfg.Queue, len(d.queues)
	name := l.Attrs().Name
	hashed := spreads(name, c.live)
	for q := range c.live {
		if hashed[q] && (q < first || q >= first+n) {
			open = append(open, q)
		}
	}
	if len(open) == 0 {
		return nil, ""
	}
	them := "them"
	if len(open) == 1 {
		them = "it"
	}
	remedy := []string{"queues=all polls " + them}
	if d.cfg.Queue == 0 && d.cfg.Queues == 0 {
		remedy[0] = "start again to poll " + them
	}
	switch {
	case c.unit == "" || first > 0:
	case l.Type() == "veth":
		// A veth receives on the queue its peer sends on, and may not have fewer
		// queues than that with a program attached.
		remedy = append(remedy, d.ethtool("-L", fmt.Sprintf("rx %d tx %d", n, n))+fmt.Sprintf(" turns %s off, once its peer has tx %d", them, n))
	default:
		remedy = append(remedy, d.ethtool("-L", c.set(n))+" turns "+them+" off")
	}
	if hasIndirection(name) {
		args := fmt.Sprintf("equal %d", n)
		if first > 0 {
			args += fmt.Sprintf(" start %d", first)
		}
		remedy = append(remedy, d.ethtool("-X", args)+" steers RSS past "+them)
	}
	return open, fmt.Sprintf("frames that come on %s are not forwarded, nobody polls there: %s", queueList(open), strings.Join(remedy, "; "))
}

// queueList words a list of queues in ascending order.
func queueList(qs []int) string {
	if len(qs) == 1 {
		return fmt.Sprintf("queue %d", qs[0])
	}
	var parts []string
	for i := 0; i < len(qs); {
		j := i
		for j+1 < len(qs) && qs[j+1] == qs[j]+1 {
			j++
		}
		part := fmt.Sprint(qs[i])
		if j > i {
			part += fmt.Sprintf("-%d", qs[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return "queues " + strings.Join(parts, ",")
}

// driverName returns the kernel's name of an interface's driver, or "?". It is
// called inside the namespace.
func driverName(name string) (driver string) {
	err := netif.WithEthtool(func(e *ethtool.Ethtool) (err error) {
		driver, err = e.DriverName(name)
		return err
	})
	if err != nil {
		return "?"
	}
	return driver
}
