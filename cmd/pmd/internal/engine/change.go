package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/pmd"
)

// ErrChanging is wrapped when a change is asked for while another is being made.
var ErrChanging = errors.New("another change is being made")

// turns is a mutex that is waited for no longer than its caller cares.
type turns chan struct{}

// Lock waits for the turn, TryLock does not, and Unlock ends it.
func (t turns) Lock()   { t <- struct{}{} }
func (t turns) Unlock() { <-t }

// TryLock reports whether it is the caller's turn now.
func (t turns) TryLock() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

// wait waits for the turn for as long as control may take.
func (t turns) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("others are changing things, try again: %w", ctx.Err())
	}
}

// applyTime bounds how long the steps of one change may take together, and undoTime how
// long to take them back: half done is worse than late.
const (
	applyTime = 8 * time.Second
	undoTime  = 30 * time.Second
)

// Step is a part of a change.
type Step struct {
	// What is one of the Step… constants.
	What string
	// Port is the port concerned, empty for StepMode and StepOptions, and for StepCore
	// the CPU.
	Port string
	// From and To are what was and what is to be: specs, modes, lists of CPUs,
	// settings, names or addresses. One of them is empty where something is added
	// or removed.
	From, To string
}

// Kinds of Step.
const (
	// StepAdd and StepRemove: a port, by its spec.
	StepAdd    = "add"
	StepRemove = "remove"
	// StepMode: the forwarding mode.
	StepMode = "mode"
	// StepOptions: options of modes, as flags.
	StepOptions = "options"
	// StepPollCPU: the CPUs that poll a port's queues, empty if the program chooses.
	StepPollCPU = "pollcpu"
	// StepInterface: settings, addresses and groups of an interface that differ. From is
	// empty for a port that is opened.
	StepInterface = "interface"
	// StepCore: what differs from the default in how a core polls.
	StepCore = "core"
	// StepConnect: the port that a port's frames go to.
	StepConnect = "connect"
	// StepPeer: the address that mode mac sends to on a port.
	StepPeer = "peer"
)

// plan is what it takes to get from what there is to a configuration.
type plan struct {
	cfg Config
	w   wiring
	// keep is the open port by name, add what is to be opened, remove what is
	// to be closed.
	keep   map[string]openPort
	add    []pmd.Spec
	remove []openPort
	// move are kept ports by name whose pollcpu= is another, as it is to be.
	move map[string]pmd.Spec
	// was is what interfaces are, by port, and is what those of kept ports are to be that
	// are something else.
	was, is map[string]ifState
	cores   []tuning // by worker
	steps   []Step
}

// Plan tells what Apply would do, in the order in which it is told to people, and
// nothing if there is nothing to do. It looks at ports, mode, connections, peers,
// interfaces and how cores poll; the rest of a configuration cannot change while the engine runs. An
// error is a mistake in cfg.
func (e *Engine) Plan(ctx context.Context, cfg Config) ([]Step, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	ports, w := e.now()
	p, err := e.newPlan(ctx, ports, w, cfg)
	if err != nil {
		return nil, err
	}
	return p.steps, nil
}

