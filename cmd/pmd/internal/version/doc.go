// Package version tells which build of the program is running, from what the Go
// linker recorded in it.
//
// # Model
//
// Nothing is set by hand or by linker flags: [Get] reads
// [debug.ReadBuildInfo], so a build by `go build` or `go install` is enough.
//
// # Concurrency
//
// Functions only; safe from any goroutine.
//
// # Limitations
//
// `go run` and test binaries record no revision; it is then empty.
package version
