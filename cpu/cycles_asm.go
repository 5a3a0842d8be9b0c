//go:build amd64 || arm64

package cpu

// Cycles reads the cycle counter of the CPU it runs on: the time-stamp counter on amd64
// (RDTSC), the virtual count of the generic timer on arm64 (CNTVCT_EL0), nanoseconds of the
// monotonic clock elsewhere. Only differences mean anything, a [Clock] says how much.
//
// The reading is not ordered against the instructions around it: no LFENCE, RDTSCP or ISB. A
// fence drains the pipeline, which costs more than the reading itself, while what it would
// put right is tens of cycles: nothing in a turn of a poll loop, where the counter is read
// once a burst. Do not time single instructions with it.
//
// The counters of all CPUs agree where the counter is invariant, but only to within some
// cycles, so a difference taken across CPUs may come out slightly negative.
func Cycles() uint64
