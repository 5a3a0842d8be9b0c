package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/netlab"
)

// What goes through the real bed.
const (
	pings        = 10
	tcpBytes     = 64 << 20
	udpDatagrams = 10_000
	// udpRate is in datagrams a second each way, at the first attempt. A ring holds
	// a fifth of a second's worth.
	udpRate = 10_000
)

// Addresses of the hosts, in a private network (RFC 1918). Nobody else is in it:
// both ends of it are in namespaces of ours.
var (
	addrA = netip.MustParseAddr("10.20.30.1")
	addrB = netip.MustParseAddr("10.20.30.2")
)

// labBed is two network namespaces as hosts and a third for pmd's interfaces. The
// third keeps the demo out of the namespace that the machine works in.
type labBed struct {
	lab      *netlab.Lab
	a, b     *netlab.Namespace
	mid      *netlab.Namespace
	toA, toB *netlab.Veth

	sink *netlab.Sink
	gen  *netlab.Generator
}

// newLabBed makes namespaces and interfaces. Nothing is left of them on an error.
func newLabBed() (b *labBed, err error) {
	lab, err := netlab.New("demo")
	if err != nil {
		return nil, err
	}
	b = &labBed{lab: lab}
	defer func() {
		if err != nil {
			err = errors.Join(err, lab.Close())
		}
	}()
	for _, n := range []struct {
		ns   **netlab.Namespace
		name string
	}{{&b.a, "a"}, {&b.b, "b"}, {&b.mid, "pmd"}} {
		if *n.ns, err = lab.Namespace(n.name); err != nil {
			return nil, err
		}
	}
	if b.toA, err = b.cable(b.a, "a1", addrA, "a0"); err != nil {
		return nil, err
	}
	b.toB, err = b.cable(b.b, "b1", addrB, "b0")
	return b, err
}

// cable joins a host to one of pmd's interfaces.
func (b *labBed) cable(host *netlab.Namespace, name string, addr netip.Addr, port string) (*netlab.Veth, error) {
	return b.lab.Veth(
		netlab.VethEnd{Namespace: host, Name: name, Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}},
		netlab.VethEnd{Namespace: b.mid, Name: port},
	)
}

func (*labBed) title() string {
	return "two hosts (network namespaces), and pmd between them on AF_XDP"
}

func (*labBed) picture() string {
	return fmt.Sprintf("%v a1 ── a0 ┤ pmd, %%s ├ b0 ── b1 %v", addrA, addrB)
}

func (*labBed) registry() *pmd.Registry { return drivers.Registry() }

func (b *labBed) ports() []pmd.Spec {
	specs := make([]pmd.Spec, 2)
	for i, name := range []string{portIn: "a0", portOut: "b0"} {
		specs[i] = pmd.Spec{
			Driver: pmd.DefaultDriver, Name: name, Interface: name,
			Options: map[string]string{"netns": b.mid.Path()},
		}
	}
	return specs
}

func (b *labBed) checks() []try {
	return []try{
		{"ping", (attempts + 1) * pingTime, b.ping},
		{"tcp", time.Minute, b.tcp},
		{"udp", time.Minute, b.udp},
	}
}

// attempts is how often a check that counts losses is made. A machine that is busy
// with other things gets a second and a third chance: a poller that is kept from its
// CPU for longer than the rings last loses frames, and that is not what is to be
// shown. The detail does not hide it. Forwarding that loses frames by itself loses
// some at each attempt, also at the lower rates of the later ones.
const attempts = 3

// again makes such a check until nothing is lost. once is told which attempt it is,
// from 1, and returns what it found; lost tells that some got through and some did not.
func again(once func(n int) (detail string, lost bool, err error)) (string, error) {
	before := ""
	for n := 1; ; n++ {
		detail, lost, err := once(n)
		switch {
		case err != nil:
			return "", err
		case !lost:
			return detail + before, nil
		case n == attempts:
			return "", fmt.Errorf("%s%s", detail, before)
		}
		before = fmt.Sprintf(" (attempt %d; the one before: %s)", n+1, detail)
	}
}

// pingTime bounds one attempt at ping. A request without an answer takes a second of
// it.
const pingTime = 5 * time.Second

