// Package queue holds the bounded, lock-free queues through which poll cores
// hand elements to each other: three rings, and the interface send queue.
//
// # Model
//
// A ring is an array of slots, a power of two of them, and two pairs of
// positions that only ever grow. Positions are uint32 and wrap at 2^32; a slot
// is the position modulo the size, and a difference of two positions is right
// whether or not one of them has wrapped. Because positions run free, every
// slot can be in use: a ring of 1,024 holds 1,024 elements.
//
// Calls move bursts. A bulk call takes all of its slice or nothing, a burst
// call as many as there are. Either way the elements are copied in at most two
// pieces and the position that the other side reads is stored once, so the
// cost of moving cache lines between cores is paid per burst, not per element.
//
//	SPSC     one producer, one consumer: no read-modify-write at all
//	MPSC     many producers, one consumer: a mailbox
//	MPMC     many of both: a shared pool of free indices
//	Classic  many producers, one consumer, an exact limit of any size, and the
//	         contract of an interface send queue: what does not fit is freed
//
// A side with many callers works as the MP and MC modes of DPDK's rte_ring do
// (its programmer's guide, chapter "Ring Library"): a caller claims a range of
// positions with one compare-and-swap, copies, and then publishes the range
// once all earlier ranges of its side have been published.
//
// Each side remembers how far it last saw the other one and looks again only
// if that is not enough. A producer of a ring that is not nearly full, and a
// consumer of one that is not nearly empty, leave the other core's cache line
// alone.
//
// Fields are grouped by the core that writes them, at least two cache lines
// apart, since hardware that fetches lines in pairs (128 bytes on amd64) would
// otherwise let neighbours disturb each other.
//
// Indices are stored by sync/atomic, which on amd64 is a locked exchange where a
// plain store would do. Plain stores, and prefetching for writing, were tried in
// assembly: on one ring size they gain a fifth, on another they lose as much,
// and the guarantee for sleepers below would be gone.
//
// [Discipline] is what an interface asks of its send queue, as ALTQ does of a
// queueing discipline. [Classic] is the first one, after the ifq_classic
// functions of DragonFly BSD's net/if.c.
//
// # Concurrency
//
// An element's enqueue happens before its dequeue in the sense of the Go
// memory model: what the producer wrote before it is visible to whoever takes
// the element. That is all that SPSC, MPSC and MPMC promise: they publish with a
// release, which is much cheaper than more. Classic promises more, since its
// consumer may sleep: putting in is sequentially consistent, so that a producer
// that enqueues and then finds a "sleeping" flag of sync/atomic clear, and a
// consumer that sets the flag and then finds the queue empty, cannot both be
// mistaken. With the other rings the producer must have a read-modify-write of
// sync/atomic between its enqueue and its look at such a flag.
//
// Where a type allows one producer or one consumer, that role may move to
// another goroutine only with a happens-before edge from the last call of the
// old owner to the first of the new (a channel, a barrier, a mailbox message).
// Len, Cap, Free, Limit and the counters may be called by anybody at any time;
// on a queue in use they are a moment's picture, but never out of range.
//
// All calls return without blocking, with one exception that lock-free rings
// of this kind share: between claiming a range and publishing it, a caller
// holds up those of its own side that claimed later. The window is one copy
// long. Should the scheduler stop a goroutine inside it, the later ones spin
// for a bounded time and then yield their processor with [runtime.Gosched], so
// that the stopped one can run and finish even at GOMAXPROCS=1.
//
// Who found nothing to take had better do something else before looking again: each look
// takes a cache line from the producer, which has to fetch it back to put in more. Between
// two far CPUs a consumer that rested a third of a microsecond when it found nothing doubled
// what went through an SPSC.
//
// # Limitations
//
// Elements should be plain data. A slot keeps its last value until the ring
// comes round to it again, so what an element points to stays reachable for
// the garbage collector until then; for element types that contain pointers
// copying is slower too, for its write barriers.
//
// If the kernel stops the thread of a caller between claim and publication,
// Gosched cannot bring it back: later callers of that side wait until the
// kernel does. Pin poll cores to processors of their own. SPSC has no such
// window.
//
// Positions have 32 bits. A caller on a shared side that is stopped within the
// few instructions of a claim, for exactly a multiple of 2^32 elements (43 s
// at 100 million a second) with the other side's last seen position equal too,
// would take the ring for unchanged.
//
// There is no blocking call and no wakeup; that is the poll loop's part.
package queue
