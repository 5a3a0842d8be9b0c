package cli

import (
	"bytes"
	"fmt"
	"os"

	"example.org/pmd/bench/report"
	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/usage"
)

// BenchReportCmd is pmd bench report.
type BenchReportCmd struct {
	File   []string `arg:"" placeholder:"FILE" complete:"file" help:"Results, as pmd bench run, peers and gate write them with --json; - is the standard input."`
	Output string   `short:"o" placeholder:"FILE" complete:"file" help:"The page (default: the standard output)."`
}

// Help returns what `pmd bench report --help` says besides the flags.
func (*BenchReportCmd) Help() string {
	return "The page needs nothing else, neither a network nor a script: it can be mailed. Results of several revisions become a history. " +
		"A file with a line that is cut off, or is of another version, is refused with the number of the line."
}

// Run makes the page.
func (c *BenchReportCmd) Run(a *app.App) error {
	var all report.Records
	for _, name := range c.File {
		records, err := readRecords(name)
		if err != nil {
			return fmt.Errorf("bench report: %s: %w", name, err)
		}
		all.Results, all.Peers, all.Gate = append(all.Results, records.Results...), append(all.Peers, records.Peers...), append(all.Gate, records.Gate...)
	}
	var page bytes.Buffer
	if err := report.Write(&page, all); err != nil {
		return usage.Wrap(err)
	}
	if c.Output == "" {
		_, err := page.WriteTo(a.Stdout)
		return err
	}
	if err := os.WriteFile(c.Output, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("bench report: %w", err)
	}
	return nil
}

// readRecords reads a file of results.
func readRecords(name string) (report.Records, error) {
	if name == "-" {
		return report.Read(os.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return report.Records{}, err
	}
	defer f.Close()
	return report.Read(f)
}
