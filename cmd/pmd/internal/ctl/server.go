package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/metrics"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
)

// How long a client may take. They concern its own connection only.
const (
	headerTime = 5 * time.Second
	readTime   = 10 * time.Second
	writeTime  = 10 * time.Second
	idleTime   = time.Minute
	maxHeader  = 16 << 10
)

// Server answers requests on the control socket. Make one with NewServer.
type Server struct {
	target  Target
	log     *slog.Logger
	metrics http.Handler
	config  Configuration // nil if there is none
	http    http.Server
}

// NewServer returns a server that acts on target. It logs what changes something,
// and panics of a handler, to log.
func NewServer(target Target, log *slog.Logger) *Server {
	s := &Server{target: target, log: log, metrics: metrics.Handler(target, log)}
	s.http = http.Server{
		Handler:           s.mux(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext:       withPeer,
	}
	return s
}

// Serve answers requests that arrive on l until Close, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// Close closes the listener, lets requests being answered end until ctx is done,
// and cuts off the rest.
func (s *Server) Close(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// Metrics returns the handler of GET /metrics, for another listener.
func (s *Server) Metrics() http.Handler { return s.metrics }

// ServeHTTP answers one request: for tests, which need no socket.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

// mux makes the dispatch from the table. Methods are told apart here and not by
// the patterns of http.ServeMux, whose own refusals are not JSON.
func (s *Server) mux() http.Handler {
	byPath := map[string]map[string]Route{}
	for _, r := range Routes() {
		if byPath[r.Path] == nil {
			byPath[r.Path] = map[string]Route{}
		}
		byPath[r.Path][r.Method] = r
	}
	mux := http.NewServeMux()
	for path, methods := range byPath {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.dispatch(w, r, methods) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, fmt.Sprintf("there is no %.100q: GET /v1 lists what there is", r.URL.Path))
	})
	return s.guard(mux)
}

// guard keeps a panic of a handler from taking more than its request.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("panic while answering", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				fail(w, http.StatusInternalServerError, "internal error: the log of the process has it")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// dispatch answers a request for a path that exists.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, methods map[string]Route) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	route, ok := methods[method]
	if !ok {
		allowed := make([]string, 0, len(methods))
		for m := range methods {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		allow := strings.Join(allowed, ", ")
		w.Header().Set("Allow", allow)
		fail(w, http.StatusMethodNotAllowed, fmt.Sprintf("%.20s is not possible for %.100s: use %s", r.Method, r.URL.Path, allow))
		return
	}
	limit := int64(MaxBody)
	if route.limit > 0 {
		limit = route.limit
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", limit))
			return
		}
		fail(w, http.StatusBadRequest, fmt.Sprintf("reading the body: %v", err))
		return
	}
	if changes := method != http.MethodGet && (route.reads == nil || !route.reads(body)); changes {
		if who, ok := mayChange(r.Context()); !ok {
			s.log.Warn("a call was refused: only root and who started the process may change anything",
				"uid", who.UID, "pid", who.PID, "call", method+" "+r.URL.Path)
			fail(w, http.StatusForbidden, fmt.Sprintf("%s %.100s: %v: uid %d may look, only root and uid %d may change anything",
				method, r.URL.Path, syscall.EPERM, who.UID, os.Geteuid()))
			return
		}
	}
	if route.Body == "" {
		err = decodeNone(body)
	}
	status, answer := 0, any(nil)
	switch {
	case err != nil:
	case route.raw != nil:
		route.raw(s).ServeHTTP(w, r)
		return
	default:
		status, answer, err = route.serve(s, &request{r, body})
	}
	if err != nil {
		fail(w, statusOf(err), oneLine(err))
		return
	}
	reply(w, status, answer)
}

// statusOf chooses the status that fits an error.
func statusOf(err error) int {
	switch {
	case usage.Is(err):
		return http.StatusBadRequest
	case errors.Is(err, engine.ErrNoPort), errors.Is(err, engine.ErrNoCore):
		return http.StatusNotFound
	case errors.As(err, new(*ifnet.Error)) && statusOfErrno(err) != 0:
		return statusOfErrno(err)
	case errors.Is(err, engine.ErrChanging):
		return http.StatusConflict
	case errors.Is(err, ErrRestart):
		return http.StatusUnprocessableEntity
	case errors.Is(err, dataplane.ErrClosed), errors.Is(err, dataplane.ErrBusy),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// statusOfErrno chooses the status for what a call of the interface layer returns, 0 for
// none in particular. What it refuses is no 400, whatever the errno: the words could be read.
func statusOfErrno(err error) int {
	for _, m := range []struct {
		errno  syscall.Errno
		status int
	}{
		{syscall.EPERM, http.StatusForbidden},
		{syscall.ENXIO, http.StatusNotFound}, {syscall.ENOENT, http.StatusNotFound},
		{syscall.EEXIST, http.StatusConflict}, {syscall.EADDRINUSE, http.StatusConflict}, {syscall.EADDRNOTAVAIL, http.StatusConflict}, {syscall.EBUSY, http.StatusConflict},
		{syscall.EINVAL, http.StatusUnprocessableEntity}, {syscall.ENAMETOOLONG, http.StatusUnprocessableEntity}, {syscall.EAFNOSUPPORT, http.StatusUnprocessableEntity},
		{syscall.EOPNOTSUPP, http.StatusUnprocessableEntity}, {syscall.ENODEV, http.StatusUnprocessableEntity}, {syscall.ENETDOWN, http.StatusUnprocessableEntity},
	} {
		if errors.Is(err, m.errno) {
			return m.status
		}
	}
	return 0
}

// oneLine returns the error's text on one line; joined errors have several.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// failure is the body of every answer that is an error.
type failure struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, status int, text string) { reply(w, status, failure{text}) }

// reply sends a JSON answer, composed before its first byte leaves.
func reply(w http.ResponseWriter, status int, answer any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(answer); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		_ = enc.Encode(failure{"composing the answer: " + err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // an error means that the client has gone
}
