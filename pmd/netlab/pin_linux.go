//go:build linux

package netlab

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pinThread binds the calling thread to one CPU. It is for threads that are
// locked and end with their goroutine: nothing is put back.
func pinThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("run on CPU %d (is it online and allowed?): %w", cpu, err)
	}
	return nil
}

// blockProfiling keeps the profiling signal from the calling thread, which is
// to end with its goroutine.
func blockProfiling() error {
	var set unix.Sigset_t
	bit := uint(unix.SIGPROF - 1) // signals count from 1
	size := uint(len(set.Val))
	word := 1024 / size // bits in one word of the 1,024-bit set
	set.Val[bit/word] = 1 << (bit % word)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		return fmt.Errorf("block SIGPROF: %w", err)
	}
	return nil
}
