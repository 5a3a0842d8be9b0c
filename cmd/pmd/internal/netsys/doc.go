// Package netsys wires package ifnet to a dataplane: it is what an [ifnet.System] needs of
// the poll cores, and the driver that an interface has in a port.
//
// # Model
//
// The cores of the System are the workers of the dataplane, by number. A [Net] carries the
// System's rounds to the workers' mailboxes, one worker after the other, keeps a route
// table for each, and knows which interface is which [Port].
//
// A Port is polled while its interface is up and registered for polling: an interface of
// a poll-mode dataplane has no interrupts, so one that is up and not polled
// neither receives nor sends, like one that is down. What an interface's driver can do, a
// Port does by what its device can, [pmd.MTUSetter] and the like; an interface whose device
// cannot filter takes promiscuous mode, groups and addresses as its own affair.
//
// # Concurrency
//
// The System calls a Net and its Ports, one call at a time. [Net.Add], [Net.Remove] and [Port.Place] are
// for the program, which makes one change at a time and none while a call of the
// System changes the same port.
//
// # Limitations
//
// A worker whose stage never returns holds up every change.
package netsys
