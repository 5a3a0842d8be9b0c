// Package drivers is the one place that says which drivers the program offers.
//
// # Model
//
// A driver is compiled in by a line in [Registry]. Nothing registers itself, so
// what a command line can name is what that function says.
//
// # Concurrency
//
// Registry returns a new registry at each call; it may be read from any goroutine.
//
// # Limitations
//
// No driver is loaded at run time.
package drivers
