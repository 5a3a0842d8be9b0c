// Package mbuf holds packet memory: frame pools, the 16-byte frame handle that
// travels through the dataplane, the per-core caches frames are taken from, and
// the account that proves no frame was lost.
//
// # Model
//
// A [Pool] is one block of memory cut into chunks of equal size. For AF_XDP the
// block is a UMEM. A [Frame] names bytes in a chunk: offset, length and 32 bits
// of ours. It holds no pointer, so bursts of frames cost the garbage collector
// nothing and copying one is two machine words.
//
// Frames are handed out through a [Cache], a stack that belongs to one core; a
// cache trades whole bulks with the pool, so that a cache line other cores write is
// touched once a bulk and not once a frame; what came back lately is given out
// first. A [Local] gathers one core's caches of all pools.
//
// # Packets of several frames
//
// In a pool that is MultiBuffer a packet may be a run of up to [MaxSegments] frames
// that follow one another in a burst, each but the last marked with [FlagMore].
// Whoever handles bursts passes such a run on, or drops it, as a whole, and counts
// it as one packet. In other pools every frame is a packet.
//
// # Owners
//
// A frame has one owner at a time: the kernel (posted by a queue), a core's
// burst or transmit buffer, a core's cache, or the pool. The sum over owners is
// the size of the pool, always. A [Ledger] checks it by walking the owners
// themselves, one after the other, and not by adding up counters: it finds
// frames that nobody has and frames that two have.
//
// # Concurrency
//
// A Pool and a [Space] may be used from any goroutine. A Cache, a Local and a
// [FrameSet] belong to one goroutine at a time. A Ledger is filled while every
// owner it visits stands still.
//
// # Limitations
//
// Chunks are aligned and a power of two in size (2048 or 4096 bytes), as the
// AF_XDP aligned mode asks. At most 256 pools share a Space.
package mbuf
