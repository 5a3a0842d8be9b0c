package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"

	"example.org/pmd/dataplane"
)

// PeerVersion is the version of the form of a PeerResult.
const PeerVersion = 1

// Peer is another way to do what pmd does: a program, or the kernel.
type Peer struct {
	// Name is how comparisons call it.
	Name string `json:"name"`
	// Program must be on PATH; empty if the kernel is the peer.
	Program string `json:"program,omitempty"`
	// Install tells how to get it.
	Install string `json:"install,omitempty"`
}

// The peers.
var (
	peerTestpmd  = Peer{Name: "testpmd", Program: "dpdk-testpmd", Install: "apt-get install dpdk-dev (Debian, Ubuntu)"}
	peerBridge   = Peer{Name: "bridge"}
	peerRoute    = Peer{Name: "route"}
	peerRedirect = Peer{Name: "redirect"}
	peerL2fwd    = Peer{Name: "l2fwd", Program: "l2fwd", Install: "go install github.com/asavie/xdp/examples/l2fwd@v0.3.3, with go env GOPATH's bin on PATH"}
	peerXdpsock  = Peer{Name: "xdpsock", Program: "xdpsock", Install: "build xdpsock of github.com/xdp-project/bpf-examples, AF_XDP-example, and put it on PATH"}
	peerRing     = Peer{Name: "dpdk-test", Program: "dpdk-test", Install: "apt-get install dpdk-dev (Debian, Ubuntu)"}
	peerXskFwd   = Peer{Name: "xsk_fwd", Program: "xsk_fwd", Install: "build xsk_fwd of github.com/xdp-project/bpf-examples, AF_XDP-forwarding, and put it on PATH"}
)

// lacking tells why the peer is not there.
func (p Peer) lacking() error {
	if p.Program == "" {
		return nil
	}
	if _, err := exec.LookPath(p.Program); err != nil {
		return fmt.Errorf("no %s on PATH: %s", p.Program, p.Install)
	}
	return nil
}

// Comparison is the same work done by pmd and by a peer.
type Comparison struct {
	// Peer is the other side.
	Peer Peer `json:"peer"`
	// Driver, Mode and Size say what pmd does, as in a Scenario; drivers "afpacket" and
	// "afxdp" are over veth pairs that the comparison makes. Driver DriverQueue is a ring
	// without ports: Mode is its kind, Size the number of elements of a bulk, and elements
	// are what other comparisons have as packets.
	Driver string `json:"driver"`
	Mode   string `json:"mode"`
	Size   int    `json:"size"`
	// Cores is the number of polling cores of each side.
	Cores int `json:"cores"`
	// Idle is the idle policy of our cores; empty is adaptive, as in a Scenario.
	Idle dataplane.Idle `json:"idle,omitempty"`
	// Loads has the latency compared instead of the throughput, at so many percent of the
	// lower of both sides' throughputs each, which are found first.
	Loads []int `json:"loads,omitempty"`
	// Theirs tells what the peer does, in its own words.
	Theirs string `json:"theirs"`
	// args are what the peer is given.
	args []string
}

// Drivers of which there are comparisons and no scenarios.
const (
	// driverAFPacket is packet sockets over veth pairs.
	driverAFPacket = "afpacket"
	// DriverQueue is the rings of package queue by themselves, without ports.
	DriverQueue = "queue"
)

// Name is the comparison's name, as peer=testpmd/driver=null/mode=io/size=64.
func (c Comparison) Name() string {
	size := "size"
	if c.Driver == DriverQueue {
		size = "bulk"
	}
	name := fmt.Sprintf("peer=%s/driver=%s/mode=%s/%s=%d", c.Peer.Name, c.Driver, c.Mode, size, c.Size)
	if c.Cores > 1 {
		name += "/cores=" + strconv.Itoa(c.Cores)
	}
	if c.Idle != "" {
		name += "/idle=" + string(c.Idle)
	}
	if len(c.Loads) > 0 {
		name += "/load=" + strings.ReplaceAll(strings.Trim(fmt.Sprint(c.Loads), "[]"), " ", "+")
	}
	return name
}

// Matches tells whether a pattern chooses the comparison: a peer's name, or parts of the
// comparison's name as in driver=afxdp/mode=io, all of which it must have.
func (c Comparison) Matches(pattern string) bool {
	parts := strings.Split(c.Name(), "/")
	for p := range strings.SplitSeq(pattern, "/") {
		if p != c.Peer.Name && !slices.Contains(parts, p) {
			return false
		}
	}
	return true
}

