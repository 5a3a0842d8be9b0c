package afxdp

import (
	"net"

	"example.org/pmd/pmd/mbuf"
)

// Facts are what the kernel tells of an interface that matters to a port on it.
// [Inspect] reads them and changes nothing.
type Facts struct {
	// Name and Index are the interface.
	Name  string
	Index int
	// Kind is the kernel's name for what kind of virtual interface it is, as in
	// "veth"; empty for hardware.
	Kind string
	// Driver is the driver's name (ethtool -i), empty if it tells none.
	Driver string
	// Loopback is set for lo.
	Loopback bool
	// Up says that it is set up, Carrier that its link is up as well.
	Up, Carrier bool
	// MAC is its Ethernet address, empty if that is all zero or there is none.
	MAC net.HardwareAddr
	// NotEthernet says why its frames are not for a port, empty for Ethernet.
	NotEthernet string
	// MTU is in bytes.
	MTU int
	// Master is the bridge, bond or team it belongs to, empty if none.
	Master string
	// Management says why a person may depend on the interface, empty if nothing
	// says so; see Config.TakeManagement.
	Management string
	// Program is the XDP program on it, nil if there is none.
	Program *AttachedProgram
	// XDP is what its driver offers, nil where the kernel cannot tell (before 6.3).
	XDP *XDPFeatures
	// Queues are its receive queues.
	Queues QueueFacts
	// RxRing and TxRing are the sizes of the NIC's own rings in descriptors, and
	// RxRingMax and TxRingMax the largest there are; 0 for a driver without.
	RxRing, TxRing, RxRingMax, TxRingMax int
	// Offloads are those features that change frames before an XDP program sees
	// them and that are on.
	Offloads []Offload
	// Peer is the other end of a veth, nil for others or if it is out of sight.
	Peer *Peer
	// NUMANode is the node that the hardware is attached to, -1 if there is none.
	NUMANode int
	// IRQs are the numbers of its MSI interrupts, in ascending order.
	IRQs []int
	// Unread says of what could not be read why.
	Unread []string
}

// AttachedProgram is an XDP program on an interface.
type AttachedProgram struct {
	// ID is the kernel's number for it.
	ID uint32
	// Name is what its author called it, "?" if the kernel does not tell us.
	Name string
	// Ours says that it is the program of an AF_XDP port of this driver.
	Ours bool
}

// XDPFeatures is what a driver offers (include/uapi/linux/netdev.h).
type XDPFeatures struct {
	// Native is XDP in the driver, ZeroCopy AF_XDP without a copy.
	Native, ZeroCopy bool
	// Redirect is to redirect frames, as AF_XDP needs; RedirectTarget to take
	// those that others redirect.
	Redirect, RedirectTarget bool
	// Frags is that frames may be of several buffers when received.
	Frags bool
	// ZeroCopyBuffers is how many buffers a frame may be of in zero-copy mode, 0
	// before kernel 6.6.
	ZeroCopyBuffers int
	// RxMetadata names what it can tell of a received frame: timestamp, hash, vlan.
	RxMetadata []string
	// TxMetadata names what it can do to a sent frame: timestamp, checksum, launch-time.
	TxMetadata []string
}

// QueueFacts are the receive queues of an interface.
type QueueFacts struct {
	// Live is how many it receives on, Most how many it can have.
	Live, Most int
	// Unit is what ethtool -L calls them, "combined" or "rx", empty if it cannot
	// set them.
	Unit string
	// Hashed are those that receive what is spread by hash (RSS), in ascending
	// order: those of the indirection table, or all if there is none to read.
	Hashed []int
	// Steered says that ethtool -X can change the indirection table.
	Steered bool
}

// Offload is a feature of ethtool -k that is on.
type Offload struct {
	// Name is its name there, Harm what it does to frames.
	Name, Harm string
	// Fixed says that the driver does not let it be turned off.
	Fixed bool
}

// Peer is the other end of a veth.
type Peer struct {
	// Name is its interface name.
	Name string
	// Netns is the name under /run/netns of the namespace it is in, empty for
	// that of this end.
	Netns string
	// TxChecksum says that it leaves checksums to be filled in by hardware, which
	// between the two ends nobody does.
	TxChecksum bool
}

// MaxMTU returns the largest MTU whose frames fit into chunks of frameSize bytes
// without headroom of our own.
func MaxMTU(frameSize int) int { return frameSize - mbuf.KernelHeadroom - vlanHeader }

// MaxFragsMTU is MaxMTU where a packet may have several frames (frags=on).
func MaxFragsMTU(frameSize int) int {
	return mbuf.MaxSegments*(frameSize-mbuf.KernelHeadroom) - vlanHeader
}

// Feature is a feature of the kernel, and how trying it went.
type Feature struct {
	// Name is what is tried.
	Name string
	// Since is the kernel version that has it, as in "6.17".
	Since string
	// Err is nil if it works, and otherwise says what went wrong.
	Err error
}

// Names of the features that [TryFeatures] tries, in this order.
const (
	FeatureSocket    = "AF_XDP sockets with need_wakeup"
	FeatureShared    = "one UMEM for several queues"
	FeatureProgram   = "XDP programs in the driver, held by a bpf_link"
	FeatureFrags     = "XDP programs at any MTU (frags)"
	FeatureSG        = "frames of several chunks (XDP_USE_SG)"
	FeatureBusyPoll  = "busy polling in place of interrupts"
	FeatureTxBudget  = "a burst sent in one call (XDP_MAX_TX_SKB_BUDGET)"
	FeatureXDPFamily = "drivers tell what XDP they offer"
)
