package null

import (
	"encoding/hex"
	"fmt"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Limits and defaults of a null port.
const (
	// MaxQueues is the most queues a port can have.
	MaxQueues = 64
	// MinSize is the least frame size in bytes: minFrameSize of IEEE 802.3, 64,
	// without the check sequence, which no port here sees.
	MinSize = 60
	// DefaultSize is the frame size in bytes if nothing else is said.
	DefaultSize = 64
	// maxFrameSize bounds size= before the pool is known: the largest chunk.
	maxFrameSize = 4096
)

// Config describes a null port. The zero value is a port of one queue that
// yields UDP frames of 64 bytes and takes every frame it is given.
type Config struct {
	// Name is the port's name. Default "null".
	Name string
	// Queues is the number of queue pairs, 1 to MaxQueues. Default 1.
	Queues int
	// Size is the length of the frames received, in bytes, MinSize to the
	// MaxLen of the pool. Default 64, or the length of Content if that is more.
	Size int
	// Content is what a received frame begins with; zeros follow. It may not
	// be longer than Size. Default: an Ethernet, IPv4 and UDP frame.
	Content []byte
	// Copy writes the content into each frame received. Without it frames keep
	// the bytes they have, and the content is written once, see the package.
	Copy bool
	// NoRx makes the port a sink: RxBurst always returns 0.
	NoRx bool
	// NoTx makes the port look like one whose ring is full: TxBurst always
	// returns 0.
	NoTx bool
	// Inspect, if set, sees each burst that the port sends while it still owns
	// the frames. It is called on the goroutine that owns the queue, may be
	// called by several queues at once, and must keep neither argument. It is
	// for tests and costs what it costs.
	Inspect func(frames []mbuf.Frame, mem mbuf.Mem)
}

// withDefaults fills the fields left zero and checks the rest against the pool.
func (c Config) withDefaults(pool *mbuf.Pool) (Config, error) {
	if c.Name == "" {
		c.Name = "null"
	}
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.Size == 0 {
		c.Size = max(DefaultSize, len(c.Content))
	}
	switch {
	case c.Queues < 1 || c.Queues > MaxQueues:
		return c, fmt.Errorf("%w: null %s: queues=%d: use 1 to %d", pmd.ErrSpec, c.Name, c.Queues, MaxQueues)
	case c.Size < MinSize || c.Size > pool.MaxLen():
		return c, fmt.Errorf("%w: null %s: size=%d: use %d to %d, what a frame of pool %s holds",
			pmd.ErrSpec, c.Name, c.Size, MinSize, pool.MaxLen(), pool.Name())
	case len(c.Content) > c.Size:
		return c, fmt.Errorf("%w: null %s: content of %d bytes does not fit into size=%d: make size larger",
			pmd.ErrSpec, c.Name, len(c.Content), c.Size)
	}
	return c, nil
}

// frame returns the bytes of a received frame.
func (c Config) frame() []byte {
	if c.Content == nil {
		return udpFrame(c.Size, pmd.LocalMAC("null", c.Name))
	}
	f := make([]byte, c.Size)
	copy(f, c.Content)
	return f
}

// fromSpec reads the options of a spec.
func fromSpec(spec pmd.Spec) (Config, error) {
	if spec.Interface != "" {
		return Config{}, fmt.Errorf("%w: %s: a null port has no interface: write null: and options", pmd.ErrSpec, spec)
	}
	r := spec.Read()
	c := Config{
		Name:   spec.Name,
		Queues: r.Int("queues", 1, 1, MaxQueues),
		Size:   r.Int("size", 0, MinSize, maxFrameSize),
		Copy:   r.Bool("copy", false),
		NoRx:   !r.Bool("rx", true),
		NoTx:   !r.Bool("tx", true),
	}
	content := r.String("content", "udp")
	if err := r.Done(); err != nil {
		return Config{}, err
	}
	switch content {
	case "udp":
	case "zero":
		c.Content = []byte{}
	default:
		b, err := hex.DecodeString(content)
		if err != nil || len(b) == 0 {
			return Config{}, r.Bad("content", content, "udp, zero or an even number of hex digits")
		}
		c.Content = b
	}
	return c, nil
}
