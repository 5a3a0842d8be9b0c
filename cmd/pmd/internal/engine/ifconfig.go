package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
)

// InterfaceConfig says what the interface of a port is to be. What is nil or empty has its
// default: up and polled, promiscuous as the port says, with the MTU, the link-level address
// and the capabilities that the port came with, metric 0, no addresses, no groups.
type InterfaceConfig struct {
	// Port is the port, by name or by number.
	Port string
	// IfSettings are those that are not the port's own: Name and PollCPU are nil.
	IfSettings
	// Addrs are the addresses, in the order in which they are given to a new interface.
	Addrs []AddrSettings
	// Groups are the multicast groups to be in, as Join takes them.
	Groups []string
}

// String writes it as the command line has it: "eth1,mtu=1600,addr=192.0.2.1/24".
func (c InterfaceConfig) String() string {
	return strings.Join(append([]string{c.Port}, c.words()...), ",")
}

// words writes each setting as KEY=VALUE.
func (c InterfaceConfig) words() (words []string) {
	say := func(key, value string) { words = append(words, key+"="+value) }
	toggle := func(key string, on *bool) {
		switch {
		case on == nil:
		case *on:
			say(key, "on")
		default:
			say(key, "off")
		}
	}
	toggle("up", c.Up)
	if c.MTU != nil {
		say("mtu", fmt.Sprint(*c.MTU))
	}
	if c.LLAddr != nil {
		say("lladdr", *c.LLAddr)
	}
	if c.Metric != nil {
		say("metric", fmt.Sprint(*c.Metric))
	}
	toggle("promisc", c.Promisc)
	toggle("allmulti", c.AllMulti)
	toggle("polling", c.Polling)
	for _, name := range c.CapsOn {
		say("cap", "+"+name)
	}
	for _, name := range c.CapsOff {
		say("cap", "-"+name)
	}
	for _, a := range c.Addrs {
		say("addr", a.String())
	}
	for _, g := range c.Groups {
		say("group", g)
	}
	return words
}

// Validate tells what is wrong with c whatever the interface, or nil. Every error is a
// mistake of the user.
func (c InterfaceConfig) Validate() error {
	_, err := ifState{}.with(c)
	return err
}

// ifState is what can be configured of an interface, as it is or as it is to be.
type ifState struct {
	up, promisc, allMulti, polling bool
	mtu, metric                    int
	mac                            net.HardwareAddr
	caps                           ifnet.Caps
	// addrs and groups are written as they are told, so that they can be compared.
	addrs  []AddrSettings
	groups []string
}

// stateOf is what an interface is.
func stateOf(i ifnet.Info) ifState {
	s := ifState{
		up: i.Flags&ifnet.FlagUp != 0, promisc: i.Flags&ifnet.FlagPPromisc != 0, allMulti: i.OwnAllMulti,
		polling: i.Flags&ifnet.FlagPolling != 0, mtu: i.MTU, metric: i.Metric, mac: i.MAC, caps: i.CapEnabled,
	}
	for _, a := range i.Addresses {
		s.addrs = append(s.addrs, AddrSettings{prefixText(a), addrText(a.Peer)})
	}
	for _, g := range joined(i) {
		s.groups = append(s.groups, g.String())
	}
	slices.Reverse(s.groups) // oldest first
	return s
}

// with is s, which is without addresses and groups, with what c says.
func (s ifState) with(c InterfaceConfig) (ifState, error) {
	set, err := c.settings()
	if err != nil {
		return s, err
	}
	if err := set.Validate(); err != nil {
		return s, mistake(err)
	}
	for _, k := range []struct{ from, to *bool }{{c.Up, &s.up}, {c.Promisc, &s.promisc}, {c.AllMulti, &s.allMulti}, {c.Polling, &s.polling}} {
		if k.from != nil {
			*k.to = *k.from
		}
	}
	for _, k := range []struct{ from, to *int }{{c.MTU, &s.mtu}, {c.Metric, &s.metric}} {
		if k.from != nil {
			*k.to = *k.from
		}
	}
	if set.LLAddr != nil {
		s.mac = set.LLAddr
	}
	s.caps = (s.caps | set.CapsOn) &^ set.CapsOff
	seen := map[netip.Addr]bool{}
	for _, a := range c.Addrs {
		spec, err := a.spec()
		if err != nil {
			return s, err
		}
		if err := spec.Validate(); err != nil {
			return s, mistake(err)
		}
		if seen[spec.Prefix.Addr()] {
			return s, usage.Errorf("address %v is given twice", spec.Prefix.Addr())
		}
		seen[spec.Prefix.Addr()] = true
		s.addrs = append(s.addrs, AddrSettings{spec.Prefix.String(), addrText(spec.Peer)})
	}
	for _, text := range c.Groups {
		g, err := ifnet.ParseGroup(text)
		if err == nil {
			err = g.Validate()
		}
		if err != nil {
			return s, mistake(err)
		}
		if slices.Contains(s.groups, g.String()) {
			return s, usage.Errorf("group %v is given twice", g)
		}
		s.groups = append(s.groups, g.String())
	}
	return s, nil
}

