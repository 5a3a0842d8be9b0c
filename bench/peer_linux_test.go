//go:build linux

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afpacket"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
	"example.org/pmd/pmd/null"
)

// TestPeers compares with DPDK's testpmd, on request: PMD_PEERS=1, as root, with
// dpdk-testpmd on PATH (Debian package dpdk-dev). PMD_PEERS_ROUNDS sets the rounds,
// five or more, and PMD_PEERS_SECONDS the seconds measured of each; -run picks
// subtests, each of which takes about 15 seconds a round.
//
// Both sides run in turn on the same CPUs; the figure of a round is the median of
// its seconds, that of a side the median of its rounds, and the ratio the median of
// the rounds' ratios. Frames are accounted for on both sides in every round: those
// received are sent or dropped, and where a far end counts, it has those sent. Where it
// does, its count is also the figure, for either side.
func TestPeers(t *testing.T) {
	s := peerSettings(t)
	netlabtest.RequireRoot(t)
	path, err := exec.LookPath("dpdk-testpmd")
	if err != nil {
		t.Skip("no dpdk-testpmd on PATH: apt-get install dpdk-dev")
	}
	hugePages(t, 512)
	peer := testpmd{settings: s, path: path, cores: 1}
	has := func(mode string) bool { return slices.Contains(forward.Modes(), mode) }

	for _, mode := range []string{"io", "macswap", "5tswap", "csum"} {
		if has(mode) {
			t.Run("pcap/"+mode, func(t *testing.T) { peer.replay(t, mode) })
		}
	}
	for _, mode := range []string{"io", "macswap"} {
		t.Run("null/"+mode, func(t *testing.T) { peer.memory(t, mode) })
	}
	for _, mode := range []string{"io", "macswap", "rxonly"} {
		t.Run("afxdp/"+mode, func(t *testing.T) { peer.forward(t, mode, 1) })
	}
	for _, mode := range []string{"io", "rxonly"} {
		t.Run("afpacket/"+mode, func(t *testing.T) { peer.packetSockets(t, mode) })
	}
	if has("txonly") {
		t.Run("afxdp/txonly", peer.transmit)
	}
	// Two cores, each with a generator on the same CPU.
	t.Run("afxdp/queues=2/io", func(t *testing.T) { peer.forward(t, "io", 2) })
}

// settings are how long comparisons run.
type settings struct{ rounds, seconds int }

// peerSettings reads them from the environment, and skips the test if nobody asked for
// comparisons.
func peerSettings(t *testing.T) settings {
	t.Helper()
	if os.Getenv("PMD_PEERS") == "" {
		t.Skip("set PMD_PEERS=1 to compare")
	}
	number := func(key string, least, other int) int {
		s := os.Getenv(key)
		if s == "" {
			return other
		}
		n, err := strconv.Atoi(s)
		require.NoError(t, err, key)
		require.GreaterOrEqual(t, n, least, key)
		return n
	}
	return settings{rounds: number("PMD_PEERS_ROUNDS", 1, 5), seconds: number("PMD_PEERS_SECONDS", 1, 4)}
}

// contender is one side of a comparison: a round of it returns frames a second.
type contender struct {
	name  string
	round func() float64
}

// compare runs both sides in turn and prints medians and the ratio.
func (s settings) compare(t *testing.T, ours, theirs contender) {
	t.Helper()
	if s.rounds < 5 {
		t.Logf("%d rounds: a trial, not a result; there are no figures of fewer than five", s.rounds)
	}
	var a, b, ratio []float64
	for i := range s.rounds {
		// Who is first changes, so that neither always finds a warm machine.
		var x, y float64
		if i%2 == 0 {
			x = ours.round()
			y = theirs.round()
		} else {
			y = theirs.round()
			x = ours.round()
		}
		require.NotZero(t, y, "%s moved nothing", theirs.name)
		a, b, ratio = append(a, x), append(b, y), append(ratio, x/y)
		t.Logf("round %d: %s %.3f Mpps, %s %.3f Mpps, ratio %.3f", i+1, ours.name, x/1e6, theirs.name, y/1e6, x/y)
	}
	t.Logf("median of %d: %s %.3f Mpps, %s %.3f Mpps, ratio %.3f (%.3f to %.3f)", s.rounds,
		ours.name, median(a)/1e6, theirs.name, median(b)/1e6, median(ratio), slices.Min(ratio), slices.Max(ratio))
}

