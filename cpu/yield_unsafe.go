package cpu

import _ "unsafe" // for go:linkname

// goyield puts the calling goroutine at the end of its P's own run queue and runs
// what is first there: itself, if nothing else is ready. Unlike Gosched it neither
// goes through the queue all threads share nor wakes another thread to look there,
// which on a busy machine would be quicker to take the goroutine than we are.
//
// The Go runtime keeps this name and signature for packages outside it (see the
// comment at its definition in runtime/proc.go, and go.dev/issue/67401).
//
//go:linkname goyield runtime.goyield
func goyield()