// Comparisons returns all that are known, in the order in which they are run.
func Comparisons() []Comparison {
	var out []Comparison
	add := func(p Peer, driver, mode, theirs string, args ...string) {
		out = append(out, Comparison{Peer: p, Driver: driver, Mode: mode, Size: 64, Cores: 1, Theirs: theirs, args: args})
	}
	for _, mode := range []string{"io", "macswap"} {
		add(peerTestpmd, DriverNull, mode, "net_null "+mode)
	}
	for _, mode := range []string{"5tswap", "csum"} {
		add(peerTestpmd, DriverPcap, mode, "net_pcap "+mode)
	}
	for _, mode := range []string{"io", "rxonly", "txonly"} {
		add(peerTestpmd, DriverAFXDP, mode, "net_af_xdp "+mode+", busy_budget=0")
	}
	out = append(out, Comparison{Peer: peerTestpmd, Driver: DriverAFXDP, Mode: "io", Size: 64, Cores: 1, Idle: dataplane.IdleSpin, Loads: []int{10, 50, 90},
		Theirs: "net_af_xdp io, busy_budget=0"})
	add(peerTestpmd, driverAFPacket, "io", "net_af_packet io, qdisc_bypass=1")
	add(peerL2fwd, DriverAFXDP, "io", "stock l2fwd, writes the destination MAC")
	add(peerXskFwd, DriverAFXDP, "io", "xsk_fwd")
	add(peerXdpsock, DriverAFXDP, "rxonly", "xdpsock rxdrop")
	add(peerXdpsock, DriverAFXDP, "txonly", "xdpsock txonly")
	add(peerXdpsock, DriverAFXDP, "macswap", "xdpsock l2fwd, one port, out where it came in")
	add(peerBridge, DriverAFXDP, "io", "Linux bridge")
	add(peerRoute, DriverAFXDP, "mac", "Linux IPv4 forwarding")
	add(peerRedirect, DriverAFXDP, "io", "XDP_REDIRECT")
	out = append(out, Comparison{Peer: peerTestpmd, Driver: DriverAFXDP, Mode: "io", Size: 64, Cores: 2, Theirs: "net_af_xdp io, busy_budget=0, a queue for each core"})
	for _, r := range []Comparison{
		{Mode: "spsc", Size: 32, Cores: 2}, {Mode: "mpmc", Size: 8, Cores: 1}, {Mode: "mpmc", Size: 32, Cores: 1},
		{Mode: "mpmc", Size: 8, Cores: 2}, {Mode: "mpmc", Size: 32, Cores: 2},
	} {
		r.Peer, r.Driver, r.Theirs = peerRing, DriverQueue, "rte_ring "+rteRingKind(r.Mode)+", 8-byte elements"
		out = append(out, r)
	}
	return out
}

// rteRingKind is what DPDK calls one of our kinds of rings.
func rteRingKind(mode string) string {
	if mode == "spsc" {
		return "SP/SC"
	}
	return "MP/MC"
}

// ErrLacking is wrapped by errors of Run about what is missing here, which Lacking could not
// know.
var ErrLacking = errors.New("cannot be made here")

// Lacking tells why the comparison cannot be made here: nil if it can.
func (c Comparison) Lacking() error {
	if err := c.Peer.lacking(); err != nil {
		return err
	}
	if (c.Peer == peerTestpmd || c.Peer == peerRing) && os.Geteuid() != 0 {
		return errors.New("needs root, to reserve huge pages: run with sudo")
	}
	if _, _, err := c.scenario().cpus(); err != nil {
		return err
	}
	if c.onWire() {
		return lackingVeth()
	}
	return lackingPeers()
}

// onWire tells whether the comparison is over veth pairs.
func (c Comparison) onWire() bool { return c.Driver == DriverAFXDP || c.Driver == driverAFPacket }

// scenario is one that needs the same CPUs.
func (c Comparison) scenario() Scenario {
	s := Scenario{Driver: DriverNull, Mode: c.Mode, Size: c.Size, Cores: c.Cores}.withDefaults()
	if c.onWire() && c.Cores == 1 {
		s.Driver = DriverAFXDP
	}
	return s
}

// Sample is one side of a round.
type Sample struct {
	// Packets is the number of frames that left, or that were received where none
	// leaves, Seconds the time measured and PPS their quotient. testpmd over ports in
	// memory tells a rate each second: then PPS is their median. dpdk-test tells cycles:
	// then PPS follows from these, and Packets is 0.
	Packets uint64  `json:"packets"`
	Seconds float64 `json:"seconds"`
	PPS     float64 `json:"pps"`
	// CPU is how many of the comparison's CPUs were busy with anything, that which
	// sends to both sides among them (proc_stat(5)).
	CPU float64 `json:"cpu"`
	// Cycles are those of the polling core for each packet, where both sides tell them:
	// in mode rxonly, in which the sender bounds the rate.
	Cycles float64 `json:"cycles_per_packet,omitempty"`
	// Latency has an entry for each of the comparison's Loads.
	Latency []Latency `json:"latency,omitempty"`
}

