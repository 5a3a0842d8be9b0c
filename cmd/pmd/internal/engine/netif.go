package engine

import (
	"context"
	"errors"
	"fmt"
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
func (e *Engine) newSystem(events *events) (err error) {
	e.net = netsys.New(e.dp)
	cfg := e.net.Config()
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

// attach makes the interface of a port that the dataplane has: up and polled.
func (e *Engine) attach(ctx context.Context, dev pmd.Device, p *openPort) error {
	port, params, err := e.net.Add(p.id, dev, p.spec.Name, p.workers)
	if err != nil {
		return err
	}
	if p.ifp, err = e.sys.Attach(ctx, params); err != nil {
		return err
	}
	p.net = port
	yes := true
	err = e.ctl.Set(ctx, p.spec.Name, ifnet.Settings{Up: &yes, Polling: &yes})
	if err == nil {
		err = port.Settle()
	}
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
	if err := e.sys.Detach(ctx, p.ifp); err != nil {
		return err
	}
	return e.dp.RemovePort(p.id)
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
		if err != nil {
			return err
		}
	}
	return nil
}

// ring asks for another look at the links.
func (e *Engine) ring() {
	select {
	case e.linkBell <- struct{}{}:
	default: // somebody is on the way and will see this one too
	}
}
