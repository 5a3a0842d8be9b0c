package tap

import (
	"net"
	"slices"

	"github.com/vishvananda/netlink"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/internal/netif"
)

// device is a tap port. All that the kernel sends comes to it, so there is nothing to
// filter: modes and groups are no powers of it.
type device struct {
	*netif.Keeper
	p *port
}

var (
	_ pmd.MTUSetter = (*device)(nil)
	_ pmd.MACSetter = (*device)(nil)
)

// SetMTU implements pmd.MTUSetter: it sets the MTU of the interface.
func (d *device) SetMTU(mtu int) error {
	return d.Call(func(l netlink.Link) error { return d.Powers.SetMTU(l, mtu, mtuLimit(d.p.pool)) })
}

// SetMAC implements pmd.MACSetter: it is the port's own address, as the machine at the
// other end of the wire. The interface keeps the kernel's.
func (d *device) SetMAC(mac net.HardwareAddr) error {
	return d.Call(func(netlink.Link) error {
		if err := pmd.CheckMAC(mac); err != nil {
			return err
		}
		d.p.mac = slices.Clone(mac)
		return nil
	})
}
