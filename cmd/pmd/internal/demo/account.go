package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
)

// The ports by number: the flood comes in at the one and leaves by the other.
const (
	portIn  = 0
	portOut = 1
)

// flood is what the two ends of the flood say of it.
type flood struct {
	// offered is the number of frames the first port's interface took, arrived
	// the number that came out at the far end.
	offered, arrived uint64
	// pps is the rate at the far end in packets a second, over seconds.
	pps, seconds float64
	// size is the length of a frame in bytes.
	size int
}

// ledger is what the dataplane counted: from start to end, and during the flood.
type ledger struct {
	before, after *engine.Stats
	flood         flood
}

// received and sent are the dataplane's share in the flood.
func (l ledger) received() (taken, lost uint64) {
	a, b := l.after.Ports[portIn], l.before.Ports[portIn]
	return a.RxPackets - b.RxPackets, a.Lost() - b.Lost()
}

func (l ledger) sent() uint64 {
	return l.after.Ports[portOut].TxPackets - l.before.Ports[portOut].TxPackets
}

// sums adds up all ports over the whole run.
func (l ledger) sums() (rx, tx, dropped, inHand uint64) {
	for i := range l.after.Ports {
		p := &l.after.Ports[i]
		rx, tx = rx+p.RxPackets, tx+p.TxPackets
		dropped, inHand = dropped+p.Dropped(), inHand+p.InHand
	}
	return rx, tx, dropped, inHand
}

// balanced tells whether every frame is where it should be in the end: nothing is
// on its way any more, and nothing is missing.
func (l ledger) balanced() bool {
	taken, lost := l.received()
	rx, tx, dropped, inHand := l.sums()
	return inHand == 0 && rx == tx+dropped && taken+lost == l.flood.offered && l.sent() == l.flood.arrived
}

// vain is what a sum comes to that holds because nothing happened.
const vain = ": but nothing was forwarded, so this proves nothing"

// verdict makes a check of a sum.
func (l ledger) verdict(name string, holds bool, detail string) Check {
	if holds && l.flood.arrived == 0 {
		return Check{name, false, detail + vain}
	}
	return Check{name, holds, detail}
}

// checks makes the checks that follow from counters, in order.
func (l ledger) checks() []Check {
	f := l.flood
	taken, lost := l.received()
	rx, tx, dropped, inHand := l.sums()
	return []Check{
		{"flood", f.arrived > 0 && f.pps > 0, fmt.Sprintf("%s frames offered, %s came out at the far end",
			show.Count(f.offered), show.Count(f.arrived))},
		l.verdict("offered", taken+lost == f.offered, fmt.Sprintf("%s %s %s received + %s missed",
			show.Count(f.offered), equals(taken+lost, f.offered), show.Count(taken), show.Count(lost))),
		l.verdict("forwarded", rx == tx+dropped+inHand, fmt.Sprintf("%s received %s %s sent + %s dropped + %s in hand",
			show.Count(rx), equals(rx, tx+dropped+inHand), show.Count(tx), show.Count(dropped), show.Count(inHand))),
		l.verdict("delivered", l.sent() == f.arrived, fmt.Sprintf("%s sent in the flood %s %s counted at the far end",
			show.Count(l.sent()), equals(l.sent(), f.arrived), show.Count(f.arrived))),
		l.pools(),
	}
}

// ledgerChecks are the names of those checks, for when there is nothing to make them
// of.
var ledgerChecks = []string{"flood", "offered", "forwarded", "delivered", "frames"}

// equals is the sign between two sums.
func equals(a, b uint64) string {
	if a == b {
		return "="
	}
	return "≠"
}

// pools checks the accounts: the owners were walked, nothing was derived.
func (l ledger) pools() Check {
	const name = "frames"
	if l.after.AccountError != "" {
		return Check{name, false, l.after.AccountError}
	}
	f, twice, owners := frames(l.after), 0, map[string]int{}
	for _, p := range l.after.Pools {
		twice += p.Duplicate
		for o, n := range p.Owners {
			owners[o] += n
		}
	}
	parts := make([]string, 0, len(owners))
	for _, o := range slices.Sorted(maps.Keys(owners)) {
		parts = append(parts, o+" "+show.Count(uint64(owners[o])))
	}
	detail := fmt.Sprintf("%s in the pool %s %s found with an owner (%s)",
		show.Count(uint64(f.Pool)), equals(uint64(f.Pool), uint64(f.Accounted)), show.Count(uint64(f.Accounted)), strings.Join(parts, ", "))
	if twice > 0 {
		detail += fmt.Sprintf(", %s with two", show.Count(uint64(twice)))
	}
	return l.verdict(name, f.Pool > 0 && f.Accounted == f.Pool && twice == 0, detail)
}

// frames adds up the accounts of all pools.
func frames(s *engine.Stats) Frames {
	var f Frames
	for _, p := range s.Pools {
		f.Pool += p.Frames
		f.Accounted += p.Accounted
	}
	return f
}

// drops adds up lost frames by reason over all ports.
func drops(s *engine.Stats) map[string]uint64 {
	all := map[string]uint64{}
	for i := range s.Ports {
		p := &s.Ports[i]
		for reason, n := range p.Drops {
			all[reason] += n
		}
		for name, n := range p.Losses() {
			all[name] += n
		}
	}
	return all
}
