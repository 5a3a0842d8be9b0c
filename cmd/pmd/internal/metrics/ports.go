package metrics

import (
	"slices"

	"example.org/pmd/cmd/pmd/internal/engine"
)

// byName returns one port of each name, with the totals of all ports that have had it. A port
// that is closed and opened anew has a new number and begins at zero, and its predecessor stays
// in the statistics; to who reads metrics it is the same port, and its counters go on.
func byName(ports []engine.Port) []engine.Port {
	out := make([]engine.Port, 0, len(ports))
	at := map[string]int{}
	for _, p := range ports {
		i, ok := at[p.Name]
		if !ok {
			at[p.Name] = len(out)
			out = append(out, p)
			continue
		}
		// What a port is, the one says that is there, or was last.
		now, before := p, out[i]
		if p.Removed && !before.Removed {
			now, before = before, now
		}
		out[i] = joined(now, before)
	}
	return out
}

// joined returns a port with its totals and those of another.
func joined(p, other engine.Port) engine.Port {
	p.RxPackets += other.RxPackets
	p.RxBytes += other.RxBytes
	p.TxPackets += other.TxPackets
	p.TxBytes += other.TxBytes
	p.Generated += other.Generated
	p.InHand += other.InHand
	p.Drops, p.Missed, p.Counters = sums(p.Drops, other.Drops), sums(p.Missed, other.Missed), sums(p.Counters, other.Counters)
	queues := slices.Clone(p.Queues)
	for _, q := range other.Queues {
		i := slices.IndexFunc(queues, func(have engine.Queue) bool { return have.Index == q.Index })
		if i < 0 {
			queues = append(queues, q)
			continue
		}
		have := &queues[i]
		have.RxPackets += q.RxPackets
		have.RxBytes += q.RxBytes
		have.TxPackets += q.TxPackets
		have.TxBytes += q.TxBytes
		have.InFlight += q.InFlight
		have.Wakeups += q.Wakeups
		sum := stamps(have)
		sum.Asked += stamps(&q).Asked
		sum.Stamped += stamps(&q).Stamped
		have.TxStamps = &sum // what else it has is no metric
	}
	p.Queues = queues
	return p
}

// sums adds what two maps have under the same key.
func sums(a, b map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(a)+len(b))
	for _, m := range []map[string]uint64{a, b} {
		for k, n := range m {
			out[k] += n
		}
	}
	return out
}
