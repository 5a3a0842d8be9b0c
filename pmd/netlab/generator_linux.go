//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	cpus "example.org/pmd/cpu"
)

const (
	// chunkFrames is the number of frames, or idle turns, asked for in one
	// system call: minutes' worth. To end a call and begin another takes the
	// kernel some 25 ms, so there is one, and a signal ends it.
	chunkFrames = 1 << 31
	// watchInterval is how often something is looked at during a run.
	watchInterval = time.Millisecond
)

// Generator sends frames made in the kernel out of one interface. One run is
// under way at a time; Close, Stop and Frames may be called from any goroutine.
type Generator struct {
	ns     *Namespace
	ifname string
	index  int
	rate   uint64
	frame  []byte
	prog   *ebpf.Program
	state  *ebpf.Map // one genState
	// pass is the program on the sending interface, if that had none.
	pass *Attachment

	mu      sync.Mutex
	current *genRun
	closed  bool // no further run
	gone    bool // the map is closed, too
}

// genRun is one run, from start to the end of its thread.
type genRun struct {
	// stop is set by whoever wants the end; the loop looks before each call.
	stop atomic.Bool
	// tid is the thread to signal; set before started is closed.
	tid     int
	started chan struct{}
	// done is closed when res and err are final.
	done chan struct{}
	res  GeneratorResult
	err  error
}

// Generator makes a generator that sends out of ifname, one end of a veth
// pair, so that the frames arrive at the other end.
//
// Both ends need an XDP program. If ifname has none, one that passes frames is
// attached until the generator is closed; a sink to be used there must be made
// before. The program at the other end is the receiver's: a Sink, PassProgram,
// or an AF_XDP socket's.
func (n *Namespace) Generator(ifname string, cfg GeneratorConfig) (*Generator, error) {
	g, err := n.newGenerator(ifname, cfg)
	if err != nil {
		return nil, fmt.Errorf("netlab: generator on %s: %w", ifname, err)
	}
	return g, n.lab.own(g)
}

func (n *Namespace) newGenerator(ifname string, cfg GeneratorConfig) (*Generator, error) {
	local, err := n.handle.LinkByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("interface in namespace %s: %w", n, err)
	}
	mtu := local.Attrs().MTU
	peer, known := n.lab.peer(n, ifname)
	if known {
		mtu = min(mtu, peer.MTU)
	}
	if cfg.Template == nil {
		if cfg.SrcMAC == nil {
			cfg.SrcMAC = local.Attrs().HardwareAddr
		}
		if cfg.DstMAC == nil && known {
			cfg.DstMAC = peer.MAC
		}
	}
	frame, err := cfg.Frame()
	if err != nil {
		return nil, err
	}
	// veth drops longer frames without a count (xdp_ok_fwd_dev).
	if limit := mtu + offIPv4 + vlanTag; len(frame) > limit {
		return nil, fmt.Errorf("a frame of %d bytes is over the %d that an MTU of %d allows: %w", len(frame), limit, mtu, unix.EMSGSIZE)
	}
	g := &Generator{ns: n, ifname: ifname, index: local.Attrs().Index, rate: cfg.Rate, frame: frame}
	if err := g.load(cfg); err != nil {
		return nil, errors.Join(err, g.release())
	}
	if x := local.Attrs().Xdp; x == nil || !x.Attached {
		if g.pass, err = n.PassProgram(ifname); err != nil {
			return nil, errors.Join(err, g.release())
		}
	}
	return g, nil
}

// load makes the state and the program.
func (g *Generator) load(cfg GeneratorConfig) (err error) {
	g.state, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "netlab_gen", Type: ebpf.Array, KeySize: 4, ValueSize: 32, MaxEntries: 1,
	})
	if err != nil {
		return fmt.Errorf("counter: %w", err)
	}
	g.prog, err = loadProgram("netlab_gen", generatorProgram(g.state.FD(), g.frame, cfg))
	return err
}

// Frames returns the number of frames made so far, over all runs, also while
// one is under way.
func (g *Generator) Frames() (uint64, error) {
	var s genState
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return 0, fmt.Errorf("netlab: generator on %s: %w", g.ifname, os.ErrClosed)
	}
	if err := g.state.Lookup(uint32(0), &s); err != nil {
		return 0, fmt.Errorf("netlab: generator on %s: counter: %w", g.ifname, err)
	}
	return s.Made, nil
}

