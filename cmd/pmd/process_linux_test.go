//go:build linux

package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cpu"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// What concerns a whole process is tested here on the program as it is shipped: its
// start, its size, its end in every way, and what it leaves to the kernel.

// scratch names, in the environment, the directory of the program under test.
const scratch = "PMD_PROCESS_TEST_DIR"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// Whoever has no root must be able to run what is in it.
		dir, err := os.MkdirTemp("", "pmd-process-test-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = errors.Join(os.Chmod(dir, 0o755), os.Setenv(scratch, dir))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// build builds the program when the first test asks for it.
var build = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(os.Getenv(scratch), "pmd")
	c := exec.Command("go", "build", "-o", path, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w: %s", c, err, text)
	}
	return path, os.Chmod(path, 0o755)
})

// binary returns the path of the program.
func binary(t *testing.T) string {
	t.Helper()
	path, err := build()
	require.NoError(t, err)
	return path
}

// patience bounds what a test waits for: the machine may be busy.
const patience = 30 * time.Second

// eventually asks again and again, on the goroutine of the test, which a condition
// may so end.
func eventually(t *testing.T, condition func() bool, format string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, fmt.Sprintf(format, args...), "within %v", patience)
		}
	}
}

// bench is two hosts, each joined to an interface, p0 and p1, in a third namespace.
// The host's ends are h0 and h1. Host 0 and the kernel at p0 share a network, and so
// do the two hosts once something forwards between p0 and p1.
type bench struct {
	t      *testing.T
	lab    *netlab.Lab
	ports  *netlab.Namespace
	hosts  [2]*netlab.Namespace
	veths  [2]*netlab.Veth
	socket string
}

// kernelAddr is the address that p0 has of its own.
func kernelAddr() netip.Addr { return netip.AddrFrom4([4]byte{10, 79, 0, 9}) }

func hostAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 79, 0, byte(i + 1)}) }

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, lab: netlabtest.New(t), socket: filepath.Join(t.TempDir(), "s")}
	b.ports = b.namespace("ports")
	for i := range b.hosts {
		b.hosts[i] = b.namespace(fmt.Sprintf("h%d", i))
		port := netlab.VethEnd{Namespace: b.ports, Name: fmt.Sprintf("p%d", i)}
		if i == 0 {
			port.Addrs = []netip.Prefix{netip.PrefixFrom(kernelAddr(), 24)}
		}
		var err error
		b.veths[i], err = b.lab.Veth(netlab.VethEnd{
			Namespace: b.hosts[i], Name: fmt.Sprintf("h%d", i), Addrs: []netip.Prefix{netip.PrefixFrom(hostAddr(i), 24)},
		}, port)
		require.NoError(t, err)
	}
	return b
}

func (b *bench) namespace(name string) *netlab.Namespace {
	b.t.Helper()
	ns, err := b.lab.Namespace(name)
	require.NoError(b.t, err)
	return ns
}

// port is the spec of interface p<i>.
func (b *bench) port(i int, options ...string) string {
	return strings.Join(append([]string{fmt.Sprintf("p%d", i), "netns=" + b.ports.Path()}, options...), ",")
}

// pings tells whether a ping from host 0 is answered within the time.
func (b *bench) pings(dst netip.Addr, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(b.t.Context(), within)
	defer cancel()
	p, _ := netlab.Ping(ctx, b.hosts[0], dst, 1) // an answer that is late is none
	return p.Received == 1
}

// reaches waits until a ping from host 0 is answered, and returns how long it took.
// The first tries are short, since they may meet an ARP entry of the past; the others
// leave a machine that is busy the time it needs.
func (b *bench) reaches(dst netip.Addr) time.Duration {
	b.t.Helper()
	begin, try := time.Now(), 100*time.Millisecond
	eventually(b.t, func() bool {
		try = min(try*5/4, time.Second)
		return b.pings(dst, try)
	}, "%v does not answer", dst)
	return time.Since(begin)
}

// untouched checks that an interface is as if pmd had never been there.
func (b *bench) untouched(name string) {
	b.t.Helper()
	l, err := b.ports.Handle().LinkByName(name)
	require.NoError(b.t, err)
	if x := l.Attrs().Xdp; x != nil {
		assert.False(b.t, x.Attached, "%s: an XDP program is left: %+v", name, x)
	}
	assert.Zero(b.t, l.Attrs().Promisc, "%s: promiscuity", name)
}

