package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.org/pmd/bench"
)

// Config says what to compare. Base must be set.
type Config struct {
	// Dir is a folder in the checkout. Default: the current one.
	Dir string
	// Base and Head are revisions as git knows them. Default of Head: WorkingTree.
	Base, Head string
	// Scenarios are those to measure. Default: those of Scenarios that can run here.
	Scenarios []bench.Scenario
	// Tolerance is by how much a packet may take longer: 0.05, the default, for 5 %.
	// 0.01 to 1.
	Tolerance float64
	// Limit is how long it all may take, with the builds. A scenario gets its share of
	// what is left of it. Default 8 minutes, at least 20 seconds.
	Limit time.Duration
	// Layouts is the number of layouts that a program is linked in. Default 4, 1 to 16.
	Layouts int
	// MeasureIdentical measures even if both revisions are the same program, and with
	// different layouts: for trying the gate itself.
	MeasureIdentical bool
	// Progress, if set, is told what is being done. It is called from Run's goroutine.
	Progress func(string)
	// Done, if set, is given each outcome as it is there, from Run's goroutine.
	Done func(*Outcome)
}

// Limits of a Config.
const (
	MinTolerance = 0.01
	MaxTolerance = 1
	MinLimit     = 20 * time.Second
	MaxLayouts   = 16
)

// withDefaults fills the fields left zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		c.Dir = "."
	}
	if c.Head == "" {
		c.Head = WorkingTree
	}
	if c.Tolerance == 0 {
		c.Tolerance = 0.05
	}
	if c.Limit == 0 {
		c.Limit = 8 * time.Minute
	}
	if c.Layouts == 0 {
		c.Layouts = 4
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	if c.Done == nil {
		c.Done = func(*Outcome) {}
	}
	switch {
	case c.Base == "":
		return c, errors.New("gate: no base: name the revision to compare with")
	case !(c.Tolerance >= MinTolerance && c.Tolerance <= MaxTolerance):
		return c, fmt.Errorf("gate: a tolerance of %g %%: use %g to %g %%", 100*c.Tolerance, 100*MinTolerance, 100.0*MaxTolerance)
	case c.Limit < MinLimit:
		return c, fmt.Errorf("gate: a limit of %v: use %v or more", c.Limit, MinLimit)
	case c.Layouts < 1 || c.Layouts > MaxLayouts:
		return c, fmt.Errorf("gate: %d layouts: use 1 to %d", c.Layouts, MaxLayouts)
	}
	for _, s := range c.Scenarios {
		if err := s.Validate(); err != nil {
			return c, fmt.Errorf("gate: %w", err)
		}
	}
	return c, nil
}

// Validate tells whether the configuration can be used.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

// Scenarios are those that the gate measures when none is named: each driver, and the
// modes that touch the headers.
func Scenarios() []bench.Scenario {
	var out []bench.Scenario
	for _, name := range []string{
		"driver=null/mode=io", "driver=null/mode=macswap", "driver=null/mode=txonly",
		"driver=ring/mode=io", "driver=ring/mode=io/cores=2",
		"driver=pcap/mode=macswap", "driver=pcap/mode=5tswap", "driver=pcap/mode=csum/size=imix",
		"driver=afxdp/mode=io", "driver=afxdp/mode=rxonly", "driver=afxdp/mode=txonly",
	} {
		s, err := bench.ParseScenario(name)
		if err != nil {
			panic(err) // a test parses them
		}
		out = append(out, s)
	}
	return out
}

// OutcomeVersion is the version of the form of an Outcome.
const OutcomeVersion = 1

// Outcome is what came of a scenario: a line of JSON.
type Outcome struct {
	Version int `json:"version"`
	// Time is when it was reached.
	Time     time.Time `json:"time"`
	Scenario string    `json:"scenario"`
	Base     Revision  `json:"base"`
	Head     Revision  `json:"head"`
	Verdict  Verdict   `json:"verdict"`
	// Why says what is to be said besides the figures.
	Why string `json:"why,omitempty"`
	// Tolerance is what was tolerated: 0.05 for 5 %.
	Tolerance float64 `json:"tolerance"`
	// Ratio is the head's time for a packet to the base's.
	Ratio Interval `json:"ratio"`
	// BaseNs and HeadNs are the medians of the times for a packet, in nanoseconds.
	BaseNs float64 `json:"base_ns_per_packet"`
	HeadNs float64 `json:"head_ns_per_packet"`
	// Pairs is the number of pairs of processes that count, Void of those that were
	// disturbed or failed.
	Pairs int `json:"pairs"`
	Void  int `json:"void"`
	// Ratios are those of the pairs, in the order of time.
	Ratios      []float64         `json:"ratios,omitempty"`
	Environment bench.Environment `json:"environment"`
	Seconds     float64           `json:"seconds"`
}

