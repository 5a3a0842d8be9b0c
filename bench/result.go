package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
)

// ResultVersion is the version of the form of a Result.
const ResultVersion = 1

// MinRounds is the fewest rounds of a result.
const MinRounds = 5

// Limits of a RunConfig.
const (
	MaxRounds      = 1000
	MinRoundLength = 50 * time.Millisecond
	MaxRoundLength = time.Minute
)

// Round is one measurement, whose frames are accounted for.
type Round struct {
	// Packets is the number of frames that left, or that entered where none leaves,
	// and Dropped that of those dropped for whatever reason.
	Packets uint64 `json:"packets"`
	Dropped uint64 `json:"dropped"`
	// Seconds is the time measured, PPS their quotient.
	Seconds     float64     `json:"seconds"`
	PPS         float64     `json:"pps"`
	Disturbance Disturbance `json:"disturbance"`

	// delays is the account of a round in which latency was measured.
	delays *delays
}

// Result is what came of a scenario: a line of JSON.
type Result struct {
	Version     int         `json:"version"`
	Time        time.Time   `json:"time"`
	Name        string      `json:"name"`
	Scenario    Scenario    `json:"scenario"`
	Environment Environment `json:"environment"`
	// Ports tells, by port, what was obtained, as in "afxdp copy".
	Ports []string `json:"ports"`
	// Polled are the CPUs that polled.
	Polled []int   `json:"polled"`
	Rounds []Round `json:"rounds"`
	// PPS is the median of the rounds, NsPerPacket what a packet took of one core at
	// that rate, if there is one core.
	PPS         float64 `json:"pps"`
	NsPerPacket float64 `json:"ns_per_packet"`
	// Latency has an entry for each load at which it was measured.
	Latency []Latency `json:"latency,omitempty"`
	// Disturbed tells what disturbed the round that was disturbed the most; empty if
	// none was.
	Disturbed string `json:"disturbed,omitempty"`
	// Partial says that the run was interrupted: there are fewer rounds than asked for.
	Partial bool `json:"partial,omitempty"`
}

// RunConfig says how long to measure. The zero value is five rounds of a second.
type RunConfig struct {
	// Rounds is the number of rounds, MinRounds to MaxRounds.
	Rounds int
	// Length is the length of each, MinRoundLength to MaxRoundLength.
	Length time.Duration
}

// withDefaults fills the fields left zero and checks the rest.
func (c RunConfig) withDefaults() (RunConfig, error) {
	if c.Rounds == 0 {
		c.Rounds = MinRounds
	}
	if c.Length == 0 {
		c.Length = time.Second
	}
	switch {
	case c.Rounds < MinRounds || c.Rounds > MaxRounds:
		return c, fmt.Errorf("bench: %d rounds: use %d to %d, there are no results of fewer", c.Rounds, MinRounds, MaxRounds)
	case c.Length < MinRoundLength || c.Length > MaxRoundLength:
		return c, fmt.Errorf("bench: rounds of %v: use %v to %v", c.Length, MinRoundLength, MaxRoundLength)
	}
	return c, nil
}

// Validate tells whether the configuration can be used.
func (c RunConfig) Validate() error {
	_, err := c.withDefaults()
	return err
}

// warmUp goes before the first round.
const warmUp = 300 * time.Millisecond

// Run measures a scenario. It is an error, and no result, if frames are unaccounted for
// after any round, or if what was sent did not arrive. If ctx ends first the result has
// the rounds until then and the error is that of ctx; all that was made is removed in
// every case. One may run at a time in a process.
func (s Scenario) Run(ctx context.Context, cfg RunConfig) (res *Result, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	// What was begun is ended whatever ctx says.
	whole := context.WithoutCancel(ctx)
	// Before the threads are confined, for the number of CPUs.
	environment := LocalEnvironment()
	b, err := openBed(ctx, s)
	if err != nil {
		return nil, err
	}
	wrap := func(err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("bench: %s: %w", s.Name(), err)
	}
	defer func() { err = errors.Join(err, wrap(b.close())) }()
	stats, err := b.rig.Stats(whole)
	if err != nil {
		return nil, wrap(err)
	}
	res = &Result{Version: ResultVersion, Time: time.Now().UTC(), Name: s.Name(), Scenario: s, Environment: environment}
	for _, p := range stats.Ports {
		res.Ports = append(res.Ports, strings.TrimSpace(p.Driver+" "+p.Mode))
	}
	for _, c := range stats.Cores {
		res.Polled = append(res.Polled, c.CPU)
	}
	if _, err := b.round(ctx, warmUp); err != nil && ctx.Err() == nil {
		return nil, wrap(err)
	}
	for range cfg.Rounds {
		r, err := b.round(ctx, cfg.Length)
		if ctx.Err() != nil {
			res.Partial = true
			break
		}
		if err != nil {
			return nil, wrap(fmt.Errorf("round %d: %w", len(res.Rounds)+1, err))
		}
		res.Rounds = append(res.Rounds, r)
	}
	if b.settle != nil {
		if err := b.settle(whole); err != nil {
			return nil, wrap(err)
		}
	}
	res.sum()
	if s.paced() && len(res.Rounds) > 0 {
		l, err := latencyOf(res.Rounds, b.rate, b.throughput)
		if err != nil {
			return nil, wrap(err)
		}
		res.Latency = []Latency{l}
	}
	return res, wrap(ctx.Err())
}

