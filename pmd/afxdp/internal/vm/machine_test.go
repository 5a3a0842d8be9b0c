package vm

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fake plays QEMU: what each run writes to the two serial ports, and how it ends.
type fake struct {
	console, results string
	hang             bool
	err              error
}

func (f fake) run(ctx context.Context, argv []string, _ []*os.File) error {
	var files []string
	for i, a := range argv {
		if a == "-serial" {
			files = append(files, strings.TrimPrefix(argv[i+1], "file:"))
		}
	}
	for i, text := range []string{f.console, f.results} {
		if err := os.WriteFile(files[i], []byte(text), 0o644); err != nil {
			return err
		}
	}
	if f.hang {
		<-ctx.Done()
		return errors.New("signal: killed")
	}
	return f.err
}

// machine returns a machine whose runs are these, one after the other.
func machine(t *testing.T, runs ...fake) Machine {
	n := 0
	return Machine{Name: "m", Kernel: "k", Initramfs: "i", Logs: filepath.Join(t.TempDir(), "logs"), Limit: 50 * time.Millisecond,
		run: func(ctx context.Context, argv []string, files []*os.File) error {
			f := runs[min(n, len(runs)-1)]
			n++
			return f.run(ctx, argv, files)
		}}
}

const (
	began = `{"release":"6.1"}` + "\n"
	ended = `{"end":0}` + "\n"
)

func TestMachineFailures(t *testing.T) {
	for name, c := range map[string]struct {
		run  fake
		step string
		want string
	}{
		"hangs at boot":       {fake{hang: true, console: "Decompressing"}, "boot", "hangs: ended after 50ms"},
		"hangs in a test":     {fake{hang: true, results: began}, "tests", "hangs: ended after 50ms"},
		"panics":              {fake{results: began, console: "x\n[ 1.0] Kernel panic - not syncing: Attempted to kill init!\nmore\n"}, "kernel", "Attempted to kill init!"},
		"garbage":             {fake{results: began + "\x00\x17garbage\n"}, "results", "line 2 of the results is garbage"},
		"garbage at the end":  {fake{results: began + ended + "{}\n"}, "results", "follows the end"},
		"another's JSON":      {fake{results: `{"release":"6.1","colour":1}` + "\n"}, "results", "colour"},
		"ends by itself":      {fake{console: "one\ntwo\n"}, "boot", "ended without a result: one | two"},
		"ends in a test":      {fake{results: began}, "tests", "ended without a result"},
		"QEMU cannot":         {fake{err: errors.New("exit status 1: no such machine")}, "QEMU", "no such machine"},
		"a kernel without it": {fake{results: began + `{"end":1}` + "\n", console: "--- FAIL: TestA (0.1s)\r\n    --- FAIL: TestA/b (0.1s)\r\n"}, "tests", "failed: TestA, TestA/b"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t, c.run)
			r, _, err := m.Run(t.Context())
			require.Nil(t, r)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.step, e.Step)
			require.ErrorContains(t, err, c.want)
			for _, n := range []string{"m-1", "m-2"} { // two runs, each with its logs
				require.ErrorContains(t, err, n+".log")
				log, err := os.ReadFile(filepath.Join(m.Logs, n+".log"))
				require.NoError(t, err)
				require.Equal(t, c.run.console, string(log))
				require.FileExists(t, filepath.Join(m.Logs, n+".jsonl"))
			}
		})
	}
}

func TestMachineSecondRun(t *testing.T) {
	r, first, err := machine(t, fake{results: began + ended}).Run(t.Context())
	require.NoError(t, err)
	require.NoError(t, first)
	require.Equal(t, "6.1", r.Release)

	r, first, err = machine(t, fake{hang: true, console: "first"}, fake{results: began + ended, console: "second"}).Run(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, first, "hangs", "why there was a second run is told")
	require.True(t, r.Ended)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := machine(t, fake{hang: true})
	_, _, err = m.Run(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, filepath.Join(m.Logs, "m-2.log"), "who gives up gets no second run")
}

func TestMachineLogsCannotBeWritten(t *testing.T) {
	m := machine(t, fake{})
	require.NoError(t, os.WriteFile(m.Logs, nil, 0o644)) // a file where the folder should be
	_, _, err := m.Run(t.Context())
	require.ErrorContains(t, err, "guest: logs")
}

// The program is ended when it hangs: the process itself, by its id.
func TestStartEndsItsProcess(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := start(ctx, []string{"sh", "-c", "echo $$ > " + pid + "; exec sleep 60"}, nil)
	require.ErrorContains(t, err, "killed")
	text, err := os.ReadFile(pid)
	require.NoError(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.ErrorIs(t, syscall.Kill(n, 0), syscall.ESRCH)

	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, start(t.Context(), []string{"sh", "-c", "echo told >&3"}, []*os.File{w}))
	w.Close()
	told, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "told\n", string(told), "files have the numbers that argv counts on")

	require.ErrorContains(t, start(t.Context(), []string{"sh", "-c", "echo why >&2; exit 1"}, nil), "exit status 1: why")
	require.ErrorContains(t, start(t.Context(), []string{"no-such-emulator"}, nil), "not found")
}

func TestArgv(t *testing.T) {
	m := Machine{QEMU: []string{"q"}, Kernel: "k", Initramfs: "i", CPUs: 2, Memory: 512, Args: []string{"-test.v"}, NICs: []NIC{
		{Model: "virtio-net-pci", Options: "x=on", Hub: 1}, {Model: "igb", Hub: 1, Far: true},
	}}
	m.NICs = append(m.NICs, NIC{Model: "virtio-net-pci", Hub: 2, Taps: []*os.File{os.Stdin, os.Stdout}}, NIC{Model: "e1000e", Hub: 2, Far: true, Taps: []*os.File{os.Stderr}})
	argv, files := m.argv("c", "r")
	require.Equal(t, []*os.File{os.Stdin, os.Stdout, os.Stderr}, files)
	line := strings.Join(argv, " ")
	for _, want := range []string{
		"q -nodefaults", "-kernel k -initrd i", " -- -test.v", "-serial file:c -serial file:r",
		"-netdev hubport,id=n0,hubid=1 -device virtio-net-pci,netdev=n0,mac=02:70:6d:64:01:00,x=on",
		"-device pcie-root-port,id=p1,chassis=2,slot=2 -netdev hubport,id=n1,hubid=1 -device igb,netdev=n1,mac=02:70:6d:64:01:01,bus=p1",
		"-netdev tap,id=n2,vhost=off,fds=3:4 -device virtio-net-pci,netdev=n2,mac=02:70:6d:64:02:00,mq=on,vectors=6 ",
		"-netdev tap,id=n3,vhost=off,fds=5 -device e1000e,netdev=n3,mac=02:70:6d:64:02:01",
	} {
		require.Contains(t, line, want)
	}
}
