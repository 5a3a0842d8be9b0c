package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/metrics"
	"example.org/pmd/cmd/pmd/internal/service"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// RunCmd is pmd run.
type RunCmd struct {
	Config         string        `type:"path" placeholder:"FILE" complete:"file" help:"Configuration file: a key for each of these flags, and a table [[port]] for each port. Flags go before the file."`
	Port           []string      `short:"p" sep:"none" apply:"live" placeholder:"SPEC" complete:"port" help:"A port: IFNAME[,KEY=VALUE…] for AF_XDP, or DRIVER:KEY=VALUE,…. Give it once for each port."`
	Forward        string        `short:"f" apply:"live" default:"io" enum:"${modes}" placeholder:"MODE" help:"Forwarding mode: ${enum} (default ${default})."`
	Cores          string        `short:"c" placeholder:"LIST" help:"CPUs to poll on, as in 2-5,8 (default: isolated CPUs, else all but the lowest; no more than the ports need)."`
	Xconnect       []string      `apply:"live" placeholder:"A:B" help:"Connect two ports, by name or number (default: 0:1, 2:3, …)."`
	EthPeer        []string      `apply:"live" sep:"none" placeholder:"[PORT,]MAC" help:"Address that modes mac, txonly and flowgen send to, on this port or on all (default 02:00:00:00:00:NN)."`
	Burst          int           `default:"64" placeholder:"N" help:"Frames a queue visit takes, 1 to 256 (default ${default})."`
	Idle           string        `apply:"live" default:"adaptive" enum:"${idles}" placeholder:"POLICY" help:"What cores do while no frame comes: ${enum} (default ${default})."`
	Core           []string      `sep:"none" apply:"live" placeholder:"CPU,KEY=VALUE…" help:"How the core on a CPU polls, with the keys of pmd core set, as in 2,idle=spin."`
	If             []string      `sep:"none" apply:"live" placeholder:"NAME,KEY=VALUE…" help:"What the interface of a port is, with the keys of pmd if set, and addr=CIDR and group=GROUP, as in eth1,mtu=1600,addr=192.0.2.1/24."`
	Frames         *int          `placeholder:"N" help:"Frames of each pool, rounded up to a power of two (default: 16384, or what the ports' rings hold)."`
	TakeManagement bool          `apply:"live" help:"Allow interfaces that hold the default route or this SSH session."`
	Duration       time.Duration `apply:"process" short:"d" placeholder:"D" help:"Stop after this time, as in 30s (default: never)."`
	JSON           bool          `apply:"process" name:"json" help:"At the end write the statistics as one JSON object, and nothing else, to standard output."`
	Metrics        string        `apply:"process" placeholder:"[HOST:]PORT" help:"Serve GET /metrics for Prometheus there too; a port alone is one of 127.0.0.1 (default: on the control socket only)."`
	SocketGroup    string        `apply:"process" placeholder:"GROUP" help:"Let this group look through the control socket, and change nothing (default: root and you alone)."`
	LogFlags
	ModeFlags
	SocketFlag
}

