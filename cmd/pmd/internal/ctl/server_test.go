package ctl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// fakeTarget answers what it is told to.
type fakeTarget struct {
	mu      sync.Mutex
	mode    string
	stopped int
	err     error
	panics  bool
	block   chan struct{}
}

func (f *fakeTarget) stats(ctx context.Context) (*engine.Stats, error) {
	if f.panics {
		panic("boom")
	}
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &engine.Stats{Forward: f.mode}, f.err
}

func (f *fakeTarget) Stats(ctx context.Context) (*engine.Stats, error)  { return f.stats(ctx) }
func (f *fakeTarget) Totals(ctx context.Context) (*engine.Stats, error) { return f.stats(ctx) }
func (f *fakeTarget) Clear(ctx context.Context) (*engine.Stats, error)  { return f.stats(ctx) }

func (f *fakeTarget) Interfaces(context.Context) ([]engine.Interface, error) {
	return []engine.Interface{{Name: "a"}}, f.err
}

func (f *fakeTarget) Interface(_ context.Context, ref string) (engine.Interface, error) {
	if ref != "a" {
		return engine.Interface{}, fmt.Errorf("%w: %q", engine.ErrNoPort, ref)
	}
	return engine.Interface{Name: "a"}, f.err
}

func (f *fakeTarget) SetInterface(_ context.Context, ref string, set engine.IfSettings) (engine.Interface, error) {
	if set.PollCPU != nil && *set.PollCPU == "9" {
		return engine.Interface{}, usage.Errorf("CPU 9 is not polled")
	}
	return f.Interface(context.Background(), ref)
}

func (f *fakeTarget) AddAddr(ctx context.Context, ref string, _ engine.AddrSettings) (engine.Interface, error) {
	return f.Interface(ctx, ref)
}

func (f *fakeTarget) DelAddr(ctx context.Context, ref string, _ engine.AddrSettings) (engine.Interface, error) {
	return f.Interface(ctx, ref)
}

func (f *fakeTarget) Join(ctx context.Context, ref, _ string) (engine.Interface, error) {
	return f.Interface(ctx, ref)
}

func (f *fakeTarget) Leave(ctx context.Context, ref, _ string) (engine.Interface, error) {
	return f.Interface(ctx, ref)
}

func (f *fakeTarget) Create(ctx context.Context, _ string, _ map[string]string) (engine.Interface, error) {
	return f.Interface(ctx, "a")
}

func (f *fakeTarget) Destroy(ctx context.Context, ref string) error {
	_, err := f.Interface(ctx, ref)
	return err
}

func (f *fakeTarget) Kinds(context.Context) ([]engine.IfKind, error) {
	return []engine.IfKind{{Kind: "null", Units: []int{}}}, f.err
}

// Listen returns a listener to whom nothing more is told.
func (f *fakeTarget) Listen() *ifnet.Listener {
	sys, err := ifnet.New(ifnet.Config{})
	if err != nil {
		panic(err)
	}
	if err := sys.Close(); err != nil {
		panic(err)
	}
	return sys.Listen(0)
}

func (f *fakeTarget) PollCores(context.Context) ([]engine.CorePolling, error) {
	return []engine.CorePolling{{CPU: 1}, {CPU: 2}}, f.err
}

func (f *fakeTarget) PollCore(_ context.Context, ref string) (engine.CorePolling, error) {
	if ref != "2" {
		return engine.CorePolling{}, fmt.Errorf("%w: CPU %q is not polled", engine.ErrNoCore, ref)
	}
	return engine.CorePolling{CPU: 2}, f.err
}

func (f *fakeTarget) SetPolling(ctx context.Context, ref string, set dataplane.PollSettings) ([]engine.CorePolling, error) {
	if set.Enable != nil && *set.Enable > 1 {
		return nil, usage.Errorf("enable %d: use 0 to 1", *set.Enable)
	}
	if ref == "" {
		return f.PollCores(ctx)
	}
	c, err := f.PollCore(ctx, ref)
	return []engine.CorePolling{c}, err
}

