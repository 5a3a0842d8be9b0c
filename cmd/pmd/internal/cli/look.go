package cli

import (
	"context"
	"fmt"
	"time"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cmd/pmd/internal/version"
)

// ForwardCmd is pmd forward.
type ForwardCmd struct {
	Show ForwardShowCmd `cmd:"" help:"Show the mode and which port sends to which."`
	Set  ForwardSetCmd  `cmd:"" help:"Change the mode, and options of modes; no frame is lost by it."`
}

// ForwardShowCmd is pmd forward show.
type ForwardShowCmd struct {
	JSON bool `name:"json" help:"Write JSON."`
	SocketFlag
}

// Run shows how the running process forwards.
func (c *ForwardShowCmd) Run(a *app.App) error {
	return ask(a, c.SocketFlag, c.JSON, func(ctx context.Context, client *ctl.Client) (engine.Forwarding, error) {
		return client.Forwarding(ctx)
	}, show.Forwarding)
}

// ForwardSetCmd is pmd forward set.
type ForwardSetCmd struct {
	Mode string `arg:"" enum:"${modes}" help:"Forwarding mode: ${enum}."`
	ModeFlags
	SocketFlag
}

// Run changes the forwarding mode of the running process.
func (c *ForwardSetCmd) Run(a *app.App) error {
	options, err := c.given()
	if err != nil {
		return err
	}
	return c.with(a, func(ctx context.Context, client *ctl.Client) error {
		_, err := client.SetMode(ctx, c.Mode, options)
		return err
	})
}

// StopCmd is pmd stop.
type StopCmd struct {
	Timeout time.Duration `default:"10s" placeholder:"D" help:"How long to wait until it has ended (default ${default}; 0: do not wait)."`
	SocketFlag
}

// Run ends the running process and returns when its ports are free.
func (c *StopCmd) Run(a *app.App) error {
	if c.Timeout < 0 {
		return usage.Errorf("stop: --timeout %v: use 0 or more", c.Timeout)
	}
	return c.with(a, func(ctx context.Context, client *ctl.Client) error {
		if err := client.Stop(ctx); err != nil || c.Timeout == 0 {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, c.Timeout)
		defer cancel()
		if err := client.WaitGone(ctx); err != nil {
			return fmt.Errorf("stop: it was asked to stop but has not ended within %v: %w", c.Timeout, err)
		}
		return nil
	})
}

// VersionCmd is pmd version.
type VersionCmd struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Run tells which build this is.
func (c *VersionCmd) Run(a *app.App) error {
	v := version.Get()
	if c.JSON {
		return writeJSON(a.Stdout, v)
	}
	_, err := fmt.Fprintln(a.Stdout, v)
	return err
}
