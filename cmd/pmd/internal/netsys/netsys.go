package netsys

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/fib"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
)

// Net is the poll cores and ports of a dataplane as an [ifnet.System] needs them. Make one
// with New.
type Net struct {
	dp     *dataplane.Dataplane
	tables []*fib.Table[ifnet.Route] // by core, control's last

	mu sync.Mutex
	// coming are ports by the name that their interface is about to have, and
	// ports those that have one, by its index.
	coming map[string]*Port
	ports  map[int]*Port
	closed bool
}

// New returns the Net of a dataplane.
func New(dp *dataplane.Dataplane) *Net {
	n := &Net{dp: dp, coming: map[string]*Port{}, ports: map[int]*Port{}}
	for range dp.Workers() + 1 {
		n.tables = append(n.tables, new(fib.Table[ifnet.Route]))
	}
	return n
}

// Config returns the configuration of a System over the dataplane. Cloners and where
// messages go are the program's to add.
func (n *Net) Config() ifnet.Config {
	return ifnet.Config{Cores: cores{n}, Barrier: barrier{n}, Polling: polling{n}, Routes: routes{n}, OnAttach: n.arrived}
}

// Close lets ports be as they are when their interfaces are detached from now on: the
// dataplane does not run any more.
func (n *Net) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}

// Add makes a port of an open device that the dataplane polls, queue i on workers[i], and
// returns it with the parameters of its interface, which is to be attached next.
func (n *Net) Add(id dataplane.PortID, dev pmd.Device, name string, workers []int) (*Port, ifnet.Params, error) {
	send, err := n.dp.SendQueue(id)
	if err != nil {
		return nil, ifnet.Params{}, err
	}
	info := dev.Info()
	p := &Port{
		dp: n.dp, id: id, dev: dev, workers: workers, on: true,
		promisc: info.Obtained["promisc"] == "on",
	}
	p.opened = p.promisc
	params := ifnet.ParamsOf(info)
	params.Name, params.Queue, params.With = name, send, p
	params.MTU = min(params.MTU, ifnet.MaxMTU) // a device without a limit of its own
	n.mu.Lock()
	defer n.mu.Unlock()
	n.coming[name] = p
	return p, params, nil
}

// Remove forgets a port: its interface has been detached, or was not attached.
func (n *Net) Remove(p *Port) {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.coming, func(_ string, q *Port) bool { return p == q })
	maps.DeleteFunc(n.ports, func(_ int, q *Port) bool { return p == q })
}

// arrived is told by the System of every interface that comes, and of every new name.
func (n *Net) arrived(i ifnet.Info) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.coming[i.Name]; p != nil {
		delete(n.coming, i.Name)
		n.ports[i.Index] = p
	}
}

// port returns the port of an interface.
func (n *Net) port(i ifnet.Info) (*Port, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.ports[i.Index]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("interface %s has no port", i.Name)
}

// LinkOf is the state of a device's link.
func LinkOf(info pmd.Info) ifnet.LinkState {
	if info.Up {
		return ifnet.LinkUp
	}
	return ifnet.LinkDown
}

// cores is the workers for rounds of the System.
type cores struct{ n *Net }

// Len implements ifnet.Cores.
func (c cores) Len() int { return c.n.dp.Workers() }

// Round implements ifnet.Cores. A worker that has died, or does not run yet, is visited
// here: that is how the dataplane serves its mailbox.
func (c cores) Round(visit func(core int)) {
	for w := range c.n.dp.Workers() {
		if err := c.n.dp.Do(context.Background(), w, func(*dataplane.Worker) { visit(w) }); err != nil {
			// A visit has panicked, and some cores have what others have not.
			panic(err)
		}
	}
}

// barrier waits for the workers.
type barrier struct{ n *Net }

// Wait implements ifnet.Barrier.
func (b barrier) Wait() { _ = b.n.dp.Barrier(context.Background()) } // which fails with its context alone

// routes are the workers' route tables.
type routes struct{ n *Net }

// Table implements ifnet.Routes.
func (r routes) Table(core int) ifnet.RouteTable { return r.n.tables[core] }

// polling registers ports with the workers.
type polling struct{ n *Net }

// Register implements ifnet.Polling.
func (r polling) Register(i ifnet.Info, core int) (int, error) {
	p, err := r.n.port(i)
	if err != nil {
		return 0, err
	}
	workers := p.toward(core)
	if err := p.Place(context.Background(), workers); err != nil {
		return 0, err
	}
	p.registered = true
	if err := p.apply(); err != nil {
		p.registered = false
		return 0, err
	}
	return p.workers[0], nil
}

// Deregister implements ifnet.Polling.
func (r polling) Deregister(i ifnet.Info) error {
	p, err := r.n.port(i)
	if err != nil || r.n.isClosed() {
		return err
	}
	p.registered = false
	return p.apply()
}

// Move implements ifnet.Polling.
func (r polling) Move(i ifnet.Info, core int) error {
	p, err := r.n.port(i)
	if err != nil {
		return err
	}
	return p.Place(context.Background(), p.toward(core))
}

func (n *Net) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}
