package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
)

// binary is the path of the program under test; TestMain sets it.
var binary string

func TestMain(m *testing.M) {
	_ = os.Unsetenv("PMD_SOCKET") // a test that wants it sets it
	dir, err := os.MkdirTemp("", "pmdbin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "pmd")
	if out, err := exec.Command("go", "build", "-o", binary, "example.org/pmd/cmd/pmd").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program under test: %v: %s\n", err, out)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// child is a process of the program.
type child struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr buffer
	socket         string
	ended          chan struct{}
	began          time.Time
}

// buffer is a bytes.Buffer that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs the program with a socket of its own.
func start(t testing.TB, args ...string) *child {
	t.Helper()
	c := &child{t: t, socket: filepath.Join(shortDir(t), "s"), ended: make(chan struct{}), began: time.Now()}
	c.cmd = exec.Command(binary, append(args, "--socket", c.socket)...)
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	require.NoError(t, c.cmd.Start())
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

// patience bounds what a test waits for: the machine may be busy.
const patience = 30 * time.Second

// up waits until frames have been forwarded and returns how long that took.
func (c *child) up() time.Duration {
	c.t.Helper()
	client := ctl.NewClient(c.socket)
	defer client.Close()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s, err := client.Stats(context.Background()); err == nil && len(s.Ports) > 0 && s.Ports[0].RxPackets > 0 {
			return time.Since(c.began)
		}
	}
	c.t.Fatalf("no frame in a long time; stderr: %s", c.stderr.String())
	return 0
}

// status waits for the end and returns the exit status, -1 for a signal.
func (c *child) status() int {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatalf("did not end in a long time; stderr: %s", c.stderr.String())
	}
	return c.cmd.ProcessState.ExitCode()
}

// one decodes exactly one JSON value, with nothing behind it.
func one(t testing.TB, text string, v any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	require.NoError(t, dec.Decode(v), text)
	_, err := dec.Token()
	require.ErrorIs(t, err, io.EOF, "something follows: %s", text)
}

var pair = []string{"run", "--port", "null:name=a", "--port", "null:name=b", "--frames", "1024"}

func with(args ...string) []string { return append(append([]string{}, pair...), args...) }

func TestRunForAWhile(t *testing.T) {
	c := start(t, with("--duration", "300ms", "--json")...)
	assert.Zero(t, c.status(), c.stderr.String())
	var s engine.Stats
	one(t, c.stdout.String(), &s)
	require.Len(t, s.Ports, 2)
	assert.Equal(t, "a", s.Ports[0].Name)
	assert.Positive(t, s.Ports[0].RxPackets)
	require.Len(t, s.Pools, 1)
	assert.Equal(t, 1024, s.Pools[0].Frames)
	assert.Equal(t, 1024, s.Pools[0].Accounted)
	for _, say := range []string{"port 0 a: null, 1 queue,", "to b", "mode io, polling on CPU", "socket " + c.socket} {
		assert.Contains(t, c.stderr.String(), say)
	}
	assert.NoFileExists(t, c.socket)
}

func TestRunUntilSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		c := start(t, pair...)
		t.Logf("first frame seen forwarded %v after the start", c.up())
		require.NoError(t, c.cmd.Process.Signal(sig))
		assert.Zero(t, c.status(), c.stderr.String())
		assert.Contains(t, c.stdout.String(), "PORT")
		assert.Contains(t, c.stdout.String(), "all 1,024 frames accounted for")
		assert.NoFileExists(t, c.socket)
	}
}

func TestStopWaitsForTheEnd(t *testing.T) {
	c := start(t, pair...)
	c.up()
	status, _, stderr := call("stop", "--socket", c.socket)
	assert.Zero(t, status, stderr)
	assert.NoFileExists(t, c.socket, "once stop returns the next one may start")
	assert.Zero(t, c.status())
	assert.Contains(t, c.stdout.String(), "accounted for")
}

func TestKilledProcessLeavesARestartableSocket(t *testing.T) {
	c := start(t, pair...)
	c.up()
	require.NoError(t, c.cmd.Process.Kill())
	<-c.ended
	require.FileExists(t, c.socket)
	status, stdout, stderr := call(with("--duration", "1ms", "--socket", c.socket)...)
	assert.Zero(t, status, stderr)
	assert.Contains(t, stdout, "accounted for")
}

func TestSecondProcessIsRefused(t *testing.T) {
	c := start(t, pair...)
	c.up()
	status, stdout, stderr := call(with("--socket", c.socket)...)
	assert.Equal(t, 1, status)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "another pmd answers there")
	c.up()
}

