package tap

import (
	"net"
	"net/netip"

	"example.org/pmd/pmd"
)

// Kind is the name of this driver in port specs.
const Kind = "tap"

// MaxQueues is the most queues a port can have.
const MaxQueues = 64

// Limits of an MTU in bytes: what IPv4 asks for at least (RFC 791), and the most a
// tap device takes (drivers/net/tun.c).
const (
	minMTU = 68
	maxMTU = 65521
)

// Config describes a port. The zero value makes an interface of one queue, called
// tapN by the kernel, and sets it up.
type Config struct {
	// Interface is the network interface to make or to join. Default: the kernel
	// finds a name.
	Interface string
	// Name is the port's name. Default: Interface, or the name found.
	Name string
	// Queues is the number of queue pairs, 1 to MaxQueues. Default 1.
	Queues int
	// MTU of the interface in bytes; 0 leaves it as it is.
	MTU int
	// MAC is the Ethernet address of the interface, the kernel's end; nil leaves it
	// as it is.
	MAC net.HardwareAddr
	// Addr is an address of the interface with its prefix length; the zero Prefix is
	// none.
	Addr netip.Prefix
	// Netns is the network namespace the interface is in: a name under /run/netns or
	// a path. Default: that of the process.
	Netns string
	// JournalDir is where settings of the interface are written down while they are
	// changed, see package journal. Default: journal.DefaultDir.
	JournalDir string
	// Down leaves the interface's state as it is; otherwise it is set up.
	Down bool
	// Persist leaves the interface behind when the port closes.
	Persist bool
}

var _ pmd.Checker = Driver{}

// Check tells what is wrong with a spec.
func (Driver) Check(spec pmd.Spec) error {
	_, err := configFromSpec(spec)
	return err
}

// configFromSpec reads the options of a port spec.
func configFromSpec(spec pmd.Spec) (Config, error) {
	r := spec.Read()
	c := Config{
		Interface: spec.Interface,
		Name:      spec.Name,
		Queues:    r.Int("queues", 1, 1, MaxQueues),
		MTU:       r.Int("mtu", 0, minMTU, maxMTU),
		Netns:     r.String("netns", ""),
		Down:      !r.Bool("up", true),
		Persist:   r.Bool("persist", false),
	}
	mac, addr := r.String("mac", ""), r.String("addr", "")
	if err := r.Done(); err != nil {
		return c, err
	}
	if mac != "" {
		m, err := net.ParseMAC(mac)
		if err != nil || len(m) != 6 || m[0]&1 != 0 {
			return c, r.Bad("mac", mac, "the Ethernet address of one station, such as 02:00:00:00:00:01")
		}
		c.MAC = m
	}
	if addr != "" {
		p, err := netip.ParsePrefix(addr)
		if err != nil {
			return c, r.Bad("addr", addr, "an address and its prefix length, such as 192.0.2.1/24")
		}
		c.Addr = p
	}
	return c, nil
}
