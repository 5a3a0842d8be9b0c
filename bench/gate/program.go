package gate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"example.org/pmd/bench"
)

// program is a pmd that is set up for a scenario and sleeps between windows.
type program struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr bytes.Buffer
	ended  func() error
	ready  bench.Windows
}

// errUnknown says that a program does not know the command or the scenario.
var errUnknown = errors.New("not known")

// start starts a program; ready has to be awaited before it is told anything.
func start(ctx context.Context, path string, s bench.Scenario) (*program, error) {
	p := &program{cmd: exec.CommandContext(ctx, path, "bench", "windows", s.Name())}
	group(p.cmd)
	p.cmd.Stderr = &p.stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	p.ended = sync.OnceValue(func() error { return errors.Join(p.in.Close(), p.cmd.Wait()) })
	return p, p.cmd.Start()
}

// await waits until the program is set up for a scenario.
func (p *program) await(s bench.Scenario) error {
	if err := p.read(&p.ready); err != nil {
		return err
	}
	if p.ready.Version != bench.WindowsVersion || p.ready.Name != s.Name() {
		return fmt.Errorf("%w: it measures windows of version %d, this program knows version %d", errUnknown, p.ready.Version, bench.WindowsVersion)
	}
	return nil
}

// read reads a line.
func (p *program) read(v any) error {
	if !p.out.Scan() {
		return p.failure(errors.New("it ended early"))
	}
	if err := json.Unmarshal(p.out.Bytes(), v); err != nil {
		return fmt.Errorf("what it printed: %w", err)
	}
	return nil
}

// window has the program measure one.
func (p *program) window(length time.Duration) (w bench.Window, err error) {
	if _, err := fmt.Fprintln(p.in, length); err != nil {
		return w, p.failure(err)
	}
	err = p.read(&w)
	return w, err
}

// end lets the program take its account and end.
func (p *program) end() error {
	if err := p.ended(); err != nil {
		return p.failure(err)
	}
	return nil
}

// failure is the error of a program that has ended or is to, with what it said.
func (p *program) failure(err error) error {
	// It may not listen any more; its group is killed when its context is done.
	if e := p.ended(); e != nil {
		err = e
	}
	said := brief(strings.TrimPrefix(p.stderr.String(), "pmd: "))
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		return fmt.Errorf("%w: %s", errUnknown, said)
	}
	return fmt.Errorf("%w: %s", err, said)
}
