package report

import "example.org/pmd/bench"

// Bytes on an Ethernet link (IEEE 802.3) that are not in a frame as ports have it.
const (
	// fcs is the frame check sequence.
	fcs = 4
	// gap is preamble and start delimiter, 8, and the gap between packets, 12.
	gap = 20
)

// Speeds of links, in Gbit/s, that pages show.
func linkSpeeds() []int { return []int{10, 25, 40, 100} }

// LineRate returns the frames a second that a link of so many bits a second carries at
// most, of a scenario's size. The size of scenarios over a veth contains the frame check
// sequence, that of ports in memory does not; IMIX is the mean of its mix.
func LineRate(s bench.Scenario, bitsPerSecond float64) float64 {
	size := float64(s.Size)
	if s.Size == bench.IMIX {
		size = (7*64 + 4*594 + 1*1518) / 12.0
	}
	if s.Driver != bench.DriverAFXDP {
		size += fcs
	}
	return bitsPerSecond / (8 * (size + gap))
}