// newPlan compares. A port whose spec differs in anything but pollcpu= is closed and
// opened anew.
func (e *Engine) newPlan(ctx context.Context, ports []openPort, w wiring, cfg Config) (*plan, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &plan{cfg: cfg, keep: map[string]openPort{}, move: map[string]pmd.Spec{}, is: map[string]ifState{}}
	if p.was, err = e.states(ctx, ports); err != nil {
		return nil, err
	}
	if p.w, err = wire(cfg); err != nil {
		return nil, err
	}
	wanted := map[string]pmd.Spec{}
	for _, spec := range cfg.Ports {
		if err := e.checkPolled(spec); err != nil {
			return nil, err
		}
		wanted[placeless(spec)] = spec
	}
	for _, old := range ports {
		if spec, ok := wanted[placeless(old.spec)]; ok && !old.lost {
			p.keep[old.spec.Name] = old
			cpus, err := pollCPUs(spec)
			if err != nil {
				return nil, err
			}
			if len(cpus) > 0 {
				if _, err := eachQueue(cpus, len(old.workers)); err != nil {
					return nil, fmt.Errorf("port %s: pollcpu=%s: %w", spec.Name, spec.PollCPU, err)
				}
			}
			if !samePlaces(old.cpus, cpus, len(old.workers)) {
				p.move[spec.Name] = spec
			}
			continue
		}
		p.remove = append(p.remove, old)
		p.steps = append(p.steps, Step{What: StepRemove, Port: old.spec.Name, From: old.spec.String()})
	}
	for _, spec := range cfg.Ports {
		if _, ok := p.keep[spec.Name]; !ok {
			p.add = append(p.add, spec)
			p.steps = append(p.steps, Step{What: StepAdd, Port: spec.Name, To: spec.String()})
		}
	}
	if w.mode != p.w.mode {
		p.steps = append(p.steps, Step{What: StepMode, From: w.mode, To: p.w.mode})
	}
	if w.options != p.w.options {
		p.steps = append(p.steps, Step{What: StepOptions, From: w.options.String(), To: p.w.options.String()})
	}
	was, is := describe(specsOf(ports), w), describe(cfg.Ports, p.w)
	for _, spec := range cfg.Ports {
		a, b := was[spec.Name], is[spec.Name]
		if a.to != b.to {
			p.steps = append(p.steps, Step{StepConnect, spec.Name, a.to, b.to})
		}
		if a.peer != b.peer {
			p.steps = append(p.steps, Step{StepPeer, spec.Name, a.peer, b.peer})
		}
	}
	for _, spec := range cfg.Ports {
		if _, ok := p.move[spec.Name]; ok {
			p.steps = append(p.steps, Step{StepPollCPU, spec.Name, p.keep[spec.Name].spec.PollCPU, spec.PollCPU})
		}
	}
	if err := p.interfaces(); err != nil {
		return nil, err
	}
	steps, err := p.tune(e, cfg)
	p.steps = append(p.steps, steps...)
	return p, err
}

// interfaces compares what interfaces are and are to be.
func (p *plan) interfaces() error {
	for _, spec := range p.cfg.Ports {
		step, want := Step{What: StepInterface, Port: spec.Name}, p.cfg.interfaceOf(spec)
		if old, ok := p.keep[spec.Name]; ok {
			was := p.was[spec.Name]
			is, err := old.base.with(want)
			if err != nil {
				return fmt.Errorf("interface %s: %w", spec.Name, err)
			}
			step.From, step.To = ifWords(is.changes(was)), ifWords(was.changes(is))
			if step.From+step.To != "" {
				p.is[spec.Name] = is
			}
		} else {
			step.To = ifWords(want) // what it is without that shows when it is open
		}
		if step.From+step.To != "" {
			p.steps = append(p.steps, step)
		}
	}
	return nil
}

func ifWords(c InterfaceConfig) string { return strings.Join(c.words(), " ") }

// placeless is a spec without pollcpu=, which can change while the port is open.
func placeless(spec pmd.Spec) string {
	spec.PollCPU = ""
	return spec.String()
}

// checkPolled tells whether the CPUs that pollcpu= names are polled on.
func (e *Engine) checkPolled(spec pmd.Spec) error {
	cpus, err := pollCPUs(spec)
	if err != nil {
		return err
	}
	for _, id := range cpus {
		if _, ok := e.workerOf(id); !ok {
			return usage.Errorf("port %s: pollcpu=%s: CPU %d is not polled: a restart with it in --cores is needed", spec.Name, spec.PollCPU, id)
		}
	}
	return nil
}

// wired is a port's part of the wiring, by name.
type wired struct{ to, peer string }

func describe(specs []pmd.Spec, w wiring) map[string]wired {
	out := map[string]wired{}
	for i, s := range specs {
		out[s.Name] = wired{specs[w.table[i]].Name, w.peers[i].String()}
	}
	return out
}

// Apply changes ports, mode, connections, peers and how cores poll to those of cfg
// while traffic flows, in as few steps as there are, and returns them. Ports that stay
// are not touched, but for queues that move to other CPUs. Either everything is done, or everything that was done is undone, and
// the error says which step failed. A port that was closed and is opened again by
// the undoing has a new number. The error wraps ErrChanging if another Apply
// is under way, or another change takes too long; usage.Is tells of a mistake in cfg.
func (e *Engine) Apply(ctx context.Context, cfg Config) ([]Step, error) {
	if !e.applying.TryLock() {
		return nil, ErrChanging
	}
	defer e.applying.Unlock()
	// Smaller changes, those that are followed in the kernel among them, are waited for.
	if err := e.changeMu.wait(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanging, err)
	}
	defer e.changeMu.Unlock()
	return e.apply(ctx, cfg)
}

