package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/dataplane"
)

// logJSON is the --log-format of one JSON object a line.
const logJSON = "json"

// LogFlags are embedded by commands that keep a log.
type LogFlags struct {
	LogFormat string `apply:"process" default:"text" enum:"text,json" placeholder:"FORMAT" help:"Form of the log on standard error: ${enum} (default ${default}). As json it also takes what a person is told at the start."`
	LogLevel  string `apply:"process" default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"Leave out of the log what is less than this: ${enum} (default ${default})."`
}

// logger returns the log.
func (f LogFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // the grammar has checked it; else it is info
	opts := &slog.HandlerOptions{Level: level}
	if f.LogFormat == logJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// voice tells a person at the terminal, or the log if that is for programs, what
// becomes of a run.
type voice struct {
	w    io.Writer
	log  *slog.Logger
	json bool
}

// stopping tells that a signal is being obeyed.
func (v voice) stopping(s os.Signal) {
	if v.json {
		v.log.Info("stopping, once more ends at once", "signal", s.String())
		return
	}
	fmt.Fprintf(v.w, "pmd: %v: stopping; once more ends at once\n", s)
}

// running tells what is running.
func (v voice) running(eng *engine.Engine, socket, metrics string) {
	list, err := eng.Interfaces(context.Background())
	if err != nil {
		return // it is stopping already
	}
	poll, rest := eng.Cores()
	if v.json {
		for _, f := range list {
			v.log.Info("port open", "id", f.ID, "port", f.Name, "driver", f.Driver, "mode", f.Mode, "queues", len(f.Queues),
				"mac", f.MAC, "mtu", f.MTU, "up", f.Up, "detail", f.Detail, "to", f.To)
		}
		v.log.Info("polling", "mode", eng.Mode(), "cpus", poll, "other_threads", rest.String(), "socket", socket, "metrics", metrics)
		return
	}
	for _, f := range list {
		parts := []string{f.Driver}
		if f.Mode != "" {
			parts[0] += " " + f.Mode
		}
		queues := "1 queue"
		if len(f.Queues) != 1 {
			queues = fmt.Sprintf("%d queues", len(f.Queues))
		}
		parts = append(parts, queues, f.MAC, fmt.Sprintf("MTU %d", f.MTU))
		if !f.Up {
			parts = append(parts, strings.TrimSuffix("down: "+f.Detail, ": "))
		}
		fmt.Fprintf(v.w, "pmd: port %d %s: %s, to %s\n", f.ID, f.Name, strings.Join(parts, ", "), f.To)
	}
	cpus := make([]string, len(poll))
	for i, id := range poll {
		cpus[i] = show.CPU(id)
	}
	line := fmt.Sprintf("pmd: mode %s, polling on CPU %s", eng.Mode(), strings.Join(cpus, ","))
	if !rest.IsEmpty() {
		line += fmt.Sprintf(", everything else on CPU %v", rest)
	}
	fmt.Fprintln(v.w, line)
	option := ""
	if socket != ctl.DefaultSocket() {
		option = " --socket " + socket
	}
	fmt.Fprintf(v.w, "pmd: socket %s; look with \"pmd stats%s\", end with Ctrl-C or \"pmd stop%s\"\n", socket, option, option)
	if metrics != "" {
		fmt.Fprintf(v.w, "pmd: metrics on http://%s/metrics\n", metrics)
	}
}

// logEvent logs what happened to a port or a worker.
func logEvent(log *slog.Logger, e dataplane.Event) {
	level := slog.LevelInfo
	switch e.Kind {
	case dataplane.EventPortDown, dataplane.EventQueuesUnpolled, dataplane.EventMTUExceeded, engine.EventsLost:
		level = slog.LevelWarn
	case dataplane.EventWorkerFailed:
		level = slog.LevelError
	}
	attrs := []slog.Attr{slog.String("event", e.Kind)}
	if e.Port != "" {
		attrs = append(attrs, slog.String("port", e.Port))
	}
	if e.CPU != dataplane.Unpinned {
		attrs = append(attrs, slog.Int("cpu", e.CPU))
	}
	log.LogAttrs(context.Background(), level, e.Text, attrs...)
}
