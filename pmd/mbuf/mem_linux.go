//go:build linux

package mbuf

import (
	"errors"
	"fmt"
	"syscall"
)

// hugePage is the size that MAP_HUGETLB gives by default on amd64 and on arm64
// with 4 KiB base pages.
const hugePage = 2 << 20

// mapMemory maps size bytes of private anonymous memory, on huge pages as far as
// the policy asks and the system has them.
func mapMemory(size int, policy HugePages) (mem []byte, pages string, unmap func() error, err error) {
	const prot = syscall.PROT_READ | syscall.PROT_WRITE
	const flags = syscall.MAP_PRIVATE | syscall.MAP_ANONYMOUS
	if policy != HugeOff {
		rounded := (size + hugePage - 1) &^ (hugePage - 1)
		// MAP_POPULATE makes a shortage of reserved pages an error here
		// instead of a SIGBUS at the first touch.
		m, herr := syscall.Mmap(-1, 0, rounded, prot, flags|syscall.MAP_HUGETLB|syscall.MAP_POPULATE)
		if herr == nil {
			return m[:size], "huge 2M", func() error { return syscall.Munmap(m) }, nil
		}
		if policy == HugeRequire {
			return nil, "", nil, fmt.Errorf("huge pages (reserve %d with sysctl vm.nr_hugepages): %w", rounded/hugePage, herr)
		}
	}
	m, err := syscall.Mmap(-1, 0, size, prot, flags)
	if err != nil {
		return nil, "", nil, err
	}
	pages = "4k"
	if policy == HugeAuto {
		// Advice only: EINVAL means the kernel has no transparent huge pages.
		switch err := syscall.Madvise(m, syscall.MADV_HUGEPAGE); {
		case err == nil:
			pages = "transparent huge"
		case !errors.Is(err, syscall.EINVAL):
			return nil, "", nil, errors.Join(fmt.Errorf("madvise: %w", err), syscall.Munmap(m))
		}
	}
	return m, pages, func() error { return syscall.Munmap(m) }, nil
}