// config turns the flags into what the engine takes.
func (c *RunCmd) config() (engine.Config, error) {
	if len(c.Port) == 0 {
		return engine.Config{}, usage.Errorf("run: no port: name at least one with --port, for example: %s", engine.Example)
	}
	if c.Duration < 0 {
		return engine.Config{}, usage.Errorf("run: --duration %v: use a time such as 30s, or leave it out to run until stopped", c.Duration)
	}
	if c.Burst < 1 {
		return engine.Config{}, usage.Errorf("run: --burst %d: use 1 to %d", c.Burst, pmd.MaxBurst)
	}
	frames := 0 // as many as the ports need
	if c.Frames != nil {
		if frames = *c.Frames; frames < 1 {
			return engine.Config{}, usage.Errorf("run: --frames %d: use %d to %d", frames, mbuf.MinFrames, mbuf.MaxFrames)
		}
	}
	cfg := engine.Config{
		Registry: drivers.Registry(), Mode: c.Forward, Links: c.Xconnect, Peers: c.EthPeer,
		Burst: c.Burst, Idle: dataplane.Idle(c.Idle), Pool: mbuf.Config{Frames: frames}, Confine: true,
	}
	options, err := c.options()
	if err != nil {
		return cfg, fmt.Errorf("run: %w", err)
	}
	cfg.Options = options
	for _, text := range c.Port {
		spec, err := pmd.ParseSpec(text)
		if err != nil {
			return cfg, fmt.Errorf("run: --port: %w", err)
		}
		if _, said := spec.Options["take-management"]; c.TakeManagement && !said && drivers.Guarded(spec.Driver) {
			spec.Options["take-management"] = "on"
		}
		cfg.Ports = append(cfg.Ports, spec)
	}
	for _, text := range c.Core {
		s, err := parseCore(text)
		if err != nil {
			return cfg, fmt.Errorf("run: --core: %w", err)
		}
		cfg.Tuning = append(cfg.Tuning, s)
	}
	for _, text := range c.If {
		f, err := parseIf(text)
		if err != nil {
			return cfg, fmt.Errorf("run: --if: %w", err)
		}
		cfg.Interfaces = append(cfg.Interfaces, f)
	}
	if c.Metrics != "" {
		if _, err := metrics.Address(c.Metrics); err != nil {
			return cfg, fmt.Errorf("run: --metrics: %w", err)
		}
	}
	if cfg.Cores, err = cpu.ParseList(c.Cores); err != nil {
		return cfg, usage.Errorf("run: --cores: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		return cfg, fmt.Errorf("run: %w", err)
	}
	return cfg, nil
}

// Run runs a dataplane until it is told to stop.
func (c *RunCmd) Run(a *app.App, k *kong.Context) error {
	if err := c.load(k); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	log := c.logger(a.Stderr)
	say := voice{a.Stderr, log, c.LogFormat == logJSON}
	cfg.OnEvent = func(e dataplane.Event) { logEvent(log, e) }
	cfg.OnOpen = func() error { return restrict(cfg.Ports, log) }

	// The socket first: if another process has it, no port has been touched.
	listener, err := ctl.ListenFor(c.path(), c.SocketGroup)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	var scrapes net.Listener
	if c.Metrics != "" {
		if scrapes, err = metrics.Listen(c.Metrics); err != nil {
			return errors.Join(fmt.Errorf("run: %w", err), listener.Close())
		}
		defer scrapes.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer c.watchSignals(a, say, cancel)()

	eng, err := engine.Start(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Canceled
		}
		return errors.Join(fmt.Errorf("run: %w", err), listener.Close())
	}
	server := ctl.NewServer(eng, log)
	conf, err := newRunning(c, eng, log)
	if err != nil {
		eng.Stop()
		return errors.Join(fmt.Errorf("run: %w", err), eng.Wait(), listener.Close())
	}
	server.Configure(conf)
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Error("the control socket is lost, forwarding goes on", "error", err)
		}
	}()
	where := ""
	if scrapes != nil {
		where = scrapes.Addr().String()
		ms := metrics.NewServer(server.Metrics(), log)
		defer ms.Close()
		go func() {
			if err := ms.Serve(scrapes); !errors.Is(err, http.ErrServerClosed) {
				log.Error("the address of metrics is lost, forwarding goes on", "address", where, "error", err)
			}
		}()
	}
	say.running(eng, c.path(), where)
	notify(log, service.Ready, service.Status(fmt.Sprintf("forwarding between %d ports", len(cfg.Ports))))
	if c.Duration > 0 {
		timer := time.AfterFunc(c.Duration, eng.Stop)
		defer timer.Stop()
	}
	<-eng.Stopping()
	notify(log, service.Stopping)
	err = eng.Wait()
	// Only now may the socket go: who waits for that finds the ports free.
	closeCtx, closed := context.WithTimeout(context.Background(), time.Second)
	defer closed()
	err = errors.Join(err, server.Close(closeCtx))
	return errors.Join(err, c.report(a.Stdout, eng.Final()))
}

// watchSignals cancels at the first signal and ends the process at the second. The
// function it returns stops watching.
func (c *RunCmd) watchSignals(a *app.App, say voice, cancel func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	wait := func() (os.Signal, bool) {
		select {
		case s := <-a.Signals:
			return s, true
		case <-done:
			return nil, false
		}
	}
	go func() {
		defer close(ended)
		s, ok := wait()
		if !ok {
			return
		}
		cancel()
		// Not here: a terminal that takes no text must not keep the second
		// signal from being seen.
		go say.stopping(s)
		if _, ok := wait(); ok {
			a.Exit(ExitFailure)
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// report writes what the run came to, and tells if something was wrong with it.
func (c *RunCmd) report(w io.Writer, s *engine.Stats) error {
	if s == nil {
		return nil // Wait has told why
	}
	var err error
	if c.JSON {
		err = writeJSON(w, s)
	} else {
		err = show.Summary(w, s)
	}
	for _, core := range s.Cores {
		if core.State == "failed" {
			err = errors.Join(err, fmt.Errorf("run: the worker on CPU %s failed, see the log above", show.CPU(core.CPU)))
		}
	}
	for _, p := range s.Pools {
		if !p.Balanced() {
			err = errors.Join(err, fmt.Errorf("run: pool %s: %d of %d frames accounted for, %d found twice: report it with the log above",
				p.Pool, p.Accounted, p.Frames, p.Duplicate))
		}
	}
	return err
}
