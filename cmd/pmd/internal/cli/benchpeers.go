package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"example.org/pmd/bench"
	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
)

// BenchPeersCmd is pmd bench peers.
type BenchPeersCmd struct {
	Rounds int           `default:"5" placeholder:"N" help:"Rounds of each, 5 or more (default ${default})."`
	Length time.Duration `default:"2s" placeholder:"D" help:"What is measured of either side in a round (default ${default})."`
	Only   []string      `placeholder:"NAME" help:"Only these: a peer, or parts of the names of comparisons as in driver=afxdp/mode=io; may be repeated."`
	List   bool          `help:"List the comparisons, and why those that cannot be made here cannot."`
	JSON   bool          `name:"json" xor:"form" help:"Write one JSON object a line."`
	Bench  bool          `xor:"form" help:"Write the Go benchmark format, for benchstat -col /side."`
}

// Help returns what `pmd bench peers --help` says besides the flags.
func (*BenchPeersCmd) Help() string {
	return "Both sides do the same work on the same bytes and CPUs, round by round in turn. A round whose frames are not accounted for is void. " +
		"What is not there is told, with what would add it, and left out. Interrupted, it writes the rounds that it has, and removes what it made."
}

// comparisons returns those asked for.
func (c *BenchPeersCmd) comparisons() (out []bench.Comparison, err error) {
	matched := make([]bool, len(c.Only))
	for _, cmp := range bench.Comparisons() {
		want := len(c.Only) == 0
		for i, pattern := range c.Only {
			if cmp.Matches(pattern) {
				want, matched[i] = true, true
			}
		}
		if want {
			out = append(out, cmp)
		}
	}
	if i := slices.Index(matched, false); i >= 0 {
		return nil, usage.Errorf("bench peers: --only %s: no such comparison; pmd bench peers --list names them", c.Only[i])
	}
	return out, nil
}

// Run compares.
func (c *BenchPeersCmd) Run(a *app.App) error {
	cfg := bench.RunConfig{Rounds: c.Rounds, Length: c.Length}
	if c.Rounds == 0 || c.Length == 0 {
		return usage.Errorf("bench peers: --rounds and --length are more than 0")
	}
	if err := cfg.Validate(); err != nil {
		return usage.Wrap(err)
	}
	comparisons, err := c.comparisons()
	if err != nil {
		return err
	}
	if c.List {
		return c.list(a, comparisons)
	}
	ctx, done := a.Interruptible(context.Background())
	defer done()
	var results []*bench.PeerResult
	var failed []error
	for _, cmp := range comparisons {
		if err := cmp.Lacking(); err != nil {
			fmt.Fprintf(a.Stderr, "%s: left out: %v\n", cmp.Name(), err)
			continue
		}
		n := 0
		r, err := cmp.Run(ctx, cfg, func(r bench.PeerRound) {
			n++
			fmt.Fprintf(a.Stderr, "%s: round %d of %d: %s\n", cmp.Name(), n, cfg.Rounds, peerRound(r))
		})
		if r != nil && len(r.Rounds) > 0 {
			results = append(results, r)
			if err := c.write(a.Stdout, r); err != nil {
				return err
			}
		}
		if errors.Is(err, bench.ErrLacking) {
			fmt.Fprintf(a.Stderr, "%s: left out: %v\n", cmp.Name(), err)
			continue
		}
		if err != nil {
			if failed = append(failed, err); ctx.Err() != nil {
				break
			}
		}
	}
	if !c.JSON && !c.Bench && len(results) > 0 {
		failed = append(failed, peerTables(a.Stdout, results))
	}
	return errors.Join(failed...)
}

// list tells what can be compared here.
func (c *BenchPeersCmd) list(a *app.App, comparisons []bench.Comparison) error {
	t := show.NewTable("COMPARISON", "THEIRS", "HERE")
	for _, cmp := range comparisons {
		here := "yes"
		lacking := ""
		if err := cmp.Lacking(); err != nil {
			lacking = err.Error()
			here = "no: " + lacking
		}
		if c.JSON {
			err := writeJSON(a.Stdout, struct {
				Name       string           `json:"name"`
				Comparison bench.Comparison `json:"comparison"`
				Lacking    string           `json:"lacking,omitempty"`
			}{cmp.Name(), cmp, lacking})
			if err != nil {
				return err
			}
			continue
		}
		t.Row(cmp.Name(), cmp.Theirs, here)
	}
	if c.JSON {
		return nil
	}
	return t.Write(a.Stdout, "")
}

