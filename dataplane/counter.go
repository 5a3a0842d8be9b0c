package dataplane

// Counter is something that stages count of received frames, beside drops.
// docs/drops.md tells what each means.
type Counter uint8

// Counters.
const (
	// CounterBadIPv4 is an IPv4 header whose checksum is wrong, CounterBadTCP
	// and CounterBadUDP a segment or datagram.
	CounterBadIPv4 Counter = iota
	CounterBadTCP
	CounterBadUDP
	// CounterUnchecked is a frame whose headers are faulty or cut off, so that
	// no checksum could be looked at.
	CounterUnchecked
	NumCounters
)

var counterNames = [NumCounters]string{
	CounterBadIPv4:   "rx_bad_ipv4_csum",
	CounterBadTCP:    "rx_bad_tcp_csum",
	CounterBadUDP:    "rx_bad_udp_csum",
	CounterUnchecked: "rx_unchecked",
}

// Counters returns every counter, in order.
func Counters() []Counter {
	all := make([]Counter, NumCounters)
	for i := range all {
		all[i] = Counter(i)
	}
	return all
}

// String returns the name that statistics show.
func (c Counter) String() string {
	if c < NumCounters {
		return counterNames[c]
	}
	return "unknown"
}

// Count adds n to a counter of the port that frames came in on. Once a burst is
// often enough.
func (w *Worker) Count(in PortID, c Counter, n uint64) {
	if int(in) < len(w.tx) && c < NumCounters {
		w.tx[in].counts[c] += n
	}
}