// Run sends exactly the given number of frames from the given CPU, -1 for any,
// and returns the account; 0 frames is nothing to do. If ctx is done first, the account is of the frames
// made until then and the error is that of ctx.
func (g *Generator) Run(ctx context.Context, cpu int, frames uint64) (GeneratorResult, error) {
	if frames == 0 {
		return GeneratorResult{}, nil
	}
	r, err := g.start(cpu, frames)
	if err != nil {
		return GeneratorResult{}, err
	}
	defer context.AfterFunc(ctx, r.interrupt)()
	<-r.done
	g.forget(r)
	if r.err != nil || r.res.Generated == frames {
		return r.res, r.err
	}
	cause := context.Cause(ctx)
	if cause == nil {
		cause = unix.EINTR // Stop or Close, from another goroutine
	}
	return r.res, fmt.Errorf("netlab: generator on %s: stopped after %d of %d frames: %w", g.ifname, r.res.Generated, frames, cause)
}

// Start begins to send from the given CPU, -1 for any, until Stop.
func (g *Generator) Start(cpu int) error {
	_, err := g.start(cpu, 0)
	return err
}

// Stop ends the run that Start began, within some milliseconds, and returns
// its account. When it returns no further frame leaves. Without a run it is an
// error.
func (g *Generator) Stop() (GeneratorResult, error) {
	g.mu.Lock()
	r := g.current
	g.mu.Unlock()
	if r == nil {
		return GeneratorResult{}, fmt.Errorf("netlab: generator on %s: not running: %w", g.ifname, unix.ESRCH)
	}
	r.interrupt()
	g.forget(r)
	return r.res, r.err
}

// Close stops a run that is under way and gives everything up. A second call
// does nothing.
func (g *Generator) Close() error {
	g.mu.Lock()
	r, closed := g.current, g.closed
	g.closed = true
	g.mu.Unlock()
	if closed {
		return nil
	}
	g.ns.lab.disown(g)
	if r != nil {
		r.interrupt() // the run reads the map at its end
	}
	g.mu.Lock()
	g.gone = true
	g.mu.Unlock()
	return g.release()
}

