package engine

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// DefaultMode is the forwarding mode of a Config that names none.
const DefaultMode = "io"

// Config says what to run. Registry and Ports are required; the zero value of
// every other field works.
type Config struct {
	// Registry holds the drivers that Ports may name.
	Registry *pmd.Registry
	// Ports are opened in this order, which gives them their numbers. A port
	// without a name gets one from its driver: null0, null1, …. CPUs in
	// PollCPU of one are polled on, in addition to those chosen for the others
	// if Cores is empty.
	Ports []pmd.Spec
	// Mode is the forwarding mode. Default "io".
	Mode string
	// Options are for single modes.
	Options forward.Options
	// Links connect ports, each "A:B" by name or number. Default: 0–1, 2–3, ….
	Links []string
	// Peers are the addresses modes mac, txonly and flowgen send to, each
	// "PORT,MAC" by name or number, or "MAC" for the ports that have none of
	// their own. Default: 02:00:00:00:00:NN, NN the port.
	Peers []string
	// Cores are the CPUs to poll on, one worker each, all of them used.
	// Default: those Topology recommends, near the ports, but no more than they
	// need.
	Cores cpu.Set
	// Unpinned, if not 0, runs this many workers that are bound to no CPU, and
	// Cores must be empty: for tests and for systems that cannot pin.
	Unpinned int
	// Topology is where CPUs are looked up. Default: this machine's.
	Topology *cpu.Topology
	// Confine keeps the other threads of the process off the CPUs in Cores,
	// until the engine has stopped.
	Confine bool
	// Burst is the number of frames of a queue visit, 1 to 256. Default 64.
	Burst int
	// Idle is what cores do while no frame comes. Default "adaptive".
	Idle dataplane.Idle
	// Tuning says how cores poll, where that differs from Burst, Idle and the
	// defaults of package dataplane.
	Tuning []CoreSettings
	// Interfaces say what interfaces are to be, where that is not the default.
	Interfaces []InterfaceConfig
	// Pool describes the frame pools. Default size: what the ports' rings hold,
	// at least mbuf.DefaultFrames.
	Pool mbuf.Config
	// OnOpen is called when all ports are open and no worker polls yet. An error
	// ends the start. Default: nothing is called.
	OnOpen func() error
	// OnEvent is told what happens to ports and workers. It may take its time;
	// events that find 256 others waiting are counted instead of told.
	OnEvent func(dataplane.Event)

	// bounds are for tests that what they look at may not outlast, on a machine that
	// stands still for longer than a person would wait.
	bounds bounds
}

// Example is a command line that works, for errors that ask for one.
const Example = "pmd run --port eth1 --port eth2"

// withDefaults fills the fields left zero and checks what can be checked without
// touching the machine. Every error is a mistake of the user.
func (c Config) withDefaults() (_ Config, err error) {
	if len(c.Ports) == 0 {
		return c, usage.Errorf("no port to run: name at least one with --port, for example: %s", Example)
	}
	if c.bounds == (bounds{}) {
		c.bounds = usualBounds()
	}
	if c.Mode == "" {
		c.Mode = DefaultMode
	}
	if err := checkMode(c.Mode); err != nil {
		return c, err
	}
	if err := c.Options.Validate(); err != nil {
		return c, usage.Wrap(err)
	}
	if c.Burst == 0 {
		c.Burst = dataplane.DefaultBurst
	}
	if c.Burst < 1 || c.Burst > pmd.MaxBurst {
		return c, usage.Errorf("--burst %d: use 1 to %d", c.Burst, pmd.MaxBurst)
	}
	if c.Unpinned < 0 || c.Unpinned > 0 && !c.Cores.IsEmpty() {
		return c, usage.Errorf("%d unpinned workers and CPUs %q: give one or the other", c.Unpinned, c.Cores)
	}
	if c.Idle != "" && !slices.Contains(dataplane.IdlePolicies(), string(c.Idle)) {
		return c, usage.Errorf("--idle %.40q: use %s", string(c.Idle), strings.Join(dataplane.IdlePolicies(), ", "))
	}
	if c.Idle == "" {
		c.Idle = dataplane.IdleAdaptive
	}
	if err := c.checkTuning(); err != nil {
		return c, err
	}
	kinds := c.Registry.Kinds()
	for _, p := range c.Ports {
		if !slices.Contains(kinds, p.Driver) {
			return c, usage.Errorf("port %s: no driver %q; there are %s", p, p.Driver, strings.Join(kinds, ", "))
		}
		if _, err := pollCPUs(p); err != nil {
			return c, err
		}
	}
	for _, p := range c.Ports {
		if err := c.Registry.Check(p); err != nil {
			return c, usage.Wrap(err)
		}
	}
	if err := c.Pool.Validate(); err != nil {
		return c, usage.Errorf("frame pool: %w", err)
	}
	if c.Ports, err = namePorts(c.Ports); err != nil {
		return c, err
	}
	for _, p := range c.Ports {
		// What ports may be called, interfaces may not all.
		if err := ifnet.CheckName(p.Name); err != nil {
			return c, usage.Errorf("port %s: %w: give it another name=", p, err)
		}
	}
	return c, c.checkInterfaces()
}

