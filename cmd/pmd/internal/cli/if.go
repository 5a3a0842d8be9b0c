package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
)

// IfCmd is pmd if.
type IfCmd struct {
	Show    IfShowCmd    `cmd:"" help:"Describe one interface and its port, or list all."`
	Set     IfSetCmd     `cmd:"" help:"Change settings of an interface while traffic flows: all of them, or none."`
	Addr    IfAddrCmd    `cmd:"" help:"Give an interface addresses, or take them."`
	Join    IfJoinCmd    `cmd:"" help:"Join a multicast group."`
	Leave   IfLeaveCmd   `cmd:"" help:"Leave a multicast group that was joined."`
	Create  IfCreateCmd  `cmd:"" help:"Create an interface of a kind, such as ring or tap."`
	Destroy IfDestroyCmd `cmd:"" help:"Destroy an interface that was created."`
	Kinds   IfKindsCmd   `cmd:"" help:"List the kinds of interface that can be created."`
}

// IfArg is embedded by every command about one interface.
type IfArg struct {
	Name string `arg:"" help:"An interface, by name, or by the number of its port."`
	SocketFlag
}

// change runs fn, which changes the interface and returns what it is then.
func (c IfArg) change(a *app.App, asJSON bool, fn func(context.Context, *ctl.Client) (engine.Interface, error)) error {
	return ask(a, c.SocketFlag, asJSON, fn, func(io.Writer, engine.Interface) error { return nil })
}

// IfShowCmd is pmd if show.
type IfShowCmd struct {
	Name string `arg:"" optional:"" help:"An interface, by name, or by the number of its port."`
	JSON bool   `name:"json" help:"Write JSON."`
	SocketFlag
}

// Run shows the interfaces of the running process.
func (c *IfShowCmd) Run(a *app.App) error {
	if c.Name == "" {
		return ask(a, c.SocketFlag, c.JSON, func(ctx context.Context, client *ctl.Client) (ctl.Interfaces, error) {
			list, err := client.Interfaces(ctx)
			return ctl.Interfaces{Interfaces: list}, err
		}, func(w io.Writer, list ctl.Interfaces) error { return show.Interfaces(w, list.Interfaces) })
	}
	return ask(a, c.SocketFlag, c.JSON, func(ctx context.Context, client *ctl.Client) (engine.Interface, error) {
		return client.Interface(ctx, c.Name)
	}, show.Interface)
}

// ifKeys are the settings of an interface that --if and the configuration file have, in the
// order they are told: those of pmd if set that are not its port's, addresses and groups.
func ifKeys() []string {
	return []string{"up", "mtu", "lladdr", "metric", "promisc", "allmulti", "polling", "cap", "addr", "group"}
}

// parseIf reads the value of --if, as engine.InterfaceConfig writes it. Ranges are for the
// engine to check.
func parseIf(text string) (c engine.InterfaceConfig, err error) {
	name, rest, ok := strings.Cut(text, ",")
	if c.Port = name; name == "" || !ok {
		return c, usage.Errorf("%.60q: write an interface, a comma and settings, as in eth1,mtu=1600,addr=192.0.2.1/24", text)
	}
	seen := map[string]bool{}
	for item := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(item, "=")
		if !ok || !slices.Contains(ifKeys(), key) {
			return c, usage.Errorf("%.60q: no setting %.40q; there are %s, each with = and a value", text, key, strings.Join(ifKeys(), ", "))
		}
		if seen[key] && !severalTimes(key) {
			return c, usage.Errorf("%.60q: %s is given twice", text, key)
		}
		seen[key] = true
		switch key {
		case "addr":
			a, peer, _ := strings.Cut(value, " peer ")
			c.Addrs = append(c.Addrs, engine.AddrSettings{Address: a, Peer: peer})
		case "group":
			c.Groups = append(c.Groups, value)
		default:
			if err := set1(&c.IfSettings, key, value); err != nil {
				return c, fmt.Errorf("%s: %s: %w", name, key, err)
			}
		}
	}
	return c, nil
}

// severalTimes tells whether a setting may be given more than once.
func severalTimes(key string) bool { return key == "cap" || key == "addr" || key == "group" }

// IfSetCmd is pmd if set.
type IfSetCmd struct {
	IfArg
	Settings []string `arg:"" words:"up down mtu name lladdr metric promisc allmulti polling pollcpu cap" help:"What to change: up | down | mtu BYTES | name NEW | lladdr MAC | metric N | promisc on|off | allmulti on|off | polling on|off | pollcpu LIST | cap +NAME|-NAME, several in a row."`
	JSON     bool     `name:"json" help:"Write what the interface is then as JSON."`
}