// sample returns the median over seconds of what count counts.
func (s settings) sample(count func() uint64) float64 {
	var v []float64
	n, at := count(), time.Now()
	for range s.seconds {
		time.Sleep(time.Second)
		m, now := count(), time.Now()
		v = append(v, float64(m-n)/now.Sub(at).Seconds())
		n, at = m, now
	}
	return median(v)
}

// ourRound measures a rig: what it received or sent, or what count counts. It closes
// the rig, after taking its account.
func (s settings) ourRound(t *testing.T, r *Rig, mode string, count func() uint64) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if count == nil {
		count = func() uint64 {
			s, err := r.Stats(ctx)
			require.NoError(t, err)
			rx, tx, _ := totals(s)
			if mode == "rxonly" {
				return rx
			}
			return tx
		}
	}
	time.Sleep(500 * time.Millisecond) // warm up
	rate := s.sample(count)
	require.NoError(t, r.Check(ctx))
	return rate
}

// replay compares on captures in memory.
func (p testpmd) replay(t *testing.T, mode string) {
	path, err := writeTraffic(t.TempDir(), Scenario{Size: 64, Flows: FlowsMany}, 1024) // no more than net_pcap has mbufs for
	require.NoError(t, err)
	// Without a file or interface to send to, net_pcap discards, as ours does.
	p.mode, p.vdevs = mode, []string{"net_pcap0,rx_pcap=" + path + ",infinite_rx=1", "net_pcap1,rx_pcap=" + path + ",infinite_rx=1"}
	p.compare(t, contender{"pmd", func() float64 { return p.inMemory(t, mode, pcapPorts(2, path)) }}, contender{"testpmd", func() float64 { return p.run(t) }})
}

// memory compares on the null drivers.
func (p testpmd) memory(t *testing.T, mode string) {
	p.mode, p.vdevs = mode, []string{"net_null0,size=64,copy=0", "net_null1,size=64,copy=0"}
	p.compare(t, contender{"pmd", func() float64 { return p.inMemory(t, mode, openNull(null.Config{Size: 64})) }}, contender{"testpmd", func() float64 { return p.run(t) }})
}

// inMemory is a round of ours over ports without an interface.
func (s settings) inMemory(t *testing.T, mode string, open opener) float64 {
	t.Helper()
	r, err := Start(t.Context(), RigConfig{Mode: mode, Cores: []int{1}, Open: open})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	return s.ourRound(t, r, mode, nil)
}

// opener opens the ports of a rig.
type opener = func(context.Context, pmd.Env) ([]pmd.Device, error)

// forward compares on veth, with one queue, polled on CPU 1 and fed from CPU 0, or with
// two, polled on both CPUs, of which each also feeds one port on the queue that it polls.
func (p testpmd) forward(t *testing.T, mode string, queues int) {
	w := newWideWire(t, queues)
	far := newFarEnd(t, w)
	pollers, feeders := []int{1}, []int{0}
	if queues == 2 {
		pollers, feeders = []int{0, 1}, []int{0, 1}
	}
	count := far.count
	if mode == "rxonly" {
		count = nil
	}
	p.cores, p.mode, p.inside, p.count = queues, mode, w.ports, count
	for q := range queues {
		p.vdevs = append(p.vdevs, afxdpDevice(0, q), afxdpDevice(1, q))
	}
	p.onWire(t, w, far, w.open, pollers, feeders)
}

