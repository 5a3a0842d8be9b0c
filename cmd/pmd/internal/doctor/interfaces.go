package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd/afxdp"
)

// subject is an interface to tell of.
type subject struct {
	name string
	// named is set if the user wants it for a port.
	named bool
	facts *afxdp.Facts // nil if err says why there are none
	err   error
}

// inspect reads the facts of the interfaces to tell of: those that are named, else
// those that could be ports.
func (e *examination) inspect() {
	for _, name := range e.o.Interfaces {
		f, err := e.m.Inspect(name)
		e.subjects = append(e.subjects, subject{name, true, f, err})
	}
	if len(e.o.Interfaces) > 0 {
		return
	}
	all, err := e.m.Interfaces()
	if err != nil {
		e.subjects = []subject{{name: "all", err: err}}
		return
	}
	for _, name := range all {
		f, err := e.m.Inspect(name)
		if err == nil && (f.Loopback || f.NotEthernet != "" || f.Kind != "" && f.Kind != "veth" || len(f.MAC) == 0) {
			continue
		}
		e.subjects = append(e.subjects, subject{name: name, facts: f, err: err})
	}
}

// interfaces tells of them.
func (e *examination) interfaces() {
	for _, s := range e.subjects {
		x := &portCheck{examination: e, name: s.name, f: s.facts, named: s.named}
		switch {
		case s.err != nil:
			e.refused(s)
		case s.facts.NotEthernet != "":
			x.found(Problem, s.facts.NotEthernet)
		case s.named:
			x.state()
			x.management()
			x.driver()
			x.program()
			x.membership()
			x.details()
		default:
			e.add(AreaInterface, s.name, OK, x.summary())
			if s.facts.Management == "" {
				x.details()
			} else {
				x.interrupts() // a poll CPU has them, whoever has the interface
			}
		}
	}
	if len(e.subjects) == 0 {
		e.add(AreaInterface, "all", OK, "there is no interface here that could be a port but lo and virtual ones")
	}
}

// refused tells of an interface that could not be read.
func (e *examination) refused(s subject) {
	status, text, commands := Advice, s.err.Error(), []string(nil)
	switch {
	case errors.Is(s.err, fs.ErrPermission):
		text, commands = "was not looked at: "+text, []string{e.again()}
	case errors.Is(s.err, syscall.ENODEV), errors.Is(s.err, fs.ErrNotExist):
		text = "it is not there: " + text
		commands = []string{e.inNetns("ip -brief link")}
		if errors.Is(s.err, fs.ErrNotExist) {
			commands = []string{"ip netns list"}
		}
		status = Problem
	}
	e.add(AreaInterface, s.name, status, text, commands...)
}

// portCheck examines one interface.
type portCheck struct {
	*examination
	name  string
	f     *afxdp.Facts
	named bool
}

// found enters a finding about the interface. Of one that nobody has named, only
// what could be better is told.
func (x *portCheck) found(s Status, text string, commands ...string) {
	if !x.named {
		if s == OK {
			return
		}
		s = Advice
	}
	x.add(AreaInterface, x.name, s, text, commands...)
}

// ethtool words a call of ethtool.
func (x *portCheck) ethtool(flag, args string) string {
	return x.inNetns("ethtool %s %s %s", flag, x.name, args)
}

// run words a call of pmd with the interface as a port with these options.
func (x *portCheck) run(options ...string) string {
	return "pmd run --port " + x.spec(x.name, options...)
}

// summary tells an interface in a line.
func (x *portCheck) summary() string {
	parts := []string{x.driverName(), linkWord(x.f), x.modes(), fmt.Sprintf("%s, MTU %d", count(x.f.Queues.Live, "queue"), x.f.MTU)}
	if x.f.Master != "" {
		parts = append(parts, "belongs to "+x.f.Master)
	}
	if p := x.f.Program; p != nil {
		parts = append(parts, fmt.Sprintf("has XDP program %d, %s", p.ID, p.Name))
	}
	if x.f.Management != "" {
		why, _, _ := strings.Cut(x.f.Management, ";")
		parts = append(parts, "not for a port: "+why)
	}
	return strings.Join(parts, "; ")
}

