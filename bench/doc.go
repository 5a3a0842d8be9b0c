// Package bench measures the dataplane: its benchmarks run the same worker that
// the pmd binary runs, with counters and mailbox on, over ports in memory and over
// AF_XDP on veth pairs that they make themselves.
//
// # Model
//
// A benchmark starts a [Rig], lets it warm up, and reads the workers' counters
// twice; the rate is what left between the two readings. Every run ends with an
// account: frames received are those sent, dropped and in hand, and the pools are
// complete. A run whose account does not balance fails instead of reporting a
// figure.
//
// BenchmarkForward/driver=DRIVER/mode=MODE/size=SIZE reports pkts/s and ns/pkt.
// TestPeers, on request, measures DPDK's testpmd on the same ports in the same
// run, round by round in turn, and prints medians and their ratio.
//
// # Concurrency
//
// A Rig is used from one goroutine.
//
// # Limitations
//
// Rates on machines that share their CPUs with others vary; compare ratios of one
// run, not figures of two.
package bench
