package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
)

// IfSettings are changes of an interface; what is nil or empty stays as it is.
type IfSettings struct {
	// Up takes the interface up or down: down, it neither receives nor sends. The
	// kernel's interface under it stays as it is.
	Up *bool `json:"up,omitempty"`
	// MTU is in bytes, without the Ethernet header.
	MTU *int `json:"mtu,omitempty"`
	// Name is the new name.
	Name *string `json:"name,omitempty"`
	// LLAddr is the new Ethernet address.
	LLAddr *string `json:"lladdr,omitempty"`
	Metric *int    `json:"metric,omitempty"`
	// Promisc and AllMulti ask the device for every frame, or every multicast frame.
	Promisc  *bool `json:"promisc,omitempty"`
	AllMulti *bool `json:"allmulti,omitempty"`
	// Polling begins polling, where it was before, or ends it.
	Polling *bool `json:"polling,omitempty"`
	// PollCPU is a list of CPUs, queue i is polled on the i-th. It begins polling.
	PollCPU *string `json:"pollcpu,omitempty"`
	// CapsOn and CapsOff name capabilities.
	CapsOn  []string `json:"caps_on,omitempty"`
	CapsOff []string `json:"caps_off,omitempty"`
}

// settings reads what is not a number or a switch.
func (s IfSettings) settings() (out ifnet.Settings, err error) {
	out = ifnet.Settings{
		Up: s.Up, MTU: s.MTU, Name: s.Name, Metric: s.Metric, Promisc: s.Promisc, AllMulti: s.AllMulti, Polling: s.Polling,
	}
	if s.LLAddr != nil {
		if out.LLAddr, err = net.ParseMAC(*s.LLAddr); err != nil {
			return out, usage.Errorf("lladdr %.40q: write an Ethernet address such as 02:00:00:00:00:01", *s.LLAddr)
		}
	}
	for _, c := range []struct {
		names []string
		to    *ifnet.Caps
	}{{s.CapsOn, &out.CapsOn}, {s.CapsOff, &out.CapsOff}} {
		for _, name := range c.names {
			bit, err := ifnet.ParseCap(name)
			if err != nil {
				return out, usage.Wrap(err)
			}
			*c.to |= bit
		}
	}
	if both := out.CapsOn & out.CapsOff; both != 0 {
		return out, usage.Errorf("cap %v is to be on and off", both)
	}
	return out, nil
}

// On names the call and the interface that an error is about, as package ifnet does.
func On(call, ref string, err error) error {
	return fmt.Errorf("%s on %s: %w", call, ifnet.QuoteName(ref), err)
}

// find returns the place of the port that ref names or numbers. changeMu is held.
func find(ports []openPort, ref, call string) (at int, err error) {
	number, names := -1, make([]string, len(ports))
	for i, p := range ports {
		if p.spec.Name == ref { // names first: a port may be called "1"
			number = i
			break
		}
		if number < 0 && strconv.Itoa(int(p.id)) == ref {
			number = i
		}
		names[i] = p.spec.Name
	}
	switch {
	case number < 0:
		return 0, &ifnet.Error{Call: call, Interface: ref, Errno: syscall.ENXIO, Text: "there is no such interface; there are " + strings.Join(names, ", ")}
	case ports[number].lost:
		return 0, &ifnet.Error{Call: call, Interface: ref, Errno: syscall.ENXIO, Text: "its port could not be opened again by a change that failed"}
	}
	return number, nil
}

// change runs a change of the interface that ref names, alone, and describes it then.
func (e *Engine) change(ctx context.Context, ref, call string, fn func(ctx context.Context, p openPort) (openPort, error)) (f Interface, err error) {
	if err := e.changeMu.wait(ctx, e.bounds.control); err != nil {
		return f, On(call, ref, err)
	}
	defer e.changeMu.Unlock()
	ports, w := e.now()
	at, err := find(ports, ref, call)
	if err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.bounds.control)
	defer cancel()
	next, err := fn(ctx, ports[at])
	if err != nil {
		return f, err
	}
	ports = slices.Clone(ports)
	ports[at] = next
	e.become(ports, w)
	return e.Interface(context.WithoutCancel(ctx), next.spec.Name)
}

// SetInterface makes several changes of an interface while traffic flows, all or nothing.
func (e *Engine) SetInterface(ctx context.Context, ref string, set IfSettings) (Interface, error) {
	const call = "set"
	want, err := set.settings()
	if err != nil {
		return Interface{}, On(call, ref, err)
	}
	return e.change(ctx, ref, call, func(ctx context.Context, p openPort) (openPort, error) {
		next, err := e.set(ctx, p, set, want)
		if usage.Is(err) {
			err = On(call, p.spec.Name, err)
		}
		return next, err
	})
}