func (x *portCheck) driverName() string {
	if x.f.Driver == "" {
		return "driver unknown"
	}
	return x.f.Driver
}

func linkWord(f *afxdp.Facts) string {
	switch {
	case !f.Up:
		return "down"
	case !f.Carrier:
		return "no carrier"
	}
	return "up"
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// modes tells which XDP the driver has.
func (x *portCheck) modes() string {
	switch f := x.f.XDP; {
	case f == nil:
		return "XDP unknown"
	case !f.Native || !f.Redirect:
		return "no XDP in the driver"
	case f.ZeroCopy:
		return "XDP with zero-copy"
	}
	return "XDP in the driver, copy mode"
}

// state checks that frames can come.
func (x *portCheck) state() {
	switch f := x.f; {
	case !f.Up:
		x.found(Problem, "the interface is down", x.inNetns("ip link set dev %s up", x.name))
	case !f.Carrier && f.Kind == "veth":
		up := "ip link set dev PEER up"
		if f.Peer != nil {
			up = x.atPeer("ip link set dev %s up", f.Peer.Name)
		}
		x.found(Problem, "it is up without carrier: its peer is down", up)
	case !f.Carrier:
		x.found(Problem, "it is up without carrier: check the cable and the other side", x.inNetns("ethtool %s", x.name))
	default:
		x.found(OK, "up, with carrier")
	}
}

// atPeer words a command that works on the other end of a veth.
func (x *portCheck) atPeer(format string, args ...any) string {
	command := fmt.Sprintf(format, args...)
	if ns := x.f.Peer.Netns; ns != "" {
		return "ip netns exec " + ns + " " + command
	}
	return x.inNetns("%s", command)
}

// management checks that nobody is cut off.
func (x *portCheck) management() {
	if m := x.f.Management; m != "" {
		x.found(Problem, m, x.run("take-management=on"))
	}
}

// driver tells what XDP the driver has.
func (x *portCheck) driver() {
	f := x.f.XDP
	text := x.driverName() + ": " + x.modes()
	switch {
	case f == nil:
		x.found(OK, text+": this kernel cannot tell, pmd tries")
		return
	case !f.Native || !f.Redirect:
		x.found(Advice, text+": pmd takes generic XDP, behind the driver, which is slower")
		return
	}
	var more []string
	if f.Frags {
		more = append(more, "multi-buffer")
	}
	if f.ZeroCopy && f.ZeroCopyBuffers > 0 {
		more = append(more, "up to "+count(f.ZeroCopyBuffers, "buffer")+" a frame in zero-copy")
	}
	if len(f.RxMetadata) > 0 {
		more = append(more, "rx metadata "+strings.Join(f.RxMetadata, ", "))
	}
	if len(f.TxMetadata) > 0 {
		more = append(more, "tx metadata "+strings.Join(f.TxMetadata, ", "))
	}
	if len(more) > 0 {
		text += "; " + strings.Join(more, "; ")
	}
	x.found(OK, text)
}

// details are the checks whose advice is worth telling of any interface.
func (x *portCheck) details() {
	x.queues()
	x.rings()
	x.offloads()
	x.mtu()
	x.mac()
	x.interrupts()
	x.node()
	if len(x.f.Unread) > 0 {
		x.found(Advice, "not looked at: "+strings.Join(x.f.Unread, "; "))
	}
}

// program checks that no other XDP program has the interface.
func (x *portCheck) program() {
	switch p := x.f.Program; {
	case p == nil:
		x.found(OK, "no XDP program is attached")
	case p.Ours:
		x.found(Advice, fmt.Sprintf("a running pmd polls it (XDP program %d, %s)", p.ID, p.Name), "pmd if show", "pmd stop")
	default:
		x.found(Problem, fmt.Sprintf("an XDP program is attached (id %d, name %s): end what owns it; if nothing does", p.ID, p.Name),
			x.inNetns("ip link set dev %s xdp off", x.name))
	}
}

// membership checks that frames are not expected elsewhere.
func (x *portCheck) membership() {
	if m := x.f.Master; m != "" {
		x.found(Advice, fmt.Sprintf("it belongs to %s, which gets none of the frames that pmd takes", m), x.inNetns("ip link set dev %s nomaster", x.name))
	}
}

// queues checks that there are as many as CPUs to poll them, and that RSS uses all.
func (x *portCheck) queues() {
	q := x.f.Queues
	hashed := cpu.SetOf(q.Hashed...)
	live := make([]int, q.Live)
	for i := range live {
		live[i] = i
	}
	text := fmt.Sprintf("%s of %d", count(q.Live, "queue"), max(q.Most, q.Live))
	idle := cpu.SetOf(live...).AndNot(hashed)
	switch {
	case !idle.IsEmpty() && q.Steered:
		x.found(Advice, fmt.Sprintf("%s; RSS sends nothing to %s %v", text, plural(idle.Len(), "queue"), idle), x.ethtool("-X", fmt.Sprintf("equal %d", q.Live)))
	case q.Live > 1:
		x.found(OK, text+", RSS spreads over all")
	default:
		x.found(OK, text)
	}
}

func plural(n int, thing string) string {
	if n == 1 {
		return thing
	}
	return thing + "s"
}

// shortRing is how many descriptors of the NIC's own a burst of line-rate traffic
// overruns while a poll loop is away: 1,024 last 69 µs at 10 Gbit/s of 64-byte
// frames (14.88 Mpps).
const shortRing = 1024

// rings checks the NIC's own rings.
func (x *portCheck) rings() {
	f := x.f
	switch {
	case f.RxRing == 0:
	case f.RxRing < shortRing && f.RxRingMax > f.RxRing:
		x.found(Advice, fmt.Sprintf("the NIC's receive ring has %d descriptors of %d: a short burst overruns it", f.RxRing, f.RxRingMax),
			x.ethtool("-G", fmt.Sprintf("rx %d", min(f.RxRingMax, 2*shortRing))))
	default:
		x.found(OK, fmt.Sprintf("NIC rings: rx %d of %d, tx %d of %d", f.RxRing, f.RxRingMax, f.TxRing, f.TxRingMax))
	}
}

// offloads checks what changes frames before an XDP program sees them.
func (x *portCheck) offloads() {
	var free, fixed, harm []string
	for _, o := range x.f.Offloads {
		if o.Fixed {
			fixed = append(fixed, o.Name)
			harm = append(harm, o.Harm)
		} else {
			free = append(free, o.Name)
		}
	}
	if len(fixed) > 0 {
		x.found(Problem, fmt.Sprintf("%s cannot be turned off: %s; pmd takes it only with offloads=keep",
			strings.Join(fixed, ", "), strings.Join(harm, ", ")), x.run("offloads=keep"))
	}
	switch {
	case slices.Contains(free, "rx-lro"):
		x.found(Advice, "LRO merges packets; pmd turns it off while it has the port, until then", x.ethtool("-K", "lro off"))
	case len(free) > 0:
		x.found(OK, fmt.Sprintf("pmd turns off while it has the port: %s", strings.Join(free, ", ")))
	case len(fixed) == 0:
		x.found(OK, "no offload changes received frames")
	}
	if x.f.Kind != "veth" {
		return
	}
	switch p := x.f.Peer; {
	case p == nil:
		x.found(Advice, "its peer is out of sight: unless transmit checksums are off there, TCP and UDP from it leave here unfinished",
			"nsenter --target PID --net ethtool -K PEER tx off")
	case p.TxChecksum:
		x.found(Advice, fmt.Sprintf("peer %s leaves checksums unfinished: TCP and UDP from there are dropped where they arrive", p.Name), x.atPeer("ethtool -K %s tx off", p.Name))
	default:
		x.found(OK, fmt.Sprintf("peer %s finishes its checksums", p.Name))
	}
}

// mtu checks that frames fit.
func (x *portCheck) mtu() {
	small, large, most := afxdp.MaxMTU(2048), afxdp.MaxMTU(4096), afxdp.MaxFragsMTU(2048)
	switch mtu := x.f.MTU; {
	case mtu <= small:
		x.found(OK, fmt.Sprintf("MTU %d fits frames of 2048 bytes (up to %d)", mtu, small))
	case mtu <= large:
		x.found(Advice, fmt.Sprintf("MTU %d takes packets of two frames (Linux 6.6), which many drivers have in copy mode only, or larger frames", mtu), x.run("frame-size=4096"))
	case mtu <= most:
		x.found(OK, fmt.Sprintf("MTU %d takes packets of several frames (Linux 6.6), which many drivers have in copy mode only", mtu))
	default:
		x.found(Problem, fmt.Sprintf("MTU %d is more than the %d that fit a packet of frames of 2048 bytes", mtu, most), x.inNetns("ip link set dev %s mtu %d", x.name, 1500))
	}
}

// mac checks the address (IEEE 802: bit 0 of the first byte is the group bit).
func (x *portCheck) mac() {
	m := x.f.MAC
	fresh := x.inNetns("ip link set dev %s address 02:00:00:00:00:%02x", x.name, x.f.Index&0xff)
	switch {
	case x.f.Loopback:
		x.found(Advice, "it has no Ethernet address: not for the modes mac, icmpecho, txonly and flowgen")
	case len(m) == 0 || slices.Max(m) == 0:
		x.found(Problem, "its MAC is all zero, which hosts answer nothing to", fresh)
	case m[0]&1 == 1:
		x.found(Problem, fmt.Sprintf("its MAC %s is a group's", m), fresh)
	default:
		x.found(OK, "MAC "+m.String())
	}
}

// interrupts checks that the NIC's do not run on the poll CPUs: the kernel's part of
// receiving is done where they are.
func (x *portCheck) interrupts() {
	if len(x.f.IRQs) == 0 || x.poll.IsEmpty() {
		return
	}
	var mine []int
	var on cpu.Set
	for _, n := range x.f.IRQs {
		dir := fmt.Sprintf("proc/irq/%d/", n)
		// Where it is, and on kernels that do not tell, where it may be.
		text, ok := x.line(dir + "effective_affinity_list")
		if !ok || text == "" {
			text, ok = x.line(dir + "smp_affinity_list")
		}
		set, err := cpu.ParseList(text)
		if !ok || err != nil {
			continue
		}
		if hit := set.And(x.poll); !hit.IsEmpty() {
			mine, on = append(mine, n), on.Or(hit)
		}
	}
	all := count(len(x.f.IRQs), "interrupt")
	to := x.topo.Allowed.And(x.topo.Online).AndNot(x.poll)
	if near := to.And(x.topo.CPUsOfNode(x.f.NUMANode)); !near.IsEmpty() {
		to = near
	}
	switch {
	case len(mine) == 0:
		x.found(OK, all+", none on a poll CPU")
	case to.IsEmpty():
		x.found(Advice, fmt.Sprintf("%d of %s come on poll CPU %v, and there is no other", len(mine), all, on))
	case len(mine) == 1:
		x.found(Advice, fmt.Sprintf("1 of %s comes on poll CPU %v (stop irqbalance first, if it runs)", all, on),
			fmt.Sprintf("echo %v > /proc/irq/%d/smp_affinity_list", to, mine[0]))
	default:
		x.found(Advice, fmt.Sprintf("%d of %s come on poll CPU %v (stop irqbalance first, if it runs)", len(mine), all, on),
			fmt.Sprintf("for i in %s; do echo %v > /proc/irq/$i/smp_affinity_list; done", words(mine), to))
	}
}

// node checks that the poll CPUs are near the NIC.
func (x *portCheck) node() {
	node := x.f.NUMANode
	if node < 0 || x.topo == nil || len(x.topo.Nodes()) < 2 {
		return
	}
	near := x.topo.CPUsOfNode(node).And(x.topo.Allowed)
	far := x.poll.AndNot(near)
	switch {
	case far.IsEmpty():
		x.found(OK, fmt.Sprintf("NUMA node %d, as the poll CPUs", node))
	case !x.poll.And(near).IsEmpty():
		x.found(OK, fmt.Sprintf("NUMA node %d, as poll CPU %v", node, x.poll.And(near)))
	case near.IsEmpty():
		x.found(Advice, fmt.Sprintf("it is on NUMA node %d, of which no CPU may be used", node))
	default:
		x.found(Advice, fmt.Sprintf("it is on NUMA node %d, poll CPU %v is not", node, x.poll), x.run(fmt.Sprintf("pollcpu=%d", near.Slice()[near.Len()-1])))
	}
}
