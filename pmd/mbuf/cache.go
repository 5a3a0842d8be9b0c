package mbuf

// cacheBulk is how many frames a cache trades with its pool at once. It is
// larger than a burst, so most bursts touch no shared line at all.
const cacheBulk = 256

// MaxPutSent is how many frames PutSent can be given at once.
const MaxPutSent = cacheBulk

// Cache is one core's stock of free frames of one pool: a stack, so that the
// frame freed last, whose bytes are still in the core's cache, is used next.
// It belongs to one goroutine.
type Cache struct {
	// Hot: every burst.
	n     int
	mask  uint64 // clears the offset within a chunk
	size  uint64 // of the pool's memory, in bytes
	addrs [3 * cacheBulk]uint64
	// Control.
	pool *Pool
}

// NewCache returns an empty cache of p.
func NewCache(p *Pool) *Cache {
	return &Cache{pool: p, mask: ^(uint64(1)<<p.shift - 1), size: uint64(p.frames) << p.shift}
}

// Pool returns the pool the cache draws from.
func (c *Cache) Pool() *Pool { return c.pool }

// Len returns the number of frames in the cache.
func (c *Cache) Len() int { return c.n }

// reserve makes at least want frames available, if pool and cache have as many,
// and returns how many of the want there are. want is at most 2*cacheBulk.
func (c *Cache) reserve(want int) int {
	if c.n < want {
		c.n += c.pool.free.take(c.addrs[c.n:c.n+max(cacheBulk, want-c.n)], want-c.n)
	}
	return min(want, c.n)
}

// Take fills dst with the addresses of free chunks and returns how many it
// could: fewer than len(dst) only if cache and pool are empty.
func (c *Cache) Take(dst []uint64) int {
	done := 0
	for done < len(dst) {
		n := c.reserve(min(len(dst)-done, cacheBulk))
		if n == 0 {
			break
		}
		top := c.addrs[c.n-n : c.n]
		copy(dst[done:], top)
		c.n -= n
		debugTake(c.pool, top)
		done += n
	}
	return done
}

// TakeFrames fills dst with free frames whose data begins at offset bytes into
// the chunk, is length bytes long and which carry meta. It returns how many it
// could: fewer than len(dst) only if cache and pool are empty.
func (c *Cache) TakeFrames(dst []Frame, offset, length uint32, meta Meta) int {
	return c.TakeColoured(dst, offset, length, meta, 0)
}

// A chunk's colour is how many cache lines behind the offset its data begins: three bits of its
// number. The lowest is not among them, since chunks of 2048 bytes differ by that in the lower
// twelve bits of an address already.
const (
	lineShift = 6
	colourMax = 7 << lineShift
)

// Colours returns what TakeColoured is to be given for packets of up to length bytes that begin
// at offset: 0 where a chunk has no room for them to begin later.
func (p *Pool) Colours(offset, length int) uint64 {
	if offset+length+colourMax > p.FrameSize() {
		return 0
	}
	return colourMax
}

// Coloured returns where in memory the data of a chunk begins that TakeColoured takes.
func Coloured(chunk uint64, offset uint32, colours uint64) uint64 {
	return chunk + uint64(offset) + chunk>>lineShift&colours
}

// TakeColoured is TakeFrames for packets that are written or read here: it takes the data of
// some chunks to begin up to colourMax bytes behind offset, in whole cache lines. Chunks are
// a power of two apart, and lines that far apart share a few places of a core's cache, and
// look alike to a load that waits for older stores (whose addresses are compared by their
// lower twelve bits first). colours is what Pool.Colours returns. The idea is that of slab caches: Bonwick,
// The Slab Allocator, USENIX Summer 1994, section 4.
func (c *Cache) TakeColoured(dst []Frame, offset, length uint32, meta Meta, colours uint64) int {
	done := 0
	for done < len(dst) {
		n := c.reserve(min(len(dst)-done, cacheBulk))
		if n == 0 {
			break
		}
		top := c.addrs[c.n-n : c.n]
		debugTake(c.pool, top)
		c.n -= n
		out := dst[done : done+n]
		done += n
		// Four at a time: it halves the cost of a frame, which here is that of
		// the loop itself. Slices become array pointers for the bounds checks.
		for len(top) >= 4 && len(out) >= 4 {
			t, o := (*[4]uint64)(top), (*[4]Frame)(out)
			o[0] = Frame{Addr: Coloured(t[0], offset, colours), Len: length, Meta: meta}
			o[1] = Frame{Addr: Coloured(t[1], offset, colours), Len: length, Meta: meta}
			o[2] = Frame{Addr: Coloured(t[2], offset, colours), Len: length, Meta: meta}
			o[3] = Frame{Addr: Coloured(t[3], offset, colours), Len: length, Meta: meta}
			top, out = top[4:], out[4:]
		}
		for i, a := range top {
			if i < len(out) { // always; it spares the bounds check
				out[i] = Frame{Addr: Coloured(a, offset, colours), Len: length, Meta: meta}
			}
		}
	}
	return done
}