// PeerRound is a round of both sides.
type PeerRound struct {
	Ours   Sample `json:"ours"`
	Theirs Sample `json:"theirs"`
	// Ratio is our rate by theirs.
	Ratio float64 `json:"ratio"`
	// Void tells why the round does not count; empty if it does.
	Void string `json:"void,omitempty"`
	// Disturbance is that during our half, in which no process of the peer runs.
	Disturbance Disturbance `json:"disturbance"`
}

// Interval is the median of something and its confidence interval.
type Interval struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// Confidence is that of the interval, 0 to 1: at least 0.9.
	Confidence float64 `json:"confidence"`
}

// confidence is what is asked for at least: with five rounds an interval from the lowest
// to the highest has 1-2/2^5 of it.
const confidence = 0.9

// interval makes no assumption about the distribution.
func interval(v []float64) Interval {
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds), confidence)
	out := Interval{Median: s.Center}                 //nolint:misspell // the field's name
	if !math.IsInf(s.Lo, 0) && !math.IsInf(s.Hi, 0) { // JSON has no infinity
		out.Low, out.High, out.Confidence = s.Lo, s.Hi, s.Confidence
	}
	return out
}

// PeerResult is what came of a comparison: a line of JSON.
type PeerResult struct {
	Version     int         `json:"version"`
	Time        time.Time   `json:"time"`
	Name        string      `json:"name"`
	Comparison  Comparison  `json:"comparison"`
	Environment Environment `json:"environment"`
	Rounds      []PeerRound `json:"rounds"`
	// Valid is the number of rounds that count; with fewer than MinRounds there are
	// no figures below.
	Valid int `json:"valid"`
	// Ours and Theirs are the medians of the sides, each field by itself.
	Ours   Sample `json:"ours"`
	Theirs Sample `json:"theirs"`
	// Ratio is of the rounds' ratios.
	Ratio Interval `json:"ratio"`
	// Latency is what was compared if the comparison has Loads. The rates are alike then.
	Latency []LatencyRatio `json:"latency,omitempty"`
	// Disturbed tells what disturbed the round that was disturbed the most.
	Disturbed string `json:"disturbed,omitempty"`
	// Partial says that the run was interrupted.
	Partial bool `json:"partial,omitempty"`
}

// LatencyRatio compares a percentile of both sides at one load.
type LatencyRatio struct {
	// Load is the share of the common throughput, 0 to 1, PPS the frames a second.
	Load float64 `json:"load"`
	PPS  float64 `json:"pps"`
	// Percent is the percentile, Ours and Theirs its medians over the rounds in
	// nanoseconds, Ratio that of the rounds' ratios of ours to theirs: below 1 ours are
	// faster.
	Percent float64  `json:"percent"`
	Ours    float64  `json:"ours_ns"`
	Theirs  float64  `json:"theirs_ns"`
	Ratio   Interval `json:"ratio"`
	// OursLost and TheirsLost did not arrive, of OursSent and TheirsSent in all rounds.
	OursLost   uint64 `json:"ours_lost"`
	TheirsLost uint64 `json:"theirs_lost"`
	OursSent   uint64 `json:"ours_sent"`
	TheirsSent uint64 `json:"theirs_sent"`
}

// comparedPercents are the percentiles that are compared.
func comparedPercents() []float64 { return []float64{50, 99} }

// arena is where a comparison takes place: what both sides share, and a round of each.
type arena struct {
	ours, theirs func(ctx context.Context, length time.Duration) (Sample, error)
	// undo is what is to be done at the end, last first.
	undo []func() error
}

func (a *arena) close() error { return undoAll(&a.undo) }

// undoAll does what is to be done, last first, once.
func undoAll(undo *[]func() error) error {
	var errs []error
	for _, f := range slices.Backward(*undo) {
		errs = append(errs, f())
	}
	*undo = nil
	return errors.Join(errs...)
}

// voidError says that the frames of a round are not accounted for: it does not count.
type voidError struct{ reason string }

func (e voidError) Error() string { return e.reason }

func voidf(format string, args ...any) error { return voidError{fmt.Sprintf(format, args...)} }