// packetSockets compares on packet sockets over veth, with one queue, polled on CPU 1
// and fed from CPU 0. Both have rings of as many frames, and send past the queueing
// discipline.
func (p testpmd) packetSockets(t *testing.T, mode string) {
	w := newWire(t)
	w.passToStack(t)
	far := newFarEnd(t, w)
	p.mode, p.inside = mode, w.ports
	if mode != "rxonly" {
		p.count = far.count
	}
	for i := range 2 {
		p.vdevs = append(p.vdevs, fmt.Sprintf("net_af_packet%d,iface=p%d,blocksz=262144,framesz=2048,framecnt=2048,qdisc_bypass=1", i, i))
	}
	p.onWire(t, w, far, w.openAs(afpacket.Driver{}, "afpacket:%s"), []int{1}, []int{0})
}

// onWire compares on the ports of a wire, opened for us by open, while host a floods it.
func (p testpmd) onWire(t *testing.T, w *wire, far *farEnd, open opener, pollers, feeders []int) {
	mode, queues, count := p.mode, len(pollers), p.count
	var spent [2][]float64 // cycles a packet, ours and testpmd's
	p.compare(t,
		contender{"pmd", func() float64 {
			r, err := Start(t.Context(), RigConfig{
				Mode: mode, Cores: pollers, Open: open, Pool: mbuf.Config{Frames: queues * mbuf.DefaultFrames},
			})
			require.NoError(t, err)
			defer func() { require.NoError(t, r.Close()) }()
			before := far.count()
			stop := w.flood(t, feeders...)
			rate := p.ourRound(t, r, mode, count)
			if mode == "rxonly" {
				s, err := r.Stats(t.Context())
				require.NoError(t, err)
				rx, _, _ := totals(s)
				spent[0] = append(spent[0], float64(r.d.Clock().Cycles(time.Duration(s.Cores[0].BusyNs)))/float64(rx))
			}
			stop()
			far.has(before, r)
			return rate
		}},
		contender{"testpmd", func() float64 {
			before := far.count()
			// The generator wants a receiver, so it starts when testpmd runs.
			stop := func() {}
			p.ready = func() { stop = w.flood(t, feeders...) }
			p.done = func() { stop() }
			rate := p.run(t)
			far.had(before, p.sent, queues)
			if mode == "rxonly" {
				spent[1] = append(spent[1], p.cycles)
			}
			return rate
		}})
	if mode == "rxonly" {
		// What comes is bounded by the CPU that the generator has, for either side; this
		// is not. Both count the cycles of the visits that found frames.
		a, b := median(spent[0]), median(spent[1])
		t.Logf("median cycles a packet of the polling core: pmd %.1f, testpmd %.1f, ratio %.2f", a, b, b/a)
	}
}

// transmit compares what one core sends by itself, out of one port.
func (p testpmd) transmit(t *testing.T) {
	w := newWire(t)
	far := newFarEnd(t, w)
	p.mode, p.inside, p.vdevs, p.count = "txonly", w.ports, []string{afxdpDevice(1, 0)}, far.count
	p.args = []string{"--txpkts=64"}
	p.compare(t,
		contender{"pmd", func() float64 {
			before := far.count()
			r, err := Start(t.Context(), RigConfig{Mode: "txonly", Cores: []int{1}, Open: func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
				return w.openPorts(ctx, env, "p1")
			}})
			require.NoError(t, err)
			defer func() { require.NoError(t, r.Close()) }()
			rate := p.ourRound(t, r, "txonly", far.count)
			// It goes on sending: what it has sent before is there, and no more than
			// after.
			a, err := r.Stats(t.Context())
			require.NoError(t, err)
			there := far.count() - before
			b, err := r.Stats(t.Context())
			require.NoError(t, err)
			require.GreaterOrEqual(t, there, a.Ports[0].TxPackets, "frames at the far end")
			require.LessOrEqual(t, there, b.Ports[0].TxPackets+b.Ports[0].InHand, "frames at the far end")
			return rate
		}},
		contender{"testpmd", func() float64 {
			before := far.count()
			rate := p.run(t)
			far.had(before, p.sent, 1)
			return rate
		}})
}