func (f *fakeTarget) Forwarding() engine.Forwarding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return engine.Forwarding{Mode: f.mode, Modes: []string{"io"}, Connect: []engine.Connection{}}
}

func (f *fakeTarget) SetMode(_ context.Context, mode string, _ []byte) error {
	if mode != "io" && mode != "mac" {
		return usage.Errorf("no forwarding mode %q", mode)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = mode
	return f.err
}

func (f *fakeTarget) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped++
}

var discard = slog.New(slog.DiscardHandler)

// ask sends a request without a socket.
func ask(s *Server, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"index":            {"GET", "/v1", "", 200, `"/v1/stats/clear"`},
		"version":          {"GET", "/v1/version", "", 200, `"go":"go1.`},
		"stats":            {"GET", "/v1/stats", "", 200, `"forward":"io"`},
		"clear":            {"POST", "/v1/stats/clear", "", 200, `"forward":"io"`},
		"clear with {}":    {"POST", "/v1/stats/clear", " {} ", 200, `"forward":"io"`},
		"interfaces":       {"GET", "/v1/interfaces", "", 200, `{"interfaces":[{`},
		"interface":        {"GET", "/v1/interfaces/a", "", 200, `"name":"a"`},
		"forward":          {"GET", "/v1/forward", "", 200, `"mode":"io"`},
		"set forward":      {"PUT", "/v1/forward", `{"mode":"mac"}`, 200, `"mode":"mac"`},
		"body of metrics":  {"GET", "/metrics", "x", 400, `invalid character`},
		"set pollcpu":      {"PUT", "/v1/interfaces/a", `{"pollcpu":"2,3"}`, 200, `"name":"a"`},
		"no CPU":           {"PUT", "/v1/interfaces/a", `{"pollcpu":"9"}`, 400, `CPU 9`},
		"pollcpu, no port": {"PUT", "/v1/interfaces/zz", `{"pollcpu":"2"}`, 404, `\"zz\"`},
		"no setting":       {"PUT", "/v1/interfaces/a", `{}`, 400, `names no setting`},
		"list, no text":    {"PUT", "/v1/interfaces/a", `{"pollcpu":[2]}`, 400, `array`},
		"cores":            {"GET", "/v1/cores", "", 200, `{"cores":[{"worker":0,"cpu":1`},
		"core":             {"GET", "/v1/cores/2", "", 200, `"cpu":2`},
		"no core":          {"GET", "/v1/cores/9", "", 404, `CPU`},
		"set cores":        {"PUT", "/v1/cores", `{"idle":"spin","enable":1}`, 200, `"cpu":1`},
		"set core":         {"PUT", "/v1/cores/2", `{"burst_max":100}`, 200, `{"cores":[{"worker":0,"cpu":2`},
		"set no core":      {"PUT", "/v1/cores/x", `{"burst_max":100}`, 404, `CPU`},
		"core, out of it":  {"PUT", "/v1/cores/2", `{"enable":2}`, 400, `enable 2: use 0 to 1`},
		"core, no key":     {"PUT", "/v1/cores/2", `{}`, 400, `names no setting`},
		"core, odd key":    {"PUT", "/v1/cores/2", `{"burst":5}`, 400, `unknown field \"burst\"`},
		"core, text":       {"PUT", "/v1/cores/2", `{"pollhz":"5"}`, 400, `pollhz of type int`},
		"stop":             {"POST", "/v1/stop", "", 202, `{"stopping":true}`},
		"no path":          {"GET", "/v2", "", 404, `GET /v1 lists`},
		"no path below":    {"GET", "/v1/stats/x", "", 404, `GET /v1 lists`},
		"no port":          {"GET", "/v1/interfaces/zz", "", 404, `\"zz\"`},
		"method":           {"POST", "/v1/stats", "", 405, `use GET`},
		"method of two":    {"DELETE", "/v1/forward", "", 405, `use GET, PUT`},
		"unknown mode":     {"PUT", "/v1/forward", `{"mode":"x"}`, 400, `\"x\"`},
		"no mode":          {"PUT", "/v1/forward", `{}`, 400, `names no mode`},
		"null":             {"PUT", "/v1/forward", `null`, 400, `names no mode`},
		"empty body":       {"PUT", "/v1/forward", ``, 400, `body is empty`},
		"not JSON":         {"PUT", "/v1/forward", `mode=io`, 400, `invalid character`},
		"truncated":        {"PUT", "/v1/forward", `{"mode":`, 400, `unexpected EOF`},
		"wrong type":       {"PUT", "/v1/forward", `{"mode":3}`, 400, `number`},
		"array":            {"PUT", "/v1/forward", `[]`, 400, `array`},
		"unknown field":    {"PUT", "/v1/forward", `{"mode":"io","speed":1}`, 400, `unknown field`},
		"more behind":      {"PUT", "/v1/forward", `{"mode":"io"}{}`, 400, `something follows`},
		"body where none":  {"POST", "/v1/stop", `{"now":true}`, 400, `unknown field`},
		"body of a GET":    {"GET", "/v1/stats", `x`, 400, `invalid character`},
		"body too long":    {"PUT", "/v1/forward", `{"mode":"` + strings.Repeat("x", MaxBody) + `"}`, 413, `longer than 65536`},
		"odd method":       {"BREW", "/v1/stats", "", 405, `use GET`},
		"encoded name":     {"GET", "/v1/interfaces/%61", "", 200, `"name":"a"`},
		"name with spaces": {"GET", "/v1/interfaces/a%20b", "", 404, `a b`},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeTarget{mode: "io"}
			w := ask(NewServer(f, discard), c.method, c.path, c.body)
			assert.Equal(t, c.status, w.Code, w.Body)
			assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
			assert.True(t, json.Valid(w.Body.Bytes()), w.Body)
			assert.Contains(t, w.Body.String(), c.says)
			if c.status >= 400 {
				var e failure
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &e))
				assert.NotEmpty(t, e.Error)
				assert.NotContains(t, e.Error, "\n")
				assert.Equal(t, "io", f.mode, "a refused request changes nothing")
				assert.Zero(t, f.stopped)
			}
		})
	}
}