// taken checks the opposite, so that untouched can fail.
func (b *bench) taken(name string) {
	b.t.Helper()
	l, err := b.ports.Handle().LinkByName(name)
	require.NoError(b.t, err)
	require.NotNil(b.t, l.Attrs().Xdp)
	assert.True(b.t, l.Attrs().Xdp.Attached, "%s: no XDP program", name)
	assert.Equal(b.t, 1, l.Attrs().Promisc, "%s: promiscuity", name)
}

// missed returns how many frames the kernel had for the port's socket and lost: a
// machine that is busy with other tests may keep the poller from its CPU for long.
func missed(p *engine.Port) uint64 { return p.Missed["rx_dropped"] + p.Missed["rx_ring_full"] }

// longest bounds every process that a test starts, also one that it loses.
const longest = "180s"

// process is a pmd run.
type process struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr bytes.Buffer // to be read when it has ended
	ended          chan struct{}
}

// command prepares a pmd with these arguments.
func command(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(binary(t), args...), t: t, ended: make(chan struct{})}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	p.Dir = "/"
	return p
}

// start starts it. When the test ends it is killed, should it still run.
func (p *process) start() {
	p.t.Helper()
	require.NoError(p.t, p.Start())
	go func() {
		_ = p.Wait() // ProcessState says it all
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("%v\nstdout: %s\nstderr: %s", p.Args, p.stdout.String(), p.stderr.String())
		}
	})
}

// end waits for its end and returns the exit status, -1 if a signal killed it.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "it has not ended", "%v within %v", p.Args, patience)
	}
	return p.ProcessState.ExitCode()
}

// run starts pmd run between p0 and p1, with further arguments.
func (b *bench) run(args ...string) *process {
	b.t.Helper()
	p := command(b.t, append([]string{"run", "--port", b.port(0), "--port", b.port(1), "--socket", b.socket, "--duration", longest}, args...)...)
	p.start()
	return p
}

// ready waits until the control socket answers, which it does when all cores poll.
func (b *bench) ready(p *process) {
	b.t.Helper()
	client := ctl.NewClient(b.socket)
	defer client.Close()
	eventually(b.t, func() bool {
		select {
		case <-p.ended:
			require.FailNow(b.t, "it ended too early")
		default:
		}
		_, err := client.Interfaces(b.t.Context())
		return err == nil
	}, "the control socket does not answer")
}

// ask runs a command to its end and returns what it writes, which must be no error.
func (b *bench) ask(args ...string) string {
	b.t.Helper()
	p := command(b.t, append(args, "--socket", b.socket)...)
	p.start()
	require.Zero(b.t, p.end(), "%v: %s", args, p.stderr.String())
	assert.Empty(b.t, p.stderr.String())
	return p.stdout.String()
}

// refused checks that a command ends with this status and one line about it.
func refused(t *testing.T, p *process, status int, pattern string) {
	t.Helper()
	assert.Equal(t, status, p.end(), "exit status")
	text := p.stderr.String()
	assert.Equal(t, 1, strings.Count(text, "\n"), "one line: %s", text)
	assert.True(t, strings.HasPrefix(text, "pmd: "), text)
	assert.Regexp(t, pattern, text)
	assert.NotContains(t, text, "goroutine ")
	assert.Empty(t, p.stdout.String())
}

// statistics asks the running process, until it has been able to walk over its frames.
func (b *bench) statistics() (s engine.Stats) {
	b.t.Helper()
	eventually(b.t, func() bool {
		s = engine.Stats{}
		require.NoError(b.t, json.Unmarshal([]byte(b.ask("stats", "--json")), &s))
		return s.AccountError == ""
	}, "no account: %s", s.AccountError)
	return s
}

// account checks that everything adds up: the frames of the pools, and those that
// were received.
func account(t *testing.T, s engine.Stats) {
	t.Helper()
	require.NotEmpty(t, s.Pools)
	for _, p := range s.Pools {
		assert.Equal(t, p.Frames, p.Accounted, "%+v", p)
		assert.Zero(t, p.Duplicate)
	}
	var received, out uint64
	for i := range s.Ports {
		p := &s.Ports[i]
		received += p.RxPackets
		out += p.TxPackets + p.Dropped() + p.InHand
	}
	assert.Equal(t, received, out, "received = sent + dropped + in hand: %+v", s.Ports)
}

