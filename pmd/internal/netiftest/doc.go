// Package netiftest runs a dataplane over ports on network interfaces and sends
// traffic through it, for the tests of drivers.
//
// # Model
//
// A [Rig] is a dataplane of one worker that joins ports in pairs. [Host]s are
// namespaces at the far side of the ports; what one sends the other receives.
//
// # Concurrency
//
// A Rig is used from the test's goroutine.
//
// # Limitations
//
// Linux only, as root.
package netiftest