func TestClientsOfARunningProcess(t *testing.T) {
	c := start(t, with("--port", "ring:loop=on")...)
	c.up()
	ok := func(args ...string) string {
		t.Helper()
		status, stdout, stderr := call(append(args, "--socket", c.socket)...)
		assert.Zero(t, status, stderr)
		assert.Empty(t, stderr)
		return stdout
	}
	for _, title := range []string{"PORT", "QUEUE", "CPU", "POOL", "RX PACKETS"} {
		assert.Contains(t, ok("stats"), title)
	}
	assert.Contains(t, ok("if", "show"), "ring0")
	assert.Contains(t, ok("if", "show", "a"), "forwards to   b")
	assert.Contains(t, ok("forward", "show"), "mode io")

	var list struct{ Interfaces []engine.Interface }
	one(t, ok("if", "show", "--json"), &list)
	assert.Len(t, list.Interfaces, 3)
	var f engine.Interface
	one(t, ok("if", "show", "2", "--json"), &f)
	assert.Equal(t, "ring0", f.Name)
	assert.Empty(t, ok("forward", "set", "rxonly"))
	var fw engine.Forwarding
	one(t, ok("forward", "show", "--json"), &fw)
	assert.Equal(t, "rxonly", fw.Mode)

	status, _, stderr := call("if", "show", "nope", "--socket", c.socket)
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "there are a, b, ring0")

	// Words that cannot be read are the user's mistake; what the interface layer refuses
	// is a failure, whatever its errno.
	for line, want := range map[string]int{
		"addr add a 192.0.2.1/33": 2, "addr add a 10.0.0.1/24 peer x": 2, "set a lladdr foo": 2, "set a cap +FOO": 2, "set a mtu x": 2, "join a foo": 2,
		"create null color=red": 2, "set a pollcpu 8000": 2,
		"addr add a 224.0.0.1/24": 1, "addr add a ::ffff:1.2.3.4/120": 1, "addr add a 10.0.0.1/24 peer 10.0.0.2": 1, "addr del a 10.0.0.9": 1,
		"addr add zz 10.0.0.1/24": 1, "set a mtu 0": 1, "set a name a,b": 1, "set a name b": 1, "set a name sixteen-bytes-ab": 1, "set a lladdr 01:00:5e:00:00:01": 1,
		"set a lladdr 02:00:00:00:00:00:00:01": 1, "set a cap +RXCSUM": 1, "join a 192.0.2.1": 1, "leave a 224.0.0.6": 1,
		"create eth0": 1, "create null,x": 1, "create null99999": 1, "destroy a": 1, "destroy zz": 1,
	} {
		status, _, stderr := call(append(append([]string{"if"}, strings.Fields(line)...), "--socket", c.socket)...)
		assert.Equal(t, want, status, "if %s: %s", line, stderr)
	}

	// Clearing shows what was counted, and the next reading counts from there. It has
	// less, unless the machine took longer over it than over all that was before.
	assert.Eventually(t, func() bool {
		var before, after engine.Stats
		one(t, ok("stats", "--json", "--clear"), &before)
		one(t, ok("stats", "--json"), &after)
		assert.Positive(t, before.Ports[0].RxPackets)
		return assert.NotNil(t, after.ClearedAt) && after.ClearedAt.Equal(before.Time) &&
			after.Ports[0].RxPackets < before.Ports[0].RxPackets
	}, patience, 200*time.Millisecond)

	lines := strings.Split(strings.TrimSpace(ok("stats", "--json", "--interval", "20ms", "--count", "3")), "\n")
	require.Len(t, lines, 3)
	var last engine.Stats
	for i, line := range lines {
		var s engine.Stats
		one(t, line, &s)
		if i > 0 {
			assert.InDelta(t, s.Time.Sub(last.Time).Seconds(), s.RateSeconds, 0.001, "rates since the line before")
		}
		last = s
	}
}

func TestCurl(t *testing.T) {
	c := start(t, pair...)
	c.up()
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", c.socket)
	}}}
	resp, err := client.Get("http://localhost/v1")
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var index ctl.Index
	one(t, string(b), &index)
	assert.Len(t, index.Routes, len(ctl.Routes()))
}

// TestMetricsAndLogForPrograms: metrics are scraped over TCP while it runs, and with
// --log-format json every line on standard error is an object.
func TestMetricsAndLogForPrograms(t *testing.T) {
	c := start(t, with("--metrics", "0", "--log-format", "json")...)
	c.up()
	type line struct{ Time, Level, Msg, Metrics string }
	var address string
	for end := time.Now().Add(patience); address == "" && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, text := range strings.Split(strings.TrimSpace(c.stderr.String()), "\n") {
			var l line
			if json.Unmarshal([]byte(text), &l) == nil && l.Msg == "polling" {
				address = l.Metrics
			}
		}
	}
	require.NotEmpty(t, address, c.stderr.String())
	resp, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^pmd_port_receive_packets_total\{port="a"\} [1-9]`, string(b))
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	assert.Zero(t, c.status(), c.stderr.String())
	lines := strings.Split(strings.TrimSpace(c.stderr.String()), "\n")
	assert.GreaterOrEqual(t, len(lines), 4)
	for _, text := range lines {
		var l line
		one(t, text, &l)
		assert.NotEmpty(t, l.Level)
		assert.NotEmpty(t, l.Msg)
	}
}

// TestSecondSignalEndsAtOnce: a process that cannot finish, since nobody takes its
// output, still obeys the second signal.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	cmd := exec.Command(binary, with("--socket", socket)...)
	// Standard output is a pipe that is full: the summary blocks.
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	fillPipe(t, w)
	var stderr buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	require.NoError(t, cmd.Start())
	c := &child{t: t, cmd: cmd, socket: socket, ended: make(chan struct{}), began: time.Now()}
	go func() {
		_ = cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-c.ended
	})
	c.up()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(stderr.String(), "once more ends at once") {
			break
		}
	}
	select {
	case <-c.ended:
		t.Fatal("it was not to be able to finish")
	case <-time.After(200 * time.Millisecond):
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	assert.Equal(t, 1, c.status())
}

// fillPipe writes until the pipe takes no more.
func fillPipe(t testing.TB, w *os.File) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("pipes cannot be filled here")
	}
	much := make([]byte, 16<<20) // more than a pipe holds
	for written := 0; written == 0; {
		// On a busy machine the deadline may pass before a byte is written.
		require.NoError(t, w.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
		n, err := w.Write(much)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		written += n
	}
	require.NoError(t, w.SetWriteDeadline(time.Time{}))
}
