// Package gate tells whether one revision of this project forwards slower than
// another, on the machine at hand, and is not misled by what else that machine does.
//
// # Model
//
// [Run] takes two revisions of a checkout as snapshots, builds pmd from each, and lets
// the two programs measure the same scenarios by turns on the same CPUs. Both are set up and
// warm; the one measures for some 20 ms while the cores of the other sleep, then the other,
// in the order A B B A (`pmd bench windows`, bench.Scenario.ServeWindows). What changes slowly,
// within seconds as with a neighbour on the same host, meets both alike. Each window begins with
// some milliseconds that are not counted, in which the caches become its own.
//
// What stays as it is for as long as a process lives, where its memory lies above all, would
// be taken for the code by any number of windows of the same two processes. So after some
// turns both are ended, and two others begin. Such a pair of processes is one sample, the median
// of its turns' ratios of the time for a packet: the turns of a pair depend on each other,
// pairs do not.
//
// [Judge] looks at the median of the samples and its confidence interval, which needs no
// assumption about their distribution (golang.org/x/perf/benchmath). The whole interval
// above the tolerance is Slower, the whole of it below is NotSlower; otherwise pairs are
// added until the time is up. An interval that is then still wider than half the tolerance
// is Inconclusive: the machine was too noisy to tell.
//
// Turns during which a polling thread had to wait for its CPU are void, and pairs in which
// they are the most, or in which the hypervisor took that CPU away. If most pairs are void,
// the answer is Inconclusive whatever the rest says.
//
// A change in one function moves all those behind it, and a tight loop that comes to lie
// otherwise in memory can be slower or faster for that alone. Every build is therefore
// linked several times with its functions in another order each time, and the pairs take
// these layouts in turn, each of the one with each of the other. Builds are made in the same folder one after the other, so that
// the same source gives the same program, byte by byte, and then there is nothing to
// measure.
//
// # Concurrency
//
// One Run at a time on a machine: it needs the CPUs for itself.
//
// # Limitations
//
// Each revision measures itself with the harness it has: if the harness changes what it
// counts, the two do not compare. Revisions from before `pmd bench windows` cannot be compared:
// that is an error, not a verdict.
// A slowdown of just the tolerance is found half of the time at best; one of twice the
// tolerance is found, or the answer is Inconclusive.
package gate