// sum makes the figures of the rounds.
func (r *Result) sum() {
	var v []float64
	worst := Disturbance{}
	for _, round := range r.Rounds {
		v = append(v, round.PPS)
		if d := round.Disturbance; d.Steal+d.Others > worst.Steal+worst.Others {
			worst = d
		}
	}
	r.Disturbed = worst.Disturbed()
	if r.PPS = median(v); r.PPS > 0 {
		r.NsPerPacket = float64(len(r.Polled)) * 1e9 / r.PPS
	}
}

// WriteJSON writes the result as one line of JSON.
func (r *Result) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// Records are what files of results hold, each kind in the order of the lines.
type Records struct {
	Results []*Result
	Peers   []*PeerResult
}

// ReadResults reads results of scenarios, as ReadRecords does; a comparison with a peer is
// refused.
func ReadResults(r io.Reader) ([]*Result, error) {
	var records Records
	err := ReadLines(r, func(line []byte) error { return records.add(line, false) })
	return records.Results, err
}

// ReadRecords reads what Result.WriteJSON and PeerResult.WriteJSON wrote, line by line;
// empty lines are passed over. The error names the line that is no result, or is one of
// another version or cut off; the records are those of the lines before.
func ReadRecords(r io.Reader) (Records, error) {
	var records Records
	err := ReadLines(r, records.Add)
	return records, err
}

// ReadLines passes each line that is not empty on, without the white space around it. It
// ends with the first error, and names the line.
func ReadLines(r io.Reader, line func(text []byte) error) error {
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return fmt.Errorf("bench: line %d: %w", n, err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			if err := line(text); err != nil {
				return fmt.Errorf("bench: line %d: %w", n, err)
			}
		}
		if last {
			return nil
		}
	}
}

// Add reads one line, and adds the record. The error says why it is none.
func (rs *Records) Add(line []byte) error { return rs.add(line, true) }

func (rs *Records) add(text []byte, peers bool) error {
	// The version first: what another one has need not fit.
	var of struct {
		Version int
		Name    string
	}
	if err := json.Unmarshal(text, &of); err != nil {
		return fmt.Errorf("not a whole result: %w", err)
	}
	peer := peers && strings.HasPrefix(of.Name, "peer=")
	version := ResultVersion
	if peer {
		version = PeerVersion
	}
	if of.Version != version {
		return fmt.Errorf("a result of version %d, this program reads version %d", of.Version, version)
	}
	if peer {
		res := &PeerResult{}
		if err := json.Unmarshal(text, res); err != nil {
			return fmt.Errorf("not a result: %w", err)
		}
		rs.Peers = append(rs.Peers, res)
		return nil
	}
	res := &Result{}
	if err := json.Unmarshal(text, res); err != nil {
		return fmt.Errorf("not a result: %w", err)
	}
	if _, err := ParseScenario(res.Name); err != nil {
		return fmt.Errorf("not a result: %w", err)
	}
	rs.Results = append(rs.Results, res)
	return nil
}

// WriteBench writes the results in the Go benchmark format
// (https://golang.org/design/14313-benchmark-format), a line for each round, for
// benchstat.
func WriteBench(w io.Writer, results ...*Result) error {
	out := benchfmt.NewWriter(w)
	for _, r := range results {
		config := benchConfig(r.Environment, [2]string{"ports", strings.Join(r.Ports, ", ")}, [2]string{"disturbed", r.Disturbed})
		for _, round := range r.Rounds {
			err := out.Write(&benchfmt.Result{
				Config: config, Name: benchfmt.Name("Forward/" + r.Name), Iters: int(round.Packets),
				Values: []benchfmt.Value{
					{Value: 1e9 / round.PPS * float64(len(r.Polled)), Unit: "ns/pkt"}, {Value: round.PPS, Unit: "pkts/s"},
				},
			})
			if err != nil {
				return fmt.Errorf("bench: %w", err)
			}
		}
	}
	return nil
}

// benchConfig is the configuration of results in the Go benchmark format: the environment,
// and more keys with values.
func benchConfig(e Environment, more ...[2]string) (config []benchfmt.Config) {
	for _, c := range append([][2]string{
		{"goos", e.OS}, {"goarch", e.Arch}, {"pkg", "example.org/pmd/bench"}, {"cpu", e.CPU}, {"kernel", e.Kernel},
		{"governor", e.Governor}, {"smt", e.SMT}, {"isolated", e.Isolated}, {"revision", e.Revision},
	}, more...) {
		config = append(config, benchfmt.Config{Key: c[0], Value: []byte(c[1]), File: true})
	}
	return config
}

// median returns the middle of v, 0 if it is empty.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