// release gives up what was made; it runs once, with no run under way.
func (g *Generator) release() error {
	var parts []io.Closer
	if g.pass != nil {
		parts = append(parts, g.pass)
	}
	if g.prog != nil {
		parts = append(parts, g.prog)
	}
	if g.state != nil {
		parts = append(parts, g.state)
	}
	var errs []error
	for _, p := range parts {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// forget makes room for the next run.
func (g *Generator) forget(r *genRun) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current == r {
		g.current = nil
	}
}

// start begins a run of limit frames, 0 for no limit, and returns when its
// thread is ready or has failed.
func (g *Generator) start(cpu int, limit uint64) (*genRun, error) {
	r := &genRun{started: make(chan struct{}), done: make(chan struct{})}
	g.mu.Lock()
	switch {
	case g.closed:
		g.mu.Unlock()
		return nil, fmt.Errorf("netlab: generator on %s: %w", g.ifname, os.ErrClosed)
	case g.current != nil:
		g.mu.Unlock()
		return nil, fmt.Errorf("netlab: generator on %s: a run is under way, stop it first: %w", g.ifname, unix.EBUSY)
	}
	g.current = r
	g.mu.Unlock()

	go func() {
		// Never unlocked: the thread is in another namespace and bound to
		// a CPU, and ends with this goroutine.
		runtime.LockOSThread()
		defer close(r.done)
		if r.err = g.run(r, cpu, limit); r.err != nil {
			r.err = fmt.Errorf("netlab: generator on %s: %w", g.ifname, r.err)
		}
	}()
	select {
	case <-r.started:
		return r, nil
	case <-r.done:
		select {
		case <-r.started: // a short run may have ended already
			return r, nil
		default:
		}
		g.forget(r)
		return nil, r.err
	}
}

// interrupt makes a run end and waits for it.
func (r *genRun) interrupt() {
	r.stop.Store(true) // pairs with the Load in send
	select {
	case <-r.started:
		r.signal(r.done)
	case <-r.done:
	}
}

// signal ends the system call that is under way. A signal that arrives just
// before the call is lost, so it is sent until end is closed. SIGURG is what
// the Go runtime itself sends to its threads, and ignores when it had not.
func (r *genRun) signal(end <-chan struct{}) {
	for {
		// An error means that the thread is gone: the end follows.
		_ = unix.Tgkill(os.Getpid(), r.tid, unix.SIGURG)
		select {
		case <-end:
			return
		case <-time.After(watchInterval):
		}
	}
}

// run is the body of a run's thread.
func (g *Generator) run(r *genRun, cpu int, limit uint64) error {
	if err := g.ns.enter(); err != nil {
		return fmt.Errorf("enter namespace %s: %w", g.ns, err)
	}
	// A CPU profile would interrupt the run a hundred times a second.
	if err := blockProfiling(); err != nil {
		return err
	}
	if cpu >= 0 {
		// Not released, for the thread ends with this goroutine.
		if _, err := cpus.Pin(cpu); err != nil {
			return err
		}
	}
	if err := g.peerTakesFrames(); err != nil {
		return err
	}
	stats, err := openEthtool(g.ifname)
	if err != nil {
		return fmt.Errorf("ethtool socket: %w", err)
	}
	defer stats.close()
	sent0, err := stats.xdpSent()
	if err != nil {
		return err
	}
	made0, err := g.Frames()
	if err != nil {
		return err
	}
	if err := g.arm(made0, limit); err != nil {
		return err
	}
	live := newLiveRun(g.prog.FD(), g.frame, g.index)
	defer live.close()

	r.tid = unix.Gettid()
	close(r.started)
	var watch sync.WaitGroup
	over := make(chan struct{})
	if g.rate > 0 && limit > 0 {
		watch.Go(func() { g.watch(r, made0+limit, over) })
	}
	begin := time.Now()
	err = g.send(r, live, made0, limit)
	r.res.Elapsed = time.Since(begin)
	close(over)
	watch.Wait()

	// Also after an error: what left is accounted for.
	made1, err1 := g.Frames()
	sent1, err2 := stats.xdpSent()
	if err = errors.Join(err, err1, err2); err1 != nil || err2 != nil {
		return err
	}
	r.res.Generated, r.res.Sent = made1-made0, sent1-sent0
	if r.res.Sent > r.res.Generated {
		return errors.Join(err, fmt.Errorf("the peer took %d frames and %d were made: another XDP program redirects into the interface: %w", r.res.Sent, r.res.Generated, unix.EBUSY))
	}
	r.res.Lost = r.res.Generated - r.res.Sent
	return err
}

// arm sets the state for a run with a rate. The counter goes on.
func (g *Generator) arm(made, limit uint64) error {
	if g.rate == 0 {
		return nil
	}
	// The clock of bpf_ktime_get_ns.
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	s := genState{Made: made, Limit: math.MaxUint64, Base: uint64(now.Nano())}
	if limit > 0 {
		s.Limit = made + limit
	}
	if err := g.state.Put(uint32(0), s); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// watch ends a run with a rate once its last frame is made: the program turns
// idle then and does not come back by itself. It returns when over is closed.
func (g *Generator) watch(r *genRun, last uint64, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(watchInterval):
		}
		if made, err := g.Frames(); err != nil || made >= last {
			r.stop.Store(true) // pairs with the Load in send
			r.signal(over)
			return
		}
	}
}

// send makes frames until the limit or the end.
func (g *Generator) send(r *genRun, live *liveRun, made0, limit uint64) error {
	for !r.stop.Load() { // pairs with the Stores in interrupt and watch
		want := uint64(chunkFrames)
		if limit > 0 {
			made, err := g.Frames()
			if err != nil {
				return err
			}
			if made-made0 >= limit {
				return nil
			}
			if g.rate == 0 { // else turns are not frames
				want = min(want, limit-(made-made0))
			}
		}
		// The Go runtime's own signals interrupt too: go on unless told to stop.
		if err := live.run(uint32(want)); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("test run with live frames (needs Linux 5.18): %w", err)
		}
	}
	return nil
}

// peerTakesFrames refuses to send into the void: without an XDP program at the
// other end every frame is lost. It can only tell for pairs of the same lab.
func (g *Generator) peerTakesFrames() error {
	peer, ok := g.ns.lab.peer(g.ns, g.ifname)
	if !ok || peer.Namespace.closed.Load() {
		return nil
	}
	l, err := peer.Namespace.handle.LinkByIndex(peer.Index)
	if err != nil {
		return fmt.Errorf("peer %s: %w", peer.Name, err)
	}
	if x := l.Attrs().Xdp; x == nil || !x.Attached {
		return fmt.Errorf("peer %s in namespace %s has no XDP program and would take no frame: attach a Sink, PassProgram or AF_XDP socket first: %w", peer.Name, peer.Namespace, unix.ENXIO)
	}
	return nil
}
