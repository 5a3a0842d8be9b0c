// Package demo is `pmd demo`: a show of the whole dataplane that needs no
// hardware, proves what it shows, and leaves nothing behind.
//
// # Model
//
// A bed is what surrounds the dataplane. The real one is two hosts, each a network
// namespace with a stack of its own, and a third namespace with the two interfaces
// that pmd polls through AF_XDP:
//
//	host a: a1 ── a0 :pmd: b0 ── b1 :host b
//
// The engine between the two is that of `pmd run`. Ping, TCP, numbered UDP and a
// flood made by the kernel go through it. In the end every frame is accounted for:
// what the generator sent is what the ports received or missed, what they received
// is what they sent or dropped for a reason, what they sent is what the far end
// counted, and every frame of the pool has exactly one owner.
//
// A check that holds because nothing happened is no proof: with forwarding off,
// every check fails.
//
// Where namespaces or AF_XDP cannot be had, a bed in memory takes their place: the
// ports are ring pairs, and two goroutines play the hosts. Checks and output are of
// the same form.
//
// # Output
//
// For a person, lines appear as they come to be known. For a program, [Report] is
// one JSON object at the end. Whatever else there is to say goes to standard error.
//
// # Concurrency
//
// A [Command] runs once. Several processes may run the demo at the same time: all
// names are their own.
//
// # Limitations
//
// The flood offers more than one core forwards, so frames are missed and counted as
// such. A process killed with SIGKILL leaves its three namespaces; `ip netns`
// lists and deletes them.
package demo
