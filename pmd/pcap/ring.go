package pcap

import (
	"encoding/binary"
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"example.org/pmd/pmd/mbuf"
)

// Enhanced Packet Blocks, draft-ietf-opsawg-pcapng, section 4.3: type, length,
// interface, two halves of the time, captured and original length; then the packet,
// filled up to a multiple of 4 bytes; then the length again.
const (
	blockEPB  = 6
	epbHead   = 28
	epbTail   = 4
	offLength = 4
	offOrigin = 24
	maxBlock  = epbHead + 1<<16 + epbTail
)

// ring is the transmit buffer: a ring of bytes with one producer, the owner of the
// queue, and one consumer, the writer's goroutine. What lies in it are the blocks of
// the file themselves, one behind the other, so that the writer hands them to the
// file system as they are. Positions are free-running counts of bytes.
type ring struct {
	buf     []byte
	mask    uint64
	snapLen uint32
	_       cpu.CacheLinePad

	// The producer's: head is where the next block goes, seenTail the tail it saw last.
	head, seenTail uint64
	scratch        []byte // for a block that goes around the end
	_              cpu.CacheLinePad

	// ready is the head as the writer may see it: the blocks before it are
	// complete. Stored by put, loaded by writer.drain.
	ready atomic.Uint64
	_     cpu.CacheLinePad

	// tail is where the blocks begin that the writer still needs. Stored by
	// writer.count, loaded by put: the bytes before it may be overwritten.
	tail atomic.Uint64
	// What has become of the blocks. Stored by writer.count, loaded by
	// Queue.Counters.
	sent, sentBytes, lost atomic.Uint64
	_                     cpu.CacheLinePad

	// The writer's: next is the first block that is neither sent nor lost.
	next uint64
}

// newRing returns an empty ring of size bytes, a power of two of at least 64 KiB.
func newRing(size int, snapLen uint32) *ring {
	return &ring{buf: make([]byte, size), mask: uint64(size - 1), snapLen: snapLen, scratch: make([]byte, maxBlock)}
}

// put appends frames with the time now, in nanoseconds since 1970, as many as there
// is room for, and returns how many and their bytes before they were cut. The frames
// lie in mem. Producer only.
func (r *ring) put(src []mbuf.Frame, mem mbuf.Mem, now uint64) (n int, bytes uint64) {
	size := uint64(len(r.buf))
	head := r.head
	for _, f := range src {
		keep := min(f.Len, r.snapLen)
		total := uint64(epbHead+epbTail) + uint64(keep+3)&^3
		if head+total-r.seenTail > size {
			if r.seenTail = r.tail.Load(); head+total-r.seenTail > size { // pairs with the store in writer.count
				break
			}
		}
		p := mem[f.Addr : f.Addr+uint64(keep)]
		if at := head & r.mask; at+total <= size {
			encode(r.buf[at:at+total], p, f.Len, now)
		} else {
			encode(r.scratch[:total], p, f.Len, now)
			k := copy(r.buf[at:], r.scratch[:total])
			copy(r.buf, r.scratch[k:total])
		}
		head += total
		bytes += uint64(f.Len)
		n++
	}
	if n > 0 {
		r.head = head
		r.ready.Store(head) // pairs with the load in writer.drain
	}
	return n, bytes
}

// encode writes an Enhanced Packet Block into b, which has its length. Numbers are
// little-endian, as the section header says.
func encode(b, p []byte, length uint32, now uint64) {
	le := binary.LittleEndian
	h := (*[epbHead]byte)(b)
	le.PutUint32(h[0:], blockEPB)
	le.PutUint32(h[offLength:], uint32(len(b)))
	le.PutUint32(h[8:], 0) // the interface
	le.PutUint32(h[12:], uint32(now>>32))
	le.PutUint32(h[16:], uint32(now))
	le.PutUint32(h[20:], uint32(len(p)))
	le.PutUint32(h[offOrigin:], length)
	le.PutUint32(b[len(b)-8:], 0) // the filling; what is of the packet comes after
	copy(b[epbHead:], p)
	le.PutUint32(b[len(b)-epbTail:], uint32(len(b)))
}

// word reads a number of a block at a position. Blocks begin at multiples of 4, so it
// lies in one piece.
func (r *ring) word(pos uint64) uint64 {
	at := pos & r.mask
	return uint64(binary.LittleEndian.Uint32(r.buf[at : at+4]))
}

// skip moves next over the blocks that end at or before end, and returns how many
// they are and the bytes of their packets. Consumer only.
func (r *ring) skip(end uint64) (frames, bytes uint64) {
	for r.next < end {
		total := r.word(r.next + offLength)
		if r.next+total > end {
			break
		}
		bytes += r.word(r.next + offOrigin)
		frames++
		r.next += total
	}
	return frames, bytes
}
