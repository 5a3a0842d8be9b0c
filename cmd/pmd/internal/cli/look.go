package cli

import (
	"context"
	"fmt"
	"time"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cmd/pmd/internal/version"
)

// IfCmd is pmd if.
type IfCmd struct {
	Show IfShowCmd `cmd:"" help:"Describe one port, or list all."`
	Set  IfSetCmd  `cmd:"" help:"Change a setting of a port while traffic flows."`
}

// IfShowCmd is pmd if show.
type IfShowCmd struct {
	Name string `arg:"" optional:"" help:"A port, by name or number."`
	JSON bool   `name:"json" help:"Write JSON."`
	SocketFlag
}

// Run shows the ports of the running process.
func (c *IfShowCmd) Run(a *app.App) error {
	ctx, done := a.Interruptible(context.Background())
	defer done()
	client := c.client()
	defer client.Close()
	if c.Name == "" {
		list, err := client.Interfaces(ctx)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return writeJSON(a.Stdout, ctl.Interfaces{Interfaces: list})
		}
		return show.Interfaces(a.Stdout, list)
	}
	f, err := client.Interface(ctx, c.Name)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return writeJSON(a.Stdout, f)
	}
	return show.Interface(a.Stdout, f)
}

// IfSetCmd is pmd if set.
type IfSetCmd struct {
	Name  string `arg:"" help:"A port, by name or number."`
	Key   string `arg:"" enum:"pollcpu" help:"Setting: pollcpu, the CPUs that poll the port's queues."`
	Value string `arg:"" help:"Its value: for pollcpu a list such as 2,3, queue i is polled on the i-th; one CPU takes all queues."`
	SocketFlag
}

// Run changes a setting of a port of the running process.
func (c *IfSetCmd) Run(a *app.App) error {
	ctx, done := a.Interruptible(context.Background())
	defer done()
	client := c.client()
	defer client.Close()
	_, err := client.SetPollCPU(ctx, c.Name, c.Value) // the only key there is
	return err
}

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
	ctx, done := a.Interruptible(context.Background())
	defer done()
	client := c.client()
	defer client.Close()
	f, err := client.Forwarding(ctx)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return writeJSON(a.Stdout, f)
	}
	return show.Forwarding(a.Stdout, f)
}

// ForwardSetCmd is pmd forward set.
type ForwardSetCmd struct {
	Mode string `arg:"" enum:"${modes}" help:"Forwarding mode: ${enum}."`
	ModeFlags
	SocketFlag
}

// Run changes the forwarding mode of the running process.
func (c *ForwardSetCmd) Run(a *app.App) error {
	ctx, done := a.Interruptible(context.Background())
	defer done()
	client := c.client()
	defer client.Close()
	options, err := c.given()
	if err != nil {
		return err
	}
	_, err = client.SetMode(ctx, c.Mode, options)
	return err
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
	ctx, done := a.Interruptible(context.Background())
	defer done()
	client := c.client()
	defer client.Close()
	if err := client.Stop(ctx); err != nil || c.Timeout == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := client.WaitGone(ctx); err != nil {
		return fmt.Errorf("stop: it was asked to stop but has not ended within %v: %w", c.Timeout, err)
	}
	return nil
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
