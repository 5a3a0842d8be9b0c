package engine

import (
	"math"
	"time"

	"example.org/pmd/dataplane"
)

// Stats is a picture of a running engine: totals since it started or since the
// last Clear, rates over RateSeconds, and the accounts of the pools.
type Stats struct {
	// Time is when the counters were read.
	Time time.Time `json:"time"`
	// Uptime is the time since the workers started, in seconds.
	Uptime float64 `json:"uptime"`
	// ClearedAt is when totals were last set to zero; nil if they never were.
	ClearedAt *time.Time `json:"cleared_at,omitempty"`
	// Forward is the forwarding mode.
	Forward string `json:"forward"`
	// RateSeconds is the interval that rates are averages over, in seconds.
	RateSeconds float64 `json:"rate_seconds"`
	// Ports, Cores and Pools are in order of their numbers.
	Ports []Port                `json:"ports"`
	Cores []Core                `json:"cores"`
	Pools []dataplane.PoolStats `json:"pools"`
	// AccountAge is how long before Time the accounts of Pools were taken, in
	// seconds: at most one walk over the frames is made a second.
	AccountAge float64 `json:"account_age"`
	// AccountError tells why accounts are missing or older than that.
	AccountError string `json:"account_error,omitempty"`
}

// Rates are averages over Stats.RateSeconds.
type Rates struct {
	// RxPPS and TxPPS are in packets per second.
	RxPPS float64 `json:"rx_pps"`
	TxPPS float64 `json:"tx_pps"`
	// RxBPS and TxBPS are in bits per second, of Ethernet frames without
	// preamble, checksum and gap.
	RxBPS float64 `json:"rx_bps"`
	TxBPS float64 `json:"tx_bps"`
}

// Port is a port's totals and rates.
type Port struct {
	dataplane.PortStats
	Rates
	// DropPPS counts dropped frames of all reasons, per second.
	DropPPS float64 `json:"drop_pps"`
	Queues  []Queue `json:"queues"`
}

// Dropped returns the sum of the port's drops over all reasons.
func (p *Port) Dropped() uint64 { return sum(p.Drops) }

// Losses returns those counters of the device that each count frames lost in front of the
// port, once. The others explain these, or count no loss (docs/drops.md).
func (p *Port) Losses() map[string]uint64 {
	losses := map[string]uint64{}
	for _, name := range []string{"rx_dropped", "rx_foreign", "rx_invalid_descs", "rx_oversize", "rx_ring_full", "tp_drops", "tun_tx_dropped"} {
		if n := p.Missed[name]; n > 0 {
			losses[name] = n
		}
	}
	return losses
}

// Lost returns the sum of the port's losses.
func (p *Port) Lost() uint64 { return sum(p.Losses()) }

// Queue is a queue's totals and rates.
type Queue struct {
	dataplane.QueueStats
	Rates
}

// Core is a worker's totals and what it did over Stats.RateSeconds.
type Core struct {
	dataplane.CoreStats
	// BusyNow is the share of time in turns that moved frames, 0 to 1.
	BusyNow float64 `json:"busy_now"`
	// SleepNow is the share of time asleep, 0 to 1.
	SleepNow float64 `json:"sleep_now"`
	// CyclesNow is what cycles were spent on.
	CyclesNow dataplane.Cycles `json:"cycles_now"`
	// TurnsPS is the number of turns of the poll loop a second.
	TurnsPS float64 `json:"turns_ps"`
	// RxPackets and TxPackets are totals, and Rates the rates, of the queues
	// that the core polls. A queue that changed hands takes its totals along.
	RxPackets uint64 `json:"rx_packets"`
	TxPackets uint64 `json:"tx_packets"`
	Rates
}

// compose makes the picture of now, with totals counted from base and rates since
// then. Either may be nil, which stands for the start of the engine.
func compose(now, base, then *dataplane.Stats) *Stats {
	s := &Stats{Time: now.Time, Uptime: now.Uptime, Ports: []Port{}, Cores: []Core{}, Pools: now.Pools}
	zero := &dataplane.Stats{}
	if base == nil {
		base = zero
	}
	seconds := now.Uptime
	if then == nil {
		then = zero
	} else {
		seconds = now.Time.Sub(then.Time).Seconds()
	}
	s.RateSeconds = round(seconds, 3)
	for i, p := range now.Ports {
		s.Ports = append(s.Ports, composePort(p, at(base.Ports, i), at(then.Ports, i), seconds))
	}
	for i, c := range now.Cores {
		s.Cores = append(s.Cores, composeCore(c, at(base.Cores, i), at(then.Cores, i), seconds))
	}
	s.addQueues()
	return s
}

// addQueues adds up what the queues of each core did.
func (s *Stats) addQueues() {
	for i := range s.Ports {
		for _, q := range s.Ports[i].Queues {
			if q.Worker < 0 || q.Worker >= len(s.Cores) {
				continue
			}
			c := &s.Cores[q.Worker]
			c.RxPackets += q.RxPackets
			c.TxPackets += q.TxPackets
			c.RxPPS += q.RxPPS
			c.TxPPS += q.TxPPS
			c.RxBPS += q.RxBPS
			c.TxBPS += q.TxBPS
		}
	}
}

// at returns element i, or the zero value if there was none yet.
func at[T any](s []T, i int) T {
	if i < len(s) {
		return s[i]
	}
	var zero T
	return zero
}

