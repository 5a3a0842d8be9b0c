package pmd

import "net"

// Devices have those of the following powers that they can. Their calls may be made from
// any goroutine that polls no queue of the device, while its queues are polled, or not;
// they may block, and those of one device wait for each other. A change that
// Info shows is there when the call returns, and Host.Notify tells of it, too. A device
// that is down, or whose interface is gone for now, refuses what it cannot do then.
//
// On a Linux interface they act on the kernel's interface. No change outlives the
// process, however that ends: modes and groups are held by a socket (packet(7),
// PACKET_ADD_MEMBERSHIP), and what a MAC address or MTU was before is written down first
// (package journal) and put back by Close, or after a kill by the next process that takes
// an interface. If somebody else has changed it meanwhile, it is left alone.

// MTUSetter is implemented by devices whose MTU can be changed.
type MTUSetter interface {
	// SetMTU sets the largest packet, in bytes without its Ethernet header. One
	// that the device cannot take is an error that names the limit and wraps EINVAL;
	// nothing has changed then.
	SetMTU(mtu int) error
}

// MACSetter is implemented by devices whose Ethernet address can be changed.
type MACSetter interface {
	// SetMAC sets the address the device receives for. One that is
	// multicast or zero is an error that wraps EADDRNOTAVAIL, one that is not 6
	// bytes long EINVAL.
	SetMAC(mac net.HardwareAddr) error
}

// PromiscSetter is implemented by devices that can receive every frame there is.
type PromiscSetter interface {
	// SetPromisc turns promiscuous mode on or off. Off is as it would be without this
	// process: others may have it on.
	SetPromisc(on bool) error
}

// AllMultiSetter is implemented by devices that can receive every multicast frame.
type AllMultiSetter interface {
	// SetAllMulti turns that on or off, as SetPromisc does.
	SetAllMulti(on bool) error
}

// GroupSetter is implemented by devices that filter multicast frames.
type GroupSetter interface {
	// SetGroups lets frames to these Ethernet groups in, beside those that others
	// have asked for, and gives up those of the call before that are not among them.
	// An address that is no multicast address is an error that wraps EINVAL. After
	// an error the groups are those of the call before.
	SetGroups(groups []net.HardwareAddr) error
}
