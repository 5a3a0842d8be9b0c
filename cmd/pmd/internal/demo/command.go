package demo

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
)

// Command is `pmd demo` on the command line (github.com/alecthomas/kong).
type Command struct {
	Keep   bool   `help:"Leave it running until Ctrl-C, and print the commands to look at it."`
	Cores  string `short:"c" placeholder:"LIST" help:"CPUs to poll on, as in 2-5,8 (default: an isolated one, else one that is not the lowest)."`
	Socket string `type:"path" placeholder:"PATH" complete:"file" help:"Control socket of --keep (default: in a folder of its own)."`
	JSON   bool   `name:"json" help:"Write the result as one JSON object, and nothing else, to standard output."`
	// Forward is for the test that forwarding matters: without it every check
	// must fail.
	Forward string `hidden:"" default:"io" help:"Forwarding mode: io, or none to see every check fail."`
}

// Help returns what `pmd demo --help` says besides the flags.
func (*Command) Help() string {
	return "Makes two network namespaces, forwards between them with AF_XDP, sends ping, TCP, UDP and a flood through, " +
		"accounts for every frame, and removes everything again. Without root or AF_XDP the ports are in memory."
}

// modeNone is the name of no forwarding, which is to drop everything.
const modeNone = "none"

// mode returns the forwarding mode of the engine.
func (c *Command) mode() (string, error) {
	switch c.Forward {
	case "", "io":
		return "io", nil
	case modeNone:
		return "rxonly", nil
	}
	return "", usage.Errorf("demo: no forwarding mode %q for the demo; there are io and %s", c.Forward, modeNone)
}

// Run runs the demo. An error means that something failed, a check at least, or that
// it was interrupted; nothing that it made is left in either case.
func (c *Command) Run(a *app.App) error {
	mode, err := c.mode()
	if err != nil {
		return err
	}
	if c.Socket != "" && !c.Keep {
		return usage.Errorf("demo: --socket %s: there is no socket without --keep", c.Socket)
	}
	cores, err := cpu.ParseList(c.Cores)
	if err != nil {
		return usage.Errorf("demo: --cores: %w", err)
	}
	o := options{
		cores: cores, mode: mode, length: floodTime,
		keep: c.Keep, socket: c.Socket, notes: a.Stderr,
	}
	return c.present(a, o)
}

// present runs a demo and shows it.
func (c *Command) present(a *app.App, o options) error {
	ctx, done := a.Interruptible(context.Background())
	defer done()
	ctx, restore := guard(ctx)
	defer restore()
	if c.JSON {
		o.whole = func(r *Report) error { return r.writeJSON(a.Stdout) }
	} else {
		o.table = &printer{w: a.Stdout, colour: show.WantsColour(a.Stdout, os.Getenv)}
	}
	_, err := run(ctx, o)
	return err
}

// guard keeps the process from being ended, with everything it made left behind, by
// a reader that goes away (SIGPIPE) or a terminal that is closed (SIGHUP). The first
// shows as an error of the write, the second ends the context.
func guard(ctx context.Context) (context.Context, func()) {
	signal.Ignore(syscall.SIGPIPE)
	stop := func() {}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup(1) has it
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	return ctx, func() {
		stop()
		signal.Reset(syscall.SIGPIPE)
	}
}
