package ctl

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// syncBuffer is a log that two goroutines may use.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// visitor makes the requests of TestGroupLooksAndOthersStayOut in a process of another user.
const visitor = "PMD_CTL_TEST_VISITOR"

func TestVisitor(t *testing.T) {
	socket := os.Getenv(visitor)
	if socket == "" {
		t.Skip("it is run by TestGroupLooksAndOthersStayOut")
	}
	c := NewClient(socket)
	ctx := context.Background()
	_, err := c.Interfaces(ctx)
	require.NoError(t, err)
	_, err = c.ApplyConfig(ctx, "x", true)
	require.NoError(t, err, "what would change may be asked")
	for what, fn := range map[string]func() error{
		"stop":   func() error { return c.Stop(ctx) },
		"mode":   func() error { _, err := c.SetMode(ctx, "mac", nil); return err },
		"apply":  func() error { _, err := c.ApplyConfig(ctx, "x", false); return err },
		"create": func() error { _, err := c.Create(ctx, "null", nil); return err },
		"no body that it understands": func() error {
			return c.do(ctx, http.MethodPut, "/v1/interfaces/a", []int{1}, &struct{}{})
		},
	} {
		err := fn()
		var answer *Error
		require.ErrorAs(t, err, &answer, what)
		assert.Equal(t, http.StatusForbidden, answer.Status, what)
		assert.Contains(t, answer.Message, "operation not permitted: uid 65534 may look", what)
	}
}

// The socket of a group lets its members look, and nobody else in.
func TestGroupLooksAndOthersStayOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user is needed: run it as root")
	}
	const uid, gid = 65534, 54321
	dir, err := os.MkdirTemp("", "ctl") // the test's own is for its user alone
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	exe, err := os.Executable()
	require.NoError(t, err)
	bin := filepath.Join(dir, "visitor")
	b, err := os.ReadFile(exe)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(bin, b, 0o755))

	socket := filepath.Join(dir, "s")
	l, err := ListenFor(socket, "54321")
	require.NoError(t, err)
	st, err := os.Stat(socket)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o660, st.Mode())
	assert.Equal(t, uint32(gid), st.Sys().(*syscall.Stat_t).Gid)
	var log syncBuffer
	f := &fakeTarget{mode: "io"}
	s := NewServer(f, slog.New(slog.NewTextHandler(&log, nil)))
	s.Configure(&fakeConfig{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, s.Close(context.Background()))
		assert.NoError(t, <-served)
	})

	visit := func(gid uint32) (string, error) {
		cmd := exec.Command(bin, "-test.run", "^TestVisitor$", "-test.v")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), visitor+"="+socket)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := visit(gid)
	require.NoError(t, err, out)
	require.Contains(t, out, "PASS: TestVisitor")
	assert.Zero(t, f.stopped)
	assert.Equal(t, "io", f.mode)
	assert.Contains(t, log.String(), `level=WARN msg="a call was refused`)
	assert.Contains(t, log.String(), "uid=65534")
	assert.Contains(t, log.String(), `call="POST /v1/stop"`)

	out, err = visit(uid)
	require.Error(t, err, "who is not of the group is not let in")
	assert.Contains(t, out, "permission denied")

	require.NoError(t, NewClient(socket).Stop(context.Background()), "root may")
}
