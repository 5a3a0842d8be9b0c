// Package pmdtest is the conformance suite for drivers: what package pmd says of
// a Device and its Queues, as tests. A driver that passes can be polled by the
// dataplane without the dataplane knowing which driver it is.
//
// # Model
//
// A driver's test describes in a [Harness] how a device is opened, what can be
// expected of it, and how packets are put in and taken out at its far side. Then
// [TestDevice] runs every check as a subtest, each over a fresh pool and a
// freshly opened device:
//
//	info            the device says who it is, and its queues stay the same
//	burst limits    0, 1 and more than pmd.MaxBurst frames; never more than asked
//	never blocks    no call waits for traffic or room
//	content         bytes arrive whole and in order, both ways
//	unsent tail     what TxBurst does not take stays the caller's
//	whole packets   of several frames, if the pool is MultiBuffer: never in part
//	invalid frames  empty, too long and stray ones are counted; the rest goes on
//	exhaustion      with no free frame nothing breaks; with frames back it goes on
//	statistics      counters add up at every burst, in packets and bytes
//	close           frames in the caller's hands stay the caller's
//	rebind          another goroutine, another Local: no frame lost
//	reopen          close and open at once
//	two queues      two owners at the same time
//	allocations     none in steady state
//	powers          MTU, MAC, modes and groups, of devices that can change them
//	waiting         the descriptor of a Waiter wakes who sleeps, an Armer's too
//
// Every check ends with the account of the pool: all frames are found with
// exactly one owner while the device runs, and all are home after it is closed.
//
// The suite suits devices that do their work elsewhere and later, as the kernel
// does: it polls up to a deadline, calls Flush and Reclaim as a worker would, and
// passes over packets that it did not send itself.
//
// # Concurrency
//
// The suite's Host serialises the calls of a queue with Host.Exclusive, so a
// device may call that from a goroutine of its own, though not from within a call
// of the queue itself.
//
// # Limitations
//
// Order is expected of a device's first queue only. A device that neither
// yields frames nor has an Inject is not tested for receiving.
package pmdtest