// ParseOutcome reads a line of JSON that is an Outcome. is tells whether it claims to be one;
// the error says why it cannot be read then.
func ParseOutcome(line []byte) (o *Outcome, is bool, err error) {
	// The version first: what another one has need not fit.
	var of struct {
		Version int
		Verdict *json.RawMessage
	}
	if broken := json.Unmarshal(line, &of); broken != nil || of.Verdict == nil {
		return nil, false, nil //nolint:nilerr // no line of JSON, and so none of the gate's
	}
	if of.Version != OutcomeVersion {
		return nil, true, fmt.Errorf("an outcome of the gate of version %d, this program reads version %d", of.Version, OutcomeVersion)
	}
	o = &Outcome{}
	if err := json.Unmarshal(line, o); err != nil {
		return nil, true, fmt.Errorf("not an outcome of the gate: %w", err)
	}
	if _, err := bench.ParseScenario(o.Scenario); err != nil {
		return nil, true, fmt.Errorf("not an outcome of the gate: %w", err)
	}
	if !slices.Contains([]Verdict{NotSlower, Slower, Inconclusive}, o.Verdict) {
		return nil, true, fmt.Errorf("not an outcome of the gate: no verdict %q", o.Verdict)
	}
	return o, true, nil
}

// Report is what came of it all.
type Report struct {
	Base, Head Revision
	// Outcomes has one entry a scenario that was measured.
	Outcomes []*Outcome
	// LeftOut tells by name why a scenario of the default set cannot run here.
	LeftOut map[string]string
}

// Verdict is the worst of the outcomes: Slower if one is, else Inconclusive if one is.
func (r *Report) Verdict() Verdict {
	worst := NotSlower
	for _, o := range r.Outcomes {
		if o.Verdict == Slower || worst == Slower {
			worst = Slower
		} else if o.Verdict == Inconclusive {
			worst = Inconclusive
		}
	}
	return worst
}

