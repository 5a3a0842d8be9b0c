//go:build !linux

package mbuf

import "errors"

// mapMemory takes the memory from the Go heap: no device here reads it.
func mapMemory(size int, policy HugePages) (mem []byte, pages string, unmap func() error, err error) {
	if policy == HugeRequire {
		return nil, "", nil, errors.New("huge pages: only on Linux")
	}
	return make([]byte, size), "heap", func() error { return nil }, nil
}
