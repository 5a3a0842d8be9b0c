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
	"example.org/pmd/dataplane"
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

// wait waits for the turn, no longer than limit.
func (t turns) wait(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("others are changing things, try again: %w", ctx.Err())
	}
}

// bounds are how long things may take: control waits for the workers, the steps of one
// change together, and to take them back, since half done is worse than late.
type bounds struct{ control, apply, undo time.Duration }

// usualBounds are those of an engine that is not told others.
func usualBounds() bounds {
	return bounds{control: controlTime, apply: 8 * time.Second, undo: 30 * time.Second}
}

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
	// StepRename: the name of a port, whose Port is the old one.
	StepRename = "rename"
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
	// keep is the open port by the name it is to have, add what is to be opened,
	// remove what is to be closed, rename which of keep have another name now.
	keep   map[string]openPort
	add    []pmd.Spec
	remove []openPort
	rename []renaming
	// closed says which open ports are closed since their worker failed, by number, and
	// alive are the cores whose worker has not.
	closed map[dataplane.PortID]bool
	alive  cores
	// move are kept ports by name whose pollcpu= is another, as it is to be.
	move map[string]pmd.Spec
	// was is what interfaces are, by the name of their port now, and is what those of kept
	// ports are to be that are something else, by the name it is to have.
	was, is map[string]ifState
	cores   []tuning // by worker
	steps   []Step
}

// renaming is another name for a port that stays open.
type renaming struct{ from, to string }

// Plan tells what Apply would do, in the order in which it is told to people, and
// nothing if there is nothing to do. It looks at ports, mode, connections, peers,
// interfaces and how cores poll; the rest of a configuration cannot change while the engine runs. An
// error is a mistake in cfg.
func (e *Engine) Plan(ctx context.Context, cfg Config) ([]Step, error) {
	ctx, cancel := context.WithTimeout(ctx, e.bounds.control)
	defer cancel()
	ports, w := e.now()
	p, err := e.newPlan(ctx, ports, w, cfg)
	if err != nil {
		return nil, err
	}
	return p.steps, nil
}