// flood sends 60-byte frames from host 0 at the rate, until stop is called, which
// returns how many the port's interface took. Host 1 counts them in sink and drops
// them.
func (b *bench) flood(rate uint64) (sink *netlab.Sink, stop func() uint64) {
	b.t.Helper()
	const discard = 9 // the generator's destination port, unless it is told another
	sink, err := b.hosts[1].NewSink("h1", netlab.SinkConfig{UDPPort: discard})
	require.NoError(b.t, err)
	g, err := b.hosts[0].Generator("h0", netlab.GeneratorConfig{Rate: rate})
	require.NoError(b.t, err)
	topo, err := cpu.Local()
	require.NoError(b.t, err)
	require.NoError(b.t, g.Start(topo.Allowed.Min())) // pmd polls on another, if there is one
	return sink, func() uint64 {
		b.t.Helper()
		r, err := g.Stop()
		require.NoError(b.t, err)
		require.NoError(b.t, g.Close())
		return r.Sent
	}
}

// counted returns what a sink has counted.
func counted(t *testing.T, s *netlab.Sink) uint64 {
	t.Helper()
	n, _, err := s.Count()
	require.NoError(t, err)
	return n
}

func TestKillNine(t *testing.T) {
	b := newBench(t)
	b.reaches(kernelAddr())
	p := b.run()
	b.ready(p)
	b.reaches(hostAddr(1))
	assert.False(t, b.pings(kernelAddr(), 300*time.Millisecond), "the kernel still has the frames of p0")
	for _, name := range []string{"p0", "p1"} {
		b.taken(name)
	}

	require.NoError(t, p.Process.Kill())
	begin := time.Now()
	require.Equal(t, -1, p.end(), "SIGKILL ended it")
	t.Logf("kill -9: the process was gone after %v", time.Since(begin))
	b.reaches(kernelAddr())
	t.Logf("kill -9: the kernel's address answered after %v", time.Since(begin))
	for _, name := range []string{"p0", "p1"} {
		b.untouched(name)
	}
	assert.False(t, b.pings(hostAddr(1), 300*time.Millisecond), "something still forwards")
	require.FileExists(t, b.socket, "nobody could remove it")

	begin = time.Now()
	again := b.run()
	b.ready(again)
	t.Logf("kill -9: the next pmd run was ready after %v", time.Since(begin))
	b.reaches(hostAddr(1))
	b.ask("stop")
	assert.Zero(t, again.end())
}

func TestStartsQuickly(t *testing.T) {
	b := newBench(t)
	binary(t) // building it is not starting it
	// Nobody answers ARP before the start, and a failed entry takes a second to be
	// tried again.
	l, err := b.hosts[0].Handle().LinkByName("h0")
	require.NoError(t, err)
	require.NoError(t, b.hosts[0].Handle().NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: hostAddr(1).AsSlice(), HardwareAddr: b.veths[1].A.MAC,
	}))
	in, err := b.hosts[1].ListenPacket(t.Context(), "udp4", netip.AddrPortFrom(hostAddr(1), 0).String())
	require.NoError(t, err)
	defer in.Close()
	out, err := b.hosts[0].ListenPacket(t.Context(), "udp4", netip.AddrPortFrom(hostAddr(0), 0).String())
	require.NoError(t, err)
	defer out.Close()
	quit, sent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				_, _ = out.WriteTo([]byte("?"), in.LocalAddr()) // the receiver is the judge
			}
		}
	}()
	defer func() { close(quit); <-sent }()
	buf := make([]byte, 16)
	require.NoError(t, in.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, _, err = in.ReadFrom(buf)
	var timeout net.Error
	require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "something forwards before pmd does: %v", err)

	begin := time.Now()
	p := b.run()
	require.NoError(t, in.SetReadDeadline(begin.Add(patience)))
	_, _, err = in.ReadFrom(buf)
	took := time.Since(begin)
	require.NoError(t, err, "nothing is forwarded")
	t.Logf("from exec to the first datagram forwarded: %v", took)

	time.Sleep(2 * time.Second)
	s := b.statistics()
	require.Len(t, s.Pools, 1)
	pool := uint64(s.Pools[0].Frames) * uint64(s.Pools[0].FrameSize)
	total, ofPool := resident(t, p.Process.Pid, pool)
	t.Logf("resident: %.1f MiB, of which the pool %.1f of %.1f MiB", mib(total), mib(ofPool), mib(pool))
	assert.LessOrEqual(t, total-ofPool, uint64(64<<20), "resident memory beyond the pool")
	account(t, s)
	b.ask("stop")
	assert.Zero(t, p.end())
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }

