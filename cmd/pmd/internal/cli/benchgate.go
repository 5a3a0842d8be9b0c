package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/pmd/bench"
	"example.org/pmd/bench/gate"
	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
)

// BenchGateCmd is pmd bench gate.
type BenchGateCmd struct {
	Base             string        `required:"" placeholder:"REF" help:"The revision to compare with, as git knows it: origin/main, HEAD~1."`
	Head             string        `default:"working tree" placeholder:"REF" help:"The revision that may be slower (default: the working tree, committed or not)."`
	Scenario         []string      `placeholder:"NAME" sep:"none" help:"A scenario, as pmd bench list has them; may be given again (default: a set of each driver that can run here)."`
	Tolerance        string        `default:"5%" placeholder:"PERCENT" help:"By how much a packet may take longer, 1% to 100% (default ${default})."`
	Limit            time.Duration `default:"8m" placeholder:"D" help:"How long it all may take, with the builds (default ${default})."`
	Layouts          int           `default:"4" placeholder:"N" help:"Link each revision so many times with its functions in another order, 1 to 16, so that where code comes to lie is not taken for its speed (default ${default})."`
	MeasureIdentical bool          `help:"Measure even if both revisions are the same program: to try the gate on a machine."`
	JSON             bool          `name:"json" help:"Write one JSON object a line."`
}

// Help returns what `pmd bench gate --help` says besides the flags.
func (*BenchGateCmd) Help() string {
	return "Run it in a git checkout, on a machine that has nothing else to do. It builds both revisions in a temporary folder and lets them measure by turns. " +
		"Exit status: 0 not slower; 1 slower by more than the tolerance, with significance; 3 inconclusive, the machine was too noisy (or the run was interrupted); " +
		"2 usage, or the revisions cannot be compared: one does not exist, does not build, or does not know a scenario."
}

// config returns what to compare.
func (c *BenchGateCmd) config() (cfg gate.Config, err error) {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(c.Tolerance, "%"), 64)
	if err != nil || percent == 0 {
		return cfg, usage.Errorf("bench gate: --tolerance %s: use a percentage, as in 5%%", c.Tolerance)
	}
	if c.Limit == 0 || c.Layouts == 0 {
		return cfg, usage.Errorf("bench gate: --limit and --layouts are more than 0")
	}
	cfg = gate.Config{Base: c.Base, Head: c.Head, Tolerance: percent / 100, Limit: c.Limit, Layouts: c.Layouts, MeasureIdentical: c.MeasureIdentical}
	for _, name := range c.Scenario {
		s, err := bench.ParseScenario(name)
		if err != nil {
			return cfg, usage.Errorf("bench gate: %w", err)
		}
		cfg.Scenarios = append(cfg.Scenarios, s)
	}
	return cfg, usage.Wrap(cfg.Validate())
}

// Run compares.
func (c *BenchGateCmd) Run(a *app.App) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	ctx, done := a.Interruptible(context.Background())
	defer done()
	cfg.Progress = func(text string) { fmt.Fprintln(a.Stderr, text) }
	var broken error
	if c.JSON {
		cfg.Done = func(o *gate.Outcome) { broken = errors.Join(broken, writeJSON(a.Stdout, o)) }
	}
	rep, err := gate.Run(ctx, cfg)
	if rep != nil && !c.JSON && len(rep.Outcomes) > 0 {
		broken = writeGate(a.Stdout, rep)
	}
	switch {
	case broken != nil:
		return exitAs{broken, ExitUsage}
	case ctx.Err() != nil:
		return exitAs{errors.New("bench gate: interrupted: there is no verdict"), ExitInconclusive}
	case err != nil:
		// Not 1, which means slower.
		return exitAs{err, ExitUsage}
	}
	return verdictError(rep)
}

// verdictError is the verdict as the status to exit with has it: nil is 0.
func verdictError(rep *gate.Report) error {
	switch rep.Verdict() {
	case gate.Slower:
		return fmt.Errorf("bench gate: slower: %s", named(rep, gate.Slower))
	case gate.Inconclusive:
		return exitAs{fmt.Errorf("bench gate: inconclusive: %s", named(rep, gate.Inconclusive)), ExitInconclusive}
	}
	return nil
}

// named lists the outcomes of a verdict.
func named(rep *gate.Report, v gate.Verdict) string {
	var out []string
	for _, o := range rep.Outcomes {
		if o.Verdict != v {
			continue
		}
		if v == gate.Slower {
			out = append(out, fmt.Sprintf("%s by %s (%s)", o.Scenario, percent(o.Ratio.Median), percentRange(o.Ratio)))
		} else {
			out = append(out, o.Scenario)
		}
	}
	return strings.Join(out, ", ")
}

// percent writes a ratio as a change.
func percent(ratio float64) string { return fmt.Sprintf("%+.1f %%", 100*(ratio-1)) }

// percentRange writes the ends of an interval.
func percentRange(i gate.Interval) string {
	if i.Confidence == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%+.1f to %+.1f %%", 100*(i.Lo-1), 100*(i.Hi-1))
}

// writeGate writes the report for a person.
func writeGate(w io.Writer, rep *gate.Report) error {
	names := show.NewTable("base", rep.Base.Commit, rep.Base.Name, rep.Base.Subject)
	names.Row("head", rep.Head.Commit, rep.Head.Name, rep.Head.Subject)
	if err := names.Write(w, ""); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t := show.NewTable("SCENARIO", "BASE ns/pkt→", "HEAD ns/pkt→", "CHANGE→", "99.9 % INTERVAL→", "PAIRS→", "VOID→", "VERDICT")
	var tolerance float64
	for _, o := range rep.Outcomes {
		tolerance = o.Tolerance
		if o.Pairs == 0 {
			t.Row(o.Scenario, "", "", "", "", "", strconv.Itoa(o.Void), string(o.Verdict))
			continue
		}
		t.Row(o.Scenario, fmt.Sprintf("%.2f", o.BaseNs), fmt.Sprintf("%.2f", o.HeadNs), percent(o.Ratio.Median), percentRange(o.Ratio),
			strconv.Itoa(o.Pairs), strconv.Itoa(o.Void), string(o.Verdict))
	}
	if err := t.Write(w, ""); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, o := range rep.Outcomes {
		if o.Why != "" {
			fmt.Fprintf(w, "%s: %s\n", o.Scenario, o.Why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rep.LeftOut)) {
		fmt.Fprintf(w, "%s: left out: %s\n", name, rep.LeftOut[name])
	}
	_, err := fmt.Fprintf(w, "Tolerance %g %%: %s.\n", 100*tolerance, rep.Verdict())
	return err
}