func (b *labBed) ping(ctx context.Context) (string, error) {
	return again(func(int) (string, bool, error) {
		ctx, cancel := context.WithTimeout(ctx, pingTime)
		defer cancel()
		r, err := netlab.Ping(ctx, b.a, addrB, pings)
		detail := fmt.Sprintf("%d of %d answered", r.Received, pings)
		switch {
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			return "", false, err
		case r.Received == 0:
			return "", false, errors.New(detail)
		case r.Received < pings:
			return detail, true, nil
		}
		return fmt.Sprintf("%s, fastest in %s, average %s", detail,
			show.Nanoseconds(uint64(r.Min)), show.Nanoseconds(uint64(r.Avg))), false, nil
	})
}

func (b *labBed) tcp(ctx context.Context) (string, error) {
	r, err := netlab.TCPTransfer(ctx, b.a, b.b, netip.AddrPortFrom(addrB, 0), tcpBytes)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s in %s, %s, SHA-256 %x… at both ends",
		show.Bytes(tcpBytes), show.Seconds(r.Elapsed.Seconds()), show.BPS(r.BitsPerSecond()), r.ReceivedSum[:4]), nil
}

func (b *labBed) udp(ctx context.Context) (string, error) {
	return again(func(n int) (string, bool, error) {
		rate := udpRate >> (2 * (n - 1)) // the rings of the third last 3 seconds
		r, err := netlab.UDPNumbered(ctx, b.a, b.b, netlab.UDPConfig{
			A: netip.AddrPortFrom(addrA, 0), B: netip.AddrPortFrom(addrB, 0), Count: udpDatagrams, Rate: rate,
		})
		if err != nil {
			return "", false, err
		}
		if r.AtoB.Clean() && r.BtoA.Clean() {
			return fmt.Sprintf("%s each way at once, numbered: every one arrived, once and whole", show.Count(udpDatagrams)), false, nil
		}
		lost := fmt.Sprintf("a→b %s; b→a %s", oneWay(r.AtoB), oneWay(r.BtoA))
		if r.AtoB.Received+r.BtoA.Received == 0 {
			return "", false, errors.New(lost)
		}
		return lost, true, nil
	})
}

// oneWay says what became of the datagrams of one direction.
func oneWay(d netlab.UDPDirection) string {
	return fmt.Sprintf("%d sent, %d lost, %d twice, %d damaged", d.Sent, d.Lost, d.Duplicated, d.Corrupted)
}

func (b *labBed) prepare() (err error) {
	// The hosts shall say nothing by themselves during the flood, or it would
	// be in the counters: their neighbours need no asking.
	if err := fixNeighbour(b.a, b.toA.A, addrB, b.toB.A.MAC); err != nil {
		return err
	}
	if err := fixNeighbour(b.b, b.toB.A, addrA, b.toA.A.MAC); err != nil {
		return err
	}
	if b.sink, err = b.b.Sink(b.toB.A.Name, false); err != nil {
		return err
	}
	b.gen, err = b.a.Generator(b.toA.A.Name, netlab.GeneratorConfig{DstMAC: b.toB.A.MAC})
	return err
}

func (b *labBed) pour(ctx context.Context, cpu int, length time.Duration) (flood, error) {
	f := flood{size: netlab.MinFrame}
	if err := b.gen.Start(cpu); err != nil {
		return f, err
	}
	err := f.measure(ctx, length, b.arrived)
	r, stopErr := b.gen.Stop()
	f.offered = r.Sent
	return f, errors.Join(err, stopErr)
}

func (b *labBed) arrived() (uint64, error) {
	n, _, err := b.sink.Count()
	return n, err
}

func (b *labBed) calm() error {
	var err error
	if b.gen != nil {
		err = b.gen.Close()
	}
	if b.sink != nil {
		err = errors.Join(err, b.sink.Close())
	}
	return err
}

func (b *labBed) hints() []string {
	enter := func(n *netlab.Namespace) string {
		// A path elsewhere is no name that ip knows.
		if dir, name := filepath.Split(n.Path()); dir == "/run/netns/" {
			return "ip netns exec " + name + " "
		}
		return "nsenter --net=" + n.Path() + " "
	}
	return []string{
		enter(b.a) + "ping " + addrB.String(),
		enter(b.mid) + "ip -details link show a0",
	}
}

func (*labBed) hangUp() error { return nil }

func (b *labBed) close() error { return b.lab.Close() }
