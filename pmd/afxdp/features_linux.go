package afxdp

import (
	"encoding/binary"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of include/uapi/linux/netdev.h (generic netlink family "netdev", kernel 6.3).
const (
	netdevCmdDevGet = 1

	netdevADevIfindex       = 1
	netdevADevXDPFeatures   = 3
	netdevADevZCMaxSegs     = 4
	netdevADevRxMetaFeature = 5
	netdevADevXSKFeatures   = 6

	// actBasic to actRxSG are bits of enum netdev_xdp_act.
	actBasic    = 1 << 0
	actRedirect = 1 << 1
	actNdoXmit  = 1 << 2
	actZeroCopy = 1 << 3
	actRxSG     = 1 << 5
)

// rxMetadata and txMetadata name the bits of enum netdev_xdp_rx_metadata and enum
// netdev_xsk_flags.
var (
	rxMetadata = [...]string{"timestamp", "hash", "vlan"}
	txMetadata = [...]string{"timestamp", "checksum", "launch-time"}
)

// xdpFeatures asks the kernel what XDP an interface's driver offers: nil if the
// kernel cannot tell (before 6.3). It is called inside the namespace.
func xdpFeatures(ifindex int) *XDPFeatures {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return nil
	}
	req := nl.NewNetlinkRequest(int(family.ID), 0)
	req.AddData(genlHeader{netdevCmdDevGet, 1})
	index := make([]byte, 4)
	binary.NativeEndian.PutUint32(index, uint32(ifindex))
	req.AddData(nl.NewRtAttr(netdevADevIfindex, index))
	msgs, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil
	}
	for _, m := range msgs {
		if len(m) < nl.SizeofGenlmsg {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			continue
		}
		values := map[uint16]uint64{}
		for _, a := range attrs {
			switch len(a.Value) {
			case 4:
				values[a.Attr.Type&nl.NLA_TYPE_MASK] = uint64(binary.NativeEndian.Uint32(a.Value))
			case 8:
				values[a.Attr.Type&nl.NLA_TYPE_MASK] = binary.NativeEndian.Uint64(a.Value)
			}
		}
		if acts, told := values[netdevADevXDPFeatures]; told {
			return &XDPFeatures{
				Native: acts&actBasic != 0, ZeroCopy: acts&actZeroCopy != 0, Frags: acts&actRxSG != 0,
				Redirect: acts&actRedirect != 0, RedirectTarget: acts&actNdoXmit != 0,
				ZeroCopyBuffers: int(values[netdevADevZCMaxSegs]),
				RxMetadata:      names(values[netdevADevRxMetaFeature], rxMetadata[:]),
				TxMetadata:      names(values[netdevADevXSKFeatures], txMetadata[:]),
			}
		}
	}
	return nil
}

// names lists the names of the bits that are set.
func names(bits uint64, of []string) (list []string) {
	for i, name := range of {
		if bits&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// genlHeader is struct genlmsghdr (include/uapi/linux/genetlink.h): command,
// version and two reserved bytes, which this family refuses unless they are zero.
// nl.Genlmsg does not set those.
type genlHeader [4]byte

// Len implements nl.NetlinkRequestData.
func (genlHeader) Len() int { return len(genlHeader{}) }

// Serialize implements nl.NetlinkRequestData.
func (h genlHeader) Serialize() []byte { return h[:] }
