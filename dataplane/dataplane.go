package dataplane

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/queue"
)

// Defaults and limits of a Config.
const (
	// DefaultBurst is the number of frames a queue visit takes.
	DefaultBurst = 64
	// DefaultSendQueue is the limit of a port's send queue, in frames.
	DefaultSendQueue = 1024
	// MaxWorkers bounds the number of workers.
	MaxWorkers = 1024
	// maxSendQueue is the largest limit that queue.NewClassic takes.
	maxSendQueue = 1 << 20
)

// Unpinned as a CPU number makes a worker that is not pinned: for tests and for
// programs that place their threads themselves.
const Unpinned = -1

// Config describes a dataplane. The zero value of each field but Stage works.
type Config struct {
	// Cores are the CPUs to poll on, one worker each, in order. Default: one
	// worker, Unpinned.
	Cores []int
	// Stage is what every worker runs. Required.
	Stage Stage
	// Burst is the number of frames a queue visit takes, 1 to pmd.MaxBurst:
	// each_burst of every core as it begins, see PollConfig. Default 64.
	Burst int
	// Idle is what cores do while no frame comes, as they begin. Default
	// IdleAdaptive.
	Idle Idle
	// SendQueue is the limit of each port's send queue in frames, 1 to
	// 1,048,576. Default 1024.
	SendQueue int
	// Pool describes the pools that are made for ports.
	Pool mbuf.Config
	// Reasons names drop reasons of the program's own, from pmd.ReasonUser up.
	Reasons []string
	// OnEvent is told what happens to ports and workers, from control
	// goroutines, one event at a time. It must not call back into the
	// Dataplane and wait. Default: nobody is told.
	OnEvent func(Event)
}

// withDefaults fills the fields left zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Stage == nil {
		return c, errors.New("dataplane: Config.Stage is nil: there is nothing to do with frames")
	}
	if len(c.Cores) == 0 {
		c.Cores = []int{Unpinned}
	}
	if len(c.Cores) > MaxWorkers {
		return c, fmt.Errorf("dataplane: %d cores: at most %d", len(c.Cores), MaxWorkers)
	}
	seen := map[int]bool{}
	for _, id := range c.Cores {
		if id != Unpinned && seen[id] {
			return c, fmt.Errorf("dataplane: CPU %d is named twice: two pollers on one CPU only get in each other's way", id)
		}
		seen[id] = true
	}
	if c.Burst == 0 {
		c.Burst = DefaultBurst
	}
	if c.Burst < 1 || c.Burst > pmd.MaxBurst {
		return c, fmt.Errorf("dataplane: burst %d: use 1 to %d", c.Burst, pmd.MaxBurst)
	}
	if c.Idle == "" {
		c.Idle = IdleAdaptive
	}
	if err := DefaultPollConfig(c.Burst, c.Idle).Validate(); err != nil {
		return c, fmt.Errorf("dataplane: %w", err)
	}
	if c.SendQueue == 0 {
		c.SendQueue = DefaultSendQueue
	}
	if c.SendQueue < 1 || c.SendQueue > maxSendQueue {
		return c, fmt.Errorf("dataplane: send queue of %d frames: use 1 to %d", c.SendQueue, maxSendQueue)
	}
	if len(c.Reasons) > pmd.MaxReasons-int(pmd.ReasonUser) {
		return c, fmt.Errorf("dataplane: %d reasons: at most %d", len(c.Reasons), pmd.MaxReasons-int(pmd.ReasonUser))
	}
	return c, c.Pool.Validate()
}

// Event tells what happened to a port or a worker.
type Event struct {
	// Time is when it was noticed.
	Time time.Time
	// Kind is one of the Event… constants.
	Kind string
	// Port is the port's name, empty if none is concerned.
	Port string
	// CPU is the worker's CPU for EventWorkerFailed, else Unpinned.
	CPU int
	// Text is for a person.
	Text string
}

// Kinds of Event.
const (
	// EventPortUp and EventPortDown: the port can, or can no longer, carry
	// traffic.
	EventPortUp   = "port_up"
	EventPortDown = "port_down"
	// EventMTUExceeded: somebody raised the MTU of the port's interface beyond what the
	// port can receive; Text says how far, and how to mend it.
	EventMTUExceeded = "mtu_exceeded"
	// EventPortChanged: something else about the port changed.
	EventPortChanged = "port_changed"
	// EventQueuesUnpolled: frames come to queues of the port's interface that nobody
	// polls, from the start or since it has more of them; Text says how to mend it.
	EventQueuesUnpolled = "queues_unpolled"
	// EventWorkerFailed: a stage panicked; Text has the message and the stack.
	EventWorkerFailed = "worker_failed"
)

