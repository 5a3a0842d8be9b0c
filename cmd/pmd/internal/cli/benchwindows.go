package cli

import (
	"context"
	"os"

	"example.org/pmd/bench"
	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/usage"
)

// BenchWindowsCmd is pmd bench windows, which pmd bench gate runs.
type BenchWindowsCmd struct {
	Scenario string `arg:"" help:"The scenario, as pmd bench list has it."`
}

// Run measures a window for each line of the standard input: see bench.Scenario.ServeWindows.
func (c *BenchWindowsCmd) Run(a *app.App) error {
	s, err := bench.ParseScenario(c.Scenario)
	if err != nil {
		return usage.Errorf("bench windows: %w", err)
	}
	ctx, done := a.Interruptible(context.Background())
	defer done()
	return s.ServeWindows(ctx, os.Stdin, a.Stdout)
}
