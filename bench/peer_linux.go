package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd/afpacket"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/null"
)

// lackingPeers tells what keeps programs from being compared with here.
func lackingPeers() error { return nil }

// peerWarmUp goes before what is measured of either side, and is no longer than that.
const peerWarmUp = 500 * time.Millisecond

// field is an arena being set up.
type field struct {
	*arena
	Comparison
	poll []int
	// feed is the CPU to send from, or where what does not poll may run; feeds are
	// those that send.
	feed  int
	feeds []int

	// On a wire only.
	w   *wire
	far farEnd
	gen netlab.GeneratorConfig
	// open opens our ports.
	open opener
	// testpmd is the peer, if it is that.
	testpmd *testpmd
	// rates are those at which latency is compared, in frames a second, once they are
	// known: the Loads of common.
	rates  []uint64
	common float64
}

// openArena sets a comparison up.
func openArena(ctx context.Context, c Comparison) (_ *arena, err error) {
	f := &field{arena: &arena{}, Comparison: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if f.poll, f.feed, err = c.scenario().cpus(); err != nil {
		return nil, err
	}
	if f.feeds = []int{f.feed}; f.feed < 0 {
		f.feed = f.poll[0]
	}
	if c.Cores > 1 {
		f.feeds = f.poll
	}
	switch {
	case c.onWire():
		err = f.wire()
	case c.Driver != DriverQueue:
		err = f.memory()
	}
	if err != nil {
		return nil, err
	}
	switch c.Peer {
	case peerTestpmd:
		// The wire or the ports in memory came with it.
		if len(c.Loads) > 0 {
			err = f.latencies(ctx)
		}
	case peerL2fwd:
		f.program("-inlink", "p0", "-outlink", "p1")
	case peerXskFwd:
		f.program("-c", fmt.Sprint(f.poll[0]), "-i", "p0", "-q", "0", "-i", "p1", "-q", "0")
	case peerXdpsock:
		f.xdpsock()
	case peerRing:
		f.rings()
	case peerBridge:
		err = f.bridge()
	case peerRoute:
		err = f.route()
	case peerRedirect:
		f.kernel(func() (*netlab.Attachment, error) { return f.w.ports.RedirectProgram("p0", "p1") })
	default:
		err = fmt.Errorf("no such peer: %s", c.Peer.Name)
	}
	if f.Cores > 1 && err == nil {
		err = f.widen()
	}
	return f.arena, err
}

// widen has the threads of this process run everywhere again after our rounds. Where every
// CPU polls, those that the runtime made meanwhile were made by pinned ones, and what is
// started later would inherit their masks.
func (f *field) widen() error {
	topo, err := cpu.Local()
	if err != nil {
		return err
	}
	ours := f.ours
	f.ours = func(ctx context.Context, length time.Duration) (Sample, error) {
		s, err := ours(ctx, length)
		_, e := cpu.Confine(topo.Allowed)
		return s, errors.Join(err, e)
	}
	return nil
}

// cpus are those of the comparison.
func (f *field) cpus() []int { return append([]int{f.feed}, f.poll...) }

// memory sets up ports without an interface, for us and testpmd.
func (f *field) memory() error {
	open := nullPorts(2, null.Config{Size: f.Size})
	vdevs := []string{"net_null0,size=64,copy=0", "net_null1,size=64,copy=0"}
	if f.Driver == DriverPcap {
		dir, err := os.MkdirTemp("", "pmd-bench-")
		if err != nil {
			return err
		}
		f.undo = append(f.undo, func() error { return os.RemoveAll(dir) })
		path, err := writeTraffic(dir, Scenario{Size: f.Size, Flows: FlowsMany}, 1024) // no more than net_pcap has mbufs for
		if err != nil {
			return err
		}
		open = pcapPorts(2, path)
		// Without a file or interface to send to, net_pcap discards, as ours does.
		vdevs = []string{"net_pcap0,rx_pcap=" + path + ",infinite_rx=1", "net_pcap1,rx_pcap=" + path + ",infinite_rx=1"}
	}
	f.ours = func(ctx context.Context, length time.Duration) (s Sample, err error) {
		r, err := Start(ctx, RigConfig{Mode: f.Mode, Cores: f.poll, Open: open})
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		if err := sleep(ctx, min(peerWarmUp, length)); err != nil {
			return s, err
		}
		if s, err = countFor(ctx, length, f.cpus(), r.moved(ctx, f.Mode)); err != nil {
			return s, err
		}
		return s, void(r.Check(ctx))
	}
	p := &testpmd{mode: f.Mode, vdevs: vdevs, poll: f.poll, main: f.feed}
	f.theirs = p.run
	return nil
}

// void makes an error one that voids the round.
func void(err error) error {
	if err == nil {
		return nil
	}
	return voidError{err.Error()}
}

// moved counts what the rig has sent, or received where nothing is sent.
func (r *Rig) moved(ctx context.Context, mode string) func() (uint64, error) {
	return func() (uint64, error) {
		s, err := r.Stats(ctx)
		if err != nil {
			return 0, err
		}
		rx, tx, _ := totals(s)
		if mode == "rxonly" {
			return rx, nil
		}
		return tx, nil
	}
}

// wire sets up ports on veth pairs, for us and testpmd. With one core that polls, another
// CPU sends; with two, each also sends to the port's queue that it polls.
func (f *field) wire() error {
	lab, err := netlab.New("peers")
	if err != nil {
		return err
	}
	f.undo = append(f.undo, lab.Close)
	if f.w, err = makeWire(lab, f.Cores); err != nil {
		return err
	}
	if f.far, err = f.w.farEnd(f.kept()); err != nil {
		return err
	}
	f.gen = netlab.GeneratorConfig{Size: f.Size - 4}
	p := &testpmd{mode: f.Mode, poll: f.poll, main: f.feed, inside: f.w.ports}
	p.measure = func(ctx context.Context, length time.Duration) (Sample, error) {
		return countFor(ctx, length, f.cpus(), f.far.count)
	}
	f.open = f.w.open
	switch {
	case f.Driver == driverAFPacket:
		// The generator's frames, which come by XDP, go on towards the stack, in
		// front of which packet sockets are. Both sides have rings of as many frames
		// and send past the queueing discipline.
		if _, err := f.w.ports.PassProgram("p0"); err != nil {
			return err
		}
		f.open = f.w.openAs(afpacket.Driver{}, "afpacket:%s")
		for i := range 2 {
			p.vdevs = append(p.vdevs, fmt.Sprintf("net_af_packet%d,iface=p%d,blocksz=262144,framesz=2048,framecnt=2048,qdisc_bypass=1", i, i))
		}
	case f.Mode == "txonly":
		f.open = f.w.openPorts("p1")
		p.vdevs, p.args = []string{afxdpDevice(1, 0)}, []string{fmt.Sprintf("--txpkts=%d", f.Size)}
	default:
		for q := range f.Cores {
			p.vdevs = append(p.vdevs, afxdpDevice(0, q), afxdpDevice(1, q))
		}
	}
	if f.Mode == "rxonly" {
		p.measure = nil
	}
	f.testpmd = p
	f.ours = f.oursOnWire
	f.theirs = func(ctx context.Context, length time.Duration) (Sample, error) {
		return f.testpmdOnWire(ctx, length, p)
	}
	return nil
}

// start starts ours.
func (f *field) start(ctx context.Context) (*Rig, error) {
	return Start(ctx, RigConfig{Mode: f.Mode, Cores: f.poll, Idle: f.Idle, Open: f.open, Pool: mbuf.Config{Frames: f.Cores * mbuf.DefaultFrames}})
}

// oursOnWire is a round of ours.
func (f *field) oursOnWire(ctx context.Context, length time.Duration) (s Sample, err error) {
	r, err := f.start(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	count := f.far.count
	if f.Mode == "rxonly" {
		count = r.moved(ctx, f.Mode)
	}
	return f.underLoad(ctx, length, count, func(s *Sample, before, sent, there uint64) error {
		if err := r.d.SetStage(ctx, discard); err != nil {
			return err
		}
		if err := r.arrived(ctx, f.far, before); err != nil {
			return void(err)
		}
		if f.Mode == "rxonly" {
			stats, err := r.Stats(ctx)
			if err != nil {
				return err
			}
			rx, _, _ := totals(stats)
			s.Cycles = float64(r.d.Clock().Cycles(time.Duration(stats.Cores[0].BusyNs))) / float64(max(rx, 1))
		}
		return void(r.Check(ctx))
	})
}

// underLoad measures what forwards now, by count, while the generators send, and has the
// account taken: before is what the far end had counted, sent what the ports were sent and
// there what has arrived since, or is arriving.
func (f *field) underLoad(ctx context.Context, length time.Duration, count func() (uint64, error), account func(s *Sample, before, sent, there uint64) error) (s Sample, err error) {
	before, err := f.far.count()
	if err != nil {
		return s, err
	}
	stop := func() (uint64, error) { return 0, nil }
	if f.Mode != "txonly" {
		if stop, err = f.generate(ctx); err != nil {
			return s, err
		}
	}
	if err = sleep(ctx, min(peerWarmUp, length)); err == nil {
		s, err = countFor(ctx, length, f.cpus(), count)
	}
	sent, e := stop()
	if err = errors.Join(err, e); err != nil {
		return s, err
	}
	there, err := f.settled()
	if err != nil {
		return s, err
	}
	err = account(&s, before, sent, there-before)
	return s, err
}

// settled waits, for some time, until no more frames arrive.
func (f *field) settled() (uint64, error) {
	n, err := f.far.count()
	for range 20 {
		time.Sleep(20 * time.Millisecond)
		m, e := f.far.count()
		if err = errors.Join(err, e); err != nil || m == n {
			return m, err
		}
		n = m
	}
	return n, nil
}

// generate starts the generators as soon as what is to receive has its program on the
// port.
func (f *field) generate(ctx context.Context) (stop func() (uint64, error), err error) {
	err = whenReceived(ctx, func() (err error) {
		stop, err = f.w.generate(f.gen, f.feeds...)
		return err
	})
	return stop, err
}

// testpmdOnWire is a round of testpmd's. It counts a frame as sent when it is on the
// ring, and leaves behind what is there at its end.
func (f *field) testpmdOnWire(ctx context.Context, length time.Duration, p *testpmd) (s Sample, err error) {
	before, err := f.far.count()
	if err != nil {
		return s, err
	}
	stop := func() (uint64, error) { return 0, nil }
	p.ready = func() (err error) {
		if f.Mode == "txonly" || f.rates != nil { // those are sent as they are measured
			return nil
		}
		stop, err = f.generate(ctx)
		return err
	}
	p.done = func() error {
		_, err := stop()
		stop = func() (uint64, error) { return 0, nil }
		return err
	}
	defer func() { err = errors.Join(err, p.done()) }()
	if s, err = p.run(ctx, length); err != nil {
		return s, err
	}
	there, err := f.settled()
	if err != nil {
		return s, err
	}
	const rings = 2 * 2048 // transmit and completion
	if arrived := there - before; arrived > p.sent || p.sent-arrived > uint64(f.Cores*rings) {
		return s, voidf("testpmd sent %d frames, %d arrived", p.sent, arrived)
	}
	return s, nil
}

// kernel makes the kernel the other side: attach puts a program on p0, without which a
// veth takes no frame from the generator.
func (f *field) kernel(attach func() (*netlab.Attachment, error)) {
	f.theirs = func(ctx context.Context, length time.Duration) (s Sample, err error) {
		a, err := attach()
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, a.Close()) }()
		return f.underLoad(ctx, length, f.far.count, f.plausible)
	}
}