// apply is Apply. changeMu is held.
func (e *Engine) apply(ctx context.Context, cfg Config) ([]Step, error) {
	before, w := e.now()
	p, err := e.newPlan(ctx, before, w, cfg)
	if err != nil {
		return nil, err
	}
	tunings := e.tunings()
	if len(p.steps) == 0 {
		e.tuned(p.cores) // another way to say the same
		e.ask(p.cfg)
		return nil, nil
	}
	// A client that leaves does not leave a change half done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTime)
	defer cancel()
	c := &change{e: e, open: maps.Clone(p.keep), was: p.was}
	for _, old := range p.remove {
		c.open[old.spec.Name] = old
	}
	after, err := c.make(ctx, p)
	if err == nil {
		e.become(after, p.w)
		e.ask(p.cfg)
		return p.steps, nil
	}
	if uerr := errors.Join(c.undo(before, w), e.retune(context.WithoutCancel(ctx), tunings)); uerr != nil {
		return nil, fmt.Errorf("%w; and it could not all be undone: %w", err, uerr)
	}
	return nil, fmt.Errorf("%w; what had been done is undone", err)
}

// ask notes what was asked for last.
func (e *Engine) ask(cfg Config) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cfg = cfg
}

// change is a plan being carried out.
type change struct {
	e *Engine
	// open are the ports that are open now, by name.
	open map[string]openPort
	// was is what the interfaces were, and set are the names of those that may be
	// something else now.
	was map[string]ifState
	set []string
	// rewired says that the workers may have a stage of the plan.
	rewired bool
}

// make carries out a plan. First go the ports that stand in the way of others;
// then come the new ones; then frames take their new ways; and last go addresses and
// groups, which hardly fails, and ports that nothing is sent to any more.
func (c *change) make(ctx context.Context, p *plan) (after []openPort, err error) {
	var later []openPort
	for _, old := range p.remove {
		if !slices.ContainsFunc(p.add, func(s pmd.Spec) bool { return inTheWay(old.spec, s) }) {
			later = append(later, old)
			continue
		}
		if err := c.remove(old); err != nil {
			return nil, err
		}
	}
	for _, spec := range p.add {
		place := func(as port) []int { return c.place(spec.Name, as, p.cfg.Ports, p.w) }
		if err := c.add(ctx, spec, place, p.cfg.interfaceOf(spec)); err != nil {
			return nil, err
		}
	}
	if err := c.e.retune(ctx, p.cores); err != nil {
		return nil, err
	}
	for _, spec := range p.cfg.Ports {
		if next, ok := p.move[spec.Name]; ok {
			if err := c.move(ctx, next, p); err != nil {
				return nil, err
			}
		}
	}
	for _, spec := range p.cfg.Ports {
		if is, ok := p.is[spec.Name]; ok {
			if err := c.configure(ctx, spec.Name, is); err != nil {
				return nil, err
			}
		}
	}
	for _, spec := range p.cfg.Ports {
		after = append(after, c.open[spec.Name])
	}
	c.rewired = true
	if err := c.e.setStage(ctx, after, p.w); err != nil {
		return nil, fmt.Errorf("forwarding: %w", err)
	}
	for _, spec := range p.cfg.Ports {
		if is, ok := p.is[spec.Name]; ok {
			if err := c.e.reduce(ctx, spec.Name, c.was[spec.Name], is); err != nil {
				return nil, fmt.Errorf("interface %s: %w", spec.Name, err)
			}
		}
	}
	for _, old := range later {
		if err := c.remove(old); err != nil {
			return nil, err
		}
	}
	return after, nil
}

// inTheWay tells whether a port has to go before another can be opened: it has its
// name, its interface, or an end of its pair.
func inTheWay(old, next pmd.Spec) bool {
	return old.Name == next.Name || old.Interface != "" && old.Interface == next.Interface ||
		old.Options["pair"] != "" && old.Options["pair"] == next.Options["pair"]
}

func (c *change) remove(old openPort) error {
	delete(c.open, old.spec.Name)
	if old.lost {
		return nil
	}
	if err := c.e.detach(context.Background(), old); err != nil {
		return fmt.Errorf("remove port %s: %w", old.spec.Name, err)
	}
	return nil
}