func composePort(now, base, then dataplane.PortStats, seconds float64) Port {
	p := Port{PortStats: now, Queues: []Queue{}}
	p.RxPackets, p.RxBytes = since(now.RxPackets, base.RxPackets), since(now.RxBytes, base.RxBytes)
	p.TxPackets, p.TxBytes = since(now.TxPackets, base.TxPackets), since(now.TxBytes, base.TxBytes)
	p.Drops = sinceMap(now.Drops, base.Drops)
	p.Generated = since(now.Generated, base.Generated)
	if now.Counters != nil {
		p.Counters = sinceMap(now.Counters, base.Counters)
	}
	if now.Missed != nil {
		p.Missed = sinceMap(now.Missed, base.Missed)
	}
	p.Rates = Rates{
		RxPPS: rate(now.RxPackets, then.RxPackets, seconds), RxBPS: 8 * rate(now.RxBytes, then.RxBytes, seconds),
		TxPPS: rate(now.TxPackets, then.TxPackets, seconds), TxBPS: 8 * rate(now.TxBytes, then.TxBytes, seconds),
	}
	p.DropPPS = rate(sum(now.Drops), sum(then.Drops), seconds)
	for i, q := range now.Queues {
		b, t := at(base.Queues, i), at(then.Queues, i)
		out := Queue{QueueStats: q}
		out.RxPackets, out.RxBytes = since(q.RxPackets, b.RxPackets), since(q.RxBytes, b.RxBytes)
		out.TxPackets, out.TxBytes = since(q.TxPackets, b.TxPackets), since(q.TxBytes, b.TxBytes)
		out.Wakeups = since(q.Wakeups, b.Wakeups)
		out.Rates = Rates{
			RxPPS: rate(q.RxPackets, t.RxPackets, seconds), RxBPS: 8 * rate(q.RxBytes, t.RxBytes, seconds),
			TxPPS: rate(q.TxPackets, t.TxPackets, seconds), TxBPS: 8 * rate(q.TxBytes, t.TxBytes, seconds),
		}
		p.Queues = append(p.Queues, out)
	}
	p.PortStats.Queues = nil // the outer field replaces it
	return p
}

func composeCore(now, base, then dataplane.CoreStats, seconds float64) Core {
	c := Core{CoreStats: now}
	c.Turns, c.EmptyTurns = since(now.Turns, base.Turns), since(now.EmptyTurns, base.EmptyTurns)
	c.BusyNs, c.TotalNs = since(now.BusyNs, base.BusyNs), since(now.TotalNs, base.TotalNs)
	c.Copies, c.Moves = since(now.Copies, base.Copies), since(now.Moves, base.Moves)
	c.Busy = share(c.BusyNs, c.TotalNs)
	c.BusyNow = share(since(now.BusyNs, then.BusyNs), since(now.TotalNs, then.TotalNs))
	c.Sleeps, c.SleepNs = since(now.Sleeps, base.Sleeps), since(now.SleepNs, base.SleepNs)
	c.SleepNow = share(since(now.SleepNs, then.SleepNs), since(now.TotalNs, then.TotalNs))
	c.Cycles, c.CyclesNow = now.Cycles.Since(base.Cycles), now.Cycles.Since(then.Cycles)
	c.Poll.ShortTicks, c.Poll.LostPolls = since(now.Poll.ShortTicks, base.Poll.ShortTicks), since(now.Poll.LostPolls, base.Poll.LostPolls)
	c.Poll.Stalled, c.Poll.Suspect = since(now.Poll.Stalled, base.Poll.Stalled), since(now.Poll.Suspect, base.Poll.Suspect)
	c.TurnsPS = rate(now.Turns, then.Turns, seconds)
	return c
}

// Since returns s with its rates replaced by those since an earlier picture of the
// same engine. Totals that were cleared in between count from the clearing.
func (s *Stats) Since(earlier *Stats) *Stats {
	out := *s
	seconds := s.Time.Sub(earlier.Time).Seconds()
	out.RateSeconds = round(seconds, 3)
	out.Ports, out.Cores = make([]Port, len(s.Ports)), make([]Core, len(s.Cores))
	for i := range s.Ports {
		now, then := s.Ports[i], at(earlier.Ports, i)
		p := composePort(now.plain(), dataplane.PortStats{}, then.plain(), seconds)
		out.Ports[i] = p
	}
	for i := range s.Cores {
		out.Cores[i] = composeCore(s.Cores[i].CoreStats, dataplane.CoreStats{}, at(earlier.Cores, i).CoreStats, seconds)
	}
	out.addQueues()
	return &out
}

// plain returns the port's totals in the dataplane's own form.
func (p Port) plain() dataplane.PortStats {
	out := p.PortStats
	out.Queues = make([]dataplane.QueueStats, len(p.Queues))
	for i := range p.Queues {
		out.Queues[i] = p.Queues[i].QueueStats
	}
	return out
}

// since returns how far a counter has come. One that went back began anew, as a
// device's may that was made again.
func since(now, then uint64) uint64 {
	if now < then {
		return now
	}
	return now - then
}

func sinceMap(now, then map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(now))
	for k, n := range now {
		if d := since(n, then[k]); d > 0 {
			out[k] = d
		}
	}
	return out
}

// rate is a difference per second, to a tenth.
func rate(now, then uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return round(float64(since(now, then))/seconds, 1)
}

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return round(float64(part)/float64(whole), 4)
}

// round keeps this many digits after the point, so that JSON stays readable.
func round(x float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(x*p) / p
}

func sum(m map[string]uint64) uint64 {
	var n uint64
	for _, v := range m {
		n += v
	}
	return n
}
