package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"example.org/pmd/cmd/pmd/internal/netsys"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Engine is a running dataplane. Make one with Start.
type Engine struct {
	dp      *dataplane.Dataplane
	cores   cores
	open    func(ctx context.Context, spec pmd.Spec) (pmd.Device, error)
	frames  int // of each pool
	stats   *collector
	stop    context.CancelFunc
	stopped <-chan struct{} // the context of the run is done
	running chan struct{}   // closed when no worker runs any more

	// net and sys are the interface layer, ctl its calls as this process makes them.
	net    *netsys.Net
	sys    *ifnet.System
	ctl    *ifnet.Control
	events *events
	// kinds are those of interfaces that can be created, coming is what the one that
	// is about to be attached is made of.
	kinds  []ifnet.Cloner
	coming ifnet.Params
	// linkBell holds a token while somebody should look at the links.
	linkBell chan struct{}

	// changeMu makes changes one at a time. It is held while a change is made;
	// mu, for moments, guards what there is.
	changeMu turns
	bounds   bounds
	// applying is held during Apply.
	applying turns
	mu       sync.Mutex
	ports    []openPort // in the order of the configuration
	wiring   wiring
	polls    []tuning // by worker
	// burst is what the configuration says of it.
	burst int
	// cfg is what was last asked for. Ports, mode and how cores poll are in the fields
	// above, as they are now. Guarded by mu.
	cfg Config

	// done is closed when final and err are set and everything is closed.
	done  chan struct{}
	final *Stats
	err   error
}

// openPort is a port that the dataplane has.
type openPort struct {
	port
	spec pmd.Spec
	id   dataplane.PortID
	mac  net.HardwareAddr
	mtu  int
	// ifp is its interface, net the driver that the interface has in it.
	ifp *ifnet.Interface
	net *netsys.Port
	// base is what the interface is as far as nobody says otherwise.
	base ifState
	// created says that the interface can be destroyed by name.
	created bool
	// workers polls the queues: queue i the i-th.
	workers []int
	// lost says that a change had closed it and could not open it again.
	lost bool
}

// startTime bounds how long workers may take to begin polling.
const startTime = 10 * time.Second

// Start opens the ports and returns when every worker polls. A mistake in the
// configuration is told before anything is opened, as usage.Is says; whatever
// was opened before a failure is closed again. When ctx is done the engine stops.
func Start(ctx context.Context, cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{frames: poolFrames(cfg.Pool), running: make(chan struct{}), done: make(chan struct{}), linkBell: make(chan struct{}, 1), changeMu: make(turns, 1), applying: make(turns, 1), bounds: cfg.bounds}
	if e.wiring, err = wire(cfg); err != nil {
		return nil, err
	}
	gs := groups(e.wiring.table)
	ports, err := survey(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if e.cores, err = chooseCores(cfg, units(gs, ports), ports); err != nil {
		return nil, err
	}
	tunings, err := e.tuning(cfg, cfg.Burst)
	if err != nil {
		return nil, err
	}
	e.burst, e.cfg = cfg.Burst, cfg
	for _, t := range tunings {
		e.polls = append(e.polls, tuning{t.usual, t.usual})
	}
	if cfg.Pool.Frames == 0 {
		cfg.Pool.Frames = framesFor(ports)
	}
	events := newEvents(cfg.OnEvent)
	e.events = events
	undo, err := e.build(ctx, cfg, gs, ports, tunings, events)
	if err != nil {
		events.close()
		return nil, err
	}
	runCtx, stop := context.WithCancel(ctx)
	e.stop, e.stopped = stop, runCtx.Done()
	e.stats.start()
	if err := e.sys.Start(ctx); err != nil {
		stop() // which is what it says
	}
	go e.followLinks()
	go e.run(runCtx, events, undo)
	if err := e.awaitWorkers(); err != nil {
		stop()
		return nil, errors.Join(err, e.Wait())
	}
	select {
	case <-e.running: // a worker could not start, or ctx is done already
		return nil, errors.Join(ctx.Err(), e.Wait())
	default:
	}
	return e, nil
}

// build makes the dataplane and its ports. The function it returns undoes what
// concerns the whole process.
func (e *Engine) build(ctx context.Context, cfg Config, gs []group, ports []port, tunings []tuning, events *events) (undo func() error, err error) {
	undo = func() error { return nil }
	defer func() {
		if err != nil {
			err = errors.Join(err, undo())
		}
	}()
	if undo, err = arrangeThreads(cfg, e.cores); err != nil {
		return undo, err
	}
	// The stage that does the work needs the ports' addresses, which are known
	// once the ports are open. Nothing is received before Run.
	none := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
		w.DropBurst(pmd.ReasonNoPort, burst)
	})
	e.dp, err = dataplane.New(dataplane.Config{
		Cores: e.cores.ids, Stage: none, Burst: cfg.Burst, Idle: cfg.Idle, Pool: cfg.Pool,
		OnEvent: func(ev dataplane.Event) {
			events.tell(ev)
			e.announce(ev)
			e.ring()
		},
	})
	if err != nil {
		return undo, err
	}
	if err = e.newSystem(cfg.Registry.Kinds(), events); err != nil {
		return undo, errors.Join(err, e.dp.Close())
	}
	if err = e.retune(ctx, tunings); err != nil {
		return undo, errors.Join(err, e.dp.Close())
	}
	env := e.dp.Env()
	e.open = func(ctx context.Context, spec pmd.Spec) (pmd.Device, error) { return cfg.Registry.Open(ctx, spec, env) }
	if e.ports, err = e.openPorts(ctx, cfg, gs, ports); err != nil {
		return undo, errors.Join(err, e.dp.Close())
	}
	if err = e.setStage(ctx, e.ports, e.wiring); err != nil {
		return undo, errors.Join(err, e.dp.Close())
	}
	if cfg.OnOpen != nil {
		if err = cfg.OnOpen(); err != nil {
			return undo, errors.Join(err, e.dp.Close())
		}
	}
	e.stats = newCollector(e.dp, e.bounds.control)
	return undo, nil
}

