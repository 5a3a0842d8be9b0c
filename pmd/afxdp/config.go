package afxdp

import (
	"fmt"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

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

// Choices of Config.Frags.
const (
	// FragsAuto takes packets of several frames where the interface's MTU asks for
	// them when the port is opened.
	FragsAuto = "auto"
	// FragsOn takes them, FragsOff does not.
	FragsOn  = "on"
	FragsOff = "off"
)

// Config describes a port. The zero value of each field but Interface works.
type Config struct {
	// Interface is the network interface. Required.
	Interface string
	// Name is the port's name. Default: Interface.
	Name string
	// Mode is one of the Mode constants. Default ModeAuto.
	Mode string
	// Queue is the first receive queue to take. Default 0.
	Queue int
	// Queues is how many to take from there on, at most MaxQueues. Default: all
	// that are live when the port is opened.
	Queues int
	// Netns is the network namespace the interface is in: a name under
	// /run/netns or a path. Default: that of the process.
	Netns string
	// RxRing, TxRing, FillRing and CompRing are ring sizes in descriptors, powers of
	// two from 64 to 32768. Default 2048 each, CompRing as TxRing. CompRing may
	// not be less than TxRing: the kernel reserves a completion for each frame it
	// takes. More than that allows more frames on their way than TxRing.
	RxRing, TxRing, FillRing, CompRing int
	// FrameSize is the chunk size in bytes, 2048 or 4096. Default: the pool's.
	FrameSize int
	// Headroom is kept free in front of a packet beyond the kernel's own 256
	// bytes, 0 to mbuf.MaxHeadroom bytes. Default: the pool's.
	Headroom int
	// Pages says what pages the pool is to be of. Default: the pool's.
	Pages mbuf.HugePages
	// Frags is one of the Frags constants: whether a packet may have several frames
	// (multi-buffer, kernel 6.6 or later). Default FragsAuto.
	Frags string
	// NoNeedWakeup binds without XDP_USE_NEED_WAKEUP: the kernel is called to
	// send at every flush, asked for or not.
	NoNeedWakeup bool
	// BusyPoll, if not 0, has our calls run the driver's receive routine instead
	// of an interrupt, up to that many packets a call, 1 to MaxBusyPoll. It sets
	// the interface's napi_defer_hard_irqs and gro_flush_timeout until it is
	// closed.
	BusyPoll int
	// KeepOffloads leaves LRO, hardware GRO and the stripping of VLAN tags as they
	// are. Default: they are off while the port is open, since each changes frames
	// before we see them.
	KeepOffloads bool
	// NoPromisc leaves frames for other Ethernet addresses to the NIC's filter.
	// Default: all are taken, as a forwarder needs.
	NoPromisc bool
	// RxHash, RxTimestamp and RxVLAN have the NIC's driver tell these of each packet
	// (mbuf.Mem.RxMeta; kernel 6.3, the tag 6.8). A port whose driver cannot is refused.
	RxHash, RxTimestamp, RxVLAN bool
	// TxChecksum completes checksums of packets that ask for it
	// (mbuf.Mem.RequestChecksum; kernel 6.8): by the NIC in zero-copy mode, which is
	// not taken if its driver cannot; in copy mode by the kernel, unless the NIC does.
	TxChecksum bool
	// TxTimestamp tells when packets left: the first of each burst, and those that ask for
	// it (mbuf.Mem.RequestTimestamp; kernel 6.8). The NIC stamps them in zero-copy mode,
	// which is not taken if its driver cannot; in copy mode the kernel does when it is done
	// with a packet. The sums are in pmd.QueueCounters.
	TxTimestamp bool
	// OnTxStamp, if not nil, is called for each packet that was stamped, on the goroutine
	// that polls the queue and before the packet's memory is used again. It must be quick
	// and not block.
	OnTxStamp func(TxStamp)
	// TakeManagement allows an interface that holds the default route or the
	// SSH session.
	TakeManagement bool
}

// TxStamp tells when a packet left.
type TxStamp struct {
	// Queue is the interface's queue that sent it.
	Queue int
	// Packet are the bytes of its first frame. They are there until the function that is
	// told returns.
	Packet []byte
	// Sent is the stamp in nanoseconds: of the NIC's clock in zero-copy mode, else when the
	// kernel was done with the packet, by CLOCK_TAI.
	Sent uint64
	// Handed is when the port took it, by CLOCK_TAI.
	Handed uint64
}

// defaultRing is the size of each ring, in descriptors: at 1 Mpps some 2 ms.
const defaultRing = 2048

// Limits of a ring, in descriptors.
const (
	minRing = 64
	maxRing = 32768
)

// vlanHeader is the Ethernet header with one 802.1Q tag, in bytes.
const vlanHeader = 18

const (
	// MaxQueues bounds the queues of a port.
	MaxQueues = 1024
	// MaxBusyPoll bounds the budget of busy polling, in packets: NAPI_POLL_WEIGHT,
	// the most a driver takes in one poll (include/linux/netdevice.h).
	MaxBusyPoll = 64
)

// Choices of huge-pages.
const (
	pagesAuto = "auto"
	pagesOn   = "on"
	pagesOff  = "off"
)

// configFromSpec reads the options of a port spec.
func configFromSpec(spec pmd.Spec) (Config, error) {
	r := spec.Read()
	c := Config{
		Interface:      spec.Interface,
		Name:           spec.Name,
		Mode:           r.OneOf("mode", ModeAuto, ModeZeroCopy, ModeCopy, ModeGeneric),
		Queue:          r.Int("queue", 0, 0, MaxQueues-1),
		Netns:          r.String("netns", ""),
		RxRing:         r.PowerOfTwo("rx-ring", defaultRing, minRing, maxRing),
		TxRing:         r.PowerOfTwo("tx-ring", defaultRing, minRing, maxRing),
		FillRing:       r.PowerOfTwo("fill-ring", defaultRing, minRing, maxRing),
		CompRing:       r.PowerOfTwo("comp-ring", 0, minRing, maxRing),
		FrameSize:      r.FrameSize("frame-size", 0),
		Headroom:       r.Int("headroom", 0, 0, mbuf.MaxHeadroom),
		Frags:          r.OneOf("frags", FragsAuto, FragsOn, FragsOff),
		NoNeedWakeup:   !r.Bool("need-wakeup", true),
		BusyPoll:       r.Int("busy-poll", 0, 0, MaxBusyPoll),
		KeepOffloads:   r.OneOf("offloads", "off", "keep") == "keep",
		NoPromisc:      !r.Bool("promisc", true),
		RxHash:         r.Bool("rx-hash", false),
		RxTimestamp:    r.Bool("rx-timestamp", false),
		RxVLAN:         r.Bool("rx-vlan", false),
		TxChecksum:     r.Bool("tx-checksum", false),
		TxTimestamp:    r.Bool("tx-timestamp", false),
		TakeManagement: r.Bool("take-management", false),
	}
	switch r.OneOf("huge-pages", pagesAuto, pagesOn, pagesOff) {
	case pagesOn:
		c.Pages = mbuf.HugeRequire
	case pagesOff:
		c.Pages = mbuf.HugeOff
	}
	// queue=N alone is that one queue, as testpmd's start_queue= with its default
	// of one; with queues= it is the first of them.
	all := "all"
	if _, one := spec.Options["queue"]; one {
		all = "1"
	}
	if r.String("queues", all) != "all" {
		c.Queues = r.Int("queues", 1, 1, MaxQueues)
	}
	if err := r.Done(); err != nil {
		return c, err
	}
	if c.CompRing != 0 && c.CompRing < c.TxRing {
		return c, fmt.Errorf("%w: %s: comp-ring=%d: use tx-ring's %d or more", pmd.ErrSpec, spec, c.CompRing, c.TxRing)
	}
	return c, nil
}

// withDefaults fills the fields left zero and checks those that the kernel would
// not name.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = c.Interface
	}
	if c.Mode == "" {
		c.Mode = ModeAuto
	}
	if c.Frags == "" {
		c.Frags = FragsAuto
	}
	for _, ring := range []*int{&c.RxRing, &c.TxRing, &c.FillRing} {
		if *ring == 0 {
			*ring = defaultRing
		}
	}
	if c.CompRing == 0 {
		c.CompRing = c.TxRing
	}
	switch {
	case c.Queue < 0 || c.Queues < 0 || c.Queue >= MaxQueues || c.Queue+c.Queues > MaxQueues:
		return c, fmt.Errorf("%w: %s: queues %d to %d: there are 0 to %d", pmd.ErrSpec, c.Interface, c.Queue, c.Queue+c.Queues-1, MaxQueues-1)
	case c.BusyPoll < 0 || c.BusyPoll > MaxBusyPoll:
		return c, fmt.Errorf("%w: %s: busy-poll=%d: use 0 to %d", pmd.ErrSpec, c.Interface, c.BusyPoll, MaxBusyPoll)
	}
	return c, nil
}

// ringFrames is how many frames one queue's rings hold.
func (c Config) ringFrames() int { return c.FillRing + c.TxRing }

var _ pmd.Checker = (*Driver)(nil)

// Check tells what is wrong with a spec.
func (*Driver) Check(spec pmd.Spec) error {
	_, err := configFromSpec(spec)
	return err
}
