package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/config"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
)

// running is the configuration of the process that forwards, for the control socket.
type running struct {
	eng *engine.Engine
	log *slog.Logger

	mu    sync.Mutex // one change at a time; guards sheet
	sheet *sheet
}

// newRunning takes over the command that was started with.
func newRunning(c *RunCmd, eng *engine.Engine, log *slog.Logger) (*running, error) {
	s, err := newSheet()
	if err != nil {
		return nil, err
	}
	*s.cmd = *c
	return &running{eng: eng, log: log, sheet: s}, nil
}

// ShowConfig implements ctl.Configuration: the command as if it had been started
// with what is now.
func (r *running) ShowConfig(ctx context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := newSheet()
	if err != nil {
		return "", err
	}
	*s.cmd = *r.sheet.cmd
	fw := r.eng.Forwarding()
	s.cmd.Forward, s.cmd.Port = fw.Mode, nil
	if s.cmd.ModeFlags, err = modeFlags(fw.Options); err != nil {
		return "", fmt.Errorf("options of modes: %w", err)
	}
	for _, spec := range r.eng.Ports() {
		s.cmd.Port = append(s.cmd.Port, spec.String())
	}
	s.cmd.Xconnect, s.cmd.EthPeer = r.eng.Links(), r.eng.Peers()
	s.cmd.If, s.cmd.Core = nil, nil
	interfaces, err := r.eng.InterfaceConfigs(ctx)
	if err != nil {
		return "", err
	}
	for _, f := range interfaces {
		s.cmd.If = append(s.cmd.If, f.String())
	}
	for _, core := range r.eng.Tuning() {
		s.cmd.Core = append(s.cmd.Core, core.String())
	}
	doc, err := s.document()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = doc.Write(&b)
	return b.String(), err
}

// ApplyConfig implements ctl.Configuration.
func (r *running) ApplyConfig(ctx context.Context, text string, dryRun bool) ([]ctl.Change, error) {
	next, mistakes, err := readConfig([]byte(text), nil)
	if err != nil {
		return nil, err
	}
	if len(mistakes) > 0 {
		return nil, told("configuration", mistakes)
	}
	cfg, err := next.cmd.config()
	if err != nil {
		return nil, err
	}
	if !r.mu.TryLock() {
		return nil, engine.ErrChanging
	}
	defer r.mu.Unlock()
	restart := r.restarts(next)
	if dryRun || len(restart) > 0 {
		steps, err := r.eng.Plan(ctx, cfg)
		if err != nil {
			return nil, err
		}
		changes := append(changesOf(steps), restart...)
		if !dryRun {
			return changes, fmt.Errorf("nothing was changed: %w: %s", ctl.ErrRestart, keysOf(restart))
		}
		return changes, nil
	}
	steps, err := r.eng.Apply(ctx, cfg)
	if err != nil {
		return nil, err
	}
	// What the file does not say about the process stays as it is.
	for _, name := range next.names {
		if next.class(name) == applyProcess {
			next.flags[name].Target.Set(r.sheet.flags[name].Target)
		}
	}
	r.sheet = next
	changes := changesOf(steps)
	for _, c := range changes {
		r.log.Info("configuration changed", "key", c.Key, "change", c.Text)
	}
	return changes, nil
}

// restarts returns the differences that only a restart can make.
func (r *running) restarts(next *sheet) (changes []ctl.Change) {
	for _, name := range next.names {
		class := next.class(name)
		if class == applyLive || class == applyProcess && !next.named[name] {
			continue
		}
		was, is := shown(r.sheet, name), shown(next, name)
		if was != is {
			changes = append(changes, ctl.Change{Key: name, Text: fmt.Sprintf("%s: %s → %s", name, was, is), Restart: true})
		}
	}
	return changes
}

// shown returns a value as a file has it.
func shown(s *sheet, name string) string {
	v, ok := s.value(name)
	if !ok {
		return "unset"
	}
	return v.String()
}

// keysOf lists the keys of changes.
func keysOf(changes []ctl.Change) string {
	keys := make([]string, len(changes))
	for i, c := range changes {
		keys[i] = c.Text
	}
	return strings.Join(keys, ", ")
}

