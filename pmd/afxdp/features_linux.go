package afxdp

import (
	"encoding/binary"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of include/uapi/linux/netdev.h (generic netlink family "netdev", kernel 6.3).
const (
	netdevCmdDevGet       = 1
	netdevADevIfindex     = 1
	netdevADevXDPFeatures = 3
	// actBasic to actZeroCopy are bits of enum netdev_xdp_act.
	actBasic    = 1 << 0
	actZeroCopy = 1 << 3
)

// xdpFeatures asks the kernel what XDP an interface's driver offers. known is
// false if the kernel cannot tell (before 6.3). It is called inside the namespace.
func xdpFeatures(ifindex int) (bits uint64, known bool) {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return 0, false
	}
	req := nl.NewNetlinkRequest(int(family.ID), 0)
	req.AddData(genlHeader{netdevCmdDevGet, 1})
	index := make([]byte, 4)
	binary.NativeEndian.PutUint32(index, uint32(ifindex))
	req.AddData(nl.NewRtAttr(netdevADevIfindex, index))
	msgs, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return 0, false
	}
	for _, m := range msgs {
		if len(m) < nl.SizeofGenlmsg {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			continue
		}
		for _, a := range attrs {
			if a.Attr.Type&nl.NLA_TYPE_MASK == netdevADevXDPFeatures && len(a.Value) == 8 {
				return binary.NativeEndian.Uint64(a.Value), true
			}
		}
	}
	return 0, false
}

// genlHeader is struct genlmsghdr (include/uapi/linux/genetlink.h): command,
// version and two reserved bytes, which this family refuses unless they are zero.
// nl.Genlmsg does not set those.
type genlHeader [4]byte

// Len implements nl.NetlinkRequestData.
func (genlHeader) Len() int { return len(genlHeader{}) }

// Serialize implements nl.NetlinkRequestData.
func (h genlHeader) Serialize() []byte { return h[:] }
