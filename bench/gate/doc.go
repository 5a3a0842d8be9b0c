// Package gate tells whether one revision of this project forwards slower than
// another, on the machine at hand, and is not misled by what else that machine does.
//
// # Model
//
// [Run] takes two revisions of a checkout as snapshots, builds pmd from each, and lets
// the two programs measure the same scenarios by turns: `pmd bench run`, half a second
// at a time, first the one, then the other, then the other way round. A neighbouring
// pair of measurements is a sample: the ratio of their times for a packet. What changes
// slowly (clock frequency, temperature, a neighbour on the same host) meets both halves of
// a pair, what changes quickly is as often to the one's disadvantage as to the other's.
//
// [Judge] looks at the median of the ratios and its confidence interval, which needs no
// assumption about their distribution (golang.org/x/perf/benchmath). The whole interval
// above the tolerance is Slower, the whole of it below is NotSlower; otherwise pairs are
// added until the time is up. An interval that is then still wider than half the tolerance
// is Inconclusive: the machine was too noisy to tell.
//
// Pairs during which a polling thread had to wait for its CPU, or the hypervisor took that
// CPU away, are void. If they are the most, the answer is Inconclusive whatever the rest
// says.
//
// A change in one function moves all those behind it, and a tight loop that comes to lie
// otherwise in memory can be slower or faster for that alone. Every build is therefore
// linked several times with its functions in another order each time, and the pairs take
// these layouts in turn. Builds are made in the same folder one after the other, so that
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
// counts, the two do not compare. Revisions from before `pmd bench run` cannot be compared.
// A slowdown of just the tolerance is found half of the time at best; one of twice the
// tolerance is found, or the answer is Inconclusive.
package gate
