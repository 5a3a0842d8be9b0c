package cli

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
)

// CoreCmd is pmd core.
type CoreCmd struct {
	Show CoreShowCmd `cmd:"" help:"Show how cores poll, and what their cycles go into."`
	Set  CoreSetCmd  `cmd:"" help:"Change how a core polls, or all of them."`
}

// CoreShowCmd is pmd core show.
type CoreShowCmd struct {
	CPU  string `arg:"" optional:"" help:"A poll core, by CPU or as w0, w1, … (default: all)."`
	JSON bool   `name:"json" help:"Write JSON."`
	SocketFlag
}

// Run shows how the cores of the running process poll.
func (c *CoreShowCmd) Run(a *app.App) error {
	return ask(a, c.SocketFlag, c.JSON, func(ctx context.Context, client *ctl.Client) (ctl.Cores, error) {
		list, err := client.Cores(ctx, c.CPU)
		return ctl.Cores{Cores: list}, err
	}, func(w io.Writer, list ctl.Cores) error { return show.Cores(w, list.Cores) })
}

// CoreSetCmd is pmd core set.
type CoreSetCmd struct {
	Args []string `arg:"" name:"setting" help:"[CPU] KEY VALUE…, such as: 2 idle spin burst_max 300. Keys: enable 0|1, pollhz, each_burst, burst_max, user_frac, reg_frac, idle spin|adaptive|interrupt."`
	JSON bool     `name:"json" help:"Write the result as JSON."`
	SocketFlag
}

// pollKeys are the settings of a core, in the order they are told.
func pollKeys() []string {
	return []string{"enable", "pollhz", "each_burst", "burst_max", "user_frac", "reg_frac", "idle"}
}

// parseCore reads the value of --core, as engine.CoreSettings writes it. Ranges are
// for the engine to check.
func parseCore(text string) (s engine.CoreSettings, err error) {
	id, rest, ok := strings.Cut(text, ",")
	if s.CPU, err = strconv.Atoi(id); err != nil || s.CPU < 0 || !ok {
		return s, usage.Errorf("%q: write a CPU, a comma and settings, as in 2,idle=spin,burst_max=300", text)
	}
	seen := map[string]bool{}
	for item := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(item, "=")
		if !ok || !slices.Contains(pollKeys(), key) {
			return s, usage.Errorf("%q: no setting %q; there are %s, each with = and a value", text, key, strings.Join(pollKeys(), ", "))
		}
		if seen[key] {
			return s, usage.Errorf("%q: %s is given twice", text, key)
		}
		seen[key] = true
		if key == "idle" {
			idle := dataplane.Idle(value)
			s.Idle = &idle
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return s, usage.Errorf("%q: %s=%s: use a number", text, key, value)
		}
		to := map[string]**int{
			"enable": &s.Enable, "pollhz": &s.PollHz, "each_burst": &s.EachBurst, "burst_max": &s.BurstMax,
			"user_frac": &s.UserFrac, "reg_frac": &s.RegFrac,
		}[key]
		*to = &n
	}
	return s, nil
}

// settings divides the arguments. Ranges are for the process to check: it knows what
// the other settings are.
func (c *CoreSetCmd) settings() (ref string, set map[string]any, err error) {
	args := c.Args
	if len(args)%2 == 1 {
		ref, args = args[0], args[1:]
	}
	if len(args) == 0 || ref != "" && slices.Contains(pollKeys(), ref) {
		return "", nil, usage.Errorf("core set %s: KEY VALUE expected, for example: pmd core set 2 idle spin", strings.Join(c.Args, " "))
	}
	set = map[string]any{}
	for i := 0; i < len(args); i += 2 {
		key, value := args[i], args[i+1]
		if !slices.Contains(pollKeys(), key) {
			return "", nil, usage.Errorf("core set: no setting %q; there are %s", key, strings.Join(pollKeys(), ", "))
		}
		if _, twice := set[key]; twice {
			return "", nil, usage.Errorf("core set: %s is given twice", key)
		}
		if key == "idle" {
			set[key] = value
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return "", nil, usage.Errorf("core set: %s %s: use a number", key, value)
		}
		set[key] = n
	}
	return ref, set, nil
}

// Run changes how cores of the running process poll.
func (c *CoreSetCmd) Run(a *app.App) error {
	ref, set, err := c.settings()
	if err != nil {
		return err
	}
	return ask(a, c.SocketFlag, c.JSON, func(ctx context.Context, client *ctl.Client) (ctl.Cores, error) {
		list, err := client.SetPolling(ctx, ref, set)
		return ctl.Cores{Cores: list}, err
	}, func(io.Writer, ctl.Cores) error { return nil })
}
