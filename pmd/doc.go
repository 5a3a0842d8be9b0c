// Package pmd states what a port of the dataplane is: the contract between a
// poll-mode driver and the core that polls it.
//
// # Model
//
// A [Device] is a network port with one or more [Queue]s. A queue receives and
// sends whole bursts of frames and never blocks. A [Driver] opens devices from a
// [Spec] such as "eth1,mode=copy" or "null:size=64"; drivers are entered into a
// [Registry] by the program, none registers itself.
//
// # Ownership
//
// Frames that RxBurst returns belong to the caller. Frames that TxBurst takes
// belong to the queue until their transmission is complete; then they return to
// the cache of the core that owns the queue. The part of a burst that TxBurst
// does not take stays the caller's. All frames given to TxBurst must be of the
// queue's pool: the dataplane copies those that are not, and counts it.
//
// # Concurrency
//
// Every method of a Queue is called by the goroutine that owns the queue and by
// no other. A Device's methods may be called from any goroutine unless they say
// otherwise. A device reaches its queues' owner through the [Host].
//
// # Limitations
//
// Packets of several frames (multi-buffer) are not part of the contract yet.
package pmd