// resident returns how much of a process is in memory, in bytes, and how much of that
// is its pool (proc_pid_smaps(5)). The kernel pins all of a pool for AF_XDP, so that is
// the mapping of which so much is resident; a neighbour may have been merged into it.
// Pages of hugetlbfs count in neither.
func resident(t *testing.T, pid int, poolSize uint64) (total, pool uint64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "Rss:" {
			continue
		}
		kb, err := strconv.ParseUint(f[1], 10, 64)
		require.NoError(t, err, line)
		total += kb << 10
		if kb<<10 >= poolSize {
			pool = poolSize
		}
	}
	require.NotZero(t, total)
	return total, pool
}

func TestSigtermSummary(t *testing.T) {
	b := newBench(t)
	p := b.run()
	b.ready(p)
	const rate = 100_000
	sink, stop := b.flood(rate)
	eventually(t, func() bool { return counted(t, sink) > rate/2 }, "the flood does not come through")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Zero(t, p.end(), "exit status")
	assert.Positive(t, stop(), "the flood ended before the process did")
	assert.Equal(t, "pmd: terminated: stopping; once more ends at once\n", last(p.stderr.String()))
	assert.Regexp(t, `(?m)^pool0: all [0-9,]+ frames accounted for$`, p.stdout.String())
	assert.Regexp(t, `(?m)^p0 +afxdp +copy +[1-9]`, p.stdout.String())
	assert.NotContains(t, p.stdout.String(), "defect")
	// What the summary says was sent is what arrived.
	eventually(t, func() bool { return counted(t, sink) == column(t, p.stdout.String(), "p1", 8) },
		"sent is not what arrived")
	assert.NoFileExists(t, b.socket)
	for _, name := range []string{"p0", "p1"} {
		b.untouched(name)
	}
	require.NoError(t, sink.Close())
	b.reaches(kernelAddr())
}

// last returns the last line of a text.
func last(text string) string {
	i := strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n')
	return text[i+1:]
}

// column returns the number at a place, from 0, of the summary's line of a port. A
// byte count or rate takes two places.
func column(t *testing.T, summary, port string, place int) uint64 {
	t.Helper()
	for line := range strings.Lines(summary) {
		f := strings.Fields(line)
		if len(f) > place && f[0] == port {
			n, err := strconv.ParseUint(strings.ReplaceAll(f[place], ",", ""), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	require.Failf(t, "not found", "%s in %s", port, summary)
	return 0
}

func TestRunRefusals(t *testing.T) {
	b := newBench(t)
	small := b.port(0)
	for _, c := range []struct {
		name    string
		args    []string
		status  int
		pattern string
	}{
		{"no port", nil, 2, `no port: name at least one with --port`},
		{"no such interface", []string{"--port", small, "--port", "nosuch0,netns=" + b.ports.Path()}, 1, `nosuch0: no such interface`},
		{"no such namespace", []string{"--port", "p0,netns=nosuch"}, 1, `/run/netns/nosuch is not there`},
		{"no such queue", []string{"--port", b.port(0, "queue=7")}, 1, `p0 queue 7: the interface has queues 0 to 0`},
		{"no such driver", []string{"--port", "nosuch:x=1"}, 2, `no driver "nosuch"; there are afpacket, afxdp, null`},
		{"no such mode", []string{"--port", small, "--forward", "nosuch"}, 2, `--forward.*io`},
		{"option unknown", []string{"--port", b.port(0, "nosuch=1")}, 2, `p0.*nosuch`},
		{"option out of range", []string{"--port", b.port(0, "rx-ring=100")}, 2, `p0.*rx-ring`},
		{"port twice", []string{"--port", small, "--port", small}, 2, `p0 is given twice`},
		{"two names for one queue", []string{"--port", small, "--port", b.port(0, "name=other")}, 1, `p0: .*XDP program`},
		{"CPU not there", []string{"--port", small, "--cores", "4000"}, 2, `CPU 4000.*0`},
		{"CPU list", []string{"--port", small, "--cores", "1-"}, 2, `--cores`},
		{"zero-copy", []string{"--port", small, "--port", b.port(1, "mode=zerocopy")}, 1, `p1 queue 0: .*operation not supported: .*no zero-copy mode`},
		{"socket nowhere", []string{"--port", small, "--socket", "/nosuch/s"}, 1, `/nosuch/s: .*--socket`},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"run", "--duration", longest}, c.args...)
			if !strings.Contains(strings.Join(args, " "), "--socket") {
				args = append(args, "--socket", b.socket)
			}
			p := command(t, args...)
			p.start()
			refused(t, p, c.status, c.pattern)
			assert.NoFileExists(t, b.socket)
			b.untouched("p0")
			b.untouched("p1")
		})
	}
	// Nothing that was refused has cost p0 anything.
	b.reaches(kernelAddr())
}

