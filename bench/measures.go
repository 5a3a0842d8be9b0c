package bench

// Latency is how long frames took at one load: part of a Result if it was measured.
type Latency struct {
	// Load is the share of the throughput that was offered, 0 to 1, PPS the frames a
	// second that this is.
	Load float64 `json:"load"`
	PPS  float64 `json:"pps"`
	// Frames is the number of frames whose time was taken, Lost that of those that did
	// not arrive.
	Frames uint64 `json:"frames"`
	Lost   uint64 `json:"lost"`
	// Duplicates arrived again, Reordered after a later one (RFC 4737). Unsent were due
	// while the sender stood still: each counts in the percentiles as one that waited for
	// the next that arrived.
	Duplicates uint64 `json:"duplicates,omitempty"`
	Reordered  uint64 `json:"reordered,omitempty"`
	Unsent     uint64 `json:"unsent,omitempty"`
	// Percentiles are in rising order, corrected for coordinated omission: a frame's time
	// counts from when it was due.
	Percentiles []Percentile `json:"percentiles"`
}

// At returns a percentile in nanoseconds, 0 if it was not taken.
func (l Latency) At(percent float64) float64 {
	for _, p := range l.Percentiles {
		if p.Percent == percent {
			return p.Ns
		}
	}
	return 0
}

// Percentile is a latency that so many percent of the frames did not exceed.
type Percentile struct {
	// Percent is 0 to 100: 50 is the median, 100 the maximum.
	Percent float64 `json:"percent"`
	// Ns is in nanoseconds.
	Ns float64 `json:"ns"`
}
