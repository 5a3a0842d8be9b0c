// Package engine makes a running dataplane out of what a command line says: it
// chooses CPUs, opens devices, places their queues, runs the workers, and keeps
// the statistics that the control socket and the tables show.
//
// # Model
//
// [Start] checks the whole configuration first and touches the machine only then,
// so that a mistake is told before anything has changed. It returns when every
// worker polls. An [Engine] then runs until [Engine.Stop], or until the context
// given to Start is done; [Engine.Wait] returns when everything is closed again.
//
// CPUs: each poll core has a CPU of its own, and every other thread of the process
// is kept off those CPUs as long as one is left for it.
//
// Placement: queues with one number of the two ports of a connection are polled by
// one worker, so that frames between them never change cores, on a CPU near the
// ports if there is one. With more workers than that needs, each queue gets a
// worker of its own. pollcpu= of a port says where its queues are polled, and takes
// the other port of its connection along, unless that has its own.
//
// Statistics: totals come from the dataplane, minus the baseline that
// [Engine.Clear] sets. Rates come from a sample that is taken once a second. The
// accounts of the pools, which make all workers stand still, are taken at most
// once a second however often statistics are read.
//
// # Concurrency
//
// All methods of Engine may be called from any goroutine. Events are told on one
// goroutine of their own, in order.
//
// # Limitations
//
// The ports of an engine are those it started with. Confining threads concerns
// the whole process: one engine at a time may do it.
package engine
