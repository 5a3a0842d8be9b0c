package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

// picture is a dataplane's statistics at second s, n frames having come and gone.
func picture(s float64, n uint64) *dataplane.Stats {
	at := time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second)))
	return &dataplane.Stats{
		Time: at, Uptime: s,
		Ports: []dataplane.PortStats{{
			Name: "a", RxPackets: n, RxBytes: 100 * n, TxPackets: n / 2, TxBytes: 50 * n, InHand: 3,
			Drops: map[string]uint64{"tx_full": n / 2}, Missed: map[string]uint64{"rx_ring_full": n},
			Queues: []dataplane.QueueStats{{RxPackets: n, RxBytes: 100 * n, TxPackets: n / 2, TxBytes: 50 * n, InFlight: 3, Wakeups: n}},
		}},
		Cores: []dataplane.CoreStats{{Turns: n, EmptyTurns: n / 2, BusyNs: n, TotalNs: 2 * n, MaxTurnNs: 7, Copies: n}},
		Pools: []dataplane.PoolStats{{Account: mbuf.Account{Pool: "p", Frames: 64, Accounted: 64}}},
	}
}

func TestCompose(t *testing.T) {
	s := compose(picture(10, 10_000), picture(4, 4000), picture(9, 8000))
	p := s.Ports[0]
	assert.Equal(t, uint64(6000), p.RxPackets, "since the baseline")
	assert.Equal(t, uint64(600_000), p.RxBytes)
	assert.Equal(t, map[string]uint64{"tx_full": 3000}, p.Drops)
	assert.Equal(t, map[string]uint64{"rx_ring_full": 6000}, p.Missed)
	assert.Equal(t, uint64(3), p.InHand, "a state is not cleared")
	assert.Equal(t, Rates{RxPPS: 2000, RxBPS: 1_600_000, TxPPS: 1000, TxBPS: 800_000}, p.Rates, "since the sample")
	assert.InDelta(t, 1000, p.DropPPS, 0)
	q := p.Queues[0]
	assert.Equal(t, uint64(6000), q.RxPackets)
	assert.Equal(t, uint64(6000), q.Wakeups)
	assert.Equal(t, uint64(3), q.InFlight)
	assert.Equal(t, p.Rates, q.Rates)
	c := s.Cores[0]
	assert.Equal(t, uint64(6000), c.Turns)
	assert.InDelta(t, 0.5, c.Busy, 0)
	assert.InDelta(t, 0.5, c.BusyNow, 0)
	assert.InDelta(t, 2000, c.TurnsPS, 0)
	assert.Equal(t, uint64(7), c.MaxTurnNs)
	assert.InDelta(t, 1, s.RateSeconds, 0)
	assert.Equal(t, uint64(6000), c.RxPackets, "of the queue that it polls")
	assert.Equal(t, uint64(3000), c.TxPackets)
	assert.Equal(t, p.Rates, c.Rates)
}

func TestCoresHaveTheQueuesTheyPoll(t *testing.T) {
	raw := picture(1, 1000)
	raw.Cores = append(raw.Cores, dataplane.CoreStats{Worker: 1})
	raw.Ports[0].Queues = append(raw.Ports[0].Queues,
		dataplane.QueueStats{Index: 1, Worker: 1, RxPackets: 7}, dataplane.QueueStats{Index: 2, Worker: -1, RxPackets: 9})
	for _, s := range []*Stats{compose(raw, nil, nil), compose(raw, nil, nil).Since(compose(picture(0, 0), nil, nil))} {
		assert.Equal(t, uint64(1000), s.Cores[0].RxPackets)
		assert.Equal(t, uint64(7), s.Cores[1].RxPackets)
		assert.InDelta(t, 7, s.Cores[1].RxPPS, 0)
	}
}

func TestComposeFromStart(t *testing.T) {
	s := compose(picture(10, 10_000), nil, nil)
	assert.InDelta(t, 1000, s.Ports[0].RxPPS, 0, "the mean of the whole run")
	assert.InDelta(t, 10, s.RateSeconds, 0)
	assert.Equal(t, uint64(10_000), s.Ports[0].RxPackets)
	assert.Zero(t, compose(picture(0, 10), nil, nil).Ports[0].RxPPS, "no time, no rate")
}

func TestComposeCounterThatBeganAnew(t *testing.T) {
	s := compose(picture(10, 5), picture(4, 4000), picture(9, 8000))
	assert.Equal(t, uint64(5), s.Ports[0].RxPackets)
	assert.InDelta(t, 5, s.Ports[0].RxPPS, 0)
}

func TestSince(t *testing.T) {
	a, b := compose(picture(2, 2000), nil, nil), compose(picture(6, 10_000), nil, nil)
	s := b.Since(a)
	assert.InDelta(t, 4, s.RateSeconds, 0)
	assert.InDelta(t, 2000, s.Ports[0].RxPPS, 0)
	assert.InDelta(t, 2000, s.Ports[0].Queues[0].RxPPS, 0)
	assert.InDelta(t, 2000, s.Cores[0].TurnsPS, 0)
	assert.Equal(t, uint64(10_000), s.Ports[0].RxPackets, "totals stay")
	assert.Equal(t, uint64(10_000), s.Ports[0].Queues[0].RxPackets)
	assert.InDelta(t, 10_000/6.0, b.Ports[0].RxPPS, 0.1, "the argument is not changed")
}

