package afxdp

import "example.org/pmd/pmd"

// Kind is the name of this driver in port specs.
const Kind = "afxdp"

// Modes that Config.Mode can ask for and Info.Mode can report.
const (
	// ModeAuto takes the best there is.
	ModeAuto = "auto"
	// ModeZeroCopy has the NIC read and write the pool's memory.
	ModeZeroCopy = "zerocopy"
	// ModeCopy runs XDP in the driver; the kernel copies frames.
	ModeCopy = "copy"
	// ModeGeneric runs XDP behind the driver, for drivers without XDP.
	ModeGeneric = "generic"
)

// Config describes a port. The zero value of each field but Interface works.
type Config struct {
	// Interface is the network interface. Required.
	Interface string
	// Name is the port's name. Default: Interface.
	Name string
	// Mode is one of the Mode constants. Default ModeAuto.
	Mode string
	// Queue is the receive queue to take. Default 0.
	Queue int
	// Netns is the network namespace the interface is in: a name under
	// /run/netns or a path. Default: that of the process.
	Netns string
	// RxRing, TxRing, FillRing and CompRing are ring sizes in descriptors, powers of
	// two from 64 to 32768. Default 2048 each. CompRing may not be less than TxRing.
	RxRing, TxRing, FillRing, CompRing int
	// FrameSize is the chunk size in bytes, 2048 or 4096. Default: the pool's.
	FrameSize int
	// NoPromisc leaves frames for other Ethernet addresses to the NIC's filter.
	// Default: all are taken, as a forwarder needs.
	NoPromisc bool
	// TakeManagement allows an interface that holds the default route or the
	// SSH session.
	TakeManagement bool
}

// defaultRing is the size of each ring, in descriptors: at 1 Mpps some 2 ms.
const defaultRing = 2048

// Limits of a ring, in descriptors.
const (
	minRing = 64
	maxRing = 32768
)

// configFromSpec reads the options of a port spec.
func configFromSpec(spec pmd.Spec) (Config, error) {
	r := spec.Read()
	c := Config{
		Interface:      spec.Interface,
		Name:           spec.Name,
		Mode:           r.OneOf("mode", ModeAuto, ModeZeroCopy, ModeCopy, ModeGeneric),
		Queue:          r.Int("queue", 0, 0, 4095),
		Netns:          r.String("netns", ""),
		RxRing:         r.PowerOfTwo("rx-ring", defaultRing, minRing, maxRing),
		TxRing:         r.PowerOfTwo("tx-ring", defaultRing, minRing, maxRing),
		FillRing:       r.PowerOfTwo("fill-ring", defaultRing, minRing, maxRing),
		FrameSize:      r.PowerOfTwo("frame-size", 0, 0, 4096),
		NoPromisc:      !r.Bool("promisc", true),
		TakeManagement: r.Bool("take-management", false),
	}
	// The kernel reserves a completion for each frame it takes from the transmit
	// ring, so a smaller completion ring would only hold frames up.
	c.CompRing = c.TxRing
	return c, r.Done()
}
