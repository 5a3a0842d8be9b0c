package cpu

import (
	"io/fs"
	"math"
	"math/bits"
	"strings"
	"time"
)

// Clock converts between readings of a cycle counter and time. Get one from [Calibrate]: the
// zero value knows no rate and answers 0 to everything. A Clock is a small value to be
// copied into each core.
type Clock struct {
	hz       float64
	toNanos  uint64 // nanoseconds a cycle, times 2^32
	toCycles uint64 // cycles a nanosecond, times 2^32
	counter  bool   // Now reads the hardware counter
	source   string
}

// newClock makes a clock of the given rate in Hz, which [plausible] has passed.
func newClock(hz float64, counter bool, source string) Clock {
	const one = 1 << 32
	return Clock{
		hz:       hz,
		toNanos:  uint64(math.Round(1e9 / hz * one)),
		toCycles: uint64(math.Round(hz / 1e9 * one)),
		counter:  counter,
		source:   source,
	}
}

// Now reads the counter this clock is for. It is [Cycles] when [Clock.Hardware] is true, and
// else nanoseconds of the monotonic clock. It is cheap enough for every turn of a poll loop.
func (c Clock) Now() uint64 {
	if c.counter {
		return Cycles()
	}
	return nanos()
}

// Hz returns the rate of the counter in cycles a second.
func (c Clock) Hz() float64 { return c.hz }

// Hardware reports whether the clock reads a hardware counter, so that [Cycles] and
// [Clock.Now] are the same.
func (c Clock) Hardware() bool { return c.counter }

// Source names what the clock reads: "tsc", "cntvct_el0", or "monotonic" followed by the
// reason why no hardware counter would do.
func (c Clock) Source() string { return c.source }

// Duration converts a number of cycles, the difference of two readings, to time. It is a
// multiplication of 64 by 64 bits and a shift. Rounding adds less than one part in 10^8 to
// the error of the calibration. A result that does not fit (292 years, or a difference that
// went below zero) is the largest Duration.
func (c Clock) Duration(cycles uint64) time.Duration {
	hi, lo := bits.Mul64(cycles, c.toNanos)
	if hi >= 1<<31 {
		return math.MaxInt64
	}
	return time.Duration(hi<<32 | lo>>32)
}

// Cycles converts a time to cycles, the inverse of [Clock.Duration], for deadlines: rounding
// is below one part in 10^6 at 1 MHz, and less at higher rates. A negative time is 0 cycles;
// a result that does not fit is the largest uint64.
func (c Clock) Cycles(d time.Duration) uint64 {
	if d < 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(d), c.toCycles)
	if hi >= 1<<32 {
		return math.MaxUint64
	}
	return hi<<32 | lo>>32
}

// epoch is where nanos counts from. It is set once, before main.
var epoch = time.Now()

// nanos returns nanoseconds of the monotonic clock. time.Since reads it through the vDSO,
// without a system call.
func nanos() uint64 { return uint64(time.Since(epoch)) }

// tscWithdrawn reports whether the kernel has stopped offering the TSC as a clock source,
// which it does when its watchdog catches the TSC drifting (kernel/time/clocksource.c). sys
// is rooted at /sys. Where nothing is to be read, the processor's word has to do.
func tscWithdrawn(sys fs.FS) bool {
	text, ok, err := readLine(sys, "devices/system/clocksource/clocksource0/available_clocksource")
	if err != nil || !ok {
		return false
	}
	for name := range strings.FieldsSeq(text) {
		if name == "tsc" {
			return false
		}
	}
	return true
}
