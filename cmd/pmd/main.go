package main

import (
	"os"
	"os/signal"
	"syscall"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/cli"
)

func main() {
	// Room for the signals a person sends while the first is being obeyed.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Main(os.Args[1:], &app.App{
		Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals, Exit: os.Exit,
	}))
}