// TestRunRefusesCPU: a CPU that is there and not allowed.
func TestRunRefusesCPU(t *testing.T) {
	netlabtest.RequireRoot(t)
	topo, err := cpu.Local()
	require.NoError(t, err)
	cpus := topo.Allowed.Slice()
	if len(cpus) < 2 {
		t.Skip("one CPU: there is none to forbid")
	}
	p := command(t, "run", "--port", "null:", "--cores", strconv.Itoa(cpus[1]), "--socket", filepath.Join(t.TempDir(), "s"))
	// A process has the affinity of the thread that makes it.
	pinned, err := cpu.Pin(cpus[0])
	require.NoError(t, err)
	p.start()
	require.NoError(t, pinned.Release())
	refused(t, p, 2, fmt.Sprintf(`CPU %d .*not allowed.*%d`, cpus[1], cpus[0]))
}

// TestRunRefusesMTU: a packet must fit into a chunk of the pool, unless it may have
// several.
func TestRunRefusesMTU(t *testing.T) {
	b := newBench(t)
	setMTU := func(mtu int) {
		l, err := b.ports.Handle().LinkByName("p1")
		require.NoError(t, err)
		require.NoError(t, b.ports.Handle().LinkSetMTU(l, mtu))
	}
	setMTU(3000)
	p := command(t, "run", "--port", b.port(0), "--port", b.port(1, "frags=off"), "--socket", b.socket, "--duration", longest)
	p.start()
	refused(t, p, 1, `p1: MTU 3000 is more than the 1774 that fit frames of 2048 bytes; use frame-size=4096 \(MTU up to 3822\), or frags=on, or ip link set dev p1 mtu 1500`)
	b.untouched("p0") // which had been taken before
	b.untouched("p1")
	assert.NoFileExists(t, b.socket)
}

// TestRunRefusesForeignProgram: somebody else's program stays where it is.
func TestRunRefusesForeignProgram(t *testing.T) {
	b := newBench(t)
	foreign, err := b.ports.PassProgram("p1")
	require.NoError(t, err)
	id := func() uint32 {
		l, err := b.ports.Handle().LinkByName("p1")
		require.NoError(t, err)
		require.NotNil(t, l.Attrs().Xdp)
		return l.Attrs().Xdp.ProgId
	}
	before := id()
	require.NotZero(t, before)
	refused(t, b.run(), 1, fmt.Sprintf(`p1: an XDP program is attached already \(id %d, name \w+\) and stays`, before))
	assert.Equal(t, before, id())
	b.untouched("p0")
	assert.NoFileExists(t, b.socket)
	require.NoError(t, foreign.Close())
}

// TestRunRefusesNobody: without root, inside the interface's namespace and outside.
func TestRunRefusesNobody(t *testing.T) {
	b := newBench(t)
	const nobody = 65534
	// Where nobody may make a socket.
	dir, err := os.MkdirTemp("", "pmd-process-test-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chown(dir, nobody, nobody))
	for _, c := range []struct{ name, port, pattern string }{
		{"inside", "p0", `p0 queue 0: .*(not permitted|denied).*CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF`},
		{"outside", b.port(0), `p0.*CAP_SYS_ADMIN|namespace.*CAP_SYS_ADMIN`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := command(t, "run", "--port", c.port, "--socket", filepath.Join(dir, "s"), "--duration", longest)
			p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			if c.name == "inside" {
				require.NoError(t, b.ports.Do(func() error { p.start(); return nil }))
			} else {
				p.start()
			}
			refused(t, p, 1, c.pattern)
			assert.NoFileExists(t, filepath.Join(dir, "s"))
			b.untouched("p0")
		})
	}
}

