package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cmd/pmd/internal/version"
)

// Bounds of the client on what it takes from a server.
const (
	requestTime = 10 * time.Second
	maxAnswer   = 64 << 20
)

// ErrNotRunning is wrapped when nobody answers on the socket.
var ErrNotRunning = errors.New("no pmd answers")

// Error is an answer of the server that is not a success.
type Error struct {
	// Status is the HTTP status, Message what the server says.
	Status  int
	Message string
}

// Error returns the server's words.
func (e *Error) Error() string { return e.Message }

// Client asks a running process over its control socket. Make one with NewClient.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client of the process behind this socket. It connects at the
// first request.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: http.Client{
		Timeout:   requestTime,
		Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1, IdleConnTimeout: idleTime / 2},
	}}
}

// Close closes the connection that is kept for the next request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do makes a request and decodes the answer into out.
func (c *Client) do(ctx context.Context, method, path string, body, out any) error {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("composing the request: %w", err)
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://pmd"+path, send)
	if err != nil {
		return fmt.Errorf("composing the request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.explain(err)
	}
	if resp.StatusCode/100 != 2 {
		var f failure
		if json.Unmarshal(answer, &f) != nil || f.Error == "" {
			f.Error = fmt.Sprintf("socket %s: answer %s: is it a pmd of another version?", c.socket, resp.Status)
		}
		err := error(&Error{resp.StatusCode, f.Error})
		if resp.StatusCode == http.StatusBadRequest {
			err = usage.Wrap(err)
		}
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("socket %s: answer: %w: is it a pmd of another version?", c.socket, err)
	}
	return nil
}

// explain says what a failure to talk to the process means.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w on %s: start one with \"pmd run\", or name its socket with --socket", ErrNotRunning, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("socket %s: %w: be the user who started pmd", c.socket, errno(err))
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w on %s any more: it ended while it was asked", ErrNotRunning, c.socket)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("socket %s: no answer within %v: the process hangs or is stopped", c.socket, requestTime)
	}
	return fmt.Errorf("socket %s: %w", c.socket, errno(err))
}

// Stats returns the statistics.
func (c *Client) Stats(ctx context.Context) (*engine.Stats, error) {
	var s engine.Stats
	return &s, c.do(ctx, http.MethodGet, "/v1/stats", nil, &s)
}

// Clear returns the statistics and sets the totals to zero.
func (c *Client) Clear(ctx context.Context) (*engine.Stats, error) {
	var s engine.Stats
	return &s, c.do(ctx, http.MethodPost, "/v1/stats/clear", nil, &s)
}

// Interfaces describes every port.
func (c *Client) Interfaces(ctx context.Context) ([]engine.Interface, error) {
	var list Interfaces
	err := c.do(ctx, http.MethodGet, "/v1/interfaces", nil, &list)
	return list.Interfaces, err
}

// Interface describes one port, by name or number.
func (c *Client) Interface(ctx context.Context, ref string) (engine.Interface, error) {
	var f engine.Interface
	err := c.do(ctx, http.MethodGet, "/v1/interfaces/"+url.PathEscape(ref), nil, &f)
	return f, err
}

// Cores tells how the poll cores poll, all of them or the one that ref names.
func (c *Client) Cores(ctx context.Context, ref string) ([]engine.CorePolling, error) {
	if ref == "" {
		var list Cores
		err := c.do(ctx, http.MethodGet, "/v1/cores", nil, &list)
		return list.Cores, err
	}
	var one engine.CorePolling
	err := c.do(ctx, http.MethodGet, "/v1/cores/"+url.PathEscape(ref), nil, &one)
	return []engine.CorePolling{one}, noCore(err)
}

// noCore marks that there is no such core as a mistake of the user, as it is where a list of
// CPUs is a setting: which CPUs are polled is for the user to say.
func noCore(err error) error {
	var answer *Error
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return usage.Wrap(err)
	}
	return err
}

// SetPolling changes tunables of the core that ref names, or of all if it is empty.
// Keys that do not exist are for the server to refuse.
func (c *Client) SetPolling(ctx context.Context, ref string, set map[string]any) ([]engine.CorePolling, error) {
	path := "/v1/cores"
	if ref != "" {
		path += "/" + url.PathEscape(ref)
	}
	var list Cores
	err := c.do(ctx, http.MethodPut, path, set, &list)
	return list.Cores, noCore(err)
}

// Forwarding returns the mode and the cross-connect.
func (c *Client) Forwarding(ctx context.Context) (engine.Forwarding, error) {
	var f engine.Forwarding
	err := c.do(ctx, http.MethodGet, "/v1/forward", nil, &f)
	return f, err
}

// SetMode changes the forwarding mode, and those options that a JSON object names;
// empty is none.
func (c *Client) SetMode(ctx context.Context, mode string, options []byte) (engine.Forwarding, error) {
	var f engine.Forwarding
	err := c.do(ctx, http.MethodPut, "/v1/forward", Mode{mode, options}, &f)
	return f, err
}

// Version returns the build of the running process.
func (c *Client) Version(ctx context.Context) (version.Info, error) {
	var v version.Info
	err := c.do(ctx, http.MethodGet, "/v1/version", nil, &v)
	return v, err
}

// Stop asks the process to end and returns at once.
func (c *Client) Stop(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/v1/stop", nil, &Stopping{})
}

// WaitGone returns when nobody answers on the socket any more, so that another
// process may take its place.
func (c *Client) WaitGone(ctx context.Context) error {
	for {
		_, err := c.Version(ctx)
		if errors.Is(err, ErrNotRunning) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("socket %s: still answering: %w", c.socket, ctx.Err())
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}