func TestEveryRouteAnswers(t *testing.T) {
	for _, r := range Routes() {
		f := &fakeTarget{mode: "io"}
		body := strings.ReplaceAll(r.Body, "MODE", "io")
		s := NewServer(f, discard)
		s.Configure(&fakeConfig{})
		w := ask(s, r.Method, strings.NewReplacer("{name}", "a", "{cpu}", "2").Replace(r.Path), body)
		assert.Less(t, w.Code, 300, "%s %s: %s", r.Method, r.Path, w.Body)
		assert.NotEmpty(t, r.What)
		assert.NotEmpty(t, r.Answer)
	}
}

func TestMetrics(t *testing.T) {
	s := NewServer(&fakeTarget{mode: "io"}, discard)
	w := ask(s, "GET", "/metrics", "")
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Header().Get("Content-Type"), "text/plain")
	assert.Contains(t, w.Body.String(), `pmd_forward_info{mode="io"} 1`)
	assert.Equal(t, 405, ask(s, "POST", "/metrics", "").Code)
	assert.Equal(t, 500, ask(NewServer(&fakeTarget{panics: true}, discard), "GET", "/metrics", "").Code)
}

func TestErrorsHaveAStatus(t *testing.T) {
	for err, status := range map[error]int{
		dataplane.ErrClosed:                               503,
		dataplane.ErrBusy:                                 503,
		context.DeadlineExceeded:                          503,
		errors.New("disk on fire"):                        500,
		usage.Errorf("wrong words"):                       400,
		errors.Join(errors.New("one"), errors.New("two")): 500,
	} {
		w := ask(NewServer(&fakeTarget{err: err}, discard), "GET", "/v1/stats", "")
		assert.Equal(t, status, w.Code)
		assert.NotContains(t, strings.TrimSpace(w.Body.String()), `\n`)
	}
}