// plausible is all that can be checked of who keeps no account: nothing arrives that was
// not sent. What is missing it dropped.
func (f *field) plausible(_ *Sample, _, sent, there uint64) error {
	if there > sent && f.Mode != "txonly" {
		return voidf("%d frames arrived of %d", there, sent)
	}
	return nil
}

// pass lets frames through to the stack.
func (f *field) pass() (*netlab.Attachment, error) { return f.w.ports.PassProgram("p0") }

// bridge joins the ports with a bridge that knows where host b is. It stays for our
// rounds, in which it gets no frame.
func (f *field) bridge() error {
	h := f.w.ports.Handle()
	snooping := false // it would join groups and report that
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}, MulticastSnooping: &snooping}
	if err := h.LinkAdd(br); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	// Its own address would have it report multicast groups.
	if err := f.setting("ipv6/conf/br0/disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var out netlink.Link
	for _, name := range []string{"p0", "p1"} {
		l, err := h.LinkByName(name)
		if err == nil {
			err = h.LinkSetMaster(l, br)
		}
		if err != nil {
			return fmt.Errorf("bridge: %s: %w", name, err)
		}
		out = l
	}
	if err := h.LinkSetUp(br); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	err := h.NeighSet(&netlink.Neigh{
		LinkIndex: out.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP, // permanent would be the bridge's own
		Flags: netlink.NTF_MASTER, HardwareAddr: f.w.hb.MAC,
	})
	if err != nil {
		return fmt.Errorf("bridge: forwarding entry: %w", err)
	}
	f.gen.DstMAC = f.w.hb.MAC
	f.kernel(f.pass)
	return nil
}

