package bench

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
)

// Drivers of scenarios.
const (
	// DriverNull receives from and sends to nowhere.
	DriverNull = "null"
	// DriverRing sends every frame over a ring inside the process, from a null port
	// to a null port: between two workers if there are two cores.
	DriverRing = "ring"
	// DriverPcap replays a capture from memory and discards what is sent.
	DriverPcap = "pcap"
	// DriverAFXDP forwards between two veth pairs that the scenario makes, with a
	// generator in the kernel at the one end and a counting sink at the other.
	DriverAFXDP = "afxdp"
	// DriverSim forwards between two AF_XDP ports whose kernel's side is simulated by
	// another CPU, in shared memory: what zero-copy costs us, without a NIC.
	DriverSim = "afxdp-sim"
)

// IMIX as a size is a mix of 64, 594 and 1518 bytes as 7:4:1, the simple IMIX.
const IMIX = 0

// Kinds of flows.
const (
	FlowsOne  = "1"    // one flow
	FlowsMany = "10k"  // 10,000 flows, uniform
	FlowsZipf = "zipf" // 10,000 flows, of which the n-th has a share of 1/n^1.1
)

// Sizes are the sizes of frames that scenarios use, those of RFC 2544 and IMIX.
func Sizes() []int { return []int{64, 128, 256, 512, 1024, 1280, 1518, IMIX} }

// Scenario is something to measure: one row of what package bench can do.
type Scenario struct {
	// Driver is one of the Driver constants.
	Driver string `json:"driver"`
	// Mode is a forwarding mode.
	Mode string `json:"mode"`
	// Size is the length of frames in bytes, or IMIX. Over a veth it is that on a
	// wire, with the check sequence of 4 bytes that no port sees; ports in memory
	// have frames of the whole size, as other projects' do.
	Size int `json:"size"`
	// Flows is one of the Flows constants. Default FlowsOne.
	Flows string `json:"flows"`
	// Cores is the number of polling cores, 1 or 2. Default 1.
	Cores int `json:"cores"`
	// Idle is the idle policy of the cores. Default adaptive.
	Idle dataplane.Idle `json:"idle"`
	// Load has the latency measured at so many percent of the throughput, which is found
	// first, and Rate at so many frames a second; 0 is flat out, and no latency.
	Load int `json:"load,omitempty"`
	Rate int `json:"rate,omitempty"`
}

// withDefaults fills the fields left zero.
func (s Scenario) withDefaults() Scenario {
	if s.Flows == "" {
		s.Flows = FlowsOne
	}
	if s.Cores == 0 {
		s.Cores = 1
	}
	if s.Idle == "" {
		s.Idle = dataplane.IdleAdaptive
	}
	return s
}

// Name is the name of the scenario, as benchmarks have it: driver=null/mode=io/size=64.
// What has its default is left out.
func (s Scenario) Name() string {
	s = s.withDefaults()
	size := strconv.Itoa(s.Size)
	if s.Size == IMIX {
		size = "imix"
	}
	name := fmt.Sprintf("driver=%s/mode=%s/size=%s", s.Driver, s.Mode, size)
	if s.Flows != FlowsOne {
		name += "/flows=" + s.Flows
	}
	if s.Cores != 1 {
		name += "/cores=" + strconv.Itoa(s.Cores)
	}
	if s.Idle != dataplane.IdleAdaptive {
		name += "/idle=" + string(s.Idle)
	}
	if s.Load != 0 {
		name += "/load=" + strconv.Itoa(s.Load)
	}
	if s.Rate != 0 {
		name += "/rate=" + strconv.Itoa(s.Rate)
	}
	return name
}

// ErrScenario is wrapped by errors about the words of a scenario.
var ErrScenario = errors.New("no such scenario")

