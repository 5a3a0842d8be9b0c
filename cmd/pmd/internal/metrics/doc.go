// Package metrics tells a running engine's statistics in the exposition format of
// Prometheus.
//
// # Model
//
// A [Collector] reads the engine once a scrape and turns that picture into metrics;
// nothing is kept or counted between two scrapes, so that nobody pays for metrics
// that nobody reads. [Handler] serves a registry of its own that holds the
// Collector, the build, and the collectors of the Go runtime and of the process.
// The same handler answers on the control socket and, with [Listen], over TCP.
//
// One table says which metrics there are: of which field, under which name, with
// which help. Names follow the conventions of Prometheus: base units, _total for
// counters, what a series is about as labels.
//
// Totals count from the start of the process, whatever was cleared in between: a
// dashboard does not notice when somebody clears the totals of pmd stats.
//
// # Concurrency
//
// Collector and handler may be used from any goroutine; each scrape reads the
// engine for itself, at most some at a time.
//
// # Limitations
//
// There is neither TLS nor a password: the address is a loopback one unless another
// is asked for, and a proxy in front of it is the place for both. Drop reasons
// appear with their first drop.
package metrics
