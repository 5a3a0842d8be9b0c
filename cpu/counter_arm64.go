//go:build arm64

package cpu

// counterName is what [Clock.Source] calls the counter.
const counterName = "cntvct_el0"

// timerHz reads CNTFRQ_EL0.
func timerHz() uint64

// counterInvariant is true: the architecture demands a system counter of fixed rate (Arm
// ARM, "The Generic Timer").
func counterInvariant() bool { return true }

// counterHz returns the rate that firmware entered in CNTFRQ_EL0, 0 if it forgot.
func counterHz() uint64 { return timerHz() }

// counterDoubt says why the counter cannot be a clock, or nothing.
func counterDoubt() string { return "" }