// set is SetInterface of one port.
func (e *Engine) set(ctx context.Context, p openPort, set IfSettings, want ifnet.Settings) (openPort, error) {
	next := p
	if set.PollCPU != nil {
		if want.Polling != nil && !*want.Polling {
			return p, usage.Errorf("pollcpu begins polling: it does not go with polling off")
		}
		workers, err := e.workerList(*set.PollCPU)
		if err != nil {
			return p, fmt.Errorf("pollcpu: %w", err)
		}
		if next.workers, err = eachQueue(workers, len(p.workers)); err != nil {
			return p, fmt.Errorf("pollcpu: %w", err)
		}
		want.PollCore = &next.workers[0]
		// The configuration names CPUs; workers without one have no name in it.
		var cpus []int
		for _, w := range workers {
			cpus = append(cpus, e.cores.ids[w])
		}
		if !slices.Contains(cpus, dataplane.Unpinned) {
			next.cpus, next.spec.PollCPU = cpus, sequence(cpus)
		}
	}
	before, err := e.sys.Info(ctx, p.ifp)
	if err != nil {
		return p, err
	}
	was := p.net.Workers()
	if want.PollCore != nil {
		if err := p.net.Place(ctx, next.workers); err != nil {
			return p, err
		}
	}
	if err := e.ctl.Set(ctx, p.spec.Name, want); err != nil {
		return p, errors.Join(err, p.net.Place(context.WithoutCancel(ctx), was))
	}
	if next, err = e.follow(context.WithoutCancel(ctx), next); err == nil {
		return next, nil
	}
	// What goes beyond the interface failed, and it goes back to what it was.
	back := context.WithoutCancel(ctx)
	up, promisc, allMulti, polling := before.Flags&ifnet.FlagUp != 0, before.Flags&ifnet.FlagPPromisc != 0, before.OwnAllMulti, before.Flags&ifnet.FlagPolling != 0
	undo := ifnet.Settings{
		Up: &up, MTU: &before.MTU, Name: &before.Name, LLAddr: before.MAC, Metric: &before.Metric, Promisc: &promisc, AllMulti: &allMulti,
		Polling: &polling, CapsOn: before.CapEnabled, CapsOff: before.Caps &^ before.CapEnabled,
	}
	if before.MTU == next.mtu {
		undo.MTU = nil // a device that cannot change it is not asked to
	}
	err = errors.Join(err, e.ctl.Set(back, next.spec.Name, undo), p.net.Place(back, was), e.dp.RenamePort(p.id, p.spec.Name))
	return p, err
}

// follow takes what the interface of a port is now to where else it matters: the name to
// statistics, the addresses and the MTU to the modes that use them.
func (e *Engine) follow(ctx context.Context, p openPort) (openPort, error) {
	i, err := e.sys.Info(ctx, p.ifp)
	if err != nil {
		return p, err
	}
	if i.Name != p.spec.Name {
		if err := e.dp.RenamePort(p.id, i.Name); err != nil {
			return p, err
		}
		e.rename(p.spec.Name, i.Name)
		p.spec.Name = i.Name
	}
	if i.MTU == p.mtu && i.MAC.String() == p.mac.String() || len(i.MAC) != 6 {
		return p, nil
	}
	p.mtu, p.mac = i.MTU, i.MAC
	ports, w := e.now()
	ports = slices.Clone(ports)
	for at := range ports {
		if ports[at].id == p.id {
			ports[at] = p
		}
	}
	return p, e.setStage(ctx, ports, w)
}

