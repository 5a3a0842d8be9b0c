//go:build linux

package cpu

import (
	"errors"
	"math/bits"

	"golang.org/x/sys/unix"
)

// threadAffinity returns the affinity mask of a thread, 0 being the calling one. The kernel
// reports the part of the mask that is active, so offline CPUs never show.
func threadAffinity(tid int) (Set, error) {
	// The kernel answers EINVAL to a buffer shorter than its own mask.
	mask := unix.NewCPUSet(MaxCPUs)
	if err := unix.SchedGetaffinityDynamic(tid, mask); err != nil {
		return Set{}, err
	}
	var words []uint64
	for i, w := range mask { // words of the kernel's unsigned long
		for ; w != 0; w &= w - 1 {
			id := i*bits.UintSize + bits.TrailingZeros64(uint64(w))
			words = setRange(words, id, id)
		}
	}
	return Set{words}, nil
}

// setThreadAffinity sets the affinity mask of a thread, 0 being the calling one. It returns
// when a running thread has left the CPUs it may no longer use.
func setThreadAffinity(tid int, s Set) error {
	mask := unix.NewCPUSet(MaxCPUs)
	for id := range s.All() {
		mask.Set(id)
	}
	return unix.SchedSetaffinityDynamic(tid, mask)
}

// restoreThreadAffinity gives a thread a mask it had before. If the CPUs of that mask are gone
// meanwhile, any CPU that the cpuset allows will do: the kernel drops the others.
func restoreThreadAffinity(tid int, s Set) error {
	err := setThreadAffinity(tid, s)
	if errors.Is(err, unix.EINVAL) && setThreadAffinity(tid, rangeSet(MaxCPUs)) == nil {
		return nil
	}
	return err
}