// port is control's side of a port. Guarded by Dataplane.mu.
type port struct {
	id     PortID
	dev    pmd.Device
	info   pmd.Info
	owners []int // worker of each queue, -1 if none
	// send is the send queue in use, nil once the port is gone, and classic the one that
	// the port came with.
	send    Discipline
	classic Discipline
	// lost are frames that former disciplines took and dropped, and spared what Drops of
	// the present one was when it came.
	lost, spared uint64
	// drainer is the worker that empties send.
	drainer atomic.Pointer[Worker]
	// scratch takes a snapshot of send for the account.
	scratch []mbuf.Frame
	pool    *mbuf.Pool
	gone    bool // closed because its worker failed, or removed
	removed bool // by RemovePort
	// before are the workers of an unpolled port, whose owners are all -1, as
	// they were; else nil.
	before []int
	// purged counts frames that control had dropped from send.
	purged uint64
}

// queued returns the frames in the send queue. Whoever drains that stands still, or is the
// caller.
func (p *port) queued() []mbuf.Frame {
	if p.send == nil {
		return nil
	}
	return p.scratch[:p.send.Snapshot(p.scratch)]
}

// waiting returns how many packets are in the send queue, as queued does.
func (p *port) waiting() uint64 { return uint64(mbuf.Packets(p.queued())) }

// Dataplane owns workers, ports and pools. Make one with New.
type Dataplane struct {
	cfg     Config
	space   *mbuf.Space
	workers []*Worker
	clock   cpu.Clock

	// mu serialises control: changes to ports, accounts, statistics.
	mu      sync.Mutex
	ports   []*port
	pools   map[pmd.Class]*mbuf.Pool
	ledgers map[*mbuf.Pool]*mbuf.Ledger
	stage   Stage
	running bool
	closed  bool
	started time.Time

	// owner says which worker polls a queue. It has a lock of its own, so that
	// a device may ask while control waits for that device.
	ownMu sync.Mutex
	owner map[pmd.Queue]*Worker

	eventMu sync.Mutex

	// notices are what devices reported, oldest first, for the goroutine that
	// ring wakes.
	noticeMu sync.Mutex
	notices  []notice
	ring     chan struct{}

	answers answers
}

// notice is a device's word that its state changed, and what it is now.
type notice struct {
	dev  pmd.Device
	info pmd.Info
	what string
}

// maxNotices bounds the notices that wait; the oldest give way.
const maxNotices = 1024

// New makes a dataplane with its workers; none runs yet. Errors name the field of
// the configuration.
func New(cfg Config) (*Dataplane, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	clock, err := cpu.Calibrate(10 * time.Millisecond)
	if err != nil {
		return nil, fmt.Errorf("dataplane: %w", err)
	}
	d := &Dataplane{
		cfg: cfg, space: mbuf.NewSpace(), clock: clock, stage: cfg.Stage,
		pools: map[pmd.Class]*mbuf.Pool{}, ledgers: map[*mbuf.Pool]*mbuf.Ledger{},
		owner: map[pmd.Queue]*Worker{}, ring: make(chan struct{}, 1),
	}
	if d.answers.bell, err = queue.NewBell(); err != nil {
		return nil, fmt.Errorf("dataplane: %w", err)
	}
	for i, id := range cfg.Cores {
		w := &Worker{id: i, cpu: id, local: mbuf.NewLocal(), many: len(cfg.Cores) > 1, answers: &d.answers,
			clock: clock, slice: clock.Cycles(cpu.YieldEvery)}
		if w.bell, err = queue.NewBell(); err != nil {
			return nil, errors.Join(fmt.Errorf("dataplane: worker %d: %w", i, err), d.closeBells())
		}
		w.sleep.long = longSleep
		w.sleep.setIdle(cfg.Idle, clock)
		w.poll.set(DefaultPollConfig(cfg.Burst, cfg.Idle), clock, clock.Now())
		w.setStage(cfg.Stage)
		w.unmanned.Store(true) // before any goroutine knows w
		d.workers = append(d.workers, w)
	}
	return d, nil
}

