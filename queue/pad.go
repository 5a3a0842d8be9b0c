package queue

import "golang.org/x/sys/cpu"

// pad keeps what stands before it and what stands behind it out of each
// other's pair of cache lines, wherever the allocator puts the struct: with
// that many bytes between, two fields cannot be in one aligned pair. Two lines,
// not one, because the adjacent-line prefetcher of amd64 fetches 128 bytes.
type pad [2]cpu.CacheLinePad
