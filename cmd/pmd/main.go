package main

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/cli"
)

// gcPercent makes the collector run once in some 128 MiB of garbage instead of 4: reading
// statistics makes it, and each run stops the pollers for some hundred microseconds, or for
// milliseconds where the CPUs that do not poll are busy.
const gcPercent = 3200

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// Room for the signals a person sends while the first is being obeyed.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Main(os.Args[1:], &app.App{
		Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals, Exit: os.Exit,
	}))
}