// Env returns what drivers need to open devices for this dataplane.
func (d *Dataplane) Env() pmd.Env {
	return pmd.Env{
		Pool: d.poolFor, Host: host{d},
		Describe: func(class pmd.Class) mbuf.Config { return class.Config(d.cfg.Pool) },
	}
}

// Space returns the table of this dataplane's pools.
func (d *Dataplane) Space() *mbuf.Space { return d.space }

// Clock returns the cycle clock the workers count with.
func (d *Dataplane) Clock() cpu.Clock { return d.clock }

// poolFor returns the pool of a class, made at its first use.
func (d *Dataplane) poolFor(class pmd.Class) (*mbuf.Pool, error) {
	d.ownMu.Lock()
	defer d.ownMu.Unlock()
	if p := d.pools[class]; p != nil {
		return p, nil
	}
	p, err := d.space.NewPool(class.Config(d.cfg.Pool))
	if err != nil {
		return nil, err
	}
	d.pools[class] = p
	return p, nil
}

// PortConfig says how a port is polled.
type PortConfig struct {
	// Workers names the worker for each queue of the device. Default: ports
	// are placed in pairs, ports 0 and 1 on the first worker, 2 and 3 on the
	// next, so that paired ports forward without crossing cores; further queues
	// of a port follow on the next workers.
	Workers []int
}

// ErrClosed is returned by calls on a dataplane that was closed.
var ErrClosed = errors.New("dataplane: closed")

// AddPort takes over a device and returns its port number. It may be called
// before Run and while it runs; the device is then closed by Close. On an error
// it is for the caller to close. The port carries traffic once all its queues are
// bound; what is sent there before is dropped as port_down.
func (d *Dataplane) AddPort(dev pmd.Device, cfg PortConfig) (PortID, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return NoPort, ErrClosed
	}
	info := dev.Info()
	queues := dev.Queues()
	if len(d.ports) >= mbuf.MaxPorts-1 {
		return NoPort, fmt.Errorf("dataplane: port %s: %d ports exist already", info.Name, len(d.ports))
	}
	for _, p := range d.ports {
		if p.info.Name == info.Name && !p.gone {
			return NoPort, fmt.Errorf("dataplane: a port named %s exists already: give one of them another name=", info.Name)
		}
	}
	if len(queues) == 0 {
		return NoPort, fmt.Errorf("dataplane: port %s: device has no queue", info.Name)
	}
	if len(cfg.Workers) != 0 && len(cfg.Workers) != len(queues) {
		return NoPort, fmt.Errorf("dataplane: port %s: %d workers named for %d queues", info.Name, len(cfg.Workers), len(queues))
	}
	for i, q := range queues {
		// Frames name their pool by its number in our own table.
		if q.Pool() != queues[0].Pool() || !slices.Contains(d.space.Pools(), q.Pool()) {
			return NoPort, fmt.Errorf("dataplane: port %s queue %d: pool %s is of another dataplane or of another port's queues: open devices with the Env of this dataplane, with one pool a device",
				info.Name, i, q.Pool().Name())
		}
	}
	id := PortID(len(d.ports))
	p := &port{id: id, dev: dev, info: info, pool: queues[0].Pool(), owners: make([]int, len(queues))}
	for i := range queues {
		p.owners[i] = (int(id)/2 + i) % len(d.workers)
		if len(cfg.Workers) > 0 {
			p.owners[i] = cfg.Workers[i]
		}
		if p.owners[i] < 0 || p.owners[i] >= len(d.workers) {
			return NoPort, fmt.Errorf("dataplane: port %s queue %d: worker %d: there are workers 0 to %d",
				info.Name, i, p.owners[i], len(d.workers)-1)
		}
	}
	if err := d.roomFor(p); err != nil {
		return NoPort, err
	}
	send, err := queue.NewClassic(d.cfg.SendQueue, d.space.Free)
	if err != nil {
		return NoPort, fmt.Errorf("dataplane: port %s: send queue: %w", info.Name, err)
	}
	p.drainer.Store(d.workers[p.owners[0]])
	p.send, p.classic, p.scratch = send, send, make([]mbuf.Frame, send.Limit())
	d.ports = append(d.ports, p)
	if _, ok := d.ledgers[p.pool]; !ok {
		d.ledgers[p.pool] = mbuf.NewLedger(p.pool)
	}
	if err := d.connect(p); err != nil {
		return NoPort, errors.Join(err, d.closePort(p))
	}
	d.warnUnpolled(p)
	return id, nil
}

