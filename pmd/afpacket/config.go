package afpacket

import (
	"fmt"

	"example.org/pmd/pmd"
)

// Kind is the name of this driver in port specs.
const Kind = "afpacket"

// MaxQueues is the most queues a port can have.
const MaxQueues = 64

// What Config.Fanout can be.
const (
	// FanoutHash keeps the frames of a flow on one queue.
	FanoutHash = "hash"
	// FanoutCPU puts the frames that a CPU received on one queue.
	FanoutCPU = "cpu"
)

// What Config.Ring can be.
const (
	// RingV2 hands over frames one by one (TPACKET_V2).
	RingV2 = "v2"
	// RingV3 hands over blocks of frames (TPACKET_V3).
	RingV3 = "v3"
)

// Sizes of a ring in frames, and times of a block in milliseconds.
const (
	defaultRing    = 2048
	minRing        = 64
	maxRing        = 32768
	defaultTimeout = 1
	maxTimeout     = 1000
)

// Config describes a port. The zero value of each field but Interface works.
type Config struct {
	// Interface is the network interface. Required.
	Interface string
	// Name is the port's name. Default: Interface.
	Name string
	// Queues is the number of queue pairs, 1 to MaxQueues. Default 1.
	Queues int
	// Fanout is what frames are spread over queues by. Default FanoutHash.
	Fanout string
	// RxRing is how many of the pool's largest frames the ring of a queue holds, a
	// power of two from 64 to 32768. Default 2048.
	RxRing int
	// Ring is the form of the ring. Default RingV3.
	Ring string
	// BlockTimeout is how many milliseconds a block of RingV3 that is not full waits
	// for more frames, 1 to 1000. Default 1.
	BlockTimeout int
	// Netns is the network namespace the interface is in: a name under /run/netns or
	// a path. Default: that of the process.
	Netns string
	// JournalDir is where settings of the interface are written down while they are
	// changed, see package journal. Default: journal.DefaultDir.
	JournalDir string
	// Qdisc sends through the interface's queueing discipline. Default: past it.
	Qdisc bool
	// NoPromisc leaves frames for other Ethernet addresses to the NIC's filter.
	// Default: all are taken, as a forwarder needs.
	NoPromisc bool
	// TakeManagement allows an interface that holds the default route or the SSH
	// session.
	TakeManagement bool
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
		Interface:      spec.Interface,
		Name:           spec.Name,
		Queues:         r.Int("queues", 1, 1, MaxQueues),
		Fanout:         r.OneOf("fanout", FanoutHash, FanoutCPU),
		RxRing:         r.PowerOfTwo("rx-ring", defaultRing, minRing, maxRing),
		Ring:           r.OneOf("ring", RingV3, RingV2),
		BlockTimeout:   r.Int("block-timeout", defaultTimeout, 1, maxTimeout),
		Netns:          r.String("netns", ""),
		Qdisc:          !r.Bool("qdisc-bypass", true),
		NoPromisc:      !r.Bool("promisc", true),
		TakeManagement: r.Bool("take-management", false),
	}
	if err := r.Done(); err != nil {
		return c, err
	}
	if c.Interface == "" {
		return c, r.Bad("iface", "", "the name of an interface: afpacket:eth1")
	}
	return c, nil
}

// withDefaults fills the fields left zero and checks the rest as the options are.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = c.Interface
	}
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.Fanout == "" {
		c.Fanout = FanoutHash
	}
	if c.RxRing == 0 {
		c.RxRing = defaultRing
	}
	if c.Ring == "" {
		c.Ring = RingV3
	}
	if c.BlockTimeout == 0 {
		c.BlockTimeout = defaultTimeout
	}
	ok := c.Interface != "" && c.Queues > 0 && c.Queues <= MaxQueues && (c.Fanout == FanoutHash || c.Fanout == FanoutCPU) &&
		c.RxRing >= minRing && c.RxRing <= maxRing && c.RxRing&(c.RxRing-1) == 0 &&
		(c.Ring == RingV2 || c.Ring == RingV3) && c.BlockTimeout > 0 && c.BlockTimeout <= maxTimeout
	if !ok {
		return c, fmt.Errorf("%w: afpacket %s: a field is outside the limits that its comment gives: %+v", pmd.ErrSpec, c.Interface, c)
	}
	return c, nil
}
