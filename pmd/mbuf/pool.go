package mbuf

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
)

// HugePages says whether a pool's memory should be backed by huge pages.
type HugePages uint8

// Choices for huge pages.
const (
	// HugeAuto takes huge pages if the system has any reserved, else asks for
	// transparent ones. It is the default.
	HugeAuto HugePages = iota
	// HugeOff takes ordinary pages.
	HugeOff
	// HugeRequire fails if no reserved huge pages are to be had.
	HugeRequire
)

// Limits and defaults of a pool.
const (
	// DefaultFrames is the number of frames of a pool whose Config names none.
	DefaultFrames = 16384
	// MinFrames and MaxFrames bound the number of frames in a pool.
	MinFrames = 64
	MaxFrames = 1 << 22
	// DefaultFrameSize is the chunk size of a pool whose Config names none.
	DefaultFrameSize = 2048
	// MaxHeadroom bounds the headroom that a Config may ask for.
	MaxHeadroom = 1024
)

// KernelHeadroom is what the kernel itself leaves free in front of a received
// packet (XDP_PACKET_HEADROOM, include/uapi/linux/bpf.h), in bytes.
const KernelHeadroom = 256

// Config describes a pool. The zero value is a pool of 16,384 frames of 2,048
// bytes on whatever pages there are.
type Config struct {
	// Name appears in statistics and errors. Default: "pool" and the id.
	Name string
	// Frames is the number of frames, 64 to 4,194,304; it is rounded up to a
	// power of two. Default 16,384.
	Frames int
	// FrameSize is the size of a chunk in bytes, 2048 or 4096. Default 2048.
	FrameSize int
	// Headroom is kept free in front of a packet beyond the kernel's own 256
	// bytes, 0 to 1024 bytes. Default 0.
	Headroom int
	// HugePages says what pages to take. Default: huge ones if there are any.
	HugePages HugePages
	// MultiBuffer lets packets have several frames, see FlagMore.
	MultiBuffer bool
}

// withDefaults fills the fields left zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Frames == 0 {
		c.Frames = DefaultFrames
	}
	if c.FrameSize == 0 {
		c.FrameSize = DefaultFrameSize
	}
	if c.Frames < MinFrames || c.Frames > MaxFrames {
		return c, fmt.Errorf("mbuf: %d frames: a pool has %d to %d", c.Frames, MinFrames, MaxFrames)
	}
	if c.FrameSize != 2048 && c.FrameSize != 4096 {
		return c, fmt.Errorf("mbuf: frame size %d: use 2048 or 4096", c.FrameSize)
	}
	if c.Headroom < 0 || c.Headroom > MaxHeadroom {
		return c, fmt.Errorf("mbuf: headroom %d: use 0 to %d", c.Headroom, MaxHeadroom)
	}
	if c.Frames&(c.Frames-1) != 0 {
		c.Frames = 1 << bits.Len(uint(c.Frames))
	}
	return c, nil
}

// Validate tells what is wrong with c, or nil.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

// MaxLen returns the longest packet that fits into one frame of such a pool, in
// bytes, or 0 if c is not valid.
func (c Config) MaxLen() int {
	c, err := c.withDefaults()
	if err != nil {
		return 0
	}
	return c.FrameSize - KernelHeadroom - c.Headroom
}

// Pool is a block of packet memory and the list of its free frames. Any
// goroutine may use it; cores do so through a Cache.
type Pool struct {
	id       uint8
	name     string
	mem      Mem
	unmap    func() error
	pages    string
	frames   int
	shift    uint
	headroom int
	multi    bool
	// free holds the chunk addresses nobody has taken. Cores touch it a bulk
	// at a time.
	free  freeList
	debug debugState
}

// ID returns the number that frames of this pool carry in their Meta.
func (p *Pool) ID() uint8 { return p.id }

// Name returns the pool's name.
func (p *Pool) Name() string { return p.name }

// Frames returns the number of frames.
func (p *Pool) Frames() int { return p.frames }

// FrameSize returns the size of a chunk in bytes.
func (p *Pool) FrameSize() int { return 1 << p.shift }

// Headroom returns the bytes kept free in front of a packet beyond
// KernelHeadroom.
func (p *Pool) Headroom() int { return p.headroom }

// DataOffset returns where in a chunk a packet begins that our own side writes:
// the same place at which the kernel puts a received one.
func (p *Pool) DataOffset() int { return KernelHeadroom + p.headroom }

// MaxLen returns the longest packet that fits into one frame, in bytes.
func (p *Pool) MaxLen() int { return p.FrameSize() - p.DataOffset() }

// MultiBuffer reports whether a packet may have several frames.
func (p *Pool) MultiBuffer() bool { return p.multi }

