package cpu

import "runtime"

// Processors raises GOMAXPROCS to what a program with that many poll loops needs, and
// returns what it was, for [runtime.GOMAXPROCS] to put back. Call it before [Confine].
//
// A poll loop keeps its processor of the Go scheduler for good, and everybody else needs
// some too: two at least. The number is a multiple of four. The garbage collector takes a
// quarter of the processors while it marks, and what is not a whole number it takes as a
// share of each of them (startCycle, runtime/mgcpacer.go): the collector would then run on
// those of poll loops, for milliseconds.
func Processors(pollers int) (before int) {
	before = runtime.GOMAXPROCS(0)
	n := max(before, pollers+2)
	runtime.GOMAXPROCS((n + 3) / 4 * 4)
	return before
}
