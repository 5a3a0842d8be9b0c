package xsk

import (
	"fmt"
	"unsafe"

	"example.org/pmd/pmd/mbuf"
)

// A frame handle has to be the kernel's struct xdp_desc: an address of 64 bits,
// a length of 32, options of 32 (include/uapi/linux/if_xdp.h).
const (
	descSize = 16
	addrSize = 8

	_ = -(unsafe.Sizeof(mbuf.Frame{}) ^ descSize)
	_ = -(unsafe.Offsetof(mbuf.Frame{}.Len) ^ 8)
	_ = -(unsafe.Offsetof(mbuf.Frame{}.Meta) ^ 12)
)

// offsets tells where the parts of a ring are in its memory, in bytes, as the
// kernel does by XDP_MMAP_OFFSETS.
type offsets struct {
	producer, consumer, flags, entries uint64
}

// size returns the bytes that a ring of n entries needs.
func (o offsets) size(n uint32, entry uint64) uint64 { return o.entries + uint64(n)*entry }

// newView looks at the parts of a ring in mem. Every pointer it returns points
// into mem, which the caller keeps; descriptors if entry is descSize, addresses
// otherwise.
func newView(mem []byte, o offsets, n uint32, entry uint64) (view, error) {
	size := uint64(len(mem))
	if o.size(n, entry) > size || o.producer+4 > size || o.consumer+4 > size || o.flags+4 > size ||
		(o.producer|o.consumer|o.flags)%4 != 0 || o.entries%8 != 0 {
		return view{}, fmt.Errorf("ring of %d entries at %+v does not fit %d bytes", n, o, size)
	}
	base := unsafe.Pointer(unsafe.SliceData(mem))
	v := view{
		entries:  n,
		producer: (*uint32)(unsafe.Add(base, o.producer)),
		consumer: (*uint32)(unsafe.Add(base, o.consumer)),
		flags:    (*uint32)(unsafe.Add(base, o.flags)),
	}
	if entry == descSize {
		v.descs = unsafe.Slice((*mbuf.Frame)(unsafe.Add(base, o.entries)), n)
	} else {
		v.addrs = unsafe.Slice((*uint64)(unsafe.Add(base, o.entries)), n)
	}
	return v, nil
}

// heapRing allocates memory for a ring on the Go heap, where the race detector
// watches it, beginning at a cache line.
func heapRing(size uint64) []byte {
	const line = 128
	words := make([]uint64, (size+line)/8+1)
	mem := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)
	skip := -uintptr(unsafe.Pointer(&words[0])) & (line - 1)
	return mem[skip : uint64(skip)+size]
}
