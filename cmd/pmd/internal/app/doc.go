// Package app is what a command has of the process around it: where to write, the
// signals that arrive, and the way out.
//
// # Model
//
// main fills in an [App] and commands take it as an argument, so that a test runs
// a command with its own writers and signals.
//
// # Concurrency
//
// An App is not changed once made. Only one goroutine at a time may receive from
// Signals, that of [App.Interruptible] included.
//
// # Limitations
//
// Commands that read standard input would need a field for it; none does.
package app
