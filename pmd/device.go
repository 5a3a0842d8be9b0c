package pmd

import (
	"net"

	"example.org/pmd/pmd/mbuf"
)

// MaxBurst is the largest burst a queue is asked to handle at once, in frames.
// Longer slices are allowed; a queue need not use more than this of them.
const MaxBurst = 256

// Queue is one receive and transmit queue pair of a device. It belongs to one
// goroutine at a time; the calls are not safe for any other. None of them
// blocks, and none allocates.
//
// Where the queue's pool is MultiBuffer, a packet is a run of frames, each but the
// last marked with mbuf.FlagMore. Bursts hold whole packets then, both ways, and
// counters count packets, not frames. A packet that dst has no room for is not
// received, so dst should hold mbuf.MaxSegments frames at least. Of one that has no
// end in src nothing is sent.
type Queue interface {
	// Bind gives the queue to the calling goroutine: b.Local is where frames
	// are taken from and completed ones go. It is called before any other
	// method. Unbind undoes it.
	Bind(b Binding)
	// Unbind takes the queue from its owner. Frames the queue has posted stay
	// posted.
	Unbind()
	// Pool returns the pool whose frames the queue receives and sends.
	Pool() *mbuf.Pool
	// RxBurst stores up to len(dst) received frames in dst and returns how
	// many. 0 means none is there now.
	RxBurst(dst []mbuf.Frame) int
	// TxBurst takes src[:n] for sending and returns n. The tail src[n:] stays
	// the caller's; n < len(src) means the queue is full. A frame that cannot be
	// sent at all (empty, too long) is taken, dropped and counted.
	TxBurst(src []mbuf.Frame) int
	// Flush makes what TxBurst took leave, as far as the device can take it now.
	Flush()
	// Reclaim returns frames whose transmission is complete to the owner's
	// cache and returns how many.
	Reclaim() int
	// Counters returns the queue's totals since it was opened.
	Counters() QueueCounters
	// Walk enters every frame the queue has posted into the account of its
	// pool.
	Walk(l *mbuf.Ledger)
}

// Binding is what a queue gets to know of its owner.
type Binding struct {
	// Local is the owner's side of the pools; the queue's pool is known to it.
	Local *mbuf.Local
	// Port is the number received frames carry in their Meta.
	Port uint16
}

// QueueCounters are totals of one queue. A frame counts as sent when its
// transmission is complete, so received = sent + dropped + in hand holds at
// every moment, with InFlight part of what is in hand.
type QueueCounters struct {
	// RxPackets and RxBytes count frames that RxBurst returned.
	RxPackets, RxBytes uint64
	// TxPackets and TxBytes count frames that left.
	TxPackets, TxBytes uint64
	// InFlight is the number of frames TxBurst took that have neither left
	// nor been dropped.
	InFlight uint64
	// Drops counts frames this queue dropped, by reason. Only the first
	// reasons, those a driver may use, are counted here.
	Drops [DriverReasons]uint64
	// Wakeups counts system calls made to make the kernel send or receive.
	Wakeups uint64
	// TxStamps is what is known of when packets left, for ports that were asked to tell.
	TxStamps TxStamps
}

// TxStamps sums up the time stamps of sent packets.
type TxStamps struct {
	// Asked is how many packets that are sent were to be stamped, Stamped how many were:
	// a NIC may leave some out.
	Asked, Stamped uint64
	// Last is the latest stamp, in nanoseconds of the clock that stamps.
	Last uint64
	// Delays are those from TxBurst to the stamp: how many there are, their sum, the
	// shortest and the longest, in nanoseconds. There are none if the two are not
	// of one clock.
	Delays, Sum, Min, Max uint64
}

// Add enters a packet that was handed over at one time and stamped at another, in
// nanoseconds: sent is 0 if it was not stamped. sameClock says that they are of one.
func (s *TxStamps) Add(handed, sent uint64, sameClock bool) {
	s.Asked++
	if sent == 0 {
		return
	}
	s.Stamped++
	s.Last = sent
	if !sameClock || sent < handed { // a clock that was set back meanwhile
		return
	}
	d := sent - handed
	if s.Delays == 0 || d < s.Min {
		s.Min = d
	}
	s.Max = max(s.Max, d)
	s.Sum += d
	s.Delays++
}

// Device is an open port.
type Device interface {
	// Info describes the device as it is now.
	Info() Info
	// Queues returns the device's queues; the slice does not change.
	Queues() []Queue
	// Close gives up the device. No goroutine may own its queues any more.
	// Frames the queues had posted return to the pool, at once or when the
	// hardware has let go of them. Closing twice is harmless.
	Close() error
}

