// Package drivers is the one place that says which drivers the program offers.
//
// # Concurrency
//
// [Registry] returns a new registry at each call; it may be read from any
// goroutine.
//
// # Limitations
//
// Drivers are compiled in; none is loaded at run time.
package drivers

import (
	"example.org/pmd/pmd"
)

// Registry returns the drivers that --port may name.
func Registry() *pmd.Registry {
	return pmd.NewRegistry()
}