// Run compares. The error wraps ErrSource if the revisions are at fault; if ctx ends
// first, the report has the outcomes until then, and the error is that of ctx. Everything
// that was made is removed, and every process ended, in every case.
func Run(ctx context.Context, cfg Config) (rep *Report, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	begin := time.Now()
	rep = &Report{LeftOut: map[string]string{}}
	scenarios, err := cfg.choose(rep)
	if err != nil {
		return nil, err
	}
	w, err := openWorkshop(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if rep.Base, err = w.find(ctx, cfg.Base); err != nil {
		return nil, err
	}
	if rep.Head, err = w.find(ctx, cfg.Head); err != nil {
		return nil, err
	}
	c := comparison{cfg: cfg, rep: rep, environment: bench.LocalEnvironment()}
	identical := rep.Base.tree == rep.Head.tree && !cfg.MeasureIdentical
	if !identical {
		if identical, err = c.build(ctx, w); err != nil {
			return rep, err
		}
	}
	for i, s := range scenarios {
		o := c.outcome(s)
		if identical {
			o.Verdict, o.Why = NotSlower, "both revisions are the same program, byte by byte"
		} else {
			// What earlier ones left over is for the later.
			left := cfg.Limit - time.Since(begin)
			if err := c.measure(ctx, s, o, left/time.Duration(len(scenarios)-i)); err != nil {
				return rep, err
			}
		}
		o.Time = time.Now().UTC()
		rep.Outcomes = append(rep.Outcomes, o)
		cfg.Done(o)
	}
	return rep, nil
}

// choose returns the scenarios to measure.
func (c Config) choose(rep *Report) (out []bench.Scenario, err error) {
	if len(c.Scenarios) > 0 {
		for _, s := range c.Scenarios {
			if err := s.Lacking(); err != nil {
				return nil, fmt.Errorf("gate: %s cannot run here: %w", s.Name(), err)
			}
		}
		return c.Scenarios, nil
	}
	for _, s := range Scenarios() {
		if err := s.Lacking(); err != nil {
			rep.LeftOut[s.Name()] = err.Error()
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

// comparison is a run that is under way.
type comparison struct {
	cfg         Config
	rep         *Report
	environment bench.Environment
	base, head  []string // programs, by layout
}

// build builds both sides, and tells whether they are the same program.
func (c *comparison) build(ctx context.Context, w *workshop) (identical bool, err error) {
	first := 1
	if c.cfg.MeasureIdentical {
		first += c.cfg.Layouts
	}
	c.cfg.Progress(fmt.Sprintf("building %s, %s", c.rep.Base.Commit, c.rep.Base.Subject))
	if c.base, err = w.build(ctx, c.rep.Base, 1, c.cfg.Layouts); err != nil {
		return false, err
	}
	c.cfg.Progress(fmt.Sprintf("building %s, %s", c.rep.Head.Commit, c.rep.Head.Name))
	if c.head, err = w.build(ctx, c.rep.Head, first, c.cfg.Layouts); err != nil {
		return false, err
	}
	return same(c.base[0], c.head[0])
}

// outcome returns one to fill.
func (c *comparison) outcome(s bench.Scenario) *Outcome {
	return &Outcome{
		Version: OutcomeVersion, Scenario: s.Name(), Base: c.rep.Base, Head: c.rep.Head,
		Tolerance: c.cfg.Tolerance, Environment: c.environment,
	}
}

// maxFailures is how many processes may fail at a scenario on one side, as they can on a machine
// that stands still for a while.
const maxFailures = 3

// measure measures a scenario until there is a verdict or the time is up.
func (c *comparison) measure(ctx context.Context, s bench.Scenario, o *Outcome, limit time.Duration) error {
	c.cfg.Progress(fmt.Sprintf("measuring %s, up to %v", s.Name(), max(limit, 0).Round(time.Second)))
	begin := time.Now()
	var ns [2][]float64
	var failures [2]int
	var longest time.Duration
	var disturbed string
	for n := 0; ; n++ {
		at := time.Now()
		// As many pairs as there is time for.
		if last := at.Sub(begin)+longest > limit; last || look(o.Pairs) {
			o.Verdict, o.Ratio = Judge(o.Ratios, c.cfg.Tolerance, last)
			if last || o.Verdict != Inconclusive {
				break
			}
		}
		p, err := measurePair(ctx, c.programs(n), s, n)
		switch side, known := sideOf(err); {
		case err == nil:
		case ctx.Err() != nil:
			return fmt.Errorf("gate: %w", ctx.Err())
		case !known:
			return fmt.Errorf("gate: %s: %w", s.Name(), err)
		case errors.Is(err, errUnknown):
			return fmt.Errorf("gate: %w: %s cannot measure %s in windows: %w", ErrSource, c.describe(side), s.Name(), err)
		default:
			if failures[side]++; failures[side] >= maxFailures {
				return fmt.Errorf("gate: %w: %s failed %d times at %s: %w", ErrSource, c.describe(side), failures[side], s.Name(), err)
			}
			p.void = fmt.Sprintf("%s failed: %v", c.describe(side), err)
		}
		longest = max(longest, time.Since(at))
		if p.void != "" {
			o.Void++
			disturbed = p.void
			continue
		}
		o.Pairs++
		o.Ratios = append(o.Ratios, p.ratio)
		for i := range ns {
			ns[i] = append(ns[i], p.ns[i])
		}
	}
	o.BaseNs, o.HeadNs = median(ns[0]), median(ns[1])
	o.Seconds = time.Since(begin).Seconds()
	switch {
	case o.Void > o.Pairs:
		o.Verdict = Inconclusive
		o.Why = fmt.Sprintf("%d of %d pairs were disturbed: %s", o.Void, o.Void+o.Pairs, disturbed)
	case limit <= 0:
		o.Why = "the builds left no time to measure: give it more"
	case o.Pairs < MinPairs:
		o.Why = fmt.Sprintf("%d pairs in %v are too few, %d are needed: give it more time", o.Pairs, limit.Round(time.Second), MinPairs)
	case o.Verdict == Inconclusive:
		o.Why = "the interval is too wide: the machine was too noisy, or the time too short"
	case o.Verdict == NotSlower && o.Ratio.Hi > 1+c.cfg.Tolerance:
		o.Why = "so near the tolerance that it cannot be told from it"
	}
	return nil
}

// programs are those of the n-th pair. Each layout of the one meets each of the other.
func (c *comparison) programs(n int) [2]string {
	base, head := len(c.base), len(c.head)
	return [2]string{c.base[n%base], c.head[(n+n/base)%head]}
}

// describe names a side: 0 is the base.
func (c *comparison) describe(side int) string {
	name, r := "the base", c.rep.Base
	if side == 1 {
		name, r = "the head", c.rep.Head
	}
	return fmt.Sprintf("%s, %s (%s)", name, r.Name, r.Commit)
}
