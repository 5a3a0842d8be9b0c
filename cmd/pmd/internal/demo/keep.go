package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
)

// answerTime is how long requests may still take when the demo ends.
const answerTime = time.Second

// linger serves the control socket of `pmd run` until ctx is done or a client asks
// for an end. Nothing is left of the socket.
func (d *demo) linger(ctx context.Context) (err error) {
	path := d.socket
	if path == "" {
		// A place of its own: neither a `pmd run` nor another demo may be in
		// the way.
		dir, err := os.MkdirTemp("", "pmd-demo-")
		if err != nil {
			return fmt.Errorf("directory for the control socket: %w: choose a place with --socket", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		path = filepath.Join(dir, "pmd.sock")
	}
	l, err := ctl.Listen(path)
	if err != nil {
		return err
	}
	asked := target{Engine: d.engine, stop: make(chan struct{}, 1)}
	server := ctl.NewServer(asked, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	lines := keepLines(append(clientHints(path), d.bed.hints()...))
	if d.table != nil {
		d.table.printf("%s", lines)
	} else {
		fmt.Fprint(d.notes, lines)
	}
	select {
	case <-ctx.Done():
	case <-asked.stop:
	case err = <-served:
		return err
	}
	bound, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return errors.Join(server.Close(bound), <-served)
}

// target is the engine as clients see it: to stop it is to end the demo, which has
// more to take down.
type target struct {
	*engine.Engine
	stop chan struct{}
}

// Stop implements ctl.Target.
func (t target) Stop() {
	select {
	case t.stop <- struct{}{}:
	default: // it is on its way out already
	}
}

// clientHints are commands that ask over the socket.
func clientHints(socket string) []string {
	me := self(os.Executable, exec.LookPath)
	return []string{
		me + " stats --socket " + socket + " --interval 1s",
		me + " if show --socket " + socket,
		"curl --unix-socket " + socket + " http://pmd/v1/stats",
	}
}

// self returns a command that starts this program again.
func self(executable func() (string, error), lookPath func(string) (string, error)) string {
	path, err := executable()
	if err != nil {
		return "pmd"
	}
	if found, err := lookPath("pmd"); err == nil && found == path {
		return "pmd"
	}
	// `go run` builds into a folder that goes when the program ends, or into
	// the build cache, whose paths nobody wants to type.
	if strings.Contains(path, "go-build") {
		return "go run ./cmd/pmd"
	}
	return path
}