// warnUnpolled announces queues of a port that nobody polls, if there are any.
func (d *Dataplane) warnUnpolled(p *port) {
	if len(p.info.Unpolled) > 0 {
		d.emit(Event{Kind: EventQueuesUnpolled, Port: p.info.Name, CPU: Unpinned, Text: p.info.Remedy})
	}
}

// roomFor tells whether the cores can poll the queues of p, too.
func (d *Dataplane) roomFor(p *port) error {
	counts := make([]int, len(d.workers))
	for _, o := range d.ports {
		for _, w := range o.owners {
			if o != p && !o.gone && w >= 0 {
				counts[w]++
			}
		}
	}
	for i, w := range p.owners {
		if counts[w]++; counts[w] > MaxHandlers {
			return fmt.Errorf("dataplane: port %s queue %d: %w", p.info.Name, i, d.fullError(w))
		}
	}
	return nil
}

// fullError says that a worker can poll no further queue.
func (d *Dataplane) fullError(worker int) error {
	return fmt.Errorf("the core on CPU %s polls %d queues already, and that is the limit: choose another one", cpuName(d.workers[worker].cpu), MaxHandlers)
}

// RemovePort takes a port from the workers, between two bursts of each, and closes
// its device. Frames that are on their way to it are dropped and counted, and so is
// what stages send there from now on; the number is not given again, and the totals
// stay in the statistics. An error about the device comes with the port removed.
func (d *Dataplane) RemovePort(id PortID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	if int(id) >= len(d.ports) || d.ports[id].removed {
		return fmt.Errorf("dataplane: there is no port %d to remove", id)
	}
	p := d.ports[id]
	p.removed = true
	err := d.closePort(p)
	p.info.Detail = "removed"
	return err
}

// RenamePort gives a port another name in statistics, events and errors from now on. Its
// device keeps the name that it was opened with, and so does what that is made of.
func (d *Dataplane) RenamePort(id PortID, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	p, err := d.knownPort(id)
	if err != nil {
		return err
	}
	for _, o := range d.ports {
		if o != p && o.info.Name == name && !o.gone {
			return fmt.Errorf("dataplane: port %s: a port named %s exists already", p.info.Name, name)
		}
	}
	p.info.Name = name
	return nil
}

// connect makes p known to the workers. First every worker learns of the port,
// then its queues begin to receive: no worker is handed a frame for a port that
// another does not know. Last it can be sent to: no worker drains its send queue
// before it has the queue to send on.
func (d *Dataplane) connect(p *port) error {
	ctx := context.Background()
	for _, w := range d.workers {
		tx := d.newTx(w, p)
		if err := d.do(ctx, w, func(w *Worker) {
			w.local.Add(p.pool)
			w.tx, w.open = append(w.tx, tx), append(w.open, p.id)
			w.knowMulti(p.pool)
		}); err != nil {
			return err
		}
	}
	for i, q := range p.dev.Queues() {
		if err := d.bind(p, i, q); err != nil {
			return err
		}
	}
	for _, w := range d.workers {
		if err := d.do(ctx, w, func(w *Worker) { w.tx[p.id].carries(p.info.Up, pmd.ReasonPortDown) }); err != nil {
			return err
		}
	}
	return nil
}

// carries opens or closes the way to a port; frames for one that is closed are dropped
// for that reason.
func (t *txPort) carries(up bool, why pmd.Reason) { t.up, t.why = up, why }

// newTx makes the way of worker w to port p.
func (d *Dataplane) newTx(w *Worker, p *port) txPort {
	t := txPort{
		pool: p.pool.ID(), checksums: completes(p.dev), send: p.send, why: pmd.ReasonPortDown,
		limit: d.cfg.Burst, buf: make([]mbuf.Frame, d.cfg.Burst+mbuf.MaxSegments-1), hold: make([]mbuf.Frame, holdFrames),
		drains: d.workers[p.owners[0]] == w, drainer: &p.drainer,
	}
	return t
}