// Info describes a device.
type Info struct {
	// Name is the port's name: the interface, or what name= said.
	Name string
	// Driver is the kind of driver: "afxdp", "null", …
	Driver string
	// Mode is what the driver obtained: "zerocopy", "copy", "generic"; empty
	// for drivers that have no modes.
	Mode string
	// MAC is the port's Ethernet address. All drivers have one; those without
	// hardware make up a locally administered address.
	MAC net.HardwareAddr
	// MTU is the largest packet without its Ethernet header, in bytes.
	MTU int
	// Promiscuity is how many have asked the kernel for all of the interface's
	// frames, this port included (IFLA_PROMISCUITY); 0 for drivers without one.
	Promiscuity int
	// NUMANode is the node the device is near to, -1 if unknown.
	NUMANode int
	// Up reports whether the port can carry traffic now.
	Up bool
	// Detail tells why the port is not up, or is empty.
	Detail string
	// Unpolled are the queues of the interface, in ascending order, that frames come to
	// and that are none of Device.Queues: the port does not get those frames. Remedy
	// says so, and what to do about it, for people.
	Unpolled []int
	Remedy   string
	// Obtained lists settings as obtained, for people: ring sizes, pages, ….
	Obtained map[string]string
}

// Missed is implemented by queues that know of frames lost before RxBurst could
// return them, such as a full receive ring. The calls have the rules of Queue.
type Missed interface {
	// Missed returns totals by the device's own names. It may make a system
	// call; it is not for every burst. The map is the caller's.
	Missed() map[string]uint64
}

// Waiter is implemented by queues whose owner can sleep until a frame comes. The
// call has the rules of Queue.
type Waiter interface {
	// WaitFD returns a descriptor that polls readable (POLLIN) for as long as
	// there are received frames that RxBurst has not returned, or -1 if there
	// is none to wait on now. It may be another one after Host.Exclusive. The
	// owner of a queue without one, or with -1, sleeps for a bounded time.
	// WaitNever says that no frame will ever come.
	WaitFD() int
}

// WaitNever is what WaitFD returns for a queue that receives nothing: a sleep need not
// care for it.
const WaitNever = -2

// Armer is implemented by Waiters whose descriptor tells of a frame only while somebody
// sleeps, since signalling each frame would cost too much. The calls have the rules of
// Queue, and neither blocks.
type Armer interface {
	// Arm is called before the owner sleeps: from then on a frame that comes
	// makes the descriptor readable. false means that there is a frame already,
	// and the owner must not sleep.
	Arm() bool
	// Disarm ends that, whether Arm was called or not, and makes the descriptor
	// unreadable.
	Disarm()
}

// TxReader is implemented by queues whose owner's CPU may read the bytes of what it sends, as
// the kernel does when it copies: frames that another core received are then brought
// near before TxBurst gets them.
type TxReader interface {
	// TxReads reports whether it does so now. It has the rules of Queue.
	TxReads() bool
}

// TxChecksummer is implemented by devices that can complete the checksum of a packet when
// they send it, see mbuf.Mem.RequestChecksum.
type TxChecksummer interface {
	// TxChecksums reports whether this one does. It stays so while the device is open.
	TxChecksums() bool
}

// Host is what a device may ask of the program that polls it.
type Host interface {
	// Exclusive runs fn while nobody uses q: on its owner between two bursts,
	// or on the caller's goroutine if it has none. It returns when fn has. A
	// device uses it to exchange what a queue works on.
	Exclusive(q Queue, fn func())
	// Notify reports that Info of d has changed, with words for a person. It
	// may be called from any goroutine and does not block for long.
	Notify(d Device, what string)
}

// Env is what a driver needs of the program to open a device.
type Env struct {
	// Pool returns the pool for ports of this class, making it if need be.
	Pool func(class Class) (*mbuf.Pool, error)
	// Describe tells what such a pool would be, without making it. It may be nil.
	Describe func(class Class) mbuf.Config
	// Host is never nil.
	Host Host
}

// Class tells which ports can share a pool: those of one NUMA node that the
// kernel serves in one mode, since a socket that shares a UMEM inherits its mode,
// and that want their memory alike.
type Class struct {
	// NUMANode is -1 if it does not matter.
	NUMANode int
	// ZeroCopy is set for ports bound in zero-copy mode.
	ZeroCopy bool
	// FrameSize is the chunk size in bytes; 0 takes the program's default.
	FrameSize int
	// Headroom is what is kept free in front of a packet beyond the kernel's
	// own, in bytes; 0 takes the program's default.
	Headroom int
	// Pages says what pages the memory is to be of; mbuf.HugeAuto takes the
	// program's default.
	Pages mbuf.HugePages
	// MultiBuffer is set for ports whose packets may have several frames.
	MultiBuffer bool
}

// Config returns the configuration of a pool of this class, where the program's own
// is c.
func (class Class) Config(c mbuf.Config) mbuf.Config {
	if class.FrameSize != 0 {
		c.FrameSize = class.FrameSize
	}
	if class.Headroom != 0 {
		c.Headroom = class.Headroom
	}
	if class.Pages != mbuf.HugeAuto {
		c.HugePages = class.Pages
	}
	c.MultiBuffer = class.MultiBuffer
	return c
}

// MaxLen returns the longest packet that one frame of a pool of this class holds, in
// bytes.
func (e Env) MaxLen(class Class) int {
	if e.Describe == nil {
		return class.Config(mbuf.Config{}).MaxLen()
	}
	return e.Describe(class).MaxLen()
}