// Run makes the comparison: rounds of both sides in turn on the same CPUs, of which the
// first changes from round to round, so that neither always finds a warm machine. A round
// whose frames are not accounted for is void. progress, if any, hears of each round. If ctx
// ends first the result has the rounds until then and the error is that of ctx. Whatever
// was made and started is gone when it returns. One may run at a time in a process.
func (c Comparison) Run(ctx context.Context, cfg RunConfig, progress func(PeerRound)) (res *PeerResult, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	wrap := func(err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("bench: %s: %w", c.Name(), err)
	}
	if err := c.Lacking(); err != nil {
		return nil, wrap(err)
	}
	a, err := openArena(ctx, c)
	if err != nil {
		return nil, wrap(err)
	}
	res, err = a.run(ctx, cfg, progress)
	if err = errors.Join(err, a.close()); err != nil && ctx.Err() == nil {
		return nil, wrap(err)
	}
	res.Version, res.Time, res.Name, res.Comparison, res.Environment = PeerVersion, time.Now().UTC(), c.Name(), c, LocalEnvironment()
	return res, wrap(err)
}

// run makes the rounds and their figures.
func (a *arena) run(ctx context.Context, cfg RunConfig, progress func(PeerRound)) (*PeerResult, error) {
	res := &PeerResult{}
	for i := range cfg.Rounds {
		r, err := a.round(ctx, cfg.Length, i%2 == 1)
		if ctx.Err() != nil {
			res.Partial = true
			break
		}
		if err != nil {
			return res, fmt.Errorf("round %d: %w", i+1, err)
		}
		res.Rounds = append(res.Rounds, r)
		if progress != nil {
			progress(r)
		}
	}
	res.sum()
	return res, ctx.Err()
}

// round runs both sides.
func (a *arena) round(ctx context.Context, length time.Duration, theirsFirst bool) (r PeerRound, err error) {
	ours := func() error {
		d := watchDisturbance()
		r.Ours, err = a.ours(ctx, length)
		r.Disturbance = d.end()
		return r.judge("pmd", r.Ours, err)
	}
	theirs := func() error {
		r.Theirs, err = a.theirs(ctx, length)
		return r.judge("the peer", r.Theirs, err)
	}
	halves := []func() error{ours, theirs}
	if theirsFirst {
		slices.Reverse(halves)
	}
	for _, half := range halves {
		if err := half(); err != nil {
			return r, err
		}
	}
	if r.Void == "" {
		r.Ratio = r.Ours.PPS / r.Theirs.PPS
	}
	return r, nil
}

// judge notes why a half does not count, and returns what keeps it from being run.
func (r *PeerRound) judge(side string, s Sample, err error) error {
	var void voidError
	if err == nil && s.PPS <= 0 {
		void.reason = "no frame moved"
	} else if err != nil && !errors.As(err, &void) {
		return fmt.Errorf("%s: %w", side, err)
	}
	if void.reason != "" && r.Void == "" {
		r.Void = side + ": " + void.reason
	}
	return nil
}

// sum makes the figures of the rounds that count.
func (r *PeerResult) sum() {
	field := func(of func(PeerRound) float64) (v []float64) {
		for _, round := range r.Rounds {
			if round.Void == "" {
				v = append(v, of(round))
			}
		}
		return v
	}
	worst := Disturbance{}
	for _, round := range r.Rounds {
		if d := round.Disturbance; d.Steal+d.Others > worst.Steal+worst.Others {
			worst = d
		}
	}
	r.Disturbed = worst.Disturbed()
	ratios := field(func(r PeerRound) float64 { return r.Ratio })
	if r.Valid = len(ratios); r.Valid < MinRounds {
		return
	}
	r.Ratio = interval(ratios)
	side := func(of func(PeerRound) Sample) Sample {
		middle := func(f func(Sample) float64) float64 {
			return median(field(func(r PeerRound) float64 { return f(of(r)) }))
		}
		return Sample{
			Packets: uint64(middle(func(s Sample) float64 { return float64(s.Packets) })),
			Seconds: middle(func(s Sample) float64 { return s.Seconds }),
			PPS:     middle(func(s Sample) float64 { return s.PPS }),
			CPU:     middle(func(s Sample) float64 { return s.CPU }),
			Cycles:  middle(func(s Sample) float64 { return s.Cycles }),
		}
	}
	r.Ours, r.Theirs = side(func(r PeerRound) Sample { return r.Ours }), side(func(r PeerRound) Sample { return r.Theirs })
	r.compareLatency()
}