// completes reports whether a device completes checksums of what it sends.
func completes(dev pmd.Device) bool {
	c, ok := dev.(pmd.TxChecksummer)
	return ok && c.TxChecksums()
}

// bind gives queue i of p to its worker.
func (d *Dataplane) bind(p *port, i int, q pmd.Queue) error {
	w := d.workers[p.owners[i]]
	d.ownMu.Lock()
	d.owner[q] = w
	d.ownMu.Unlock()
	return d.do(context.Background(), w, func(w *Worker) {
		q.Bind(pmd.Binding{Local: w.local, Port: uint16(p.id)})
		w.rx = append(w.rx, newRxQueue(q, p.id, i))
		w.register()
		if t := &w.tx[p.id]; t.q == nil {
			t.q, t.direct = q, q
		}
	})
}

// Run runs the workers until ctx is done, then brings every frame home. It
// returns nil after an orderly stop, or the error that kept a worker from
// starting. It can be called once.
func (d *Dataplane) Run(ctx context.Context) error {
	d.mu.Lock()
	if d.closed || d.running {
		d.mu.Unlock()
		return fmt.Errorf("%w, or run already: Run can be called once", ErrClosed)
	}
	d.running = true
	d.started = time.Now()
	d.mu.Unlock()

	defer runtime.GOMAXPROCS(cpu.Processors(len(d.workers)))
	var wg, control sync.WaitGroup
	stop := make(chan struct{})
	control.Go(func() { d.watch(stop) })
	d.answers.open()
	control.Go(d.answers.carry)
	starts := make(chan error, len(d.workers))
	for _, w := range d.workers {
		wg.Go(func() { d.runWorker(w, starts) })
	}
	var err error
	for range d.workers {
		err = errors.Join(err, <-starts)
	}
	if err == nil {
		<-ctx.Done()
	}
	for _, w := range d.workers {
		// A worker that failed or never started is served here, which is fine.
		err = errors.Join(err, d.do(context.Background(), w, func(w *Worker) { w.stopping = true }))
	}
	wg.Wait()
	close(stop)
	d.answers.stop()
	control.Wait()
	d.purge()
	return err
}

// runWorker is the life of a worker's goroutine.
func (d *Dataplane) runWorker(w *Worker, started chan<- error) {
	if w.cpu != Unpinned {
		pinned, err := cpu.Pin(w.cpu)
		if err != nil {
			started <- fmt.Errorf("dataplane: worker %d: %w", w.id, err)
			return
		}
		// An error here leaves the thread locked, and it ends with the goroutine.
		defer func() { _ = pinned.Release() }()
		w.pinned = pinned
	}
	w.serveMu.Lock()
	w.unmanned.Store(false) // pairs with the Load in do: later mail is ours
	w.serveMu.Unlock()
	started <- nil
	crash := guard(w.loop)
	if crash == nil {
		crash = guard(w.finish) // a FrameHolder is asked there
	}
	w.serveMu.Lock()
	w.failed = crash != nil
	w.unmanned.Store(true) // pairs with the Load in do: from here senders serve
	w.mail.serve(w)
	w.serveMu.Unlock()
	if crash != nil {
		d.bury(w, crash)
	}
}

// guard calls fn and returns the panic of a stage, if there was one.
func guard(fn func()) (crash error) {
	defer func() {
		if r := recover(); r != nil {
			crash = fmt.Errorf("%v\n%s", r, debug.Stack())
		}
	}()
	fn()
	return nil
}

// loop polls until told to stop.
func (w *Worker) loop() {
	w.startCycles = w.clock.Now()
	w.lastCycles, w.sliceStart = w.startCycles, w.startCycles
	w.poll.restart(w.startCycles)
	w.sleep.busy = w.startCycles
	for !w.stopping {
		if w.turn() == 0 {
			w.rest()
		}
		if w.lastCycles-w.sliceStart > w.slice {
			w.yield()
		}
	}
}

// finishTime bounds how long a stopping worker waits for the device to send.
const finishTime = 20 * time.Millisecond

// finish lets what is on its way out leave, then lets go of queues and frames.
func (w *Worker) finish() {
	if h, ok := w.stage.(FrameHolder); ok {
		h.Release(w)
	}
	w.transmit()
	for end := time.Now().Add(finishTime); time.Now().Before(end); {
		busy := uint64(0)
		for i := range w.rx {
			w.rx[i].q.Flush()
			w.rx[i].q.Reclaim()
			busy += w.rx[i].q.Counters().InFlight
		}
		if busy == 0 {
			break
		}
	}
	w.abandon(pmd.ReasonStopped)
}