// ParseScenario reads a name. Driver and mode must be given; the size is 64 if it is
// not.
func ParseScenario(name string) (Scenario, error) {
	s := Scenario{Size: 64}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(name, "/") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || seen[key] {
			return s, fmt.Errorf("%w: %q: write KEY=VALUE/…, each key once, as in %s", ErrScenario, name, Scenarios()[0].Name())
		}
		seen[key] = true
		var err error
		switch key {
		case "driver":
			s.Driver = value
		case "mode":
			s.Mode = value
		case "size":
			if value != "imix" {
				if s.Size, err = strconv.Atoi(value); err == nil && s.Size == IMIX {
					err = strconv.ErrRange
				}
			} else {
				s.Size = IMIX
			}
		case "flows":
			s.Flows = value
		case "cores":
			s.Cores, err = strconv.Atoi(value)
		case "idle":
			s.Idle = dataplane.Idle(value)
		case "load":
			s.Load, err = strconv.Atoi(value)
		case "rate":
			s.Rate, err = strconv.Atoi(value)
		default:
			return s, fmt.Errorf("%w: %q: no key %q: there are driver, mode, size, flows, cores, idle, load and rate", ErrScenario, name, key)
		}
		if err != nil {
			return s, fmt.Errorf("%w: %q: %s=%s is not a number to use here", ErrScenario, name, key, value)
		}
	}
	s = s.withDefaults()
	return s, s.Validate()
}

// Validate tells whether such a scenario can exist; Lacking tells whether it can run
// here.
func (s Scenario) Validate() error {
	s = s.withDefaults()
	bad := func(key string, value any, text string) error {
		return fmt.Errorf("%w: %s=%v: %s", ErrScenario, key, value, text)
	}
	memory := s.Driver == DriverNull || s.Driver == DriverRing
	switch {
	case !slices.Contains(drivers(), s.Driver):
		return bad("driver", s.Driver, "there are "+strings.Join(drivers(), ", "))
	case !slices.Contains(forward.Modes(), s.Mode):
		return bad("mode", s.Mode, "there are "+strings.Join(forward.Modes(), ", "))
	case s.Size != IMIX && (s.Size < 64 || s.Size > 1518):
		return bad("size", s.Size, "use 64 to 1518, or imix")
	case s.Size == IMIX && s.Driver != DriverPcap:
		return bad("size", "imix", "the pcap driver has it")
	case !slices.Contains([]string{FlowsOne, FlowsMany, FlowsZipf}, s.Flows):
		return bad("flows", s.Flows, "use 1, 10k or zipf")
	case memory && s.Flows != FlowsOne:
		return bad("flows", s.Flows, "frames of driver "+s.Driver+" are all alike; pcap has flows")
	case s.Driver == DriverAFXDP && s.Flows == FlowsZipf:
		return bad("flows", s.Flows, "the generator has uniform flows; pcap has both")
	case s.Cores < 1 || s.Cores > 2:
		return bad("cores", s.Cores, "use 1 or 2")
	case s.Driver == DriverSim && s.Flows != FlowsOne:
		return bad("flows", s.Flows, "packets of driver "+s.Driver+" are never written; pcap has flows")
	case s.Driver == DriverSim && !slices.Contains([]string{"io", "mac", "macswap", "rxonly", "noisy"}, s.Mode):
		return bad("mode", s.Mode, "packets of driver "+s.Driver+" are never written, and have no headers")
	case s.feeds() && s.Cores != 1:
		return bad("cores", s.Cores, "driver "+s.Driver+" needs the other CPU to send from")
	case s.Driver == DriverRing && slices.Contains([]string{"rxonly", "txonly", "flowgen", "icmpecho"}, s.Mode):
		return bad("mode", s.Mode, "nothing would pass the ring")
	case s.Load < 0 || s.Load > 100:
		return bad("load", s.Load, "use 1 to 100, in percent of the throughput")
	case s.Rate < 0 || s.Rate > maxPacedRate:
		return bad("rate", s.Rate, "use 1 to "+strconv.Itoa(maxPacedRate)+" frames a second")
	case s.paced() && (s.Driver != DriverAFXDP || !slices.Contains([]string{"io", "mac", "macswap"}, s.Mode)):
		return bad("driver", s.Driver+"/mode="+s.Mode, "latency is measured over driver "+DriverAFXDP+" in modes io, mac and macswap")
	case s.Load != 0 && s.Rate != 0:
		return bad("rate", s.Rate, "it says what load="+strconv.Itoa(s.Load)+" does: use one")
	case !slices.Contains(dataplane.IdlePolicies(), string(s.Idle)):
		return bad("idle", s.Idle, "there are "+strings.Join(dataplane.IdlePolicies(), ", "))
	}
	return nil
}

