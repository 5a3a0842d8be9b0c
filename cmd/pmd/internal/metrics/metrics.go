package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cmd/pmd/internal/version"
)

// Path is where metrics are served.
const Path = "/metrics"

// Limits of a scrape: how many are answered at a time, and how long one may take.
const (
	maxScrapes = 4
	scrapeTime = 5 * time.Second
	idleTime   = 2 * time.Minute // longer than the time between two scrapes
	maxHeader  = 16 << 10
)

// Source is what metrics are made of; *engine.Engine is one.
type Source interface {
	// Totals returns the statistics with totals since the start.
	Totals(ctx context.Context) (*engine.Stats, error)
}

// Collector reads a Source at each scrape. Make one with NewCollector.
type Collector struct {
	source  Source
	version version.Info
	table   *table
}

// NewCollector returns a collector of source's statistics.
func NewCollector(source Source, v version.Info) *Collector {
	return &Collector{source: source, version: v, table: newTable()}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) { c.table.describe(ch) }

// Collect implements prometheus.Collector. Statistics that cannot be had make the
// scrape fail, which Prometheus shows as a target that is down.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	// The registry calls on a goroutine of its own, where a panic would take the
	// process with it.
	defer func() {
		if p := recover(); p != nil {
			ch <- prometheus.NewInvalidMetric(c.table.start, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	ch <- prometheus.MustNewConstMetric(c.table.build, gauge, 1, c.version.Version, c.version.Revision, c.version.Go)
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	s, err := c.source.Totals(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.table.start, fmt.Errorf("statistics: %w", err))
		return
	}
	c.table.collect(ch, s)
}

// Handler returns the handler of GET /metrics. A scrape that fails is answered with
// an error and logged.
func Handler(source Source, log *slog.Logger) http.Handler {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(
		NewCollector(source, version.Get()),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTime,
	})
}

// Address returns what --metrics stands for: a port alone is one of the loopback
// address. Errors are mistakes of the user.
func Address(text string) (string, error) {
	host, port := "", text
	if strings.Contains(text, ":") {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", usage.Errorf("metrics address %q: write HOST:PORT, or a port alone, as in 127.0.0.1:9464 or 9464", text)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", usage.Errorf("metrics address %q: %q is not a port from 0 to 65535", text, port)
	} else if port = strconv.FormatUint(n, 10); host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// Listen opens the address, as Address reads it, for a server of NewServer.
func Listen(text string) (net.Listener, error) {
	addr, err := Address(text)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics address %s: %w: choose another with --metrics", text, err)
	}
	return l, nil
}

// NewServer returns a server that answers GET /metrics with handler, and nothing
// else. A client that stalls holds its own connection, for some seconds.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, handler)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: scrapeTime,
		ReadTimeout:       scrapeTime,
		WriteTimeout:      2 * scrapeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