// abandon gives up every frame in transmit buffers, for this reason, and drains
// the caches. Queues stay as they are.
func (w *Worker) abandon(r pmd.Reason) {
	for _, id := range w.open {
		t := &w.tx[id]
		w.dropFor(t, r, t.buf[:t.n])
		w.dropFor(t, r, t.hold[:t.held])
		t.n, t.held = 0, 0
	}
	w.local.Drain()
}

// purge empties the send queues after the workers have stopped.
func (d *Dataplane) purge() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		d.purgePort(p)
	}
}

// purgePort drops what is in p's send queue. No worker may use it any more.
func (d *Dataplane) purgePort(p *port) {
	if p.send == nil {
		return
	}
	n := p.waiting()
	for k := p.send.DequeueBurst(p.scratch); k > 0; k = p.send.DequeueBurst(p.scratch) {
		d.space.Free(p.scratch[:k])
	}
	w := d.workers[0]
	_ = d.do(context.Background(), w, func(w *Worker) { w.tx[p.id].drops[pmd.ReasonStopped] += n })
}

// Close closes every device and releases the pools. Run must have returned. It
// fails, naming the pool, if a frame has not come home.
func (d *Dataplane) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	var err error
	for _, p := range d.ports {
		err = errors.Join(err, d.closePort(p))
	}
	for _, w := range d.workers {
		err = errors.Join(err, d.do(context.Background(), w, func(w *Worker) { w.local.Drain() }))
	}
	for _, pool := range d.space.Pools() {
		err = errors.Join(err, d.space.Release(pool))
	}
	return errors.Join(err, d.closeBells())
}

// closeBells gives up what wakes the workers and the carrier of answers. None sleeps any more.
func (d *Dataplane) closeBells() error {
	err := d.answers.bell.Close()
	for _, w := range d.workers {
		err = errors.Join(err, w.bell.Close())
	}
	return err
}

// closePort takes p's queues from their workers and closes the device. The number
// stays taken: frames for it are dropped and counted.
func (d *Dataplane) closePort(p *port) error {
	if p.gone {
		return nil
	}
	p.gone = true
	p.info.Up = false
	var err error
	for _, w := range d.workers {
		err = errors.Join(err, d.do(context.Background(), w, func(w *Worker) { w.forget(p.id) }))
	}
	d.ownMu.Lock()
	for _, q := range p.dev.Queues() {
		delete(d.owner, q)
	}
	d.ownMu.Unlock()
	d.purgePort(p)
	p.lost = p.lostFrames()
	p.send, p.classic, p.scratch = nil, nil, nil
	return errors.Join(err, p.dev.Close())
}

// forget lets go of port id: its queues, what waits to be sent there.
func (w *Worker) forget(id PortID) {
	t := &w.tx[id]
	t.carries(false, pmd.ReasonPortDown)
	w.dropFor(t, pmd.ReasonPortDown, t.buf[:t.n])
	w.dropFor(t, pmd.ReasonPortDown, t.hold[:t.held])
	t.n, t.held = 0, 0
	t.q, t.direct, t.drains, t.dirty = nil, nil, false, false
	t.buf, t.hold, t.send = nil, nil, nil // numbers are not given again, memory is
	if i, ok := slices.BinarySearch(w.open, id); ok {
		w.open = slices.Delete(w.open, i, i+1)
	}
	keep := w.rx[:0]
	for _, r := range w.rx {
		if r.port == id {
			r.q.Unbind()
			continue
		}
		keep = append(keep, r)
	}
	w.rx = keep
	w.register()
}

// SetStage replaces the stage on every worker, one after the other, each between
// two bursts. No frame is lost: a burst runs to completion in one stage.
func (d *Dataplane) SetStage(ctx context.Context, s Stage) error {
	if s == nil {
		return errors.New("dataplane: stage is nil")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stage = s
	var err error
	for _, w := range d.workers {
		err = errors.Join(err, d.do(ctx, w, func(w *Worker) {
			if h, ok := w.stage.(FrameHolder); ok {
				h.Release(w)
			}
			w.setStage(s)
		}))
	}
	return err
}