// MaxPacket returns the longest packet that the pool's frames can hold, in bytes:
// MaxLen, or that of MaxSegments frames.
func (p *Pool) MaxPacket() int {
	if p.multi {
		return MaxSegments * p.MaxLen()
	}
	return p.MaxLen()
}

// Mem returns the pool's memory.
func (p *Pool) Mem() Mem { return p.mem }

// Pages tells what the memory is made of: "huge 2M", "transparent huge" or "4k".
func (p *Pool) Pages() string { return p.pages }

// Base returns the address of the chunk that addr lies in.
func (p *Pool) Base(addr uint64) uint64 { return addr &^ (1<<p.shift - 1) }

// Meta returns the Meta of a frame of this pool that came in on port.
func (p *Pool) Meta(port uint16) Meta { return MakeMeta(p.id, port) }

// Available returns the number of frames on the shared list, which is a lower
// bound of what can be had: caches hold more.
func (p *Pool) Available() int { return p.free.len() }

// put gives chunk addresses back to the shared list. It has room for every
// frame of the pool, so a refusal means a frame was given back twice.
func (p *Pool) put(addrs []uint64) {
	if !p.free.put(addrs) {
		panic("mbuf: pool " + p.name + ": more frames given back than it has: a frame was freed twice")
	}
}

// Return gives the frames of s back to the pool and empties s. Any goroutine
// that owns s may call it; it is for frames that come home from a lost queue.
func (p *Pool) Return(s *FrameSet) int {
	n := 0
	var buf [64]uint64
	k := 0
	for addr := range s.All() {
		buf[k] = addr
		k++
		if k == len(buf) {
			debugPut(p, buf[:])
			p.put(buf[:])
			k = 0
		}
		n++
	}
	debugPut(p, buf[:k])
	p.put(buf[:k])
	s.Clear()
	return n
}

// Space is a table of pools whose frames may meet in one dataplane. Frames name
// their pool by its place in the table.
type Space struct {
	mu    sync.Mutex
	pools [MaxPools]*Pool
}

// ErrTooManyPools is returned when a Space holds MaxPools pools already.
var ErrTooManyPools = errors.New("mbuf: 256 pools exist already")

// NewSpace returns an empty table.
func NewSpace() *Space { return &Space{} }

// NewPool maps memory for a pool and enters it into the table. Errors name the
// field of c that is wrong, or the errno of the mapping.
func (s *Space) NewPool(c Config) (*Pool, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := -1
	for i, p := range s.pools {
		if p == nil {
			id = i
			break
		}
	}
	if id < 0 {
		return nil, ErrTooManyPools
	}
	if c.Name == "" {
		c.Name = fmt.Sprintf("pool%d", id)
	}
	size := c.Frames * c.FrameSize
	mem, pages, unmap, err := mapMemory(size, c.HugePages)
	if err != nil {
		return nil, fmt.Errorf("mbuf: pool %s: map %d MiB: %w", c.Name, size>>20, err)
	}
	free, err := newFreeList(c.Frames)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mbuf: pool %s: %w", c.Name, err), unmap())
	}
	p := &Pool{
		id: uint8(id), name: c.Name, mem: mem, unmap: unmap, pages: pages,
		frames: c.Frames, shift: uint(bits.TrailingZeros(uint(c.FrameSize))), headroom: c.Headroom,
		multi: c.MultiBuffer, free: free,
	}
	for i := range c.Frames {
		free.rest.Enqueue(uint64(i) << p.shift)
	}
	s.pools[id] = p
	return p, nil
}

// Pools returns the pools of the table.
func (s *Space) Pools() []*Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Pool
	for _, p := range s.pools {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}

// ErrInUse is returned by Release for a pool whose frames are not all at home.
var ErrInUse = errors.New("frames are still out")

// Release takes p out of the table and unmaps its memory. It fails with ErrInUse
// while any frame is not back on the shared list; the pool then stays usable.
func (s *Space) Release(p *Pool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pools[p.id] != p {
		return fmt.Errorf("mbuf: pool %s is not in this space", p.name)
	}
	if n := p.free.len(); n != p.frames {
		return fmt.Errorf("mbuf: pool %s: %d of %d frames: %w", p.name, p.frames-n, p.frames, ErrInUse)
	}
	s.pools[p.id] = nil
	p.mem = nil
	return p.unmap()
}

// Free gives frames back to the shared lists of their pools, whichever they are.
// Cores free through a Local; this is for frames that no core has any more.
func (s *Space) Free(frames []Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range frames {
		p := s.pools[f.Meta.Pool()]
		addr := [1]uint64{p.Base(f.Addr)}
		debugPut(p, addr[:])
		p.put(addr[:])
	}
}