func TestPanicTakesOneRequestOnly(t *testing.T) {
	var log bytes.Buffer
	f := &fakeTarget{panics: true, mode: "io"}
	s := NewServer(f, slog.New(slog.NewTextHandler(&log, nil)))
	w := ask(s, "GET", "/v1/stats", "")
	assert.Equal(t, 500, w.Code)
	assert.NotContains(t, w.Body.String(), "boom", "the client learns nothing of our insides")
	assert.Contains(t, log.String(), "boom")
	assert.Equal(t, 200, ask(s, "GET", "/v1/forward", "").Code)
}

// served runs a server with this target on a socket and returns its path.
func served(t testing.TB, target Target) string {
	t.Helper()
	return servedBy(t, NewServer(target, discard))
}

func servedBy(t testing.TB, s *Server) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		assert.NoError(t, s.Close(ctx))
		assert.NoError(t, <-done)
		assert.NoFileExists(t, path)
	})
	return path
}

// shortDir is a directory whose path leaves room for a socket: t.TempDir has the
// name of the test in it.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pmd")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestClient(t *testing.T) {
	f := &fakeTarget{mode: "io"}
	c := NewClient(served(t, f))
	defer c.Close()
	ctx := context.Background()
	s, err := c.Stats(ctx)
	require.NoError(t, err)
	assert.Equal(t, "io", s.Forward)
	_, err = c.Clear(ctx)
	require.NoError(t, err)
	list, err := c.Interfaces(ctx)
	require.NoError(t, err)
	assert.Len(t, list, 1)
	i, err := c.Interface(ctx, "a")
	require.NoError(t, err)
	assert.Equal(t, "a", i.Name)
	fw, err := c.SetMode(ctx, "mac", nil)
	require.NoError(t, err)
	assert.Equal(t, "mac", fw.Mode)
	fw, err = c.Forwarding(ctx)
	require.NoError(t, err)
	assert.Equal(t, "mac", fw.Mode)
	v, err := c.Version(ctx)
	require.NoError(t, err)
	assert.NotEmpty(t, v.Go)
	require.NoError(t, c.Stop(ctx))
	assert.Equal(t, 1, f.stopped)

	_, err = c.SetMode(ctx, "x", nil)
	assert.True(t, usage.Is(err), "a request the server calls wrong is the user's mistake")
	assert.EqualError(t, err, `no forwarding mode "x"`)
	_, err = c.Interface(ctx, "a/b c")
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, 404, e.Status)
	assert.False(t, usage.Is(err))
}

func TestClientWithoutServer(t *testing.T) {
	dir := shortDir(t)
	_, err := NewClient(filepath.Join(dir, "none")).Stats(context.Background())
	require.ErrorIs(t, err, ErrNotRunning)
	assert.ErrorContains(t, err, "pmd run")

	dead := filepath.Join(dir, "dead")
	deadSocket(t, dead)
	_, err = NewClient(dead).Stats(context.Background())
	assert.ErrorIs(t, err, ErrNotRunning)
}

func TestClientOfSomethingElse(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
			_ = c.Close()
		}
	}()
	_, err = NewClient(path).Stats(context.Background())
	assert.Error(t, err)
}

func TestWaitGone(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	require.NoError(t, err)
	s := NewServer(&fakeTarget{}, discard)
	go func() { _ = s.Serve(l) }()
	c := NewClient(path)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, c.WaitGone(ctx), context.DeadlineExceeded)
	go func() {
		time.Sleep(50 * time.Millisecond)
		_ = s.Close(context.Background())
	}()
	ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	assert.NoError(t, c.WaitGone(ctx))
}

