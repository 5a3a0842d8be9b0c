// Package service is what a process owes to the system that runs it as a service:
// word of its state, and no more privilege than it needs.
//
// # Model
//
// [Notify] sends the datagrams of sd_notify(3) to the socket that NOTIFY_SOCKET
// names; where nobody listens it does nothing.
//
// [Restrict] takes from every thread of the process what it does not need any more
// once its ports are open, so that a flaw in what parses packets is worth less. What
// stays is what a port needs to be opened again when its interface comes back:
// [Needed] says which.
//
// # Concurrency
//
// Notify may be called from any goroutine. Restrict is called once, before workers
// poll: it stops all threads for a moment.
//
// # Limitations
//
// Restrict needs Linux, and a program that was built without cgo: C libraries have
// threads that Go does not know. Ports that are opened later have what is left: a
// capture file in a place that only the superuser's override could write to, or an
// interface in another namespace if none was named at the start, cannot be.
package service
