//go:build linux

package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Ring sizes. The kernel takes any power of two; these bounds keep a ring
// larger than a burst and the mappings small.
const (
	MinRing = 64
	MaxRing = 32768
	// DefaultRing covers half a millisecond at 4 million packets a second,
	// longer than a poller is away for. Completions need as many entries as
	// transmissions: the kernel reserves one for each frame it takes.
	DefaultRing = 2048
	// DefaultFillRing is twice that: in zero-copy mode the device holds a ring
	// of its own full of chunks, and the fill ring is the reserve behind it.
	// How many chunks are posted is the caller's choice.
	DefaultFillRing = 2 * DefaultRing
)

// Config describes a socket. Ifindex, Mem and FrameSize must be set; zero is a
// good value for everything else.
type Config struct {
	// Name is the interface's name for errors. Default: its index.
	Name string
	// Ifindex is the interface, in the network namespace of the calling
	// thread.
	Ifindex uint32
	// Queue is the interface's queue.
	Queue uint32
	// RxRing, TxRing, FillRing and CompRing are sizes in entries, powers of
	// two from MinRing to MaxRing. Default: DefaultRing, and DefaultFillRing
	// for the fill ring. CompRing must not be smaller than TxRing, or frames
	// wait for room to be completed.
	RxRing, TxRing, FillRing, CompRing uint32
	// Bind holds the flags of bind: XDP_COPY or XDP_ZEROCOPY, neither for what
	// there is, XDP_USE_NEED_WAKEUP, XDP_USE_SG. It is ignored with SharedFD:
	// a sharing socket inherits the mode and may pass no flag.
	Bind uint16
	// SharedFD, if not 0, is a live bound socket that has registered the same
	// Mem, or shares it: the new socket joins that UMEM (XDP_SHARED_UMEM).
	SharedFD int
	// Mem is the packet memory, page-aligned and a whole number of chunks. It
	// must stay mapped until the socket is closed and the kernel has let go.
	Mem []byte
	// FrameSize is the size of a chunk in bytes, 2048 or 4096.
	FrameSize uint32
	// Headroom is kept free in front of a received packet beyond the kernel's
	// own 256 bytes, in bytes.
	Headroom uint32
	// TxMetadata lets frames carry a request in front of them (mbuf.FlagTxMeta). A
	// socket that shares a UMEM has what that was registered with.
	TxMetadata bool
	// SndBuf is the socket's send buffer in bytes; the kernel doubles it. In
	// copy mode each frame on its way counts against it with its buffer and
	// overhead, and the usual 212,992 bytes end at some 270 small frames.
	// Default: TxRing x (FrameSize + 256). Doubled, that is enough for a ring
	// full of the longest frames, each in a buffer of the next power of two.
	// It is a limit, not a reservation; without CAP_NET_ADMIN the kernel cuts
	// it to net.core.wmem_max.
	SndBuf int
}

// withDefaults fills the fields left zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = fmt.Sprintf("ifindex %d", c.Ifindex)
	}
	for _, r := range []struct {
		name string
		size *uint32
		def  uint32
	}{
		{"receive", &c.RxRing, DefaultRing},
		{"transmit", &c.TxRing, DefaultRing},
		{"fill", &c.FillRing, DefaultFillRing},
		{"completion", &c.CompRing, DefaultRing},
	} {
		if *r.size == 0 {
			*r.size = r.def
		}
		if n := *r.size; n < MinRing || n > MaxRing || n&(n-1) != 0 {
			return c, c.invalid("%s ring of %d entries: use a power of two from %d to %d", r.name, n, MinRing, MaxRing)
		}
	}
	if c.CompRing < c.TxRing {
		return c, c.invalid("completion ring of %d entries for a transmit ring of %d: use as many", c.CompRing, c.TxRing)
	}
	if c.Ifindex == 0 {
		return c, c.invalid("no interface")
	}
	if c.FrameSize != 2048 && c.FrameSize != 4096 {
		return c, c.invalid("frame size %d: use 2048 or 4096", c.FrameSize)
	}
	if n := len(c.Mem); n == 0 || n%int(c.FrameSize) != 0 {
		return c, c.invalid("packet memory of %d bytes: use a multiple of the frame size %d", n, c.FrameSize)
	}
	if c.Headroom >= c.FrameSize-unix.XDP_PACKET_HEADROOM {
		return c, c.invalid("headroom %d leaves no room for a packet in a frame of %d", c.Headroom, c.FrameSize)
	}
	if c.SharedFD < 0 || c.SndBuf < 0 {
		return c, c.invalid("shared socket %d, send buffer %d: neither may be negative", c.SharedFD, c.SndBuf)
	}
	if c.SndBuf == 0 {
		c.SndBuf = int(c.TxRing * (c.FrameSize + 256))
	}
	return c, nil
}

// Validate tells what is wrong with c, or nil.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

// invalid returns the error of a bad field.
func (c Config) invalid(format string, args ...any) error {
	return &Error{Name: c.Name, Queue: c.Queue, Step: StepConfig, Err: unix.EINVAL, Hint: fmt.Sprintf(format, args...)}
}