// compareLatency makes the figures of latency of the rounds that count.
func (r *PeerResult) compareLatency() {
	var rounds []PeerRound
	for _, round := range r.Rounds {
		if round.Void == "" {
			rounds = append(rounds, round)
		}
	}
	for i, l := range rounds[0].Ours.Latency {
		for _, percent := range comparedPercents() {
			out := LatencyRatio{Load: l.Load, PPS: l.PPS, Percent: percent}
			var ours, theirs, ratios []float64
			for _, round := range rounds {
				a, b := round.Ours.Latency[i], round.Theirs.Latency[i]
				ours, theirs = append(ours, a.At(percent)), append(theirs, b.At(percent))
				ratios = append(ratios, a.At(percent)/b.At(percent))
				out.OursLost, out.OursSent = out.OursLost+a.Lost, out.OursSent+a.Frames+a.Lost
				out.TheirsLost, out.TheirsSent = out.TheirsLost+b.Lost, out.TheirsSent+b.Frames+b.Lost
			}
			out.Ours, out.Theirs, out.Ratio = median(ours), median(theirs), interval(ratios)
			r.Latency = append(r.Latency, out)
		}
	}
}

// WriteJSON writes the result as one line of JSON.
func (r *PeerResult) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WritePeerBench writes the rounds that count in the Go benchmark format, two lines for
// each: `benchstat -col /side` compares them.
func WritePeerBench(w io.Writer, r *PeerResult) error {
	out := benchfmt.NewWriter(w)
	config := benchConfig(r.Environment, [2]string{"disturbed", r.Disturbed})
	for _, round := range r.Rounds {
		if round.Void != "" {
			continue
		}
		for _, side := range []struct {
			name string
			s    Sample
		}{{"pmd", round.Ours}, {"peer", round.Theirs}} {
			name := "Peers/" + r.Name + "/side=" + side.name
			lines := []*benchfmt.Result{{
				Config: config, Name: benchfmt.Name(name), Iters: max(1, int(side.s.Packets)),
				Values: []benchfmt.Value{
					{Value: 1e9 * float64(r.Comparison.Cores) / side.s.PPS, Unit: "ns/pkt"},
					{Value: side.s.PPS, Unit: "pkts/s"}, {Value: side.s.CPU, Unit: "cpus"},
				},
			}}
			for _, l := range side.s.Latency {
				line := &benchfmt.Result{Config: config, Name: benchfmt.Name(fmt.Sprintf("%s/at=%.0f%%", name, 100*l.Load)), Iters: max(1, int(l.Frames))}
				for _, p := range l.Percentiles {
					line.Values = append(line.Values, benchfmt.Value{Value: p.Ns, Unit: fmt.Sprintf("p%g-ns", p.Percent)})
				}
				lines = append(lines, line)
			}
			for _, line := range lines {
				if err := out.Write(line); err != nil {
					return fmt.Errorf("bench: %w", err)
				}
			}
		}
	}
	return nil
}

// usage is what some CPUs have been busy for, at a time.
type usage struct {
	busy float64 // seconds
	at   time.Time
}

// readUsage adds up what these CPUs did that was not idling or being stolen.
func readUsage(cpus []int) usage {
	text, _ := os.ReadFile("/proc/stat")
	return usage{parseBusy(string(text), cpus), time.Now()}
}

// parseBusy reads the lines cpuN of /proc/stat: user, nice, system, idle, iowait, irq,
// softirq (proc_stat(5)).
func parseBusy(text string, cpus []int) (seconds float64) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		number, ok := strings.CutPrefix(f[0], "cpu")
		if id, err := strconv.Atoi(number); !ok || err != nil || !slices.Contains(cpus, id) {
			continue
		}
		for _, i := range []int{1, 2, 3, 6, 7} {
			n, err := strconv.ParseUint(f[i], 10, 64)
			if err != nil {
				return 0
			}
			seconds += float64(n) / userHz
		}
	}
	return seconds
}

// countFor counts for some time.
func countFor(ctx context.Context, length time.Duration, cpus []int, count func() (uint64, error)) (s Sample, err error) {
	before := readUsage(cpus)
	n, err := count()
	if err != nil {
		return s, err
	}
	began := time.Now()
	if err := sleep(ctx, length); err != nil {
		return s, err
	}
	m, err := count()
	s.Seconds = time.Since(began).Seconds()
	after := readUsage(cpus)
	if err != nil {
		return s, err
	}
	s.Packets = m - n
	s.PPS = float64(s.Packets) / s.Seconds
	s.CPU = (after.busy - before.busy) / after.at.Sub(before.at).Seconds()
	return s, nil
}

// sleep waits, for ctx at the longest.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