// mistake is an error of package ifnet as a mistake of the user, in its words alone.
func mistake(err error) error {
	var ie *ifnet.Error
	if errors.As(err, &ie) && ie.Text != "" {
		return usage.Errorf("%s", ie.Text)
	}
	return usage.Wrap(err)
}

// changes returns what it takes to get from one state to another; addresses and groups are
// those to be added.
func (s ifState) changes(to ifState) (c InterfaceConfig) {
	for _, k := range []struct {
		a, b bool
		to   **bool
	}{{s.up, to.up, &c.Up}, {s.promisc, to.promisc, &c.Promisc}, {s.allMulti, to.allMulti, &c.AllMulti}, {s.polling, to.polling, &c.Polling}} {
		if k.a != k.b {
			*k.to = &k.b
		}
	}
	if s.mtu != to.mtu {
		c.MTU = &to.mtu
	}
	if s.metric != to.metric {
		c.Metric = &to.metric
	}
	if mac := to.mac.String(); s.mac.String() != mac {
		c.LLAddr = &mac
	}
	if on := to.caps &^ s.caps; on != 0 {
		c.CapsOn = words(on.String())
	}
	if off := s.caps &^ to.caps; off != 0 {
		c.CapsOff = words(off.String())
	}
	c.Addrs, c.Groups = without(to.addrs, s.addrs), without(to.groups, s.groups)
	return c
}

// without returns those of a list that are not in another.
func without[T comparable](list, other []T) (out []T) {
	for _, v := range list {
		if !slices.Contains(other, v) {
			out = append(out, v)
		}
	}
	return out
}

// checkInterfaces names the ports that interfaces are said to be of, and tells what is wrong
// with what is said. Ports have their names already.
func (c *Config) checkInterfaces() error {
	list := slices.Clone(c.Interfaces)
	seen := map[string]bool{}
	for i := range list {
		f := &list[i]
		id, err := portNumber(c.Ports, f.Port)
		if err != nil {
			return fmt.Errorf("interface %.40q: %w", f.Port, err)
		}
		if f.Port = c.Ports[id].Name; seen[f.Port] {
			return usage.Errorf("interface %s is given twice", f.Port)
		}
		seen[f.Port] = true
		if err := f.Validate(); err != nil {
			return fmt.Errorf("interface %s: %w", f.Port, err)
		}
	}
	c.Interfaces = list
	return nil
}

// interfaceOf returns what is said of the interface of a port.
func (c Config) interfaceOf(spec pmd.Spec) InterfaceConfig {
	for _, f := range c.Interfaces {
		if f.Port == spec.Name {
			return f
		}
	}
	return InterfaceConfig{Port: spec.Name}
}

// states tells what the interfaces of ports are, by name; those of ports that are lost are
// left out.
func (e *Engine) states(ctx context.Context, ports []openPort) (map[string]ifState, error) {
	out := map[string]ifState{}
	for _, p := range ports {
		if p.lost {
			continue
		}
		i, err := e.sys.Info(ctx, p.ifp)
		if err != nil {
			return nil, err
		}
		out[p.spec.Name] = stateOf(i)
	}
	return out, nil
}

// InterfaceConfigs returns what the interfaces are that is not their default, in the order
// of the ports. It waits for a change that is being made.
func (e *Engine) InterfaceConfigs(ctx context.Context) ([]InterfaceConfig, error) {
	if err := e.changeMu.wait(ctx, e.bounds.control); err != nil {
		return nil, err
	}
	defer e.changeMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, e.bounds.control)
	defer cancel()
	return e.interfaceConfigs(ctx)
}