// Validate tells what is wrong with c without touching the machine, or nil. Every
// error is a mistake of the user.
func (c Config) Validate() error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	if _, err := connect(c.Ports, c.Links); err != nil {
		return err
	}
	_, err = parsePeers(c.Ports, c.Peers)
	return err
}

// checkMode tells whether there is such a forwarding mode.
func checkMode(mode string) error {
	if !slices.Contains(forward.Modes(), mode) {
		return usage.Errorf("no forwarding mode %q; there are %s", mode, strings.Join(forward.Modes(), ", "))
	}
	return nil
}

// namePorts returns the specs with a name each, all different. A driver cannot
// make up names by itself: it does not know the other ports.
func namePorts(specs []pmd.Spec) ([]pmd.Spec, error) {
	taken := map[string]bool{}
	for _, s := range specs {
		if s.Name != "" && taken[s.Name] {
			return nil, usage.Errorf("port %s: %s is given twice: give one of them another name=", s, s.Name)
		}
		taken[s.Name] = true
	}
	named := slices.Clone(specs)
	for i := range named {
		for n := 0; named[i].Name == ""; n++ {
			if name := fmt.Sprintf("%s%d", named[i].Driver, n); !taken[name] {
				named[i].Name, taken[name] = name, true
			}
		}
	}
	return named, nil
}

// portNumber finds a port by name, or else by number. Names come first, because a
// port may be called "1" and the user who did that meant it.
func portNumber(ports []pmd.Spec, ref string) (dataplane.PortID, error) {
	for i, p := range ports {
		if p.Name == ref {
			return dataplane.PortID(i), nil
		}
	}
	for i := range ports {
		if fmt.Sprint(i) == ref {
			return dataplane.PortID(i), nil
		}
	}
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = fmt.Sprintf("%d (%s)", i, p.Name)
	}
	return dataplane.NoPort, usage.Errorf("there is no port %q; there are %s", ref, strings.Join(names, ", "))
}

// connect makes the cross-connect table from links "A:B".
func connect(ports []pmd.Spec, links []string) ([]dataplane.PortID, error) {
	parsed := make([]forward.Link, 0, len(links))
	for _, text := range links {
		l, err := parseLink(ports, text)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, l)
	}
	table, err := forward.Connect(len(ports), parsed...)
	return table, usage.Wrap(err)
}

// parseLink reads "A:B". A name may hold a colon itself, so every colon is tried
// as the one that divides.
func parseLink(ports []pmd.Spec, text string) (forward.Link, error) {
	var first error
	for i := range len(text) {
		if text[i] != ':' {
			continue
		}
		a, err := portNumber(ports, text[:i])
		if err == nil {
			var b dataplane.PortID
			if b, err = portNumber(ports, text[i+1:]); err == nil {
				return forward.Link{A: a, B: b}, nil
			}
		}
		if first == nil {
			first = fmt.Errorf("cross-connect %q: %w", text, err)
		}
	}
	if first == nil {
		first = usage.Errorf("cross-connect %q: write two ports with a colon between them, as in 0:1", text)
	}
	return forward.Link{}, first
}

// parsePeers returns the peers' addresses by port from texts "PORT,MAC" and "MAC".
func parsePeers(ports []pmd.Spec, peers []string) ([]net.HardwareAddr, error) {
	macs := make([]net.HardwareAddr, len(ports))
	var all net.HardwareAddr
	for _, text := range peers {
		ref, mac, ok := strings.Cut(text, ",")
		if !ok {
			hw, err := net.ParseMAC(text)
			if err != nil || len(hw) != 6 {
				return nil, usage.Errorf("peer %q: write a MAC, or a port, a comma and a MAC, as in 1,02:00:00:00:00:01", text)
			}
			if all != nil {
				return nil, usage.Errorf("peer %q: there is one for all ports already, %v", text, all)
			}
			all = hw
			continue
		}
		id, err := portNumber(ports, ref)
		if err != nil {
			return nil, fmt.Errorf("peer %q: %w", text, err)
		}
		hw, err := net.ParseMAC(mac)
		if err != nil || len(hw) != 6 {
			return nil, usage.Errorf("peer %q: %q is not an Ethernet address such as 02:00:00:00:00:01", text, mac)
		}
		if macs[id] != nil {
			return nil, usage.Errorf("peer %q: port %s has a peer already", text, ports[id].Name)
		}
		macs[id] = hw
	}
	for i := range macs {
		if macs[i] == nil {
			macs[i] = all
		}
	}
	return macs, nil
}
