package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"example.org/pmd/dataplane"
)

const (
	// controlTime bounds how long control waits for the workers, unless told otherwise.
	controlTime = 2 * time.Second
	// sampleEvery is the time between two samples for rates.
	sampleEvery = time.Second
	// minRateTime is the shortest interval a rate is taken over: below it,
	// bursts show as rates.
	minRateTime = sampleEvery / 2
	// accountEvery is the shortest time between two walks over the frames.
	accountEvery = time.Second
)

// source is what a collector reads: a dataplane.
type source interface {
	Stats(ctx context.Context) (*dataplane.Stats, error)
	StatsWithAccounts(ctx context.Context) (*dataplane.Stats, error)
	ResetMaxTurn(ctx context.Context) error
}

// collector keeps what makes statistics of counters: samples for rates, the
// baseline for totals, the last account.
type collector struct {
	src   source
	limit time.Duration // how long the workers may take to answer
	now   func() time.Time
	quit  chan struct{}
	wg    sync.WaitGroup

	mu sync.Mutex
	// samples are the last two, older first; entries are nil until taken.
	samples [2]*dataplane.Stats
	base    *dataplane.Stats
	pools   []dataplane.PoolStats
	walked  time.Time // when pools was taken
	tried   time.Time // when a walk was last tried
	walkErr error
}

func newCollector(src source, limit time.Duration) *collector {
	return &collector{src: src, limit: limit, now: time.Now, quit: make(chan struct{})}
}

// start takes samples until close.
func (c *collector) start() {
	c.wg.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-c.quit:
				return
			case <-tick.C:
				c.sample()
			}
		}
	})
}

// close ends sampling. It is called once; start may still be on its way.
func (c *collector) close() {
	close(c.quit)
	c.wg.Wait()
}

// sample takes one sample. A failure leaves a longer interval, nothing worse.
func (c *collector) sample() {
	ctx, cancel := context.WithTimeout(context.Background(), c.limit)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, err := c.src.Stats(ctx); err == nil {
		c.samples[0], c.samples[1] = c.samples[1], s
	}
}

// reference returns the newest sample that is old enough to take rates from, nil
// for the start of the engine.
func (c *collector) reference(now time.Time) *dataplane.Stats {
	for _, s := range []*dataplane.Stats{c.samples[1], c.samples[0]} {
		if s != nil && now.Sub(s.Time) >= minRateTime {
			return s
		}
	}
	return nil
}

// read returns the statistics. The lock is held throughout: that makes the walk
// single, and every reader waits for workers rather than for another reader.
func (c *collector) read(ctx context.Context) (*Stats, error) {
	return c.readFrom(ctx, func() *dataplane.Stats { return c.base })
}

// totals is read with totals since the start.
func (c *collector) totals(ctx context.Context) (*Stats, error) {
	return c.readFrom(ctx, func() *dataplane.Stats { return nil })
}

func (c *collector) readFrom(ctx context.Context, base func() *dataplane.Stats) (*Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, err := c.counters(ctx)
	if err != nil {
		return nil, err
	}
	return c.picture(raw, base()), nil
}

// counters reads the counters, with the accounts if those are due.
func (c *collector) counters(ctx context.Context) (*dataplane.Stats, error) {
	now := c.now()
	if now.Sub(c.tried) < accountEvery && !c.tried.IsZero() {
		return c.src.Stats(ctx)
	}
	c.tried = now
	s, err := c.src.StatsWithAccounts(ctx)
	if err == nil {
		c.pools, c.walked, c.walkErr = s.Pools, s.Time, nil
		return s, nil
	}
	if !errors.Is(err, dataplane.ErrBusy) {
		return nil, err
	}
	// Workers without a CPU of their own may not come to a stand together.
	// The counters are to be had all the same.
	c.walkErr = err
	return c.src.Stats(ctx)
}

// picture adds to counters what the collector knows. Totals count from base.
func (c *collector) picture(raw, base *dataplane.Stats) *Stats {
	s := compose(raw, base, c.reference(raw.Time))
	s.Pools = c.pools
	if s.Pools == nil {
		s.Pools = []dataplane.PoolStats{}
	}
	if !c.walked.IsZero() {
		s.AccountAge = round(max(0, raw.Time.Sub(c.walked).Seconds()), 3)
	}
	if c.walkErr != nil {
		s.AccountError = c.walkErr.Error()
	}
	if base != nil {
		at := base.Time
		s.ClearedAt = &at
	}
	return s
}

// clear returns the statistics and lets totals count from there: nothing is
// counted twice or lost between the two.
func (c *collector) clear(ctx context.Context) (*Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, err := c.counters(ctx)
	if err != nil {
		return nil, err
	}
	s := c.picture(raw, c.base)
	c.base = raw
	return s, c.src.ResetMaxTurn(ctx)
}

// last returns the statistics of the whole run, whatever was cleared, with a fresh
// account. Everything stands still.
func (c *collector) last() (*Stats, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.limit)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, err := c.src.StatsWithAccounts(ctx)
	if err != nil {
		return nil, err
	}
	return compose(raw, nil, nil), nil
}

// Stats returns the statistics. Reading them often does not disturb forwarding.
// It fails with dataplane.ErrClosed once the engine has stopped.
func (e *Engine) Stats(ctx context.Context) (*Stats, error) {
	s, err := e.stats.read(ctx)
	if err != nil {
		return nil, err
	}
	s.Forward = e.Mode()
	return s, nil
}

// Totals returns the statistics as Stats does, with totals since the start
// whatever was cleared: for those who count themselves.
func (e *Engine) Totals(ctx context.Context) (*Stats, error) {
	s, err := e.stats.totals(ctx)
	if err != nil {
		return nil, err
	}
	s.Forward = e.Mode()
	return s, nil
}

// Clear returns the statistics as Stats does, and sets totals to zero: those of
// ports, queues and cores count from here on. Accounts and what is in hand are
// states, not totals, and stay.
func (e *Engine) Clear(ctx context.Context) (*Stats, error) {
	s, err := e.stats.clear(ctx)
	if err != nil {
		return nil, err
	}
	s.Forward = e.Mode()
	return s, nil
}
