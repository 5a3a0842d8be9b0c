package main_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// process is a running pmd between two hosts, as a user has it.
type process struct {
	t             *testing.T
	bin, socket   string
	lab           *netlab.Lab
	ports, h0, h1 *netlab.Namespace
	a0, a1, port  netip.Addr
}

func newProcess(t *testing.T) *process {
	t.Helper()
	netlabtest.RequireRoot(t)
	p := &process{
		t: t, bin: filepath.Join(t.TempDir(), "pmd"), socket: filepath.Join(t.TempDir(), "pmd.sock"), lab: netlabtest.New(t),
		a0: netip.MustParseAddr("10.78.0.1"), a1: netip.MustParseAddr("10.78.0.2"), port: netip.MustParseAddr("10.78.0.9"),
	}
	build := exec.Command("go", "build", "-o", p.bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for name, ns := range map[string]**netlab.Namespace{"ports": &p.ports, "h0": &p.h0, "h1": &p.h1} {
		*ns, err = p.lab.Namespace(name)
		require.NoError(t, err)
	}
	prefix := func(a netip.Addr) []netip.Prefix { return []netip.Prefix{netip.PrefixFrom(a, 24)} }
	// p0 has an address of its own, which the kernel answers for.
	v0, err := p.lab.Veth(netlab.VethEnd{Namespace: p.h0, Name: "e0", Addrs: prefix(p.a0)},
		netlab.VethEnd{Namespace: p.ports, Name: "p0", Addrs: prefix(p.port)})
	require.NoError(t, err)
	v1, err := p.lab.Veth(netlab.VethEnd{Namespace: p.h1, Name: "e1", Addrs: prefix(p.a1)}, netlab.VethEnd{Namespace: p.ports, Name: "p1"})
	require.NoError(t, err)
	// A host that asked for an address in vain asks again only after a second.
	require.NoError(t, p.h0.Handle().NeighAdd(&netlink.Neigh{
		LinkIndex: v0.A.Index, IP: p.a1.AsSlice(), HardwareAddr: v1.A.MAC, State: netlink.NUD_PERMANENT,
	}))
	return p
}

// run starts pmd on both ports; the test ends it.
func (p *process) run() *exec.Cmd {
	p.t.Helper()
	ns := ",netns=" + p.ports.Path()
	cmd := exec.Command(p.bin, "run", "--port", "p0"+ns, "--port", "p1"+ns, "--socket", p.socket)
	cmd.Stderr = new(strings.Builder)
	require.NoError(p.t, cmd.Start())
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// answers waits until a ping from h0 is answered, or no longer is.
func (p *process) answers(dst netip.Addr, want bool, within time.Duration) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	for end := time.Now().Add(within); ; {
		r, err := netlab.Ping(ctx, p.h0, dst, 1)
		if err == nil && (r.Received == 1) == want {
			return
		}
		require.True(p.t, time.Now().Before(end), "%v answers: want %v (%v)", dst, want, err)
	}
}

// firstDatagram sends datagrams from h0 to h1, one a millisecond for ten seconds at
// most, and yields when the first arrives.
func (p *process) firstDatagram() <-chan time.Time {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	p.t.Cleanup(cancel)
	to, err := p.h1.ListenPacket(ctx, "udp", netip.AddrPortFrom(p.a1, 7000).String())
	require.NoError(p.t, err)
	from, err := p.h0.Dial(ctx, "udp", netip.AddrPortFrom(p.a1, 7000).String())
	require.NoError(p.t, err)
	first := make(chan time.Time, 1)
	go func() {
		defer to.Close()
		_ = to.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, _, _ = to.ReadFrom(make([]byte, 64))
		first <- time.Now() // too late if nothing arrived, which the test sees
	}()
	go func() {
		defer from.Close()
		for range 10_000 {
			_, _ = from.Write([]byte("is anybody there")) // refused until there is
			time.Sleep(time.Millisecond)
			if len(first) > 0 || ctx.Err() != nil {
				return
			}
		}
	}()
	return first
}

// A process that is killed leaves nothing behind that keeps the kernel from its
// interface, or the next process from starting.
func TestKillNine(t *testing.T) {
	p := newProcess(t)
	p.answers(p.port, true, 5*time.Second)
	first := p.run()
	p.answers(p.a1, true, 5*time.Second)
	p.answers(p.port, false, 5*time.Second)

	require.NoError(t, first.Process.Kill())
	_ = first.Wait()
	p.answers(p.port, true, 5*time.Second)
	l, err := p.ports.Handle().LinkByName("p0")
	require.NoError(t, err)
	assert.True(t, l.Attrs().Xdp == nil || !l.Attrs().Xdp.Attached, "the program went with the process")
	assert.Zero(t, l.Attrs().Promisc, "promiscuous mode went with the process")

	arrived := p.firstDatagram()
	begin := time.Now()
	second := p.run()
	took := (<-arrived).Sub(begin)
	t.Logf("from start to the first datagram through pmd: %v", took)
	assert.Positive(t, took)
	assert.Less(t, took, time.Second)
	p.answers(p.a1, true, 5*time.Second)

	// As a client sees it.
	out, err := exec.Command(p.bin, "stats", "--json", "--socket", p.socket).Output()
	require.NoError(t, err)
	var stats struct {
		Pools []struct{ Frames, Accounted int }
		Ports []struct {
			Name, Mode string
			RxPackets  uint64 `json:"rx_packets"`
		}
	}
	require.NoError(t, json.Unmarshal(out, &stats))
	require.Len(t, stats.Pools, 1)
	assert.Equal(t, stats.Pools[0].Frames, stats.Pools[0].Accounted)
	assert.Equal(t, "copy", stats.Ports[0].Mode)
	assert.NotZero(t, stats.Ports[0].RxPackets)

	resident := residentKiB(t, second.Process.Pid)
	t.Logf("resident memory: %d KiB, the pool of %d KiB included", resident, stats.Pools[0].Frames*2)
	assert.LessOrEqual(t, resident-stats.Pools[0].Frames*2, 64<<10, "KiB beyond the pool")

	require.NoError(t, second.Process.Signal(unix.SIGTERM))
	require.NoError(t, second.Wait(), "%s", second.Stderr)
	assert.NoFileExists(t, p.socket)
	p.answers(p.port, true, 5*time.Second)
}

// residentKiB returns VmRSS.
func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	require.NoError(t, err)
	for _, line := range strings.Split(string(status), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			n, err := strconv.Atoi(f[1])
			require.NoError(t, err)
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