// peerRound is a round as a line of progress.
func peerRound(r bench.PeerRound) string {
	if r.Void != "" {
		return "void: " + r.Void
	}
	if len(r.Ours.Latency) == 0 {
		return fmt.Sprintf("pmd %.3f Mpps, peer %.3f Mpps, ratio %.3f", r.Ours.PPS/1e6, r.Theirs.PPS/1e6, r.Ratio)
	}
	var parts []string
	for i, l := range r.Ours.Latency {
		parts = append(parts, fmt.Sprintf("at %.0f %% p50 %s, peer %s, p99 %s, peer %s", 100*l.Load,
			micros(l.At(50)), micros(r.Theirs.Latency[i].At(50)), micros(l.At(99)), micros(r.Theirs.Latency[i].At(99))))
	}
	return strings.Join(parts, "; ")
}

// micros writes nanoseconds.
func micros(ns float64) string { return fmt.Sprintf("%.1f µs", ns/1e3) }

// write writes a result in the form asked for; a table is for the end.
func (c *BenchPeersCmd) write(w io.Writer, r *bench.PeerResult) error {
	switch {
	case c.JSON:
		return r.WriteJSON(w)
	case c.Bench:
		return bench.WritePeerBench(w, r)
	}
	return nil
}

// peerTables end the run.
func peerTables(w io.Writer, results []*bench.PeerResult) error {
	var rates, latencies []*bench.PeerResult
	for _, r := range results {
		if len(r.Comparison.Loads) > 0 {
			latencies = append(latencies, r)
		} else {
			rates = append(rates, r)
		}
	}
	if len(rates) > 0 {
		if err := peerTable(w, rates); err != nil {
			return err
		}
	}
	if len(latencies) == 0 {
		return nil
	}
	if len(rates) > 0 {
		fmt.Fprintln(w)
	}
	return latencyTable(w, latencies)
}

// peerTable is that of throughput.
func peerTable(w io.Writer, results []*bench.PeerResult) error {
	t := show.NewTable("COMPARISON", "PEER DOES", "PMD MPPS", "PEER MPPS", "RATIO", "INTERVAL", "PMD CPUS", "PEER CPUS", "NOTES")
	for _, r := range results {
		notes := peerNotes(r)
		if r.Ours.Cycles > 0 && r.Theirs.Cycles > 0 {
			notes = append(notes, fmt.Sprintf("cycles/packet %.0f and %.0f", r.Ours.Cycles, r.Theirs.Cycles))
		}
		if r.Valid < bench.MinRounds {
			t.Row(r.Name, r.Comparison.Theirs, "-", "-", "-", "-", "-", "-", strings.Join(notes, "; "))
			continue
		}
		t.Row(r.Name, r.Comparison.Theirs, fmt.Sprintf("%.3f", r.Ours.PPS/1e6), fmt.Sprintf("%.3f", r.Theirs.PPS/1e6), fmt.Sprintf("%.2f", r.Ratio.Median),
			peerInterval(r.Ratio), fmt.Sprintf("%.2f", r.Ours.CPU), fmt.Sprintf("%.2f", r.Theirs.CPU), strings.Join(notes, "; "))
	}
	return t.Write(w, "")
}

// latencyTable is that of latency, at the same rates on both sides.
func latencyTable(w io.Writer, results []*bench.PeerResult) error {
	t := show.NewTable("LATENCY", "PEER DOES", "LOAD", "MPPS", "PERCENTILE", "PMD", "PEER", "RATIO", "INTERVAL", "PMD LOST", "PEER LOST", "NOTES")
	for _, r := range results {
		notes := strings.Join(peerNotes(r), "; ")
		if len(r.Latency) == 0 {
			t.Row(r.Name, r.Comparison.Theirs, "-", "-", "-", "-", "-", "-", "-", "-", "-", notes)
		}
		for _, l := range r.Latency {
			t.Row(r.Name, r.Comparison.Theirs, fmt.Sprintf("%.0f %%", 100*l.Load), fmt.Sprintf("%.3f", l.PPS/1e6), fmt.Sprintf("p%g", l.Percent),
				micros(l.Ours), micros(l.Theirs), fmt.Sprintf("%.2f", l.Ratio.Median), peerInterval(l.Ratio), lost(l.OursLost, l.OursSent), lost(l.TheirsLost, l.TheirsSent), notes)
			notes = ""
		}
	}
	return t.Write(w, "")
}

// peerNotes are what is to be said of a result besides its figures.
func peerNotes(r *bench.PeerResult) (notes []string) {
	if void := len(r.Rounds) - r.Valid; void > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d rounds void", void, len(r.Rounds)))
	}
	if r.Partial {
		notes = append(notes, "interrupted")
	}
	if r.Disturbed != "" {
		notes = append(notes, "DISTURBED: "+r.Disturbed)
	}
	return notes
}

// peerInterval writes the interval of a ratio.
func peerInterval(i bench.Interval) string {
	return fmt.Sprintf("%.2f to %.2f (%.0f %%)", i.Low, i.High, 100*i.Confidence)
}

// lost writes how many of the frames sent did not arrive.
func lost(n, of uint64) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%.2g %%", 100*float64(n)/float64(of))
}