// Help explains the settings.
func (*IfSetCmd) Help() string {
	return `up, down: a port that is down neither receives nor sends. What is sent there is dropped and counted as not_polled. The kernel's interface stays as it is.

mtu, lladdr, promisc, allmulti: of AF_XDP and other ports on Linux interfaces these act on the kernel's interface, and are put back when the process ends.

name: in this process alone.

polling: off, no core polls the port; on, it is polled where it was.

pollcpu: the CPUs that poll the queues, as in 2,3: queue i is polled on the i-th, or all of them on the only one. The port moves without losing a frame.

Example: pmd if set eth1 mtu 1600 promisc on up`
}

// ifValues are the words of pmd if set that a value follows.
func ifValues() []string {
	return []string{"mtu", "name", "lladdr", "metric", "promisc", "allmulti", "polling", "pollcpu", "cap"}
}

// joinSigns binds a value that begins with a sign to the word of pmd if set before it, as in
// cap=-TXCSUM: it would be taken for a flag.
func joinSigns(args []string) []string {
	if len(args) < 2 || args[0] != "if" || args[1] != "set" {
		return args
	}
	out := slices.Clone(args[:2])
	for i := 2; i < len(args); i++ {
		if slices.Contains(ifValues(), args[i]) && i+1 < len(args) && strings.HasPrefix(args[i+1], "-") && !strings.HasPrefix(args[i+1], "--") {
			out = append(out, args[i]+"="+args[i+1])
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// settings reads the words.
func (c *IfSetCmd) settings() (set engine.IfSettings, err error) {
	seen := map[string]bool{}
	for words := c.Settings; len(words) > 0; {
		key := words[0]
		words = words[1:]
		key, value, has := strings.Cut(key, "=")
		once := key
		if key == "down" {
			once = "up"
		}
		if seen[once] && key != "cap" {
			return set, usage.Errorf("if set: %s is given twice", key)
		}
		seen[once] = true
		if key == "up" || key == "down" {
			up := key == "up"
			if set.Up = &up; has {
				return set, usage.Errorf("if set: %s takes no value", key)
			}
			continue
		}
		if !slices.Contains(ifValues(), key) {
			return set, usage.Errorf("if set: no setting %.40q; there are up, down, %s", key, strings.Join(ifValues(), ", "))
		}
		if !has {
			if len(words) == 0 {
				return set, usage.Errorf("if set: %s: a value is missing, see \"pmd if set --help\"", key)
			}
			value, words = words[0], words[1:]
		}
		if err := set1(&set, key, value); err != nil {
			return set, fmt.Errorf("if set: %s: %w", key, err)
		}
	}
	return set, nil
}

// set1 reads the value of one setting. Ranges are for the process to check.
func set1(set *engine.IfSettings, key, value string) error {
	number := func(to **int) error {
		n, err := strconv.Atoi(value)
		if err != nil {
			return usage.Errorf("%.40q: use a number", value)
		}
		*to = &n
		return nil
	}
	toggle := func(to **bool) error {
		on := value == "on"
		if !on && value != "off" {
			return usage.Errorf("%.40q: use on or off", value)
		}
		*to = &on
		return nil
	}
	switch key {
	case "up":
		return toggle(&set.Up)
	case "mtu":
		return number(&set.MTU)
	case "metric":
		return number(&set.Metric)
	case "promisc":
		return toggle(&set.Promisc)
	case "allmulti":
		return toggle(&set.AllMulti)
	case "polling":
		return toggle(&set.Polling)
	case "name":
		set.Name = &value
	case "lladdr":
		set.LLAddr = &value
	case "pollcpu":
		set.PollCPU = &value
	case "cap":
		switch name := strings.TrimLeft(value, "+-"); {
		case strings.HasPrefix(value, "+") && len(name) == len(value)-1:
			set.CapsOn = append(set.CapsOn, name)
		case strings.HasPrefix(value, "-") && len(name) == len(value)-1:
			set.CapsOff = append(set.CapsOff, name)
		default:
			return usage.Errorf("%.40q: write + or - and a capability, as in +RXCSUM", value)
		}
	}
	return nil
}

// Run changes settings of an interface of the running process.
func (c *IfSetCmd) Run(a *app.App) error {
	set, err := c.settings()
	if err != nil {
		return err
	}
	return c.change(a, c.JSON, func(ctx context.Context, client *ctl.Client) (engine.Interface, error) {
		return client.SetInterface(ctx, c.Name, set)
	})
}

// IfAddrCmd is pmd if addr.
type IfAddrCmd struct {
	Add IfAddrAddCmd `cmd:"" help:"Give an interface an IPv4 or IPv6 address."`
	Del IfAddrDelCmd `cmd:"" help:"Take an address from an interface."`
}

// IfAddrAddCmd is pmd if addr add.
type IfAddrAddCmd struct {
	IfArg
	Address string   `arg:"" help:"Address and length of its network, as in 192.0.2.1/24 or 2001:db8::1/64."`
	Peer    []string `arg:"" optional:"" words:"peer" help:"peer ADDR: the other end, of a point-to-point interface."`
}

// Run gives an interface of the running process an address.
func (c *IfAddrAddCmd) Run(a *app.App) error {
	addr := engine.AddrSettings{Address: c.Address}
	switch {
	case len(c.Peer) == 2 && c.Peer[0] == "peer":
		addr.Peer = c.Peer[1]
	case len(c.Peer) > 0:
		return usage.Errorf("if addr add: %q: write peer and an address behind the interface's own", strings.Join(c.Peer, " "))
	}
	return c.change(a, false, func(ctx context.Context, client *ctl.Client) (engine.Interface, error) {
		return client.AddAddr(ctx, c.Name, addr)
	})
}

// IfAddrDelCmd is pmd if addr del.
type IfAddrDelCmd struct {
	IfArg
	Address string `arg:"" help:"The address; the length of its network may be left out."`
}

// Run takes an address from an interface of the running process.
func (c *IfAddrDelCmd) Run(a *app.App) error {
	return c.change(a, false, func(ctx context.Context, client *ctl.Client) (engine.Interface, error) {
		return client.DelAddr(ctx, c.Name, engine.AddrSettings{Address: c.Address})
	})
}

// IfJoinCmd is pmd if join.
type IfJoinCmd struct {
	IfArg
	Group string `arg:"" help:"An IP group such as 224.0.0.251 or ff02::fb, which brings its Ethernet group, or an Ethernet group such as 01:00:5e:00:00:fb."`
}

// Run makes an interface of the running process a member of a group.
func (c *IfJoinCmd) Run(a *app.App) error {
	return c.change(a, false, func(ctx context.Context, client *ctl.Client) (engine.Interface, error) {
		return client.Join(ctx, c.Name, c.Group)
	})
}

// IfLeaveCmd is pmd if leave.
type IfLeaveCmd struct {
	IfArg
	Group string `arg:"" help:"The group, as it was joined."`
}

// Run takes an interface of the running process from a group.
func (c *IfLeaveCmd) Run(a *app.App) error {
	return c.change(a, false, func(ctx context.Context, client *ctl.Client) (engine.Interface, error) {
		return client.Leave(ctx, c.Name, c.Group)
	})
}

// IfCreateCmd is pmd if create.
type IfCreateCmd struct {
	Name   string   `arg:"" help:"A kind and a number, as in ring3, or a kind alone for the first number that is free; \"pmd if kinds\" lists the kinds."`
	Params []string `arg:"" optional:"" help:"Options of the port, KEY=VALUE, as after --port."`
	JSON   bool     `name:"json" help:"Write what was created as JSON."`
	SocketFlag
}

// Help explains what becomes of the interface.
func (*IfCreateCmd) Help() string {
	return `The interface is the last port, as if it had been there from the start: the last port that is connected to none is connected to it, else it sends back what it receives. The name is written to standard output.

Example: pmd if create tap addr=192.0.2.1/24`
}

// Run creates an interface in the running process.
func (c *IfCreateCmd) Run(a *app.App) error {
	params := map[string]string{}
	for _, p := range c.Params {
		key, value, ok := strings.Cut(p, "=")
		if _, twice := params[key]; !ok || key == "" || twice {
			return usage.Errorf("if create: %.60q: write KEY=VALUE, each key once", p)
		}
		params[key] = value
	}
	return ask(a, c.SocketFlag, c.JSON, func(ctx context.Context, client *ctl.Client) (engine.Interface, error) {
		return client.Create(ctx, c.Name, params)
	}, func(w io.Writer, f engine.Interface) error {
		_, err := fmt.Fprintln(w, f.Name)
		return err
	})
}

// IfDestroyCmd is pmd if destroy.
type IfDestroyCmd struct {
	Name string `arg:"" help:"An interface that was created, or a port of a kind that can be, with a kind and a number as its name."`
	SocketFlag
}

// Run destroys an interface of the running process.
func (c *IfDestroyCmd) Run(a *app.App) error {
	return c.with(a, func(ctx context.Context, client *ctl.Client) error { return client.Destroy(ctx, c.Name) })
}

// IfKindsCmd is pmd if kinds.
type IfKindsCmd struct {
	JSON bool `name:"json" help:"Write JSON."`
	SocketFlag
}

// Run lists what the running process can create.
func (c *IfKindsCmd) Run(a *app.App) error {
	return ask(a, c.SocketFlag, c.JSON, func(ctx context.Context, client *ctl.Client) (ctl.Kinds, error) {
		list, err := client.Kinds(ctx)
		return ctl.Kinds{Kinds: list}, err
	}, func(w io.Writer, list ctl.Kinds) error {
		t := show.NewTable("KIND", "UNITS", "WHAT IT IS")
		for _, k := range list.Kinds {
			units := make([]string, len(k.Units))
			for i, u := range k.Units {
				units[i] = strconv.Itoa(u)
			}
			t.Row(k.Kind, strings.Join(units, ","), k.What)
		}
		return t.Write(w, "")
	})
}
