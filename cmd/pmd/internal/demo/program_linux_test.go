//go:build linux

package demo_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/demo"
	"example.org/pmd/cpu"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// patience bounds how long a demo may take in a test: the machine may be busy.
const patience = 3 * time.Minute

// child is a pmd demo in a process of its own.
type child struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr bytes.Buffer
	all            bytes.Buffer // what stdout was, for a test that failed
}

// program prepares a pmd with these arguments.
func program(t *testing.T, args ...string) *child {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c := &child{Cmd: exec.CommandContext(ctx, os.Args[0], args...), t: t}
	c.Env = append(os.Environ(), asProgram+"=1")
	c.Stdout, c.Stderr = io.MultiWriter(&c.stdout, &c.all), &c.stderr
	// Let it clean up even if the test gives up on it.
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = time.Minute
	return c
}

// end waits for the process and returns its exit status.
func (c *child) end() int {
	c.t.Helper()
	_ = c.Wait() // the status says it all
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("stdout: %s\nstderr: %s", c.all.String(), c.stderr.String())
		}
	})
	require.True(c.t, c.ProcessState.Exited(), "it did not end by itself: %v", c.ProcessState)
	return c.ProcessState.ExitCode()
}

// report reads the one object that --json prints.
func (c *child) report() demo.Report {
	c.t.Helper()
	dec := json.NewDecoder(&c.stdout)
	var r demo.Report
	require.NoError(c.t, dec.Decode(&r), "stderr: %s", c.stderr.String())
	assert.ErrorIs(c.t, dec.Decode(new(any)), io.EOF, "something follows the object")
	return r
}

// traces lists what a demo makes that can be seen from outside: namespaces, and
// interfaces in the namespace of the test.
func traces(t *testing.T) map[string]bool {
	all := map[string]bool{}
	names, err := filepath.Glob("/run/netns/demo*")
	require.NoError(t, err)
	links, err := netlink.LinkList()
	require.NoError(t, err)
	for _, n := range names {
		all[n] = true
	}
	for _, l := range links {
		all[l.Attrs().Name] = true
	}
	return all
}

// leavesNothing fails the test if something is there at its end that was not there
// before. Other demos on the machine get time to end: what is left behind stays.
func leavesNothing(t *testing.T) {
	before := traces(t)
	t.Cleanup(func() {
		var fresh []string
		for n := range traces(t) {
			if !before[n] {
				fresh = append(fresh, n)
			}
		}
		assert.Eventually(t, func() bool {
			now := traces(t)
			for _, n := range fresh {
				if now[n] {
					return false
				}
			}
			return true
		}, time.Minute, 200*time.Millisecond, "left behind, one of %v", fresh)
	})
}

// assertReal checks what is the same in every report of the real bed.
func assertReal(t *testing.T, r demo.Report) {
	t.Helper()
	require.Len(t, r.Ports, 2)
	for i, name := range []string{"a0", "b0"} {
		assert.Equal(t, name, r.Ports[i].Name)
		assert.Equal(t, "afxdp", r.Ports[i].Driver)
		assert.Contains(t, []string{"copy", "generic"}, r.Ports[i].Mode)
		assert.Equal(t, 1, r.Ports[i].Queues)
	}
	var names []string
	for _, c := range r.Checks {
		names = append(names, c.Name)
	}
	assert.Equal(t, []string{"ping", "tcp", "udp", "flood", "offered", "forwarded", "delivered", "frames"}, names)
}

// TestTwoDemos runs two at a time, which is twice the real thing.
func TestTwoDemos(t *testing.T) {
	netlabtest.RequireRoot(t)
	leavesNothing(t)
	pair := []*child{program(t, "demo", "--json"), program(t, "demo", "--json")}
	for _, c := range pair {
		require.NoError(t, c.Start())
	}
	for _, c := range pair {
		assert.Zero(t, c.end(), "stderr: %s", c.stderr.String())
		assert.Empty(t, c.stderr.String())
		r := c.report()
		assertReal(t, r)
		assert.True(t, r.OK)
		for _, k := range r.Checks {
			assert.True(t, k.OK, "%s: %s", k.Name, k.Detail)
		}
		assert.Positive(t, r.Throughput.PPS)
		assert.Equal(t, 60, r.Throughput.FrameSize)
		assert.Equal(t, demo.Frames{Pool: 16384, Accounted: 16384}, r.Frames)
	}
}

