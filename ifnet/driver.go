package ifnet

import (
	"net"
	"net/netip"
)

// A driver, Params.With, has those of the following powers that it can. Each is a call
// of the seed's if_ioctl, or a hook beside it. They are called by control, one at a
// time, with the interface's serializer held; they may block, and everybody's calls
// wait meanwhile. They must not call the System.

// FlagSetter is told the flags an interface is to have, SIOCSIFFLAGS: UP, promiscuous
// and all-multicast among them. On an error the flags are what they were.
type FlagSetter interface {
	// SetFlags is called with all flags the interface is to have.
	SetFlags(flags Flags) error
}

// MTUSetter changes the largest packet, in bytes without the link-level header,
// SIOCSIFMTU.
type MTUSetter interface {
	// SetMTU sets the largest packet; on an error it is what it was.
	SetMTU(mtu int) error
}

// CapSetter turns capabilities on and off, SIOCSIFCAP: on are all that are to be on.
type CapSetter interface {
	// SetCaps is given capabilities that are offered.
	SetCaps(on Caps) error
}

// GroupSetter lets frames to these link-level groups in and no others, SIOCADDMULTI
// and SIOCDELMULTI.
type GroupSetter interface {
	// SetGroups is given link-level groups, newest first.
	SetGroups(groups []Group) error
}

// GroupResolver accepts a group, and says which link-level group it needs, or the zero
// Group, if_resolvemulti. Interfaces like Ethernet without it use RFC 1112 and RFC
// 2464.
type GroupResolver interface {
	// ResolveGroup returns the link-level group of g.
	ResolveGroup(g Group) (Group, error)
}

// LLAddrSetter changes the link-level address.
type LLAddrSetter interface {
	// SetLLAddr may keep mac; on an error the address is what it was.
	SetLLAddr(mac net.HardwareAddr) error
}

// LiveAddrChanger is a driver whose SetLLAddr acts at once on an interface that is up, as Linux
// says with IFF_LIVE_ADDR_CHANGE: it is not told that the interface is down and up again.
type LiveAddrChanger interface {
	// LiveAddrChange reports whether that is so.
	LiveAddrChange() bool
}

// AddrSetter is told of a new address, SIOCSIFADDR. If it says up, the interface goes
// up, as Ethernet interfaces of BSD do at their first address.
type AddrSetter interface {
	// SetAddr is called when cores have the address; on an error it is taken back.
	SetAddr(a AddrInfo) (up bool, err error)
}

// Sender sends a frame that control made, such as a gratuitous ARP. The frame is the
// caller's again when Send returns.
type Sender interface {
	// Send sends a whole Ethernet frame, without its checksum.
	Send(frame []byte) error
}

// Watchdog is called when the interface's timer has run down, if_watchdog. It may set
// the timer again by what it returns, in seconds.
type Watchdog interface {
	// Watchdog returns the seconds until it is to be called again, 0 for never.
	Watchdog() (again int)
}

// PhysSetter chooses the physical connector, SIOCSIFPHYS.
type PhysSetter interface {
	// SetPhys is given a number that means something to the driver.
	SetPhys(phys uint32) error
}

// MediaDriver gets and sets the medium, SIOC[GS]IFMEDIA, in the driver's own words.
type MediaDriver interface {
	// Media returns the medium in use.
	Media() (string, error)
	// SetMedia chooses a medium by a name as Media returns it.
	SetMedia(media string) error
}

// GenericDriver has calls of its own, SIOC[GS]IFGENERIC.
type GenericDriver interface {
	// Generic returns what the driver has to say.
	Generic() ([]byte, error)
	// SetGeneric hands the driver a request.
	SetGeneric(req []byte) error
}

// StatusReporter tells its status in words, SIOCGIFSTATUS.
type StatusReporter interface {
	// Status returns lines for a person.
	Status() (string, error)
}

// TunnelDriver has a pair of outer addresses, SIOCSIFPHYADDR, SIOCDIFPHYADDR and
// SIOCGIFP{SRC,DST}ADDR. Zero addresses clear them.
type TunnelDriver interface {
	// Tunnel returns the outer addresses, zero ones if there are none.
	Tunnel() (src, dst netip.Addr, err error)
	// SetTunnel sets both, which are of one family, or clears both.
	SetTunnel(src, dst netip.Addr) error
}