// TestRunWaitsForInterface: an interface that is down is no mistake. The port waits.
func TestRunWaitsForInterface(t *testing.T) {
	b := newBench(t)
	l, err := b.ports.Handle().LinkByName("p0")
	require.NoError(t, err)
	require.NoError(t, b.ports.Handle().LinkSetDown(l))
	p := b.run()
	b.ready(p)
	var f engine.Interface
	require.NoError(t, json.Unmarshal([]byte(b.ask("if", "show", "p0", "--json")), &f))
	assert.False(t, f.Up)
	assert.Contains(t, f.Detail, "ip link set dev p0 up")
	require.NoError(t, b.ports.Handle().LinkSetUp(l))
	b.reaches(hostAddr(1))
	b.ask("stop")
	assert.Zero(t, p.end())
	assert.Contains(t, p.stderr.String(), "p0: afxdp copy, 1 queue")
	assert.Contains(t, p.stderr.String(), "down: the interface is down")
}

// TestCommands runs every command that talks to a process while that forwards a flood,
// and finds each frame of the flood again.
func TestCommands(t *testing.T) {
	b := newBench(t)
	p := b.run()
	b.ready(p)
	const rate = 50_000
	sink, stop := b.flood(rate)
	eventually(t, func() bool { return counted(t, sink) > rate/10 }, "the flood does not come through")

	account(t, b.statistics())
	lines := strings.Split(strings.TrimSpace(b.ask("stats", "--json", "--interval", "100ms", "--count", "3")), "\n")
	require.Len(t, lines, 3)
	var s engine.Stats
	require.NoError(t, json.Unmarshal([]byte(lines[2]), &s))
	assert.Positive(t, s.RateSeconds)
	assert.Greater(t, s.Ports[0].RxPackets, uint64(rate/10))
	assert.Regexp(t, `(?m)^p1/0 `, b.ask("stats"))

	var list struct{ Interfaces []engine.Interface }
	require.NoError(t, json.Unmarshal([]byte(b.ask("if", "show", "--json")), &list))
	all := list.Interfaces
	require.Len(t, all, 2)
	for i, f := range all {
		assert.Equal(t, fmt.Sprintf("p%d", i), f.Name)
		assert.Equal(t, fmt.Sprintf("p%d", 1-i), f.To)
		assert.Equal(t, "copy", f.Mode)
		assert.Equal(t, b.veths[i].B.MAC.String(), f.MAC)
		assert.True(t, f.Up, f.Detail)
	}
	assert.Regexp(t, `(?m)^ *0 +p0 .*\n *1 +p1 `, b.ask("if", "show"))
	assert.Contains(t, b.ask("if", "show", "p1"), all[1].MAC)

	for _, mode := range []string{"macswap", "mac", "io", "macswap", "io"} {
		assert.Empty(t, b.ask("forward", "set", mode))
		assert.Contains(t, b.ask("forward", "show"), mode)
		account(t, b.statistics())
	}
	for _, c := range []struct {
		status  int
		pattern string
		args    []string
	}{
		{2, `"nosuch"`, []string{"forward", "set", "nosuch"}},
		{1, `on nosuch: there is no such interface; there are p0, p1`, []string{"if", "show", "nosuch"}},
		{1, `another pmd answers there.*pmd stop --socket`, []string{"run", "--port", "null:"}},
	} {
		q := command(t, append(c.args, "--socket", b.socket)...)
		q.start()
		refused(t, q, c.status, c.pattern)
	}

	sent := stop()
	// Each frame that p0's interface took is received or was lost by the kernel, each
	// one received is sent or dropped, and each one sent is at host 1: whatever the
	// mode was when it passed.
	eventually(t, func() bool {
		s = b.statistics()
		return s.Ports[0].RxPackets+missed(&s.Ports[0]) == sent && s.Ports[1].TxPackets == counted(t, sink)
	}, "%d frames do not add up with the statistics", sent)
	account(t, s)
	for _, port := range s.Ports {
		for reason, n := range port.Drops {
			assert.Contains(t, []string{"tx_full", "tx_kernel"}, reason, "%s: %d dropped, and not for want of time", port.Name, n)
		}
	}
	t.Logf("of %d frames at %d a second p0 missed %d and p1 dropped %d", sent, rate, missed(&s.Ports[0]), s.Ports[1].Dropped())

	b.ask("stop")
	assert.NoFileExists(t, b.socket, "stop waits for the end")
	b.untouched("p0")
	b.untouched("p1")
	assert.Zero(t, p.end())
	assert.Contains(t, p.stdout.String(), "frames accounted for")
	for _, args := range [][]string{{"stats"}, {"if", "show"}, {"forward", "show"}, {"forward", "set", "io"}, {"stop"}} {
		q := command(t, append(args, "--socket", b.socket)...)
		q.start()
		refused(t, q, 1, `no pmd answers on .*pmd run`)
	}
}