// TestJSONShape pins the fields that other programs read.
func TestJSONShape(t *testing.T) {
	b, err := json.Marshal(compose(picture(10, 10_000), nil, nil))
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(b, &m))
	first := func(key string) map[string]any {
		list, ok := m[key].([]any)
		require.True(t, ok, key)
		require.NotEmpty(t, list, key)
		return list[0].(map[string]any)
	}
	for _, k := range []string{"name", "driver", "mode", "up", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "drops", "queues"} {
		assert.Contains(t, first("ports"), k)
	}
	for _, k := range []string{"cpu", "turns", "busy"} {
		assert.Contains(t, first("cores"), k)
	}
	for _, k := range []string{"name", "frames", "accounted"} {
		assert.Contains(t, first("pools"), k)
	}
	assert.Len(t, first("ports")["queues"], 1)

	var back Stats
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, uint64(10_000), back.Ports[0].Queues[0].RxPackets, "and a client reads it back")

	b, err = json.Marshal(compose(&dataplane.Stats{}, nil, nil))
	require.NoError(t, err)
	assert.NotContains(t, string(b), `"ports":null`)
	assert.NotContains(t, string(b), `"cores":null`)
}

// fake is a dataplane that counts how often it is made to stand still.
type fake struct {
	mu    sync.Mutex
	at    float64
	walks int
	reset int
	busy  error
}

func (f *fake) Stats(context.Context) (*dataplane.Stats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := picture(f.at, uint64(f.at*1000))
	s.Pools = nil
	return s, nil
}

func (f *fake) StatsWithAccounts(context.Context) (*dataplane.Stats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.walks++
	if f.busy != nil {
		return nil, f.busy
	}
	return picture(f.at, uint64(f.at*1000)), nil
}

func (f *fake) ResetMaxTurn(context.Context) error {
	f.reset++
	return nil
}

func (f *fake) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return picture(f.at, 0).Time
}

func TestAccountsAreWalkedOnceASecond(t *testing.T) {
	f := &fake{}
	c := newCollector(f, controlTime)
	c.now = f.now
	for i := range 50 {
		f.at = float64(i) / 10
		s, err := c.read(context.Background())
		require.NoError(t, err)
		require.Len(t, s.Pools, 1, "the last account is always there")
		assert.Less(t, s.AccountAge, 1.0)
		assert.Equal(t, 64, s.Pools[0].Accounted)
	}
	assert.Equal(t, 5, f.walks, "ten readings a second for five seconds")
}

func TestConcurrentReadersShareAWalk(t *testing.T) {
	f := &fake{at: 1}
	c := newCollector(f, controlTime)
	c.now = f.now
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := c.read(context.Background())
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Equal(t, 1, f.walks)
}

func TestBusyCoresDoNotHideTheCounters(t *testing.T) {
	f := &fake{busy: dataplane.ErrBusy}
	c := newCollector(f, controlTime)
	c.now = f.now
	s, err := c.read(context.Background())
	require.NoError(t, err)
	assert.Contains(t, s.AccountError, "did not come to a stand")
	assert.Empty(t, s.Pools)
	assert.NotNil(t, s.Pools)
	f.at, f.busy = 0.5, nil
	s, err = c.read(context.Background())
	require.NoError(t, err)
	assert.NotEmpty(t, s.AccountError, "not tried again within a second")
	assert.Equal(t, 1, f.walks)
	f.at = 1
	s, err = c.read(context.Background())
	require.NoError(t, err)
	assert.Empty(t, s.AccountError)
	assert.Len(t, s.Pools, 1)

	f.at, f.busy = 2, errors.New("gone")
	_, err = c.read(context.Background())
	assert.ErrorContains(t, err, "gone", "any other failure is one")
}

func TestRatesComeFromASampleOldEnough(t *testing.T) {
	f := &fake{at: 0.2}
	c := newCollector(f, controlTime)
	c.now = f.now
	read := func(at float64) *Stats {
		f.at = at
		s, err := c.read(context.Background())
		require.NoError(t, err)
		return s
	}
	assert.InDelta(t, 0.2, read(0.2).RateSeconds, 0, "no sample yet: since the start")
	f.at = 1
	c.sample()
	assert.InDelta(t, 1.3, read(1.3).RateSeconds, 0, "a sample too young: since the start")
	assert.InDelta(t, 0.6, read(1.6).RateSeconds, 1e-9)
	f.at = 2
	c.sample()
	assert.InDelta(t, 1.1, read(2.1).RateSeconds, 1e-9, "the one before")
	assert.InDelta(t, 0.5, read(2.5).RateSeconds, 1e-9)
}

func TestClearLosesNothing(t *testing.T) {
	f := &fake{at: 3}
	c := newCollector(f, controlTime)
	c.now = f.now
	var total uint64
	for _, at := range []float64{3, 4.5, 4.6, 9} {
		f.at = at
		s, err := c.clear(context.Background())
		require.NoError(t, err)
		total += s.Ports[0].RxPackets
	}
	assert.Equal(t, uint64(9000), total)
	assert.Equal(t, 4, f.reset)
	s, err := c.totals(context.Background())
	require.NoError(t, err)
	assert.Equal(t, uint64(9000), s.Ports[0].RxPackets, "metrics know of no clearing")
	assert.Nil(t, s.ClearedAt)
	s, err = c.read(context.Background())
	require.NoError(t, err)
	assert.Zero(t, s.Ports[0].RxPackets)
	assert.Equal(t, picture(9, 0).Time, *s.ClearedAt)

	last, err := c.last()
	require.NoError(t, err)
	assert.Equal(t, uint64(9000), last.Ports[0].RxPackets)
	assert.Nil(t, last.ClearedAt)
}