// TestOneCPU runs everything on a single CPU, which the poller then shares.
func TestOneCPU(t *testing.T) {
	t.Parallel()
	netlabtest.RequireRoot(t)
	leavesNothing(t)
	topo, err := cpu.Local()
	require.NoError(t, err)
	c := program(t, "demo", "--json")
	// A process has the affinity of the thread that made it.
	pinned, err := cpu.Pin(topo.Allowed.Min())
	require.NoError(t, err)
	require.NoError(t, c.Start())
	require.NoError(t, pinned.Release())
	assert.Zero(t, c.end())
	r := c.report()
	assertReal(t, r)
	assert.True(t, r.OK)
}

// TestForwardingOff: without forwarding every check fails, and none waits for ever.
func TestForwardingOff(t *testing.T) {
	netlabtest.RequireRoot(t)
	leavesNothing(t)
	c := program(t, "demo", "--json", "--forward", "none")
	require.NoError(t, c.Start())
	assert.Equal(t, 1, c.end())
	assert.Equal(t, 1, strings.Count(c.stderr.String(), "\n"), "one line: %s", c.stderr.String())
	assert.Contains(t, c.stderr.String(), "8 of 8 checks failed")
	r := c.report()
	assertReal(t, r)
	assert.False(t, r.OK)
	for _, k := range r.Checks {
		assert.False(t, k.OK, "%s: %s", k.Name, k.Detail)
	}
}

// until reads lines until one has the text, and goes on reading in the background.
func until(t *testing.T, r io.Reader, text string) (seen []string) {
	t.Helper()
	s := bufio.NewScanner(r)
	for s.Scan() {
		seen = append(seen, s.Text())
		if strings.Contains(s.Text(), text) {
			go func() { _, _ = io.Copy(io.Discard, r) }()
			return seen
		}
	}
	require.Failf(t, "it ended too early", "no %q in %q", text, seen)
	return nil
}

// TestInterrupted interrupts the real demo at several stages, by both signals.
func TestInterrupted(t *testing.T) {
	netlabtest.RequireRoot(t)
	for text, signal := range map[string]os.Signal{
		"pmd demo": syscall.SIGINT, // during ping
		"✓ ping":   syscall.SIGTERM,
		"✓ tcp":    syscall.SIGHUP,
		"✓ udp":    syscall.SIGINT, // during the flood
	} {
		t.Run(text, func(t *testing.T) {
			if signal == syscall.SIGHUP && ossignal.Ignored(signal) {
				t.Skip("this process ignores SIGHUP, as nohup has it, and so do those that it starts")
			}
			leavesNothing(t)
			c := program(t, "demo")
			c.Stdout = nil
			out, err := c.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, c.Start())
			until(t, out, text)
			require.NoError(t, c.Process.Signal(signal))
			assert.Equal(t, 1, c.end())
			assert.Equal(t, "pmd: demo: interrupted; everything it made is removed\n", c.stderr.String())
		})
	}
}

// hasNamespace tells whether the process has opened a network namespace: what other
// demos on the machine make does not count.
func (c *child) hasNamespace() bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", c.Process.Pid))
	return slices.ContainsFunc(files, func(f string) bool {
		to, _ := os.Readlink(f)
		return strings.HasPrefix(to, "net:[") || strings.HasPrefix(to, "/run/netns/")
	})
}

// TestInterruptedWhileMaking sends the signal before anything is said.
func TestInterruptedWhileMaking(t *testing.T) {
	netlabtest.RequireRoot(t)
	leavesNothing(t)
	c := program(t, "demo", "--json")
	require.NoError(t, c.Start())
	require.Eventually(t, func() bool { return c.hasNamespace() }, patience, time.Millisecond)
	require.NoError(t, c.Process.Signal(os.Interrupt))
	assert.Equal(t, 1, c.end())
	assert.False(t, c.report().OK)
}

