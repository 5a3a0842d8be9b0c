package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.org/pmd/cmd/pmd/internal/netsys"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
)

// EventInterface is the kind of the event that carries a line of the interface layer,
// EventInterfaceWarning of one that somebody should look at.
const (
	EventInterface        = "interface"
	EventInterfaceWarning = "interface_warning"
)

// newSystem makes the interface layer over the dataplane.
func (e *Engine) newSystem(drivers []string, events *events) (err error) {
	e.net = netsys.New(e.dp)
	e.kinds = e.cloners(drivers)
	cfg := e.net.Config()
	cfg.Cloners = e.kinds
	cfg.OnMessage = func(m ifnet.Message) {
		ev := dataplane.Event{Time: time.Now(), Kind: EventInterface, Port: m.Interface, CPU: dataplane.Unpinned, Text: m.Text}
		if m.Warning {
			ev.Kind = EventInterfaceWarning
		}
		events.tell(ev)
	}
	e.sys, err = ifnet.New(cfg)
	if err == nil {
		e.ctl = e.sys.As(ifnet.Cred{Name: "this process", Privileged: true})
	}
	return err
}

// attach makes the interface of a port that the dataplane has, and makes it what is wanted.
func (e *Engine) attach(ctx context.Context, dev pmd.Device, p *openPort, want InterfaceConfig) (err error) {
	port, params, err := e.net.Add(p.id, dev, p.spec.Name, p.workers)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			e.net.Remove(port)
		}
	}()
	p.net, p.created = port, e.isCreated(p.spec)
	if p.created {
		e.coming = params
		if _, err = e.ctl.Create(ctx, p.spec.Name, p.spec.Options); err == nil {
			p.ifp, err = e.sys.Lookup(ctx, p.spec.Name)
		}
	} else {
		p.ifp, err = e.sys.Attach(ctx, params)
	}
	if err != nil {
		return err
	}
	err = e.settle(ctx, p, want)
	if err == nil {
		err = e.sys.SetLinkState(ctx, p.ifp, netsys.LinkOf(dev.Info()))
	}
	if err != nil {
		return errors.Join(err, e.sys.Detach(context.WithoutCancel(ctx), p.ifp))
	}
	return nil
}

// detach takes a port with its interface away.
func (e *Engine) detach(ctx context.Context, p openPort) error {
	var err error
	if p.created {
		err = e.ctl.Destroy(ctx, p.spec.Name)
	} else {
		err = e.sys.Detach(ctx, p.ifp)
	}
	if err != nil {
		return err
	}
	e.net.Remove(p.net)
	return e.dp.RemovePort(p.id)
}

// current is the configuration as it is now. changeMu is held.
func (e *Engine) current(ctx context.Context) (cfg Config, err error) {
	ports, w := e.now()
	e.mu.Lock()
	cfg = e.cfg
	e.mu.Unlock()
	cfg.Ports, cfg.Mode, cfg.Options, cfg.Tuning = specsOf(ports), w.mode, w.options, e.Tuning()
	cfg.Interfaces, err = e.interfaceConfigs(ctx)
	return cfg, err
}

// Links returns the connections that were given, of ports with the names that they have.
func (e *Engine) Links() []string { return e.asked().Links }

// Peers returns the addresses that were given.
func (e *Engine) Peers() []string { return e.asked().Peers }

func (e *Engine) asked() Config {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cfg
}

// Listen follows the events of interfaces, ports and cores from now on.
func (e *Engine) Listen() *ifnet.Listener { return e.sys.Listen(0) }

// announce puts an event of the dataplane among those of the interfaces.
func (e *Engine) announce(ev dataplane.Event) {
	text := ev.Text
	if ev.CPU != dataplane.Unpinned {
		text = fmt.Sprintf("CPU %d: %s", ev.CPU, text)
	}
	e.sys.Announce(ifnet.Event{Time: ev.Time, Kind: ifnet.EventKind(ev.Kind), Interface: ev.Port, Text: text})
}

// linkTime bounds how long the workers may take to tell of the ports.
const linkTime = 10 * time.Second

// followLinks tells the interface layer what devices say of their links, each time that
// something is on the bell, for as long as workers run.
func (e *Engine) followLinks() {
	for {
		select {
		case <-e.running:
			return
		case <-e.linkBell:
		}
		ctx, cancel := context.WithTimeout(context.Background(), linkTime)
		if err := e.noteLinks(ctx); err != nil {
			e.events.tell(dataplane.Event{Time: time.Now(), Kind: EventInterfaceWarning, CPU: dataplane.Unpinned,
				Text: fmt.Sprintf("the state of links is not known: %v", err)})
		}
		cancel()
	}
}

// noteLinks compares what the dataplane and the interface layer know.
func (e *Engine) noteLinks(ctx context.Context) error {
	ports, _ := e.now()
	s, err := e.dp.Stats(ctx)
	if errors.Is(err, dataplane.ErrClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range ports {
		i, err := e.sys.Info(ctx, p.ifp)
		if err != nil {
			continue // it has just been removed
		}
		link := ifnet.LinkDown
		if s.Ports[p.id].Up {
			link = ifnet.LinkUp
		}
		if link != i.Link {
			err = e.sys.SetLinkState(ctx, p.ifp, link)
		}
		other := min(s.Ports[p.id].MTU, ifnet.MaxMTU) != i.MTU || s.Ports[p.id].MAC != i.MAC.String()
		if err == nil && other && p.net.Filters() {
			err = e.noteChange(ctx, p.ifp)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noteChange takes over what somebody else has changed of the interface under a port.
func (e *Engine) noteChange(ctx context.Context, ifp *ifnet.Interface) error {
	e.changeMu.Lock() // a change of ours may be on its way to there
	defer e.changeMu.Unlock()
	ports, w := e.now()
	at := slices.IndexFunc(ports, func(p openPort) bool { return p.ifp == ifp })
	if at < 0 {
		return nil
	}
	info := ports[at].net.Info()
	was, err := e.sys.Info(ctx, ifp)
	if err != nil {
		return err
	}
	if err := e.sys.Noticed(ctx, ifp, min(info.MTU, ifnet.MaxMTU), info.MAC); err != nil {
		return err
	}
	next, err := e.follow(ctx, ports[at])
	if err != nil {
		return err
	}
	// What nobody here has asked for is what the interface is by itself.
	if mtu := min(info.MTU, ifnet.MaxMTU); mtu != was.MTU {
		next.base.mtu = mtu
	}
	if info.MAC.String() != was.MAC.String() {
		next.base.mac = info.MAC
	}
	ports = slices.Clone(ports)
	ports[at] = next
	e.become(ports, w)
	return nil
}

// ring asks for another look at the links.
func (e *Engine) ring() {
	select {
	case e.linkBell <- struct{}{}:
	default: // somebody is on the way and will see this one too
	}
}