// room makes space for n more addresses, n at most cacheBulk.
func (c *Cache) room(n int) {
	if c.n+n > len(c.addrs) {
		c.pool.put(c.addrs[c.n-cacheBulk : c.n])
		c.n -= cacheBulk
	}
}

// Put takes back the chunks that the addresses lie in, anywhere in the chunk.
func (c *Cache) Put(addrs []uint64) {
	for len(addrs) > 0 {
		n := min(len(addrs), cacheBulk)
		c.room(n)
		out := c.addrs[c.n : c.n+n]
		for i, a := range addrs[:n] {
			if i < len(out) { // always; it spares the bounds check
				out[i] = a & c.mask
			}
		}
		debugPut(c.pool, out)
		c.n += n
		addrs = addrs[n:]
	}
}

// PutFrames takes back frames, all of this cache's pool.
func (c *Cache) PutFrames(frames []Frame) {
	for len(frames) > 0 {
		n := min(len(frames), cacheBulk)
		c.room(n)
		out := c.addrs[c.n : c.n+n]
		for i := range frames[:n] {
			if i < len(out) { // always; it spares the bounds check
				out[i] = frames[i].Addr & c.mask
			}
		}
		debugPut(c.pool, out)
		c.n += n
		frames = frames[n:]
	}
}

// Valid reports whether f can be sent from this pool: it has at least one byte,
// and all of them lie in one chunk.
func (c *Cache) Valid(f Frame) bool {
	// A length of 0 becomes 2^32-1, which no chunk has room for.
	last := f.Addr&^c.mask + uint64(f.Len-1)
	return last <= ^c.mask && f.Addr < c.size
}

// Check returns the sum of the frames' lengths in bytes, and whether all of
// them are Valid.
func (c *Cache) Check(frames []Frame) (bytes uint64, ok bool) {
	var last, far uint64
	for i := range frames {
		a, l := frames[i].Addr, uint64(frames[i].Len-1)
		bytes += l
		far |= a
		last |= a&^c.mask + l
	}
	// Chunk and pool are powers of two in size, so an OR stays below one
	// exactly if everything in it does.
	return bytes + uint64(len(frames)), last <= ^c.mask && far < c.size
}

// PutSent is Check and PutFrames in one pass, for devices that are done with a
// frame as soon as they have it: if all frames are Valid it takes them back and
// returns the sum of their lengths; if any is not it takes none and reports
// false. It panics if given more than MaxPutSent frames.
func (c *Cache) PutSent(frames []Frame) (bytes uint64, ok bool) {
	if len(frames) > MaxPutSent {
		panic("mbuf: PutSent of more than MaxPutSent frames")
	}
	c.room(cacheBulk)
	out := (*[cacheBulk]uint64)(c.addrs[c.n:])
	// The addresses are written above the top of the stack, where they are
	// nobody's, until the check has come out well. Four at a time: see
	// TakeFrames. The masks on i spare the bounds check.
	var addrs, lens uint64
	i := 0
	for ; i < len(frames)-3; i += 4 {
		f, j := (*[4]Frame)(frames[i:]), i&(cacheBulk-4)
		a, l := f[0].Addr, uint64(f[0].Len-1)
		addrs |= a
		lens |= l
		bytes += l
		out[j] = a & c.mask
		a, l = f[1].Addr, uint64(f[1].Len-1)
		addrs |= a
		lens |= l
		bytes += l
		out[j+1] = a & c.mask
		a, l = f[2].Addr, uint64(f[2].Len-1)
		addrs |= a
		lens |= l
		bytes += l
		out[j+2] = a & c.mask
		a, l = f[3].Addr, uint64(f[3].Len-1)
		addrs |= a
		lens |= l
		bytes += l
		out[j+3] = a & c.mask
	}
	for ; i < len(frames); i++ {
		a, l := frames[i].Addr, uint64(frames[i].Len-1)
		addrs |= a
		lens |= l
		bytes += l
		out[i&(cacheBulk-1)] = a & c.mask
	}
	bytes += uint64(len(frames))
	// An OR is no less than anything in it, so the sum of the two bounds every
	// frame's last byte: enough for bursts of like frames. Others are looked at
	// one by one.
	if addrs&^c.mask+lens > ^c.mask || addrs >= c.size {
		if bytes, ok = c.Check(frames); !ok {
			return 0, false
		}
	}
	debugPut(c.pool, out[:len(frames)])
	c.n += len(frames)
	return bytes, true
}

// Drain gives everything back to the pool.
func (c *Cache) Drain() {
	c.pool.put(c.addrs[:c.n])
	c.n = 0
}

// Walk enters the cache's frames into a ledger of its pool.
func (c *Cache) Walk(l *Ledger) {
	l.Addrs(OwnerCache, c.addrs[:c.n])
}
