//go:build !amd64 && !arm64

package cpu

// Cycles reads the cycle counter of the CPU it runs on: the time-stamp counter on amd64
// (RDTSC), the virtual count of the generic timer on arm64 (CNTVCT_EL0), nanoseconds of the
// monotonic clock elsewhere. Only differences mean anything, a [Clock] says how much.
func Cycles() uint64 { return nanos() }
