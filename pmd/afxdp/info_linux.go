package afxdp

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/internal/netif"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// describe says what was obtained. The queues have their sockets by then.
func (d *Device) describe(c *connection) pmd.Info {
	a := c.link.Attrs()
	info := pmd.Info{
		Name: d.cfg.Name, Driver: Kind, Mode: ModeCopy,
		MAC: append(net.HardwareAddr(nil), a.HardwareAddr...), MTU: a.MTU, NUMANode: -1,
		Promiscuity: a.Promisc,
		Unpolled:    c.unpolled, Remedy: c.remedy,
		Obtained: map[string]string{
			"interface":   d.cfg.Interface,
			"pages":       c.pool.Pages(),
			"pool":        c.pool.Name(),
			"frame-size":  fmt.Sprintf("%d, headroom %d", c.pool.FrameSize(), c.pool.Headroom()),
			"need-wakeup": onOff(!d.cfg.NoNeedWakeup),
			"promisc":     onOff(!d.cfg.NoPromisc),
			"frags":       onOff(c.multi),
		},
	}
	switch {
	case c.zeroCopy:
		info.Mode = ModeZeroCopy
	case c.generic:
		info.Mode = ModeGeneric
	}
	if !d.cfg.NoPromisc {
		info.Promiscuity++ // since the link was read
	}
	set := func(key, value string) {
		if value != "" {
			info.Obtained[key] = value
		}
	}
	_ = d.ns.Do(func() error {
		info.NUMANode = d.ns.NUMANode(d.cfg.Interface)
		d.describeRings(c, set)
		if c.settings != nil {
			set("settings", strings.Join(c.settings.what, ", "))
		}
		return nil
	})
	set("metadata", strings.Join(d.metadata(), ", "))
	if d.cfg.TxTimestamp {
		stamp := "the kernel's, by CLOCK_TAI, when it is done with a packet"
		if c.zeroCopy {
			stamp = "the NIC's, by its clock"
		}
		set("tx-timestamp", stamp)
	}
	set("channels", d.channelsObtained(c))
	set("posted", d.postedObtained())
	if c.refused != "" {
		set("zerocopy", c.refused+"; copy mode taken")
	}
	set("netns", d.ns.Path())
	set("busy-poll", busyPollObtained(c))
	info.Up, info.Detail = linkState(c.link, c)
	return info
}

// describeRings tells the sizes of the first queue's rings, all queues being alike,
// as the kernel knows them (AF_XDP in sock_diag(7), CONFIG_XDP_SOCKETS_DIAG). A
// kernel that cannot tell has taken what was asked for: it does not round.
func (d *Device) describeRings(c *connection, set func(key, value string)) {
	rx, tx, fill, comp := d.cfg.RxRing, d.cfg.TxRing, d.cfg.FillRing, d.cfg.CompRing
	var st unix.Stat_t
	if unix.Fstat(c.socks[0].FD(), &st) == nil {
		if r, err := netlink.SocketXDPGetInfo(uint32(st.Ino), 0); err == nil && r.XDPInfo != nil {
			x := r.XDPInfo
			rx, tx = int(x.RxRingEntries), int(x.TxRingEntries)
			fill, comp = int(x.UmemFillRingEntries), int(x.UmemCompletionRingEntries)
		}
	}
	set("rings", fmt.Sprintf("rx %d, tx %d, fill %d, comp %d", rx, tx, fill, comp))
}

// metadata names what packets carry besides their bytes.
func (d *Device) metadata() (list []string) {
	for _, m := range []struct {
		on   bool
		name string
	}{
		{d.cfg.RxTimestamp, "rx-timestamp"}, {d.cfg.RxHash, "rx-hash"}, {d.cfg.RxVLAN, "rx-vlan"},
	} {
		if m.on {
			list = append(list, m.name)
		}
	}
	for _, r := range d.requests() {
		list = append(list, r.option)
	}
	return list
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// channelsObtained names the queues of the interface that the port polls.
func (d *Device) channelsObtained(c *connection) string {
	text := strconv.Itoa(d.cfg.Queue)
	if n := len(d.queues); n > 1 {
		text += fmt.Sprintf("-%d", d.cfg.Queue+n-1)
	}
	return fmt.Sprintf("%s of %d", text, c.channels.live)
}

// postedObtained tells how many chunks a queue keeps posted, if that is less than
// its fill ring holds.
func (d *Device) postedObtained() string {
	if n := d.queues[0].target; n < d.cfg.FillRing {
		return fmt.Sprintf("%d chunks a queue, a quarter of the pool on all: a larger pool (--frames) allows %d", n, d.cfg.FillRing)
	}
	return ""
}

// busyPollObtained reads back what busy polling the first socket has.
func busyPollObtained(c *connection) string {
	b, err := c.socks[0].BusyPoll()
	if err != nil || !b.Prefer {
		return ""
	}
	return b.String()
}

// mtuRemedy says what to do about an MTU that was raised too far while the port is open.
func (c *connection) mtuRemedy() string {
	remedy := fmt.Sprintf("ip link set dev %s mtu %d", c.link.Attrs().Name, min(c.mtuLimit(), 1500))
	if !c.multi {
		remedy += ", or open the port again with frags=on"
	}
	return remedy
}

// linkState tells whether an interface can carry traffic, and if not, why.
func linkState(l netlink.Link, c *connection) (up bool, detail string) {
	if up, detail = netif.LinkState(l); !up {
		return up, detail
	}
	if a := l.Attrs(); a.MTU > c.mtuLimit() {
		return true, fmt.Sprintf("MTU %d is more than the %d that fit %s: longer packets are lost, counted as rx_dropped; %s",
			a.MTU, c.mtuLimit(), c.chunks(), c.mtuRemedy())
	}
	return true, ""
}
