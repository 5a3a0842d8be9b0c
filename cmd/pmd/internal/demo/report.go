package demo

import (
	"encoding/json"
	"io"
)

// Report is what the demo came to: the object that --json prints.
type Report struct {
	// OK is true if every check passed and everything was removed.
	OK bool `json:"ok"`
	// Ports are those that pmd polled, in order of their numbers.
	Ports []Port `json:"ports"`
	// Checks are in the order they were made. None is left out because an
	// earlier one failed; after an interrupt those that did not run are missing.
	Checks     []Check    `json:"checks"`
	Throughput Throughput `json:"throughput"`
	Frames     Frames     `json:"frames"`
	// Drops counts lost frames by reason, over all ports and the whole run:
	// those the dataplane dropped, and those lost in front of a port.
	Drops map[string]uint64 `json:"drops"`
}

// Port is a port as it was obtained.
type Port struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
	// Mode is empty for drivers that have none.
	Mode string `json:"mode"`
	// Queues is the number of queues.
	Queues int `json:"queues"`
}

// Check is one thing that was tried, and how it went.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Detail tells in one line what was found, or what went wrong.
	Detail string `json:"detail"`
}

// Throughput is the result of the flood.
type Throughput struct {
	// PPS is the rate at which frames came out at the far end, in packets a
	// second, over Seconds.
	PPS float64 `json:"pps"`
	// FrameSize is in bytes, without the frame check sequence.
	FrameSize int     `json:"frame_size"`
	Seconds   float64 `json:"seconds"`
}

// Frames is the account of the pools.
type Frames struct {
	// Pool is the number of frames there are, Accounted the number of those
	// found with exactly one owner.
	Pool      int `json:"pool"`
	Accounted int `json:"accounted"`
}

// newReport returns a report of nothing. Empty lists show as such, not as null.
func newReport() *Report {
	return &Report{Ports: []Port{}, Checks: []Check{}, Drops: map[string]uint64{}}
}

// add enters a check.
func (r *Report) add(c Check) { r.Checks = append(r.Checks, c) }

// passed returns the number of checks that passed.
func (r *Report) passed() int {
	n := 0
	for _, c := range r.Checks {
		if c.OK {
			n++
		}
	}
	return n
}

// sound tells whether every check passed, and there were any.
func (r *Report) sound() bool { return len(r.Checks) > 0 && r.passed() == len(r.Checks) }

// writeJSON writes the report as one line.
func (r *Report) writeJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }
