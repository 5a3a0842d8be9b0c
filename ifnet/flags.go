package ifnet

import (
	"fmt"
	"strings"
)

// Flags are the flags of an interface, if_flags; the values are those of
// DragonFly BSD's net/if.h.
type Flags uint32

// The flags. Those that no call changes from outside are marked with (n): they
// say what the interface is, or are the work of a call of their own.
const (
	FlagUp          Flags = 0x1     // set up by its administrator
	FlagBroadcast   Flags = 0x2     // (n) broadcast addresses are valid
	FlagDebug       Flags = 0x4     // the driver may be talkative
	FlagLoopback    Flags = 0x8     // is a loopback net
	FlagPointopoint Flags = 0x10    // (n) has one peer
	FlagSmart       Flags = 0x20    // (n) the driver manages its own up, down and routes
	FlagRunning     Flags = 0x40    // (n) the driver has what it needs
	FlagNoARP       Flags = 0x80    // no address resolution
	FlagPromisc     Flags = 0x100   // (n) receives every frame, see Promisc
	FlagAllMulti    Flags = 0x200   // (n) receives every multicast frame, see AllMulti
	FlagOActive     Flags = 0x400   // (n) transmission in progress
	FlagSimplex     Flags = 0x800   // (n) does not hear its own frames
	FlagLink0       Flags = 0x1000  // the link layer's own
	FlagLink1       Flags = 0x2000  // the link layer's own
	FlagLink2       Flags = 0x4000  // the link layer's own
	FlagMulticast   Flags = 0x8000  // (n) supports multicast
	FlagPolling     Flags = 0x10000 // (n) is polled, see SetPollCPU
	FlagPPromisc    Flags = 0x20000 // promiscuous for good, by its administrator
	FlagMonitor     Flags = 0x40000 // receives and passes nothing on
	FlagStaticARP   Flags = 0x80000 // answers ARP, does not ask
	flagsUnassigned       = ^(FlagStaticARP<<1 - 1)
)

// unchangeable is IFF_CANTCHANGE.
const unchangeable = FlagBroadcast | FlagPointopoint | FlagRunning | FlagOActive | FlagSimplex |
	FlagMulticast | FlagAllMulti | FlagSmart | FlagPromisc | FlagPolling

var flagNames = [...]string{
	"UP", "BROADCAST", "DEBUG", "LOOPBACK", "POINTOPOINT", "SMART", "RUNNING", "NOARP", "PROMISC", "ALLMULTI",
	"OACTIVE", "SIMPLEX", "LINK0", "LINK1", "LINK2", "MULTICAST", "POLLING", "PPROMISC", "MONITOR", "STATICARP",
}

// String lists the names of the flags that are set, as ifconfig(8) does:
// "UP,BROADCAST,RUNNING". Bits without a name follow as one hexadecimal number.
func (f Flags) String() string { return bitNames(uint32(f), flagNames[:]) }

// Caps are capabilities of an interface, if_capabilities and if_capenable; the
// values are those of DragonFly BSD's net/if.h.
type Caps uint32

// The capabilities.
const (
	CapRxChecksum Caps = 0x1  // checks checksums on receive
	CapTxChecksum Caps = 0x2  // fills in checksums on transmit
	CapNetCons    Caps = 0x4  // can be a network console
	CapVLANMTU    Caps = 0x8  // VLAN-sized frames beside the MTU
	CapVLANTag    Caps = 0x10 // tags and untags by itself
	CapJumboMTU   Caps = 0x20 // an MTU of 9000 bytes
)

var capNames = [...]string{"RXCSUM", "TXCSUM", "NETCONS", "VLAN_MTU", "VLAN_HWTAGGING", "JUMBO_MTU"}

// String lists the names of the capabilities that are set, as ifconfig(8) does.
func (c Caps) String() string { return bitNames(uint32(c), capNames[:]) }

// ParseCap returns the capability of a name as String prints it, in any case.
func ParseCap(name string) (Caps, error) {
	for i, n := range capNames {
		if strings.EqualFold(n, name) {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("ifnet: no capability %.40q; there are %s", name, strings.Join(capNames[:], ", "))
}

func bitNames(bits uint32, names []string) string {
	var set []string
	for i, n := range names {
		if bits&(1<<i) != 0 {
			set = append(set, n)
			bits &^= 1 << i
		}
	}
	if bits != 0 {
		set = append(set, fmt.Sprintf("%#x", bits))
	}
	return strings.Join(set, ",")
}

// Type is the kind of link an interface has, if_type; the values are those of
// IANA's ifType registry, as in net/if_types.h.
type Type uint8

// The types this package knows by name. Any other value is carried along.
const (
	TypeOther    Type = 0x1
	TypeEthernet Type = 0x6
	TypePPP      Type = 0x17
	TypeLoopback Type = 0x18
	TypeXEther   Type = 0x1a
	TypeTunnel   Type = 0x83
	TypeVLAN     Type = 0x87
)

// ethernetLike reports whether link-level addresses of the type are Ethernet's.
func (t Type) ethernetLike() bool { return t == TypeEthernet || t == TypeXEther || t == TypeVLAN }

// String returns the name of the type.
func (t Type) String() string {
	switch t {
	case TypeOther:
		return "other"
	case TypeEthernet:
		return "ethernet"
	case TypePPP:
		return "ppp"
	case TypeLoopback:
		return "loopback"
	case TypeXEther:
		return "xether"
	case TypeTunnel:
		return "tunnel"
	case TypeVLAN:
		return "vlan"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// LinkState says whether the link carries a signal, LINK_STATE_….
type LinkState uint8

// The states of a link.
const (
	LinkUnknown LinkState = iota
	LinkDown
	LinkUp
)

// String returns "unknown", "down" or "up".
func (l LinkState) String() string {
	switch l {
	case LinkDown:
		return "down"
	case LinkUp:
		return "up"
	}
	return "unknown"
}

// Family is an address family; the values are DragonFly's AF_….
type Family uint8

// The families. FamilyAny is AF_UNSPEC and stands for all of them.
const (
	FamilyAny  Family = 0
	FamilyIPv4 Family = 2
	FamilyLink Family = 18
	FamilyIPv6 Family = 28
)

// String returns "inet", "inet6" or "link", as ifconfig(8) prints them, or "any".
func (f Family) String() string {
	switch f {
	case FamilyAny:
		return "any"
	case FamilyIPv4:
		return "inet"
	case FamilyIPv6:
		return "inet6"
	case FamilyLink:
		return "link"
	}
	return fmt.Sprintf("family %d", uint8(f))
}
