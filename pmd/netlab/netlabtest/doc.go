// Package netlabtest gives tests a [netlab.Lab] of their own, or the reason
// why there is none. It is apart from netlab to keep package testing out of
// programs that use a lab.
//
// # Model
//
// A test that needs network namespaces calls [New], or [RequireRoot] if it
// makes its own. Where namespaces cannot be had the test is skipped and the
// reason printed. Under CI=true on Linux it fails instead: a run whose
// integration tests were all skipped must not pass for a good one.
//
// # Concurrency
//
// Labs have names of their own, so tests with one may run in parallel.
//
// # Limitations
//
// A test process that is killed leaves its namespaces behind; see package
// netlab.
package netlabtest
