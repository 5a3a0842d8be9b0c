//go:build linux

package cpu

import "golang.org/x/sys/unix"

// threadAffinity returns the affinity mask of a thread, 0 being the calling one. The kernel
// reports the part of the mask that is active, so offline CPUs never show.
func threadAffinity(tid int) (Set, error) {
	// The kernel answers EINVAL to a buffer shorter than its own mask.
	mask := unix.NewCPUSet(MaxCPUs)
	if err := unix.SchedGetaffinityDynamic(tid, mask); err != nil {
		return Set{}, err
	}
	var words []uint64
	for id := range MaxCPUs {
		if mask.IsSet(id) {
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
