package demo

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

// numbers returns statistics of two ports and a pool.
func numbers(rxIn, txIn, rxOut, txOut uint64) *engine.Stats {
	port := func(name string, rx, tx uint64) engine.Port {
		return engine.Port{PortStats: dataplane.PortStats{
			Name: name, RxPackets: rx, TxPackets: tx, Drops: map[string]uint64{}, Missed: map[string]uint64{},
		}}
	}
	return &engine.Stats{
		Ports: []engine.Port{port("a0", rxIn, txIn), port("b0", rxOut, txOut)},
		Pools: []dataplane.PoolStats{{
			Account: mbuf.Account{Frames: 64, Accounted: 64}, Owners: map[string]int{"pool": 60, "kernel_rx": 4},
		}},
	}
}

// balancedLedger is one in which every sum holds: 100 frames went to and fro
// before, then 1,000 were offered, 300 missed, 700 received, 50 of them dropped.
func balancedLedger() ledger {
	l := ledger{before: numbers(60, 40, 40, 60), after: numbers(760, 40, 40, 710)}
	l.before.Ports[portIn].Missed["rx_ring_full"] = 5
	l.after.Ports[portIn].Missed["rx_ring_full"] = 105
	l.after.Ports[portIn].Missed["rx_dropped"] = 200
	l.after.Ports[portIn].Missed["rx_fill_ring_empty_descs"] = 200 // the same frames again
	l.after.Ports[portOut].Drops["tx_full"] = 50
	l.flood = flood{offered: 1000, arrived: 650, pps: 325, seconds: 2, size: 60}
	return l
}

// failures returns the names of the checks that fail.
func failures(l ledger) []string {
	var names []string
	for _, c := range l.checks() {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestLedgerBalanced(t *testing.T) {
	l := balancedLedger()
	assert.Empty(t, failures(l))
	assert.True(t, l.balanced())
	assert.Equal(t, Frames{64, 64}, frames(l.after))
	assert.Equal(t, map[string]uint64{"tx_full": 50, "rx_ring_full": 105, "rx_dropped": 200}, drops(l.after))
	assert.Equal(t, "1,000 = 700 received + 300 missed", l.checks()[1].Detail)
	assert.Equal(t, "64 in the pool = 64 found with an owner (kernel_rx 4, pool 60)", l.checks()[4].Detail)
}

// TestLedgerOff moves one frame in one counter at a time: the checks that it
// concerns fail, and no others.
func TestLedgerOff(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*ledger)
		fail  []string
	}{
		"generator sent one more":  {func(l *ledger) { l.flood.offered++ }, []string{"offered"}},
		"one less missed":          {func(l *ledger) { l.after.Ports[portIn].Missed["rx_dropped"]-- }, []string{"offered"}},
		"one received too many":    {func(l *ledger) { l.after.Ports[portIn].RxPackets++ }, []string{"offered", "forwarded"}},
		"a drop without a reason":  {func(l *ledger) { l.after.Ports[portOut].Drops["tx_full"]-- }, []string{"forwarded"}},
		"one sent twice":           {func(l *ledger) { l.after.Ports[portOut].TxPackets++ }, []string{"forwarded", "delivered"}},
		"one lost on the far side": {func(l *ledger) { l.flood.arrived-- }, []string{"delivered"}},
		"a frame with no owner":    {func(l *ledger) { l.after.Pools[0].Accounted-- }, []string{"frames"}},
		"a frame with two owners":  {func(l *ledger) { l.after.Pools[0].Duplicate++ }, []string{"frames"}},
		"no account":               {func(l *ledger) { l.after.AccountError = "busy" }, []string{"frames"}},
		"no pool":                  {func(l *ledger) { l.after.Pools = nil }, []string{"frames"}},
		"no rate":                  {func(l *ledger) { l.flood.pps = 0 }, []string{"flood"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := balancedLedger()
			c.spoil(&l)
			assert.Equal(t, c.fail, failures(l))
		})
	}
}

func TestLedgerInHand(t *testing.T) {
	l := balancedLedger()
	l.after.Ports[portOut].TxPackets--
	l.after.Ports[portOut].InHand++
	l.flood.arrived--
	assert.Empty(t, failures(l), "a frame on its way is not lost")
	assert.False(t, l.balanced(), "but it is not settled")
}

// TestLedgerOfNothing: sums of zeros hold, and prove nothing.
func TestLedgerOfNothing(t *testing.T) {
	l := ledger{before: numbers(0, 0, 0, 0), after: numbers(10, 0, 0, 0), flood: flood{offered: 10, size: 60}}
	l.after.Ports[portIn].Drops["sink"] = 10
	assert.Equal(t, ledgerChecks, failures(l))
	assert.True(t, l.balanced())
	assert.Contains(t, l.checks()[2].Detail, vain)
}
