package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"example.org/pmd/bench"
	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
)

// BenchCmd groups the commands that measure.
type BenchCmd struct {
	List   BenchListCmd   `cmd:"" help:"List the scenarios, and why those that cannot run here cannot."`
	Run    BenchRunCmd    `cmd:"" help:"Measure scenarios on this machine."`
	Peers  BenchPeersCmd  `cmd:"" help:"Compare with other programs and with the kernel on this machine."`
	Report BenchReportCmd `cmd:"" help:"Make one HTML page of results."`
	Gate   BenchGateCmd   `cmd:"" help:"Tell by the exit status whether a change forwards slower."`
	// Windows is for pmd bench gate, which runs it of both revisions.
	Windows BenchWindowsCmd `cmd:"" hidden:"" help:"Measure a scenario in short windows, for each line of the standard input one of that length."`
}

// BenchListCmd is pmd bench list.
type BenchListCmd struct {
	JSON bool `name:"json" help:"Write one JSON object a line."`
}

// benchEntry is a scenario as listed.
type benchEntry struct {
	Name     string         `json:"name"`
	Scenario bench.Scenario `json:"scenario"`
	// Lacking tells why it cannot run here.
	Lacking string `json:"lacking,omitempty"`
}

// Run lists.
func (c *BenchListCmd) Run(a *app.App) error {
	t := show.NewTable("SCENARIO", "HERE")
	lackingOf := map[string]string{}
	for _, s := range bench.Scenarios() {
		// What is lacking depends on driver and cores alone, and is found by trying.
		key := fmt.Sprint(s.Driver, s.Cores)
		text, known := lackingOf[key]
		if !known {
			if err := s.Lacking(); err != nil {
				text = err.Error()
			}
			lackingOf[key] = text
		}
		e := benchEntry{Name: s.Name(), Scenario: s, Lacking: text}
		if c.JSON {
			if err := writeJSON(a.Stdout, e); err != nil {
				return err
			}
			continue
		}
		here := "yes"
		if e.Lacking != "" {
			here = "no: " + e.Lacking
		}
		t.Row(e.Name, here)
	}
	if c.JSON {
		return nil
	}
	return t.Write(a.Stdout, "")
}

// BenchRunCmd is pmd bench run.
type BenchRunCmd struct {
	Scenario []string      `arg:"" optional:"" help:"Names as pmd bench list has them, or of others as in driver=pcap/mode=csum/size=imix; load=PERCENT or rate=PPS measures latency, as in driver=afxdp/mode=io/load=50 (default: all that can run here)."`
	Rounds   int           `default:"5" placeholder:"N" help:"Rounds of each, 5 or more (default ${default})."`
	Length   time.Duration `default:"1s" placeholder:"D" help:"Length of a round (default ${default})."`
	JSON     bool          `name:"json" xor:"form" help:"Write one JSON object a line."`
	Bench    bool          `xor:"form" help:"Write the Go benchmark format, for benchstat."`
}

// Help returns what `pmd bench run --help` says besides the flags.
func (*BenchRunCmd) Help() string {
	return "A scenario that cannot run here is told and left out, unless it was named. Nothing is sent on an interface that the run has not made. " +
		"Frames are accounted for in every round; if some are missing there is no result."
}

// scenarios returns those to run.
func (c *BenchRunCmd) scenarios() (out []bench.Scenario, named bool, err error) {
	if len(c.Scenario) == 0 {
		return bench.Scenarios(), false, nil
	}
	for _, name := range c.Scenario {
		s, err := bench.ParseScenario(name)
		if err != nil {
			return nil, true, usage.Errorf("bench run: %w", err)
		}
		out = append(out, s)
	}
	return out, true, nil
}

// Run measures.
func (c *BenchRunCmd) Run(a *app.App) error {
	cfg := bench.RunConfig{Rounds: c.Rounds, Length: c.Length}
	if c.Rounds == 0 || c.Length == 0 {
		return usage.Errorf("bench run: --rounds and --length are more than 0")
	}
	if err := cfg.Validate(); err != nil {
		return usage.Wrap(err)
	}
	scenarios, named, err := c.scenarios()
	if err != nil {
		return err
	}
	ctx, done := a.Interruptible(context.Background())
	defer done()
	var failed []error
	for _, s := range scenarios {
		if err := s.Lacking(); err != nil {
			if named {
				failed = append(failed, fmt.Errorf("bench run: %s: cannot run here: %w", s.Name(), err))
			} else {
				fmt.Fprintf(a.Stderr, "%s: left out: %v\n", s.Name(), err)
			}
			continue
		}
		r, err := s.Run(ctx, cfg)
		if r != nil && len(r.Rounds) > 0 {
			if err := c.write(a.Stdout, r); err != nil {
				return err
			}
		}
		if err != nil {
			if failed = append(failed, err); ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(failed...)
}

// write writes a result in the form asked for.
func (c *BenchRunCmd) write(w io.Writer, r *bench.Result) error {
	switch {
	case c.JSON:
		return r.WriteJSON(w)
	case c.Bench:
		return bench.WriteBench(w, r)
	}
	text := fmt.Sprintf("%s: %.3f Mpps, %.2f ns/pkt of a core, median of %d rounds", r.Name, r.PPS/1e6, r.NsPerPacket, len(r.Rounds))
	for _, l := range r.Latency {
		text += "; latency"
		for _, p := range l.Percentiles {
			name := fmt.Sprintf("p%g", p.Percent)
			if p.Percent == 100 {
				name = "max"
			}
			text += fmt.Sprintf(" %s %s", name, time.Duration(p.Ns).Round(100*time.Nanosecond))
		}
		text += fmt.Sprintf(" at %.3f Mpps; %d lost, %d reordered, %d twice, %d due and not sent", l.PPS/1e6, l.Lost, l.Reordered, l.Duplicates, l.Unsent)
	}
	if r.Partial {
		text += " (interrupted)"
	}
	if r.Disturbed != "" {
		text += "; DISTURBED: " + r.Disturbed
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
