package afxdp

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/internal/netif"
)

var (
	_ pmd.MTUSetter      = (*Device)(nil)
	_ pmd.MACSetter      = (*Device)(nil)
	_ pmd.PromiscSetter  = (*Device)(nil)
	_ pmd.AllMultiSetter = (*Device)(nil)
	_ pmd.GroupSetter    = (*Device)(nil)
)

// call runs fn with the interface as it is now, on the watching goroutine.
func (d *Device) call(fn func(l netlink.Link) error) error {
	err := d.calls.Do(func() error {
		if d.conn == nil {
			return netif.Gone()
		}
		return d.ns.OnLink(d.conn.ifindex, fn)
	})
	if err != nil {
		return fmt.Errorf("afxdp: %s: %w", d.cfg.Interface, err)
	}
	return nil
}

// SetMTU implements pmd.MTUSetter: it sets the MTU of the interface, at most what fits the
// chunks of a packet. The kernel has limits of its own while an XDP program is attached.
func (d *Device) SetMTU(mtu int) error {
	return d.call(func(l netlink.Link) error {
		limit := d.conn.mtuLimit()
		err := d.powers.SetMTU(l, mtu, limit)
		if options := wider(mtu, limit); err != nil && mtu > limit && options != "" {
			err = fmt.Errorf("%w; open it with %s", err, options)
		}
		return err
	})
}

// SetMAC implements pmd.MACSetter: it sets the address of the interface.
func (d *Device) SetMAC(mac net.HardwareAddr) error {
	return d.call(func(l netlink.Link) error { return d.powers.SetMAC(l, mac) })
}

// SetPromisc implements pmd.PromiscSetter, beside what Config.NoPromisc says: a port that
// was opened promiscuous stays so.
func (d *Device) SetPromisc(on bool) error {
	return d.call(func(l netlink.Link) error { return d.powers.SetPromisc(l, on) })
}

// SetAllMulti implements pmd.AllMultiSetter.
func (d *Device) SetAllMulti(on bool) error {
	return d.call(func(l netlink.Link) error { return d.powers.SetAllMulti(l, on) })
}

// SetGroups implements pmd.GroupSetter.
func (d *Device) SetGroups(groups []net.HardwareAddr) error {
	return d.call(func(l netlink.Link) error { return d.powers.SetGroups(l, groups) })
}