// farEnd counts, in the kernel, the frames that arrive at the hosts behind the ports.
type farEnd struct {
	t     *testing.T
	sinks []*netlab.Sink
}

func newFarEnd(t *testing.T, w *wire) *farEnd {
	t.Helper()
	a, err := w.a.Sink("ha", false)
	require.NoError(t, err)
	b, err := w.b.Sink("hb", false)
	require.NoError(t, err)
	return &farEnd{t, []*netlab.Sink{a, b}}
}

func (f *farEnd) count() uint64 {
	f.t.Helper()
	var sum uint64
	for _, s := range f.sinks {
		n, _, err := s.Count()
		require.NoError(f.t, err)
		sum += n
	}
	return sum
}

// has checks that all that a rig sent since it was started has arrived, which it may
// still be doing.
func (f *farEnd) has(before uint64, r *Rig) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		s, err := r.Stats(f.t.Context())
		require.NoError(f.t, err)
		var inHand uint64
		for _, p := range s.Ports {
			inHand += p.InHand
		}
		_, tx, _ := totals(s)
		return inHand == 0 && tx == f.count()-before
	}, 30*time.Second, 5*time.Millisecond, "frames sent and frames that arrived")
}

// had checks the same of testpmd, which counts a frame as sent when it is on the ring,
// and leaves behind what is there at its end.
func (f *farEnd) had(before, sent uint64, queues int) {
	f.t.Helper()
	const rings = 2 * 2048 // transmit and completion
	there := f.count() - before
	require.LessOrEqual(f.t, there, sent, "testpmd: frames at the far end")
	require.LessOrEqual(f.t, sent-there, uint64(queues*rings), "testpmd: %d frames sent, %d at the far end", sent, there)
}

// testpmd is DPDK's forwarder, and how to run it.
type testpmd struct {
	settings
	path, mode string
	vdevs      []string
	// cores is the number of CPUs that poll: CPU 1, or both.
	cores int
	args  []string
	// inside is the namespace to run in; nil is ours.
	inside *netlab.Namespace
	// ready is called when it runs, done before it is told to stop.
	ready, done func()
	// count is what to measure by. Default: its own rates.
	count func() uint64

	// sent is how many frames the last run sent, by its own account; cycles is what a
	// packet took of its core in mode rxonly.
	sent   uint64
	cycles float64
}

// afxdpDevice is one queue of port i. net_af_xdp finds one queue on a veth, however many
// there are, as it asks for combined channels; so a queue is a device of its own, and
// testpmd pairs devices as it does ports. busy_budget=0 is the faster setting on veth.
func afxdpDevice(i, queue int) string {
	return fmt.Sprintf("net_af_xdp%d,iface=p%d,start_queue=%d,busy_budget=0", 2*queue+i, i, queue)
}

// lines of testpmd: rates with --stats-period, and the account at the end.
var (
	txRate  = regexp.MustCompile(`Tx-pps:\s+(\d+)`)
	rxRate  = regexp.MustCompile(`Rx-pps:\s+(\d+)`)
	cycles  = regexp.MustCompile(`CPU cycles/packet=([\d.]+)`)
	account = regexp.MustCompile(`(?s)Accumulated forward statistics for all ports.*?RX-packets: (\d+).*?TX-packets: (\d+)\s+TX-dropped: (\d+)`)
)

// skip is how many seconds of testpmd go before those measured: they are of its start.
const skip = 3

