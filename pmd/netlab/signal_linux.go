//go:build linux

package netlab

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// blockProfiling keeps the profiling signal from the calling thread, which is
// to end with its goroutine: nothing is put back.
func blockProfiling() error {
	var set unix.Sigset_t
	const bit = uint(unix.SIGPROF - 1) // signals count from 1
	word := 1024 / uint(len(set.Val))  // bits in one word of the 1,024-bit set
	set.Val[bit/word] = 1 << (bit % word)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		return fmt.Errorf("block SIGPROF: %w", err)
	}
	return nil
}
