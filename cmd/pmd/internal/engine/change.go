package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/pmd"
)

// ErrChanging is wrapped when a change is asked for while another is being made.
var ErrChanging = errors.New("another change is being made")

// applyTime bounds how long the steps of one change may take together.
const applyTime = 8 * time.Second

// Step is a part of a change.
type Step struct {
	// What is one of the Step… constants.
	What string
	// Port is the port concerned, empty for StepMode and StepOptions.
	Port string
	// From and To are what was and what is to be: specs, modes, names or
	// addresses. One of them is empty where something is added or removed.
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
	steps  []Step
}

// Plan tells what Apply would do, in the order in which it is told to people, and
// nothing if there is nothing to do. It looks at ports, mode, connections and peers;
// the rest of a configuration cannot change while the engine runs. An error is a
// mistake in cfg.
func (e *Engine) Plan(cfg Config) ([]Step, error) {
	ports, w := e.now()
	p, err := newPlan(ports, w, cfg)
	if err != nil {
		return nil, err
	}
	return p.steps, nil
}

// newPlan compares. A port whose spec differs in anything is closed and opened anew.
func newPlan(ports []openPort, w wiring, cfg Config) (*plan, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &plan{cfg: cfg, keep: map[string]openPort{}}
	if p.w, err = wire(cfg); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, spec := range cfg.Ports {
		wanted[spec.String()] = true
	}
	for _, old := range ports {
		if wanted[old.spec.String()] && !old.lost {
			p.keep[old.spec.Name] = old
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
	return p, nil
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

// Apply changes ports, mode, connections and peers to those of cfg while traffic
// flows, in as few steps as there are, and returns them. Ports that stay are not
// touched. Either everything is done, or everything that was done is undone, and
// the error says which step failed. A port that was closed and is opened again by
// the undoing has a new number. The error wraps ErrChanging if another change is
// being made; usage.Is tells of a mistake in cfg.
func (e *Engine) Apply(ctx context.Context, cfg Config) ([]Step, error) {
	if !e.changeMu.TryLock() {
		return nil, ErrChanging
	}
	defer e.changeMu.Unlock()
	before, w := e.now()
	p, err := newPlan(before, w, cfg)
	if err != nil || len(p.steps) == 0 {
		return nil, err
	}
	// A client that leaves does not leave a change half done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTime)
	defer cancel()
	c := &change{e: e, open: maps.Clone(p.keep)}
	for _, old := range p.remove {
		c.open[old.spec.Name] = old
	}
	after, err := c.make(ctx, p)
	if err == nil {
		e.become(after, p.w)
		return p.steps, nil
	}
	if uerr := c.undo(before, w); uerr != nil {
		return nil, fmt.Errorf("%w; and it could not all be undone: %w", err, uerr)
	}
	return nil, fmt.Errorf("%w; what had been done is undone", err)
}

// change is a plan being carried out.
type change struct {
	e *Engine
	// open are the ports that are open now, by name.
	open map[string]openPort
	// rewired says that the workers may have a stage of the plan.
	rewired bool
}

// make carries out a plan. First go the ports that stand in the way of others;
// then come the new ones; then frames take their new ways; and last go ports
// that nothing is sent to any more.
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
		if err := c.add(ctx, spec, p.cfg.Ports, p.w); err != nil {
			return nil, err
		}
	}
	for _, spec := range p.cfg.Ports {
		after = append(after, c.open[spec.Name])
	}
	c.rewired = true
	if err := c.e.setStage(ctx, after, p.w); err != nil {
		return nil, fmt.Errorf("forwarding: %w", err)
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
	if err := c.e.dp.RemovePort(old.id); err != nil {
		return fmt.Errorf("remove port %s: %w", old.spec.Name, err)
	}
	return nil
}

// add opens a port, one of specs with this wiring.
func (c *change) add(ctx context.Context, spec pmd.Spec, specs []pmd.Spec, w wiring) error {
	wrong := func(err error) error { return fmt.Errorf("add port %s: %w", spec.Name, err) }
	cpus, err := pollCPUs(spec)
	if err != nil {
		return wrong(err)
	}
	for _, id := range cpus {
		if !slices.Contains(c.e.cores.ids, id) {
			return wrong(usage.Errorf("pollcpu=%s: CPU %d is not polled: a restart with it in --cores is needed", spec.PollCPU, id))
		}
	}
	dev, err := c.e.open(ctx, spec)
	if err != nil {
		return wrong(err)
	}
	// Where it would be polled had everything been started like this. Ports that
	// are not open yet are taken to have one queue.
	ports := make([]port, len(specs))
	at := 0
	for i, s := range specs {
		ports[i] = port{queues: 1, node: -1}
		if p, ok := c.open[s.Name]; ok {
			ports[i] = p.port
		}
		if s.Name == spec.Name {
			at, ports[i] = i, port{queues: len(dev.Queues()), node: dev.Info().NUMANode, cpus: cpus}
		}
	}
	p, err := c.e.give(dev, spec, ports[at], place(groups(w.table), ports, c.e.cores)[at])
	if err != nil {
		return errors.Join(wrong(err), dev.Close())
	}
	c.open[spec.Name] = p
	return nil
}

// undo opens and closes ports until they are those of before, and lets frames take
// the ways they took.
func (c *change) undo(before []openPort, w wiring) error {
	ctx, cancel := context.WithTimeout(context.Background(), applyTime)
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
			if aerr := c.add(ctx, p.spec, specsOf(before), w); aerr != nil {
				err, lost, p.lost = errors.Join(err, aerr), true, true
				back = append(back, p) // its number leads nowhere: frames for it are counted
				continue
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