// TestStalledClientsHoldNothing: clients that say nothing, half a header, half a
// body, or that never read their answer do not keep others from being served, nor
// the server from closing.
func TestStalledClientsHoldNothing(t *testing.T) {
	f := &fakeTarget{mode: "io"}
	path := served(t, f)
	for i := range 60 {
		conn, err := net.Dial("unix", path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		text := []string{
			"", "GET /v1/stats HT", "PUT /v1/forward HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
			"GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n",
		}[i%4]
		_, err = io.WriteString(conn, text)
		require.NoError(t, err)
	}
	c := NewClient(path)
	start := time.Now()
	for range 20 {
		_, err := c.Stats(context.Background())
		require.NoError(t, err)
	}
	assert.Less(t, time.Since(start), 30*time.Second)
}

// TestRequestGivenUp: a client that leaves ends the wait of its request.
func TestRequestGivenUp(t *testing.T) {
	f := &fakeTarget{block: make(chan struct{})}
	c := NewClient(served(t, f))
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Stats(ctx)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestHead(t *testing.T) {
	path := served(t, &fakeTarget{mode: "io"})
	c := NewClient(path)
	resp, err := c.http.Head("http://pmd/v1/stats")
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusOK, resp.StatusCode)
}

// TestEngineBehindTheSocket runs the whole: a dataplane, the server, the client.
func TestEngineBehindTheSocket(t *testing.T) {
	var specs []pmd.Spec
	for _, text := range []string{"null:name=a", "null:name=b"} {
		s, err := pmd.ParseSpec(text)
		require.NoError(t, err)
		specs = append(specs, s)
	}
	e, err := engine.Start(context.Background(), engine.Config{
		Registry: drivers.Registry(), Ports: specs, Unpinned: 1, Pool: mbuf.Config{Frames: 1024, HugePages: mbuf.HugeOff},
	})
	require.NoError(t, err)
	c := NewClient(served(t, e))
	ctx := context.Background()
	s, err := c.Stats(ctx)
	require.NoError(t, err)
	require.Len(t, s.Ports, 2)
	require.Len(t, s.Pools, 1)
	assert.Equal(t, s.Pools[0].Frames, s.Pools[0].Accounted)
	_, err = c.SetMode(ctx, "macswap", nil)
	require.NoError(t, err)
	f, err := c.Interface(ctx, "1")
	require.NoError(t, err)
	assert.Equal(t, "b", f.Name)

	require.NoError(t, c.Stop(ctx))
	require.NoError(t, e.Wait())
	_, err = c.Stats(ctx)
	var answer *Error
	require.ErrorAs(t, err, &answer)
	assert.Equal(t, 503, answer.Status, "the socket outlives the ports")
}

// fakeConfig is a configuration that is what was applied last.
type fakeConfig struct {
	text string
	err  error
}

func (f *fakeConfig) ShowConfig(context.Context) (string, error) { return f.text, f.err }

func (f *fakeConfig) ApplyConfig(_ context.Context, text string, dryRun bool) ([]Change, error) {
	if f.err != nil || dryRun {
		return []Change{{Key: "burst", Text: "burst: 1 → 2", Restart: true}}, f.err
	}
	f.text = text
	return nil, nil
}

func TestConfiguration(t *testing.T) {
	f := &fakeConfig{text: "burst = 1\n"}
	s := NewServer(&fakeTarget{}, discard)
	assert.Equal(t, 500, ask(s, "GET", "/v1/config", "").Code, "there is none")
	s.Configure(f)
	w := ask(s, "GET", "/v1/config", "")
	assert.Equal(t, `{"config":"burst = 1\n"}`, strings.TrimSpace(w.Body.String()))
	w = ask(s, "POST", "/v1/config", `{"config":"burst = 2","dry_run":true}`)
	assert.Equal(t, `{"applied":false,"changes":[{"key":"burst","text":"burst: 1 → 2","restart":true}]}`, strings.TrimSpace(w.Body.String()))
	assert.Equal(t, "burst = 1\n", f.text)
	w = ask(s, "POST", "/v1/config", `{"config":"burst = 2"}`)
	assert.Equal(t, `{"applied":true,"changes":[]}`, strings.TrimSpace(w.Body.String()))
	assert.Equal(t, "burst = 2", f.text)
	long := strings.Repeat("#", MaxBody)
	assert.Equal(t, 200, ask(s, "POST", "/v1/config", `{"config":"`+long+`"}`).Code, "a file may be longer than other bodies")
	assert.Equal(t, 413, ask(s, "POST", "/v1/config", `{"config":"`+strings.Repeat("#", maxConfigBody)+`"}`).Code)
	assert.Equal(t, 400, ask(s, "POST", "/v1/config", `{"config":""}`).Code)
	for err, status := range map[error]int{
		fmt.Errorf("no: %w", engine.ErrChanging): 409, fmt.Errorf("no: %w: burst", ErrRestart): 422, usage.Errorf("bad"): 400, errors.New("x"): 500,
	} {
		f.err = err
		w := ask(s, "POST", "/v1/config", `{"config":"burst = 3"}`)
		assert.Equal(t, status, w.Code)
		assert.Contains(t, w.Body.String(), err.Error())
	}
}

// TestHugeBodyIsRefused: a client that sends 100 MB is told so and cut off, having
// cost next to nothing, and others are served meanwhile.
func TestHugeBodyIsRefused(t *testing.T) {
	f := &fakeTarget{mode: "io"}
	path := served(t, f)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer conn.Close()
	const size = 100 << 20
	_, err = fmt.Fprintf(conn, "PUT /v1/forward HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	require.NoError(t, err)
	sent := make(chan int, 1)
	go func() {
		n, chunk := 0, make([]byte, 64<<10)
		for n < size {
			m, err := conn.Write(chunk)
			if n += m; err != nil {
				break
			}
		}
		sent <- n
	}()
	_, err = NewClient(path).Stats(context.Background())
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	assert.Less(t, <-sent, 4<<20, "it was cut off early")
	assert.Equal(t, "io", f.mode)
}

// FuzzControlBody: whatever the body, the answer is JSON, a wrong body is the
// client's fault, and the mode is one that exists.
func FuzzControlBody(f *testing.F) {
	for _, s := range []string{
		`{"mode":"io"}`, `{"mode":"mac"}`, `{"mode":"x"}`, ``, `null`, `[]`, `{`, `{"mode":"io"}x`, `{"mode":{"mode":1}}`,
		`{"config":"burst = 1","dry_run":true}`, `{"config":7}`, `{"config":"","dry_run":"x"}`, `{"MODE":"io"}`, "\x00", `{"mode":"io","mode":"mac"}`, strings.Repeat("[", 20000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		target := &fakeTarget{mode: "io"}
		s := NewServer(target, discard)
		s.Configure(&fakeConfig{})
		for _, r := range Routes() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(r.Method, strings.NewReplacer("{name}", "a", "{cpu}", "2").Replace(r.Path), bytes.NewReader(body)))
			if w.Code == http.StatusOK && r.raw != nil {
				continue
			}
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s %s: answer is no JSON: %q", r.Method, r.Path, w.Body)
			}
			if w.Code != 200 && w.Code != 201 && w.Code != 202 && w.Code != 400 && w.Code != 413 {
				t.Fatalf("%s %s: status %d: %s", r.Method, r.Path, w.Code, w.Body)
			}
		}
		if target.mode != "io" && target.mode != "mac" {
			t.Fatalf("mode %q", target.mode)
		}
	})
}

func ExampleServer() {
	s := NewServer(&fakeTarget{mode: "io"}, discard)
	w := ask(s, http.MethodPut, "/v1/forward", `{"mode":"mac"}`)
	fmt.Print(w.Code, " ", w.Body)
	w = ask(s, http.MethodPut, "/v1/forward", `{"speed":9}`)
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 200 {"mode":"mac","modes":["io"],"options":{},"connect":[]}
	// 400 {"error":"body: unknown field \"speed\""}
}
