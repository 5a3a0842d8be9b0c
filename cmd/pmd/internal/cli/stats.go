package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/top"
	"example.org/pmd/cmd/pmd/internal/usage"
)

// minInterval is the shortest time between two tables; nobody reads faster, and a
// program reads the socket.
const minInterval = 10 * time.Millisecond

// StatsCmd is pmd stats.
type StatsCmd struct {
	JSON     bool          `name:"json" help:"Write JSON, one object a line."`
	Interval time.Duration `short:"i" placeholder:"D" help:"Show again after each D, as in 1s, with rates over that time."`
	Count    int           `short:"n" placeholder:"N" help:"Show N times (default: once, or with --interval until interrupted). On a terminal, without this, --json and --clear, a live table is shown."`
	Clear    bool          `help:"Show, and count from zero again."`
	SocketFlag
}

// Run shows the statistics of the running process.
func (c *StatsCmd) Run(a *app.App) error {
	if c.Interval != 0 && c.Interval < minInterval {
		return usage.Errorf("stats: --interval %v: use %v or more", c.Interval, minInterval)
	}
	if c.Count < 0 {
		return usage.Errorf("stats: --count %d: use 1 or more", c.Count)
	}
	run := c.show
	if !c.JSON && !c.Clear && c.Count == 0 && isTerminal(a.Stdout) {
		run = c.live
	}
	err := c.with(a, func(ctx context.Context, client *ctl.Client) error { return run(ctx, client, a.Stdout) })
	if c.Interval > 0 && errors.Is(err, context.Canceled) {
		return nil // a watch has no other end
	}
	return err
}

// live shows a table that goes on until a key ends it.
func (c *StatsCmd) live(ctx context.Context, client *ctl.Client, w io.Writer) error {
	// Whoever names the wrong socket is told so, and not shown an empty screen.
	if _, err := client.Stats(ctx); err != nil {
		return err
	}
	interval := c.Interval
	if interval == 0 {
		interval = time.Second
	}
	return top.Run(ctx, client, interval, w)
}

func (c *StatsCmd) show(ctx context.Context, client *ctl.Client, w io.Writer) error {
	read := client.Stats
	if c.Clear {
		read = client.Clear
	}
	last, err := read(ctx)
	if err != nil {
		return err
	}
	if err := c.print(w, last); err != nil {
		return err
	}
	count, interval := c.Count, c.Interval
	switch {
	case count == 0 && interval == 0:
		count = 1
	case interval == 0:
		interval = time.Second
	}
	if count == 1 {
		return nil
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for i := 1; count == 0 || i < count; i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		s, err := client.Stats(ctx)
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprintln(w)
		}
		if err := c.print(w, s.Since(last)); err != nil {
			return err
		}
		last = s
	}
	return nil
}

func (c *StatsCmd) print(w io.Writer, s *engine.Stats) error {
	if c.JSON {
		return writeJSON(w, s)
	}
	return show.Stats(w, s)
}