// interfaceConfigs is InterfaceConfigs. changeMu is held.
func (e *Engine) interfaceConfigs(ctx context.Context) (list []InterfaceConfig, err error) {
	ports, _ := e.now()
	states, err := e.states(ctx, ports)
	for _, p := range ports {
		s, ok := states[p.spec.Name]
		if !ok {
			continue
		}
		c := p.base.changes(s)
		if c.Port = p.spec.Name; len(c.words()) > 0 {
			list = append(list, c)
		}
	}
	return list, err
}

// settle makes a new interface what is said of it, and notes what it would be otherwise.
func (e *Engine) settle(ctx context.Context, p *openPort, want InterfaceConfig) error {
	i, err := e.sys.Info(ctx, p.ifp)
	if err != nil {
		return err
	}
	is := stateOf(i)
	p.base = is
	p.base.up, p.base.polling, p.base.promisc = true, true, p.net.Promisc()
	to, err := p.base.with(want)
	if err != nil {
		return err
	}
	set, err := is.changes(to).settings()
	if err != nil {
		return err
	}
	if err := e.ctl.Set(ctx, p.spec.Name, set); err != nil {
		return err
	}
	p.follow(p.base, to)
	if err := p.net.Settle(); err != nil {
		return err
	}
	return e.extend(ctx, p.spec.Name, is, to)
}

// follow notes the MTU and the address of the interface, which modes use. A device whose MTU
// is larger than an interface can have keeps it until it is told another.
func (p *openPort) follow(from, to ifState) {
	if from.mtu != to.mtu {
		p.mtu = to.mtu
	}
	p.mac = to.mac
}

// extend gives an interface the addresses and groups that it has not. An address that it has
// with another network or another peer is replaced: cores see the one or the other.
func (e *Engine) extend(ctx context.Context, name string, from, to ifState) error {
	has := map[netip.Addr]bool{}
	for _, a := range from.addrs {
		spec, err := a.spec()
		if err != nil {
			return err
		}
		has[spec.Prefix.Addr()] = true
	}
	more := from.changes(to)
	for _, text := range more.Groups {
		g, err := ifnet.ParseGroup(text)
		if err != nil {
			return err
		}
		if err := e.ctl.Join(ctx, name, g); err != nil {
			return err
		}
	}
	for _, a := range more.Addrs {
		spec, err := a.spec()
		if err != nil {
			return err
		}
		if addr := spec.Prefix.Addr(); has[addr] {
			err = e.ctl.ChangeAddr(ctx, name, addr, spec)
		} else {
			err = e.ctl.AddAddr(ctx, name, spec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reduce takes the addresses and groups from an interface that it is not to have. Its other
// addresses have been made what they are to be.
func (e *Engine) reduce(ctx context.Context, name string, from, to ifState) error {
	stays := map[netip.Addr]bool{}
	for _, a := range to.addrs {
		spec, err := a.spec()
		if err != nil {
			return err
		}
		stays[spec.Prefix.Addr()] = true
	}
	less := to.changes(from)
	for _, a := range less.Addrs {
		spec, err := a.spec()
		if err != nil {
			return err
		}
		if stays[spec.Prefix.Addr()] {
			continue // replaced
		}
		if err := e.ctl.DelAddr(ctx, name, spec.Prefix.Addr()); err != nil {
			return err
		}
	}
	for _, text := range less.Groups {
		g, err := ifnet.ParseGroup(text)
		if err != nil {
			return err
		}
		if err := e.ctl.Leave(ctx, name, g); err != nil {
			return err
		}
	}
	return nil
}

// restore makes an interface what it was, its addresses in the order in which they were. It
// goes on where something fails.
func (e *Engine) restore(ctx context.Context, name string, was ifState) error {
	i, err := e.ctl.Info(ctx, name)
	if err != nil {
		return err
	}
	now := stateOf(i)
	set, err := now.changes(was).settings()
	if err != nil {
		return err
	}
	err = e.ctl.Set(ctx, name, set)
	// From the first that differs on they go, and come as they came.
	same := 0
	for same < len(now.addrs) && same < len(was.addrs) && now.addrs[same] == was.addrs[same] {
		same++
	}
	kept := now
	kept.addrs = slices.Clone(now.addrs[:same])
	return errors.Join(err, e.reduce(ctx, name, now, ifState{addrs: kept.addrs, groups: was.groups}), e.extend(ctx, name, kept, was))
}
