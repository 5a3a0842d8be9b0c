//go:build !amd64 && !arm64

package cpu

import "runtime"

// counterName is what [Clock.Source] would call the counter; there is none.
const counterName = ""

// counterInvariant is false: there is no counter to speak of.
func counterInvariant() bool { return false }

// counterHz returns 0: not known.
func counterHz() uint64 { return 0 }

// counterDoubt says why the counter cannot be a clock.
func counterDoubt() string { return "no cycle counter is read on " + runtime.GOARCH }