// arrangeThreads leaves the poll CPUs to the pollers.
func arrangeThreads(cfg Config, c cores) (undo func() error, err error) {
	// Setting the number, even to what it is, also keeps the runtime from following
	// the affinity mask that Confine is about to narrow (Go 1.25 and later).
	before := cpu.Processors(len(c.ids))
	restore := func() error { return nil }
	if cfg.Confine && !c.rest.IsEmpty() {
		if restore, err = cpu.Confine(c.rest); err != nil {
			runtime.GOMAXPROCS(before)
			return func() error { return nil }, err
		}
	}
	return func() error {
		err := restore()
		runtime.GOMAXPROCS(before)
		return err
	}, nil
}

// openPorts opens every device and gives it to the dataplane. On an error those that
// the dataplane does not have yet are closed; it closes the others.
func (e *Engine) openPorts(ctx context.Context, cfg Config, gs []group, ports []port) (open []openPort, err error) {
	devs := make([]pmd.Device, 0, len(cfg.Ports))
	given := 0
	defer func() {
		if err == nil {
			return
		}
		for _, dev := range devs[given:] {
			err = errors.Join(err, dev.Close())
		}
	}()
	ports = slices.Clone(ports)
	for i, spec := range cfg.Ports {
		dev, err := e.open(ctx, spec)
		if err != nil {
			return nil, err
		}
		devs = append(devs, dev)
		// What the driver expected may have changed, or it could not tell.
		ports[i].queues, ports[i].node = len(dev.Queues()), dev.Info().NUMANode
	}
	where := place(gs, ports, e.cores)
	for i, dev := range devs {
		given++ // one way or the other
		p, err := e.give(ctx, dev, cfg.Ports[i], ports[i], where[i], cfg.interfaceOf(cfg.Ports[i]))
		if err != nil {
			return nil, err
		}
		open = append(open, p)
	}
	return open, nil
}

// give gives an open device to the dataplane, and makes its interface what is wanted. If it
// fails the device is closed.
func (e *Engine) give(ctx context.Context, dev pmd.Device, spec pmd.Spec, p port, workers []int, want InterfaceConfig) (openPort, error) {
	if len(p.cpus) > 0 {
		if _, err := eachQueue(p.cpus, len(workers)); err != nil {
			return openPort{}, errors.Join(fmt.Errorf("port %s: pollcpu=%s: %w", spec.Name, spec.PollCPU, err), dev.Close())
		}
	}
	id, err := e.dp.AddPort(dev, dataplane.PortConfig{Workers: workers})
	if err != nil {
		return openPort{}, errors.Join(err, dev.Close())
	}
	open := openPort{port: p, spec: spec, id: id, mac: dev.Info().MAC, mtu: dev.Info().MTU, workers: workers}
	if err := e.attach(ctx, dev, &open, want); err != nil {
		return openPort{}, errors.Join(err, e.dp.RemovePort(id))
	}
	return open, nil
}

// run is the life of the dataplane. It owns final and err until done is closed.
func (e *Engine) run(ctx context.Context, events *events, undo func() error) {
	defer close(e.done)
	err := e.dp.Run(ctx)
	close(e.running)
	e.stats.close()
	// Nothing moves any more, so this is the last word, and it is exact.
	final, ferr := e.stats.last()
	if final != nil {
		final.Forward = e.Mode()
	}
	e.final = final
	e.net.Close()
	e.err = errors.Join(err, ferr, e.sys.Close(), e.dp.Close(), undo())
	events.close()
}

// awaitWorkers returns when every worker polls. Until then the dataplane runs
// messages on the goroutine of whoever sends them.
func (e *Engine) awaitWorkers() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		select {
		case <-e.running:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("the workers did not begin to poll within %v", startTime)
		default:
		}
		s, err := e.dp.Stats(ctx)
		if errors.Is(err, dataplane.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		polling := 0
		for _, c := range s.Cores {
			if c.State != "stopped" {
				polling++
			}
		}
		if polling == len(s.Cores) {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// Stop asks the engine to stop and returns at once. Calling it again is harmless.
func (e *Engine) Stop() { e.stop() }

// Stopping is closed once the engine was asked to stop, by Stop or by the context.
func (e *Engine) Stopping() <-chan struct{} { return e.stopped }

// Done is closed when the engine has stopped and everything is closed.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Wait returns when the engine has stopped and everything is closed, with what
// went wrong on the way.
func (e *Engine) Wait() error {
	<-e.done
	return e.err
}

// Final returns the statistics of the whole run, taken after the last worker had
// stopped and before anything was closed. It waits as Wait does, and is nil if
// they could not be taken.
func (e *Engine) Final() *Stats {
	<-e.done
	return e.final
}

// Cores returns the workers' CPUs, dataplane.Unpinned for those without, and the
// CPUs left to the other threads of the process.
func (e *Engine) Cores() (poll []int, rest cpu.Set) { return e.cores.ids, e.cores.rest }