// changesOf tells of steps.
func changesOf(steps []engine.Step) []ctl.Change {
	changes := make([]ctl.Change, 0, len(steps))
	or := func(s string) string {
		if s == "" {
			return "default"
		}
		return s
	}
	for _, s := range steps {
		c := ctl.Change{Key: portKey}
		switch s.What {
		case engine.StepAdd:
			c.Text = fmt.Sprintf("add port %s: %s", s.Port, s.To)
		case engine.StepRemove:
			c.Text = fmt.Sprintf("remove port %s: %s", s.Port, s.From)
		case engine.StepRename:
			c.Text = fmt.Sprintf("rename port %s: %s", s.From, s.To)
		case engine.StepPollCPU:
			c.Text = fmt.Sprintf("port %s: pollcpu: %s → %s", s.Port, or(s.From), or(s.To))
		case engine.StepInterface:
			c.Key, c.Text = interfaceKey, fmt.Sprintf("interface %s: %s → %s", s.Port, or(s.From), or(s.To))
		case engine.StepCore:
			c.Key, c.Text = coreKey, fmt.Sprintf("core %s: %s → %s", s.Port, s.From, s.To)
		case engine.StepMode:
			c.Key, c.Text = "forward", fmt.Sprintf("forward: %s → %s", s.From, s.To)
		case engine.StepOptions:
			c.Key, c.Text = "options of modes", fmt.Sprintf("options of modes: %s → %s", or(s.From), or(s.To))
		case engine.StepConnect:
			c.Key, c.Text = "xconnect", fmt.Sprintf("%s forwards to %s", s.Port, s.To)
			if s.From != "" {
				c.Text += ", not to " + s.From
			}
		case engine.StepPeer:
			c.Key, c.Text = "eth-peer", fmt.Sprintf("peer of %s: %s → %s", s.Port, or(s.From), or(s.To))
		}
		changes = append(changes, c)
	}
	return changes
}

// ConfigCmd is pmd config.
type ConfigCmd struct {
	Show  ConfigShowCmd  `cmd:"" help:"Print the configuration of the running process, as a file."`
	Check ConfigCheckCmd `cmd:"" help:"Tell line and key of every mistake in a file."`
	Diff  ConfigDiffCmd  `cmd:"" help:"Tell what apply would change."`
	Apply ConfigApplyCmd `cmd:"" help:"Change the running process to what a file says: all of it, or nothing."`
}

// ConfigShowCmd is pmd config show.
type ConfigShowCmd struct {
	SocketFlag
}

// Run prints the configuration of the running process.
func (c *ConfigShowCmd) Run(a *app.App) error {
	return c.with(a, func(ctx context.Context, client *ctl.Client) error {
		text, err := client.Config(ctx)
		if err != nil {
			return err
		}
		_, err = io.WriteString(a.Stdout, text)
		return err
	})
}

// ConfigCheckCmd is pmd config check.
type ConfigCheckCmd struct {
	File string `arg:"" complete:"file" help:"Configuration file."`
	JSON bool   `name:"json" help:"Write JSON."`
}

// Run tells every mistake in the file. The machine is not looked at: a file may be
// for another one.
func (c *ConfigCheckCmd) Run(a *app.App) error {
	data, err := readConfigFile(c.File)
	if err != nil {
		return err
	}
	_, mistakes, err := readConfig(data, nil)
	if err != nil {
		return err
	}
	if c.JSON {
		out := struct {
			Mistakes []config.Mistake `json:"mistakes"`
		}{append([]config.Mistake{}, mistakes...)}
		if err := writeJSON(a.Stdout, out); err != nil {
			return err
		}
	} else {
		var b bytes.Buffer
		for _, m := range mistakes {
			fmt.Fprintln(&b, m.String(c.File))
		}
		if len(mistakes) == 0 {
			fmt.Fprintf(&b, "%s: no mistake\n", c.File)
		}
		if _, err := b.WriteTo(a.Stdout); err != nil {
			return err
		}
	}
	switch n := len(mistakes); n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("config check: %s: 1 mistake", c.File)
	default:
		return fmt.Errorf("config check: %s: %d mistakes", c.File, n)
	}
}

// ConfigDiffCmd is pmd config diff.
type ConfigDiffCmd struct {
	File string `arg:"" complete:"file" help:"Configuration file."`
	JSON bool   `name:"json" help:"Write JSON."`
	SocketFlag
}

// Run tells what apply would change, and nothing if that is nothing.
func (c *ConfigDiffCmd) Run(a *app.App) error {
	return applyFile(a, c.File, c.SocketFlag, true, c.JSON)
}

// ConfigApplyCmd is pmd config apply.
type ConfigApplyCmd struct {
	File   string `arg:"" complete:"file" help:"Configuration file."`
	DryRun bool   `help:"Only tell what would change, as diff does."`
	JSON   bool   `name:"json" help:"Write JSON."`
	SocketFlag
}

// Run makes the running process what the file says, and tells what it changed.
func (c *ConfigApplyCmd) Run(a *app.App) error {
	return applyFile(a, c.File, c.SocketFlag, c.DryRun, c.JSON)
}

// applyFile sends a file, read once, to the running process.
func applyFile(a *app.App, file string, socket SocketFlag, dryRun, asJSON bool) error {
	data, err := readConfigFile(file)
	if err != nil {
		return err
	}
	_, mistakes, err := readConfig(data, nil)
	if err != nil {
		return err
	}
	if len(mistakes) > 0 {
		return told(file, mistakes)
	}
	return ask(a, socket, asJSON, func(ctx context.Context, client *ctl.Client) (ctl.Applied, error) {
		return client.ApplyConfig(ctx, string(data), dryRun)
	}, func(w io.Writer, applied ctl.Applied) error {
		for _, change := range applied.Changes {
			text := change.Text
			if change.Restart {
				text += " (needs a restart)"
			}
			if _, err := fmt.Fprintln(w, text); err != nil {
				return err
			}
		}
		return nil
	})
}