// run runs testpmd with its main thread, which sleeps, on CPU 0, and returns the median
// over some seconds of what all ports sent, or received for rxonly.
func (p *testpmd) run(t *testing.T) float64 {
	t.Helper()
	lcores := map[int]string{1: "0@0,1@1", 2: "0@0,1@0,2@1"}[p.cores]
	args := []string{p.path, "--lcores", lcores, "-m", "512", "--in-memory", "--no-pci"}
	for _, v := range p.vdevs {
		args = append(args, "--vdev", v)
	}
	args = append(args, "--", "--forward-mode="+p.mode, fmt.Sprintf("--nb-cores=%d", p.cores), "--auto-start", "--stats-period", "1",
		fmt.Sprintf("--total-num-mbufs=%d", 16384*p.cores))
	if p.mode == "rxonly" {
		args = append(args, "--record-core-cycles")
	}
	args = append(args, p.args...)
	if p.inside != nil {
		args = append([]string{"nsenter", "--net=" + p.inside.Path()}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	kill := time.AfterFunc(time.Minute+time.Duration(p.seconds)*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	done := p.done
	if done == nil {
		done = func() {}
	}
	defer func() { done() }()
	want := txRate
	if p.mode == "rxonly" {
		want = rxRate
	}
	var v []float64 // by second
	var rate float64
	var all strings.Builder
	sum, n := 0.0, 0
	asked := false
	for s := bufio.NewScanner(out); s.Scan(); {
		all.WriteString(s.Text() + "\n")
		m := want.FindStringSubmatch(s.Text())
		if m == nil || asked {
			continue
		}
		x, err := strconv.ParseFloat(m[1], 64)
		require.NoError(t, err)
		sum += x
		if n++; n < len(p.vdevs) {
			continue
		}
		if v = append(v, sum); len(v) == 1 && p.ready != nil {
			p.ready()
		}
		sum, n = 0, 0
		switch {
		case len(v) == skip && p.count != nil:
			rate = p.sample(p.count)
		case len(v) == skip+p.seconds && p.count == nil:
			rate = median(v[skip:])
		default:
			continue
		}
		asked = true
		done()
		done = func() {}
		require.NoError(t, cmd.Process.Signal(unix.SIGINT))
	}
	_ = cmd.Wait() // testpmd's exit status after a signal says nothing
	require.True(t, asked, "testpmd ended early:\n%s", all.String())
	p.accounted(t, all.String())
	return rate
}

// accounted checks the account that testpmd gives at its end.
func (p *testpmd) accounted(t *testing.T, text string) {
	t.Helper()
	m := account.FindStringSubmatch(text)
	require.NotNil(t, m, "testpmd gave no account:\n%s", text)
	var v [3]uint64
	for i := range v {
		var err error
		v[i], err = strconv.ParseUint(m[i+1], 10, 64)
		require.NoError(t, err)
	}
	p.sent = v[1]
	switch p.mode {
	case "rxonly":
		require.Zero(t, v[1], "testpmd in mode rxonly sent frames")
		c := cycles.FindStringSubmatch(text)
		require.NotNil(t, c, "testpmd told no cycles:\n%s", text)
		var err error
		p.cycles, err = strconv.ParseFloat(c[1], 64)
		require.NoError(t, err)
	case "txonly":
	default:
		require.Equal(t, v[0], v[1]+v[2], "testpmd: frames received, and those sent and dropped")
	}
}

// TestSendQueueRatio compares the path through a send queue with the direct one, by frames
// a second and core. It takes turns as TestPeers does, on the same request.
//
// Over null ports each port has a worker of its own, or both are on one: what is compared
// are the queue's operations with next to nothing. Over AF_XDP there are two workers in
// both cases, and each receives bursts from memory (their bytes are written by its CPU,
// as a kernel's are) and owns an interface: the frames leave by that one, or by the
// other worker's. They come at a rate that both manage, so that neither is measured by what
// it drops, and the figure is the time that the cores worked.
func TestSendQueueRatio(t *testing.T) {
	s := peerSettings(t)
	cores := []int{0, 1}
	t.Run("null", func(t *testing.T) {
		round := func(cores, workers []int) func() float64 {
			return func() float64 {
				r, err := Start(t.Context(), RigConfig{Mode: "io", Cores: cores, Workers: workers, Idle: dataplane.IdleSpin, Open: openNull(null.Config{Size: 64})})
				require.NoError(t, err)
				defer func() { require.NoError(t, r.Close()) }()
				return s.ourRound(t, r, "io", nil) / float64(len(cores))
			}
		}
		s.compare(t, contender{"send queue", round(cores, []int{0, 1})}, contender{"direct", round(cores[1:], []int{0, 0})})
	})
	t.Run("afxdp", func(t *testing.T) {
		netlabtest.RequireRoot(t)
		const perCore = 250_000 // frames a second
		w := newWire(t)
		far := newFarEnd(t, w)
		path, err := writeTraffic(t.TempDir(), Scenario{Size: 64, Flows: FlowsMany}, 1024)
		require.NoError(t, err)
		// Ports are connected in pairs: each source with an interface.
		open := func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
			sources, err := pcapPorts(2, path)(ctx, env)
			if err != nil {
				return nil, err
			}
			ports, err := w.open(ctx, env)
			if err != nil {
				return nil, errors.Join(err, closeAll(sources))
			}
			return []pmd.Device{everySoOften(sources[0], perCore), ports[0], everySoOften(sources[1], perCore), ports[1]}, nil
		}
		round := func(workers []int) func() float64 {
			return func() float64 {
				before := far.count()
				r, err := Start(t.Context(), RigConfig{Mode: "io", Cores: cores, Workers: workers, Idle: dataplane.IdleSpin, Open: open})
				require.NoError(t, err)
				defer func() { require.NoError(t, r.Close()) }()
				time.Sleep(500 * time.Millisecond) // warm up
				a, err := r.Stats(t.Context())
				require.NoError(t, err)
				time.Sleep(time.Duration(s.seconds) * time.Second)
				b, err := r.Stats(t.Context())
				require.NoError(t, err)
				require.NoError(t, r.d.SetStage(t.Context(), discard))
				far.has(before, r)
				require.NoError(t, r.Check(t.Context()))
				_, sent0, dropped0 := totals(a)
				_, sent, dropped := totals(b)
				require.Less(t, dropped-dropped0, (sent-sent0)/100, "a machine too busy to send what comes")
				var busy uint64
				for i := range b.Cores {
					busy += b.Cores[i].BusyNs - a.Cores[i].BusyNs
				}
				return float64(sent-sent0) / time.Duration(busy).Seconds()
			}
		}
		s.compare(t, contender{"send queue", round([]int{0, 1, 1, 0})}, contender{"direct", round([]int{0, 0, 1, 1})})
	})
}

// everySoOften is a source that gives a burst each time that this many frames a second
// make one due.
func everySoOften(d pmd.Device, pps int) pmd.Device {
	return &timedDevice{d, []pmd.Queue{&timedQueue{Queue: d.Queues()[0], every: dataplane.DefaultBurst * time.Second / time.Duration(pps)}}}
}

type timedDevice struct {
	pmd.Device
	queues []pmd.Queue
}

func (d *timedDevice) Queues() []pmd.Queue { return d.queues }

type timedQueue struct {
	pmd.Queue
	every time.Duration
	next  time.Time
}

func (q *timedQueue) RxBurst(dst []mbuf.Frame) int {
	now := time.Now()
	if now.Before(q.next) {
		return 0
	}
	// What a core that stood still did not take is not made up for.
	q.next = q.next.Add(q.every)
	if q.next.Before(now) {
		q.next = now
	}
	return q.Queue.RxBurst(dst)
}

// hugePages reserves pages of 2 MiB and mounts hugetlbfs if nobody has, and puts
// both back afterwards.
func hugePages(t *testing.T, n int) {
	t.Helper()
	const file = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(n)), 0o644))
	t.Cleanup(func() { _ = os.WriteFile(file, before, 0o644) })
	mounts, err := os.ReadFile("/proc/mounts")
	require.NoError(t, err)
	if strings.Contains(string(mounts), " hugetlbfs ") {
		return
	}
	dir := filepath.Join(t.TempDir(), "huge")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, unix.Mount("hugetlbfs", dir, "hugetlbfs", 0, ""), fmt.Sprintf("mount hugetlbfs on %s", dir))
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
}
