package dataplane_test

import "time"

// Bounds for things that happen on other goroutines, on a machine that may be
// busy with something else.
const (
	eventually = 30 * time.Second
	tick       = 2 * time.Millisecond
)
