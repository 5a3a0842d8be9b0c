package demo_test

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/cli"
)

// asProgram makes the test binary be pmd: what concerns a whole process (its signals,
// its threads, its end) is tested in a process of its own.
const asProgram = "PMD_DEMO_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Main(os.Args[1:], &app.App{
		Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals, Exit: os.Exit,
	}))
}