// newPlan compares. A port whose spec differs in anything but pollcpu= and its name is closed
// and opened anew, and so is one whose worker has failed: that has closed it.
func (e *Engine) newPlan(ctx context.Context, ports []openPort, w wiring, cfg Config) (*plan, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &plan{cfg: cfg, keep: map[string]openPort{}, move: map[string]pmd.Spec{}, is: map[string]ifState{}}
	if err := p.survey(ctx, e); err != nil {
		return nil, err
	}
	if p.was, err = e.states(ctx, ports); err != nil {
		return nil, err
	}
	if p.w, err = wire(cfg); err != nil {
		return nil, err
	}
	if err := p.ports(e, ports); err != nil {
		return nil, err
	}
	if w.mode != p.w.mode {
		p.steps = append(p.steps, Step{What: StepMode, From: w.mode, To: p.w.mode})
	}
	if w.options != p.w.options {
		p.steps = append(p.steps, Step{What: StepOptions, From: w.options.String(), To: p.w.options.String()})
	}
	was, is := describe(p.renamed(ports), w), describe(cfg.Ports, p.w)
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

// survey finds out which workers have failed, and which ports are closed for that.
func (p *plan) survey(ctx context.Context, e *Engine) error {
	s, err := e.dp.Stats(ctx)
	if err != nil {
		return err
	}
	p.closed = map[dataplane.PortID]bool{}
	for _, port := range s.Ports {
		if port.Closed {
			p.closed[port.ID] = true
		}
	}
	for i, c := range s.Cores {
		if c.State != "failed" {
			p.alive.workers = append(p.alive.workers, i)
			p.alive.ids = append(p.alive.ids, e.cores.ids[i])
			p.alive.nodes = append(p.alive.nodes, e.cores.nodes[i])
		}
	}
	return nil
}

// ports finds out which ports stay, come and go. One that would go stays under another name if
// one that is to come differs in nothing else.
func (p *plan) ports(e *Engine, ports []openPort) error {
	wanted := map[string]pmd.Spec{}
	for _, spec := range p.cfg.Ports {
		if err := e.checkPolled(spec); err != nil {
			return err
		}
		wanted[placeless(spec)] = spec
	}
	var going []openPort
	for _, old := range ports {
		spec, ok := wanted[placeless(old.spec)]
		if !ok || !p.open(old) {
			going = append(going, old)
			continue
		}
		if err := p.stays(old, spec); err != nil {
			return err
		}
	}
	for _, old := range going {
		spec, ok := p.otherName(e, old)
		if !ok {
			p.remove = append(p.remove, old)
			p.steps = append(p.steps, Step{What: StepRemove, Port: old.spec.Name, From: old.spec.String()})
			continue
		}
		p.rename = append(p.rename, renaming{old.spec.Name, spec.Name})
		p.steps = append(p.steps, Step{What: StepRename, Port: old.spec.Name, From: old.spec.Name, To: spec.Name})
		if err := p.stays(old, spec); err != nil {
			return err
		}
	}
	for _, spec := range p.cfg.Ports {
		if _, ok := p.keep[spec.Name]; ok {
			continue
		}
		if err := p.checkAlive(spec); err != nil {
			return err
		}
		p.add = append(p.add, spec)
		p.steps = append(p.steps, Step{What: StepAdd, Port: spec.Name, To: spec.String()})
	}
	return nil
}

// open tells whether a port is open, and can stay so.
func (p *plan) open(old openPort) bool { return !old.lost && !p.closed[old.id] }

// otherName returns the first port to come that differs from an open one in its name, and
// perhaps pollcpu=, alone. Whether a port can be destroyed is in its name and stays as it is.
func (p *plan) otherName(e *Engine, old openPort) (spec pmd.Spec, ok bool) {
	if !p.open(old) {
		return spec, false
	}
	for _, spec := range p.cfg.Ports {
		if _, kept := p.keep[spec.Name]; kept || e.isCreated(spec) != old.created {
			continue
		}
		as := spec
		if as.Name = old.spec.Name; placeless(as) == placeless(old.spec) {
			return spec, true
		}
	}
	return spec, false
}

// checkAlive tells whether there are workers for a port that is to be opened.
func (p *plan) checkAlive(spec pmd.Spec) error {
	cpus, err := pollCPUs(spec)
	if err != nil {
		return err
	}
	if len(p.alive.ids) == 0 {
		return fmt.Errorf("port %s: every worker has failed: a restart is needed", spec.Name)
	}
	for _, id := range cpus {
		if !slices.Contains(p.alive.ids, id) {
			return fmt.Errorf("port %s: pollcpu=%s: the worker on CPU %d has failed: name another CPU, or restart", spec.Name, spec.PollCPU, id)
		}
	}
	return nil
}

// stays notes that an open port is kept, and whether its queues are to move.
func (p *plan) stays(old openPort, spec pmd.Spec) error {
	p.keep[spec.Name] = old
	cpus, err := pollCPUs(spec)
	if err != nil {
		return err
	}
	if len(cpus) > 0 {
		if _, err := eachQueue(cpus, len(old.workers)); err != nil {
			return fmt.Errorf("port %s: pollcpu=%s: %w", spec.Name, spec.PollCPU, err)
		}
	}
	if !samePlaces(old.cpus, cpus, len(old.workers)) {
		p.move[spec.Name] = spec
	}
	return nil
}

// renamed returns the specs of ports as they are, with the names that they are to have. One
// that goes has none if another port is to have it.
func (p *plan) renamed(ports []openPort) []pmd.Spec {
	specs := specsOf(ports)
	for i := range specs {
		name := specs[i].Name
		if slices.ContainsFunc(p.rename, func(r renaming) bool { return r.to == name }) {
			specs[i].Name = ""
		}
		if at := slices.IndexFunc(p.rename, func(r renaming) bool { return r.from == name }); at >= 0 {
			specs[i].Name = p.rename[at].to
		}
	}
	return specs
}

// interfaces compares what interfaces are and are to be.
func (p *plan) interfaces() error {
	for _, spec := range p.cfg.Ports {
		step, want := Step{What: StepInterface, Port: spec.Name}, p.cfg.interfaceOf(spec)
		if old, ok := p.keep[spec.Name]; ok {
			was := p.was[old.spec.Name]
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
// are not touched, but for their names and for queues that move to other CPUs; one whose worker
// has failed is opened again. Either everything is done, or everything that was done is undone, and
// the error says which step failed. A port that was closed and is opened again by
// the undoing has a new number. The error wraps ErrChanging if another Apply
// is under way, or another change takes too long; usage.Is tells of a mistake in cfg.
func (e *Engine) Apply(ctx context.Context, cfg Config) ([]Step, error) {
	if !e.applying.TryLock() {
		return nil, ErrChanging
	}
	defer e.applying.Unlock()
	// Smaller changes, those that are followed in the kernel among them, are waited for.
	if err := e.changeMu.wait(ctx, e.bounds.control); err != nil {
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.bounds.apply)
	defer cancel()
	c := &change{e: e, open: map[string]openPort{}, was: p.was, alive: p.alive, set: map[dataplane.PortID]bool{}}
	for _, old := range before {
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
	// open are the ports that are open now, by the name they have now, and renamed are the
	// changes of names that were made, in order.
	open    map[string]openPort
	renamed []renaming
	// was is what the interfaces were, by the name of their port before, and set are the
	// ports of those that may be something else now.
	was map[string]ifState
	set map[dataplane.PortID]bool
	// alive are the cores whose worker has not failed.
	alive cores
	// rewired says that the workers may have a stage of the plan.
	rewired bool
}

// make carries out a plan. First go the ports that stand in the way of others;
// then those that stay get their names, and the new ones come; then frames take their new ways; and last go addresses and
// groups, which hardly fails, and ports that nothing is sent to any more.
func (c *change) make(ctx context.Context, p *plan) (after []openPort, err error) {
	var later []openPort
	for _, old := range p.remove {
		if !slices.ContainsFunc(p.add, func(s pmd.Spec) bool { return inTheWay(old.spec, s) }) &&
			!slices.ContainsFunc(p.rename, func(r renaming) bool { return r.to == old.spec.Name }) {
			later = append(later, old)
			continue
		}
		if err := c.remove(old); err != nil {
			return nil, err
		}
	}
	if err := c.rename(ctx, p.rename); err != nil {
		return nil, err
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
			if err := c.configure(ctx, spec.Name, p.was[p.keep[spec.Name].spec.Name], is); err != nil {
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
			if err := c.e.reduce(ctx, spec.Name, p.was[p.keep[spec.Name].spec.Name], is); err != nil {
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

// rename gives ports that stay the names that they are to have. Where each waits for another
// one's name, one of them steps aside.
func (c *change) rename(ctx context.Context, list []renaming) error {
	for left := slices.Clone(list); len(left) > 0; {
		at := slices.IndexFunc(left, func(r renaming) bool {
			_, taken := c.open[r.to]
			return !taken
		})
		next := left[max(at, 0)]
		if at < 0 {
			for n := 0; ; n++ {
				next.to = fmt.Sprintf("aside%d", n)
				if _, taken := c.open[next.to]; !taken {
					break
				}
			}
		}
		if err := c.renameOne(ctx, next.from, next.to); err != nil {
			return err
		}
		c.renamed = append(c.renamed, next)
		if at < 0 {
			left[0].from = next.to
			continue
		}
		left = slices.Delete(left, at, at+1)
	}
	return nil
}

// renameOne gives an open port and its interface another name, or neither of them.
func (c *change) renameOne(ctx context.Context, from, to string) error {
	p := c.open[from]
	if err := c.e.ctl.Rename(ctx, from, to); err != nil {
		return err
	}
	if err := c.e.dp.RenamePort(p.id, to); err != nil {
		return errors.Join(err, c.e.ctl.Rename(context.WithoutCancel(ctx), to, from))
	}
	delete(c.open, from)
	p.spec.Name = to
	c.open[to] = p
	return nil
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
func (c *change) configure(ctx context.Context, name string, was, to ifState) error {
	p := c.open[name]
	set, err := was.changes(to).settings()
	if err != nil {
		return err
	}
	c.set[p.id] = true
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
	if len(c.alive.ids) == 0 {
		return make([]int, as.queues) // nobody polls it, wherever that is
	}
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
	return place(groups(w.table), ports, c.alive)[at]
}

// hasFailed tells whether a worker has.
func (c *change) hasFailed(worker int) bool { return !slices.Contains(c.alive.workers, worker) }

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
	ctx, cancel := context.WithTimeout(context.Background(), c.e.bounds.undo)
	defer cancel()
	var err error
	// What was added goes first: it may have the interface of what comes back.
	for _, p := range maps.Clone(c.open) {
		if !slices.ContainsFunc(before, func(b openPort) bool { return b.id == p.id }) {
			err = errors.Join(err, c.remove(p))
		}
	}
	for _, r := range slices.Backward(c.renamed) {
		err = errors.Join(err, c.renameOne(ctx, r.to, r.from))
	}
	back := make([]openPort, 0, len(before))
	lost := false
	for _, p := range before {
		if _, ok := c.open[p.spec.Name]; !ok {
			place := func(as port) []int {
				if as.queues == len(p.workers) && !slices.ContainsFunc(p.workers, c.hasFailed) {
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
		if c.set[p.id] {
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
