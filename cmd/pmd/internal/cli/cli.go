package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/demo"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
)

// Exit statuses.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitUsage   = 2
	// ExitInconclusive is pmd bench gate's, for a machine too noisy to tell.
	ExitInconclusive = 3
)

// Root is the grammar of the command line.
type Root struct {
	Run        RunCmd        `cmd:"" help:"Forward frames between ports."`
	Demo       demo.Command  `cmd:"" help:"Show everything at work, without hardware, and account for every frame."`
	Stats      StatsCmd      `cmd:"" help:"Show totals, rates and the account of frames."`
	If         IfCmd         `cmd:"" help:"Look at interfaces, which every port has, or change them."`
	Monitor    MonitorCmd    `cmd:"" help:"Follow what happens to interfaces, ports and cores."`
	Core       CoreCmd       `cmd:"" help:"Look at how cores poll, or change it."`
	Forward    ForwardCmd    `cmd:"" help:"Look at the forwarding mode, or change it."`
	Config     ConfigCmd     `cmd:"" help:"Look at the configuration, check a file, or apply one."`
	Doctor     DoctorCmd     `cmd:"" help:"Check this machine and its interfaces, and say how to mend what is wrong."`
	Bench      BenchCmd      `cmd:"" help:"Measure this dataplane."`
	Stop       StopCmd       `cmd:"" help:"End a running pmd cleanly."`
	Version    VersionCmd    `cmd:"" help:"Tell which build this is."`
	Completion CompletionCmd `cmd:"" help:"Write a completion script for a shell."`
}

const description = "A poll-mode dataplane: forwards frames between network interfaces on CPUs of its own."

// SocketFlag is embedded by every command that talks to a running process.
type SocketFlag struct {
	Socket string `apply:"process" type:"path" placeholder:"PATH" env:"PMD_SOCKET" complete:"file" help:"Control socket (default ${socket})."`
}

// path returns the socket to use.
func (s SocketFlag) path() string {
	if s.Socket == "" {
		return ctl.DefaultSocket()
	}
	return s.Socket
}

// client returns a client of the running process.
func (s SocketFlag) client() *ctl.Client { return ctl.NewClient(s.path()) }

// with runs fn with a client of the running process; a signal cancels ctx.
func (s SocketFlag) with(a *app.App, fn func(ctx context.Context, c *ctl.Client) error) error {
	ctx, done := a.Interruptible(context.Background())
	defer done()
	client := s.client()
	defer client.Close()
	return fn(ctx, client)
}

// ask writes what fn has from the running process: as JSON, or as text writes it.
func ask[T any](a *app.App, s SocketFlag, asJSON bool, fn func(context.Context, *ctl.Client) (T, error), text func(io.Writer, T) error) error {
	return s.with(a, func(ctx context.Context, client *ctl.Client) error {
		v, err := fn(ctx, client)
		switch {
		case err != nil:
			return err
		case asJSON:
			return writeJSON(a.Stdout, v)
		}
		return text(a.Stdout, v)
	})
}

// helpShown is what kong's exit hook panics with: the one way out of its parser
// after --help was obeyed.
type helpShown struct{}

// newParser returns the parser of the grammar.
func newParser(root *Root, a *app.App) (*kong.Kong, error) {
	return kong.New(root,
		kong.Name("pmd"), kong.Description(description),
		kong.Writers(a.Stdout, a.Stderr),
		kong.Exit(func(int) { panic(helpShown{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: false, WrapUpperBound: 100}),
		kong.Vars{
			"idles":  strings.Join(dataplane.IdlePolicies(), ","),
			"modes":  strings.Join(forward.Modes(), ","),
			"shells": strings.Join(shellNames(), ","),
			"socket": ctl.DefaultSocket(),
		},
		kong.Bind(a),
	)
}

// parse reads the arguments. help tells that they asked for help, which was given.
func parse(k *kong.Kong, args []string) (ctx *kong.Context, help bool, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case helpShown:
			help = true
		default:
			panic(p)
		}
	}()
	ctx, err = k.Parse(args)
	return ctx, false, err
}

// Main runs the command that args ask for and returns the status to exit with.
// Errors are told on a.Stderr, in one line, or in one for each mistake in a file.
func Main(args []string, a *app.App) int {
	k, err := newParser(&Root{}, a)
	if err != nil {
		return tell(a, fmt.Errorf("command line grammar: %w", err))
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, help, err := parse(k, joinSigns(args))
	if help {
		return ExitOK
	}
	if err != nil {
		return tell(a, usage.Errorf("%w; see %q", err, helpFor(err)))
	}
	return tell(a, ctx.Run())
}

// helpFor returns the command that explains what a parse error is about.
func helpFor(err error) string {
	var pe *kong.ParseError
	if errors.As(err, &pe) && pe.Context != nil {
		if n := pe.Context.Selected(); n != nil {
			return n.FullPath() + " --help"
		}
	}
	return "pmd --help"
}

// tell writes the error, if there is one, and returns the status for it.
func tell(a *app.App, err error) int {
	if err == nil {
		return ExitOK
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	text, lines := err.Error(), mistakes{""}
	if errors.As(err, &lines) {
		text = strings.TrimSuffix(text, lines.Error())
	}
	for _, line := range lines {
		fmt.Fprintln(a.Stderr, "pmd:", strings.ReplaceAll(text+line, "\n", "; "))
	}
	var as exitAs
	if errors.As(err, &as) {
		return as.status
	}
	if usage.Is(err) {
		return ExitUsage
	}
	return ExitFailure
}

// exitAs is an error with a status of its own.
type exitAs struct {
	error
	status int
}

func (e exitAs) Unwrap() error { return e.error }

// writeJSON writes one JSON value and a newline.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