// configure makes the interface of an open port what it is to be, but for addresses and groups
// that it has too many.
func (c *change) configure(ctx context.Context, name string, to ifState) error {
	was, p := c.was[name], c.open[name]
	set, err := was.changes(to).settings()
	if err != nil {
		return err
	}
	c.set = append(c.set, name)
	if err := c.e.ctl.Set(ctx, name, set); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	p.follow(was, to)
	c.open[name] = p
	if err := c.e.extend(ctx, name, was, to); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

// add opens a port, which is polled where place says, and makes its interface what is wanted.
func (c *change) add(ctx context.Context, spec pmd.Spec, place func(as port) []int, want InterfaceConfig) error {
	wrong := func(err error) error { return fmt.Errorf("add port %s: %w", spec.Name, err) }
	cpus, err := pollCPUs(spec)
	if err != nil {
		return wrong(err)
	}
	dev, err := c.e.open(ctx, spec)
	if err != nil {
		return wrong(err)
	}
	as := port{queues: len(dev.Queues()), node: dev.Info().NUMANode, cpus: cpus}
	p, err := c.e.give(ctx, dev, spec, as, place(as), want)
	if err != nil {
		return wrong(err)
	}
	c.open[spec.Name] = p
	return nil
}

// place returns the workers of a port's queues, had everything been started with specs
// and this wiring. Ports that are not open yet are taken to have one queue.
func (c *change) place(name string, as port, specs []pmd.Spec, w wiring) []int {
	ports := make([]port, len(specs))
	at := 0
	for i, s := range specs {
		ports[i] = port{queues: 1, node: -1}
		if p, ok := c.open[s.Name]; ok {
			ports[i] = p.port
		}
		if s.Name == name {
			at, ports[i] = i, as
		}
	}
	return place(groups(w.table), ports, c.e.cores)[at]
}

// move gives the queues of an open port to the CPUs of its spec as it is to be.
func (c *change) move(ctx context.Context, spec pmd.Spec, p *plan) error {
	cpus, err := pollCPUs(spec)
	if err != nil {
		return err
	}
	old := c.open[spec.Name]
	as := old.port
	as.cpus = cpus
	next, err := c.e.move(ctx, old, c.place(spec.Name, as, p.cfg.Ports, p.w))
	if err != nil {
		return fmt.Errorf("port %s: pollcpu=%s: %w", spec.Name, spec.PollCPU, err)
	}
	next.port, next.spec = as, spec
	c.open[spec.Name] = next
	return nil
}

// undo opens and closes ports until they are those of before, and lets frames take
// the ways they took.
func (c *change) undo(before []openPort, w wiring) error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	var err error
	// What was added goes first: it may have the interface of what comes back.
	for _, p := range maps.Clone(c.open) {
		if !slices.ContainsFunc(before, func(b openPort) bool { return b.id == p.id }) {
			err = errors.Join(err, c.remove(p))
		}
	}
	back := make([]openPort, 0, len(before))
	lost := false
	for _, p := range before {
		if _, ok := c.open[p.spec.Name]; !ok {
			place := func(as port) []int {
				if as.queues == len(p.workers) {
					return p.workers // where it was
				}
				return c.place(p.spec.Name, as, specsOf(before), w)
			}
			if aerr := c.add(ctx, p.spec, place, p.base.changes(c.was[p.spec.Name])); aerr != nil {
				err, lost, p.lost = errors.Join(err, aerr), true, true
				back = append(back, p) // its number leads nowhere: frames for it are counted
				continue
			}
		} else if now := c.open[p.spec.Name]; !slices.Equal(now.workers, p.workers) {
			if _, merr := c.e.move(ctx, now, p.workers); merr != nil {
				err, p.workers = errors.Join(err, merr), now.workers
			}
			c.open[p.spec.Name] = p
		} else {
			c.open[p.spec.Name] = p // with the spec it had
		}
		if slices.Contains(c.set, p.spec.Name) {
			if rerr := c.e.restore(ctx, p.spec.Name, c.was[p.spec.Name]); rerr != nil {
				err = errors.Join(err, fmt.Errorf("interface %s: %w", p.spec.Name, rerr))
			}
		}
		back = append(back, c.open[p.spec.Name])
	}
	if c.rewired || lost || !slices.EqualFunc(before, back, func(a, b openPort) bool { return a.id == b.id }) {
		err = errors.Join(err, c.e.setStage(ctx, back, w))
	}
	c.e.become(back, w)
	return err
}
