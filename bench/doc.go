// Package bench measures the dataplane: its benchmarks run the same worker that
// the pmd binary runs, with counters and mailbox on, over ports in memory and over
// AF_XDP on veth pairs that they make themselves.
//
// # Model
//
// A [Scenario] says what to measure: driver, forwarding mode, size of frames, flows,
// cores and idle policy. It has a name, as in driver=pcap/mode=csum/size=imix, that can
// be read back. [Scenarios] are those that are worth it, [Scenario.Lacking] tells why one
// cannot run here, and [Scenario.Run] measures: it sets everything up, lets it warm up,
// and reads the workers' counters at the begin and end of each round; the rate is what
// left between the two readings. Every round ends with an account: frames received are
// those sent, dropped and in hand, and the pools are complete; over a veth what was sent
// has also arrived. A run whose account does not balance fails instead of reporting a
// figure. A [Result] has the rounds, the [Environment] they ran in, and the
// [Disturbance] of each.
//
// A scenario with a load or a rate is sent evenly, with numbers and due times in the frames,
// and its Result has the [Latency].
//
// BenchmarkForward runs the same scenarios by the same names, and reports pkts/s and
// ns/pkt; `pmd bench run` is the third way. A [Rig] is the running dataplane beneath.
//
// A [Comparison] is the same work done by pmd and by a [Peer], another program or the kernel,
// on the same bytes and CPUs: rounds of both sides in turn, whose ratio is what counts.
// [Comparisons] are those that are known; `pmd bench peers` runs them.
//
// # Concurrency
//
// A Rig is used from one goroutine. One scenario may run at a time in a process: it
// binds the process's threads to CPUs.
//
// # Limitations
//
// Rates on machines that share their CPUs with others vary; compare ratios of one
// run, not figures of two.
package bench