// TestReaderClosesPipe: a reader that goes away must not leave things behind.
func TestReaderClosesPipe(t *testing.T) {
	netlabtest.RequireRoot(t)
	leavesNothing(t)
	c := program(t, "demo")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c.Stdout = w
	require.NoError(t, c.Start())
	require.NoError(t, w.Close())
	require.NoError(t, r.Close())
	assert.Equal(t, 1, c.end())
	assert.Contains(t, c.stderr.String(), "broken pipe")
}

// TestKeep looks at a demo that goes on, as its user is told to.
func TestKeep(t *testing.T) {
	t.Parallel()
	netlabtest.RequireRoot(t)
	leavesNothing(t)
	c := program(t, "demo", "--keep")
	c.Stdout = nil
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	seen := until(t, out, "ip -details link show a0")

	var socket string
	for _, line := range seen {
		if _, rest, ok := strings.Cut(line, "curl --unix-socket "); ok {
			socket, _, _ = strings.Cut(rest, " ")
		}
	}
	require.FileExists(t, socket)
	client := ctl.NewClient(socket)
	defer client.Close()
	list, err := client.Interfaces(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 2)
	for _, f := range list {
		assert.True(t, f.Up, f.Detail)
	}
	first, err := client.Stats(t.Context())
	require.NoError(t, err)

	// Traffic still flows: the namespaces are there to be entered.
	for _, line := range seen {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "ip netns exec ") || !strings.Contains(line, " ping ") {
			continue // the check of that name is no command
		}
		fields := strings.Fields(line + " -c 3 -W 10")
		if _, err := exec.LookPath("ping"); err != nil {
			t.Log("no ping command on this machine")
			break
		}
		text, err := exec.Command(fields[0], fields[1:]...).CombinedOutput()
		require.NoError(t, err, "%s: %s", line, text)
		later, err := client.Stats(t.Context())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, later.Ports[0].RxPackets, first.Ports[0].RxPackets+3)
	}

	require.NoError(t, c.Process.Signal(os.Interrupt))
	assert.Zero(t, c.end(), "stderr: %s", c.stderr.String())
	assert.NoDirExists(t, filepath.Dir(socket))
}

// TestKeepStopped ends a kept demo through its socket, with JSON on the other side.
func TestKeepStopped(t *testing.T) {
	t.Parallel()
	netlabtest.RequireRoot(t)
	leavesNothing(t)
	socket := filepath.Join(t.TempDir(), "s")
	c := program(t, "demo", "--keep", "--json", "--socket", socket)
	require.NoError(t, c.Start())
	client := ctl.NewClient(socket)
	defer client.Close()
	require.Eventually(t, func() bool { return client.Stop(t.Context()) == nil }, patience, 50*time.Millisecond)
	assert.Zero(t, c.end(), "stderr: %s", c.stderr.String())
	assert.True(t, c.report().OK)
	assert.NoFileExists(t, socket)
	assert.Contains(t, c.stderr.String(), "stats --socket "+socket, "the commands are told aside")
}

// TestNotRoot: without privileges one line says what is missing, and the demo runs in
// memory.
func TestNotRoot(t *testing.T) {
	t.Parallel()
	netlabtest.RequireRoot(t) // to give it up
	leavesNothing(t)
	// A binary that others may run.
	dir, err := os.MkdirTemp("", "pmd-demo-test-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	text, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	binary := filepath.Join(dir, "pmd")
	require.NoError(t, os.WriteFile(binary, text, 0o755))

	c := program(t, "demo", "--json")
	c.Path, c.Dir = binary, dir
	const nobody = 65534
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	require.NoError(t, c.Start())
	assert.Zero(t, c.end(), "stderr: %s", c.stderr.String())
	assert.Regexp(t, `^pmd: demo: no AF_XDP here, in-memory ports instead: .*need root.*\n$`, c.stderr.String())
	r := c.report()
	assert.True(t, r.OK)
	require.Len(t, r.Ports, 2)
	assert.Equal(t, demo.Port{Name: "a0", Driver: "ring", Queues: 1}, r.Ports[0])
}