// route has the ports' namespace forward IPv4 from host a's network to host b's, whose
// neighbour entry it has. The addresses stay for our rounds.
func (f *field) route() error {
	h := f.w.ports.Handle()
	dst := netip.AddrFrom4([4]byte{198, 18, 1, 1})
	for i, name := range []string{"p0", "p1"} {
		l, err := h.LinkByName(name)
		if err == nil {
			err = h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(198, 18, byte(i), 254), Mask: net.CIDRMask(24, 32)}})
		}
		if err == nil && i == 1 {
			err = h.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: dst.AsSlice(), HardwareAddr: f.w.hb.MAC})
		}
		if err != nil {
			return fmt.Errorf("route: %s: %w", name, err)
		}
	}
	if err := f.setting("ipv4/ip_forward", "1"); err != nil {
		return err
	}
	f.gen.Dst = netip.AddrPortFrom(dst, 9)
	f.kernel(f.pass)
	return nil
}

// setting writes a setting of the ports' namespace, below /proc/sys/net.
func (f *field) setting(path, value string) error {
	return f.w.ports.Do(func() error { return os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644) })
}

// program makes a program the other side, that forwards from p0 to p1 until it is ended.
func (f *field) program(args ...string) {
	f.theirs = func(ctx context.Context, length time.Duration) (s Sample, err error) {
		// Only the far end tells that it is still there.
		run, cancel := context.WithCancel(ctx)
		cmd := ended(exec.CommandContext(run, f.Peer.Program, args...))
		if err := f.startPinned(cmd); err != nil {
			cancel()
			return s, fmt.Errorf("%s: %w", f.Peer.Name, err)
		}
		defer func() {
			cancel()
			_ = cmd.Wait() // interrupted
			err = errors.Join(err, f.detach())
		}()
		return f.underLoad(ctx, length, f.far.count, f.plausible)
	}
}

// startPinned starts a command among the ports, on the polling CPU.
func (f *field) startPinned(cmd *exec.Cmd) error {
	return f.w.ports.Do(func() error {
		p, err := cpu.Pin(f.poll[0])
		if err != nil {
			return err
		}
		return errors.Join(cmd.Start(), p.Release())
	})
}

// detach removes the programs that one that was interrupted has left on the ports.
func (f *field) detach() error {
	return f.w.ports.Do(func() error {
		for _, name := range []string{"p0", "p1"} {
			l, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetXdpFd(l, -1)
			}
			if err != nil {
				return fmt.Errorf("%s: detach: %w", name, err)
			}
		}
		return nil
	})
}