func drivers() []string {
	return []string{DriverNull, DriverRing, DriverPcap, DriverAFXDP, DriverSim}
}

// maxPacedRate is beyond what can be sent, and what can be recorded of it.
const maxPacedRate = 10_000_000

// paced tells whether latency is measured, at less than full rate.
func (s Scenario) paced() bool { return s.Load != 0 || s.Rate != 0 }

// feeds tells whether frames come from another CPU.
func (s Scenario) feeds() bool { return s.Driver == DriverAFXDP || s.Driver == DriverSim }

// Scenarios returns those that are run when none is named.
func Scenarios() []Scenario {
	var out []Scenario
	add := func(s Scenario) {
		if s = s.withDefaults(); !slices.Contains(out, s) && s.Validate() == nil {
			out = append(out, s)
		}
	}
	for _, driver := range drivers() {
		for _, mode := range forward.Modes() {
			add(Scenario{Driver: driver, Mode: mode, Size: 64})
		}
	}
	for _, size := range Sizes() {
		add(Scenario{Driver: DriverPcap, Mode: "csum", Size: size})
		add(Scenario{Driver: DriverAFXDP, Mode: "io", Size: size})
	}
	for _, flows := range []string{FlowsMany, FlowsZipf} {
		add(Scenario{Driver: DriverPcap, Mode: "5tswap", Size: 64, Flows: flows})
		add(Scenario{Driver: DriverAFXDP, Mode: "io", Size: 64, Flows: flows})
	}
	add(Scenario{Driver: DriverNull, Mode: "io", Size: 64, Cores: 2})
	add(Scenario{Driver: DriverRing, Mode: "io", Size: 64, Cores: 2})
	for _, idle := range dataplane.IdlePolicies() {
		add(Scenario{Driver: DriverAFXDP, Mode: "io", Size: 64, Idle: dataplane.Idle(idle)})
	}
	return out
}

// cpus chooses the CPUs to poll on and the one to send from.
func (s Scenario) cpus() (poll []int, feed int, err error) {
	topo, err := cpu.Local()
	if err != nil {
		return nil, 0, err
	}
	usable := topo.Allowed.And(topo.Online).Slice()
	need := s.Cores
	if s.feeds() {
		need++
	}
	if len(usable) < need {
		return nil, 0, fmt.Errorf("needs %d CPUs, this process may use %d", need, len(usable))
	}
	if d := topo.DefaultCores().Slice(); len(d) >= s.Cores {
		poll = d[:s.Cores]
	} else {
		poll = usable[len(usable)-s.Cores:]
	}
	for _, id := range usable {
		if !slices.Contains(poll, id) {
			return poll, id, nil
		}
	}
	return poll, -1, nil
}

// Lacking tells why the scenario cannot run here: nil if it can.
func (s Scenario) Lacking() error {
	s = s.withDefaults()
	if err := s.Validate(); err != nil {
		return err
	}
	if _, _, err := s.cpus(); err != nil {
		return err
	}
	switch s.Driver {
	case DriverAFXDP:
		return lackingVeth()
	case DriverSim:
		return lackingSim()
	}
	return nil
}