// rename changes the name of a port in connections and peers.
func (e *Engine) rename(from, to string) {
	ports, _ := e.now()
	specs := specsOf(ports)
	renamed := slices.Clone(specs)
	for i := range renamed {
		if renamed[i].Name == from {
			renamed[i].Name = to
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cfg.Links, e.cfg.Peers = relink(e.cfg.Links, specs, renamed), repeer(e.cfg.Peers, specs, renamed)
}

// relink writes connections of ports with these names for ports with others. Those of
// ports that are not among them are left out.
func relink(links []string, from, to []pmd.Spec) (out []string) {
	for _, text := range links {
		l, err := parseLink(from, text)
		if err != nil || int(l.A) >= len(to) || int(l.B) >= len(to) || to[l.A].Name == "" || to[l.B].Name == "" {
			continue
		}
		out = append(out, to[l.A].Name+":"+to[l.B].Name)
	}
	return out
}

// repeer is relink for peers' addresses.
func repeer(peers []string, from, to []pmd.Spec) (out []string) {
	for _, text := range peers {
		ref, mac, ok := strings.Cut(text, ",")
		if !ok {
			out = append(out, text)
			continue
		}
		if id, err := portNumber(from, ref); err == nil && to[id].Name != "" {
			out = append(out, to[id].Name+","+mac)
		}
	}
	return out
}

// AddrSettings is an address to be given to an interface, or to be taken.
type AddrSettings struct {
	// Address is an IPv4 or IPv6 address with the length of its network, as in
	// 192.0.2.1/24. One without is a host's, and to take one it is enough.
	Address string `json:"address"`
	// Peer is the other end of a point-to-point interface.
	Peer string `json:"peer,omitempty"`
}

// String writes it as the configuration has it: "192.0.2.1/24 peer 192.0.2.2".
func (a AddrSettings) String() string {
	if a.Peer == "" {
		return a.Address
	}
	return a.Address + " peer " + a.Peer
}

// spec reads an address.
func (a AddrSettings) spec() (s ifnet.AddrSpec, err error) {
	if s.Prefix, err = parsePrefix(a.Address); err != nil {
		return s, err
	}
	if a.Peer != "" {
		if s.Peer, err = netip.ParseAddr(a.Peer); err != nil || s.Peer.Zone() != "" {
			return s, usage.Errorf("peer %.60q: write an address such as 192.0.2.2", a.Peer)
		}
	}
	return s, nil
}

// parsePrefix reads an address, with the length of its network or as a host's.
func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, usage.Errorf("address %.60q: write one such as 192.0.2.1/24 or 2001:db8::1/64", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// AddAddr gives an interface an address; every core has it when this returns.
func (e *Engine) AddAddr(ctx context.Context, ref string, a AddrSettings) (Interface, error) {
	const call = "add address"
	spec, err := a.spec()
	if err != nil {
		return Interface{}, On(call, ref, err)
	}
	return e.change(ctx, ref, call, func(ctx context.Context, p openPort) (openPort, error) {
		return p, e.ctl.AddAddr(ctx, p.spec.Name, spec)
	})
}

// DelAddr takes an address from an interface. Its network's length, if it is given, must be
// the one it has.
func (e *Engine) DelAddr(ctx context.Context, ref string, a AddrSettings) (Interface, error) {
	const call = "delete address"
	spec, err := a.spec()
	if err != nil {
		return Interface{}, On(call, ref, err)
	}
	return e.change(ctx, ref, call, func(ctx context.Context, p openPort) (openPort, error) {
		i, err := e.ctl.Info(ctx, p.spec.Name)
		if err != nil {
			return p, err
		}
		for _, has := range i.Addresses {
			if has.Prefix.Addr() == spec.Prefix.Addr() && strings.Contains(a.Address, "/") && has.Prefix != spec.Prefix {
				return p, &ifnet.Error{Call: call, Interface: p.spec.Name, Errno: syscall.EADDRNOTAVAIL, Text: "it has " + has.Prefix.String() + ", not " + a.Address}
			}
		}
		return p, e.ctl.DelAddr(ctx, p.spec.Name, spec.Prefix.Addr())
	})
}

// joined tells which groups of an interface this process has joined as such, newest first:
// those that are not there for an address or another group alone.
func joined(i ifnet.Info) (groups []ifnet.Group) {
	for _, m := range i.Groups {
		own := m.Count
		for _, o := range i.Groups {
			if o.Link == m.Group {
				own--
			}
		}
		for _, a := range i.Addresses {
			if ifnet.SolicitedGroup(a.Prefix.Addr()) == m.Group {
				own--
			}
		}
		if own > 0 {
			groups = append(groups, m.Group)
		}
	}
	return groups
}

// Join makes an interface a member of a multicast group, an IP or a MAC address.
func (e *Engine) Join(ctx context.Context, ref, group string) (Interface, error) {
	const call = "join group"
	return e.member(ctx, ref, call, group, func(ctx context.Context, name string, g ifnet.Group, is bool) error {
		if is {
			return &ifnet.Error{Call: call, Interface: name, Errno: syscall.EADDRINUSE, Text: "it is in " + g.String() + " already"}
		}
		return e.ctl.Join(ctx, name, g)
	})
}

// Leave takes an interface from a group that Join made it a member of.
func (e *Engine) Leave(ctx context.Context, ref, group string) (Interface, error) {
	const call = "leave group"
	return e.member(ctx, ref, call, group, func(ctx context.Context, name string, g ifnet.Group, is bool) error {
		if !is {
			return &ifnet.Error{Call: call, Interface: name, Errno: syscall.ENOENT, Text: "nobody has joined " + g.String()}
		}
		return e.ctl.Leave(ctx, name, g)
	})
}

func (e *Engine) member(ctx context.Context, ref, call, group string, fn func(ctx context.Context, name string, g ifnet.Group, is bool) error) (Interface, error) {
	g, err := ifnet.ParseGroup(group)
	if err != nil {
		return Interface{}, On(call, ref, usage.Wrap(err))
	}
	return e.change(ctx, ref, call, func(ctx context.Context, p openPort) (openPort, error) {
		i, err := e.ctl.Info(ctx, p.spec.Name)
		if err != nil {
			return p, err
		}
		return p, fn(ctx, p.spec.Name, g, slices.Contains(joined(i), g))
	})
}
