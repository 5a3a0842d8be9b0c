package ifnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane/fib"
	"example.org/pmd/ifnet"
)

var bg = context.Background()

// steppedCores are worker loops that are stepped in turn instead of running: each has a
// mailbox, and a message that makes the round goes from one to the next.
type steppedCores struct {
	boxes  [][]func()
	rounds int
	order  []int // of the visits of the latest round
	before func(core int)
}

func newStepped(n int) *steppedCores { return &steppedCores{boxes: make([][]func(), n)} }

func (c *steppedCores) Len() int { return len(c.boxes) }

// send puts a message into a core's mailbox.
func (c *steppedCores) send(core int, msg func()) { c.boxes[core] = append(c.boxes[core], msg) }

// step is one turn of one core's loop.
func (c *steppedCores) step(core int) {
	box := c.boxes[core]
	c.boxes[core] = nil
	for _, msg := range box {
		msg()
	}
}

func (c *steppedCores) Round(visit func(core int)) {
	if len(c.boxes) == 0 {
		return
	}
	c.rounds++
	c.order = c.order[:0]
	done := false
	var forward func(core int)
	forward = func(core int) {
		if core == len(c.boxes) {
			done = true
			return
		}
		c.send(core, func() {
			c.order = append(c.order, core)
			if c.before != nil {
				c.before(core)
			}
			visit(core)
			forward(core + 1)
		})
	}
	forward(0)
	for !done {
		for core := range c.boxes {
			c.step(core)
		}
	}
}

// routeTables are plain tables, one a core and one for control.
type routeTables []*routeTable

// routeTable can be told not to delete one route.
type routeTable struct {
	fib.Table[ifnet.Route]
	broken netip.Prefix
}

func (t *routeTable) Delete(dst netip.Prefix) (ifnet.Route, error) {
	if dst == t.broken {
		return ifnet.Route{}, fmt.Errorf("%v is stuck: %w", dst, syscall.EBUSY)
	}
	return t.Table.Delete(dst)
}

func newTables(cores int) routeTables {
	t := make(routeTables, cores+1)
	for i := range t {
		t[i] = new(routeTable)
	}
	return t
}

func (t routeTables) Table(core int) ifnet.RouteTable { return t[core] }

// polls is a registration that keeps a list.
type polls struct {
	on    map[int]int // core by index
	calls []string
	err   error
	// refuse lets Register alone fail.
	refuse bool
}

func (p *polls) Register(i ifnet.Info, core int) (int, error) {
	p.calls = append(p.calls, fmt.Sprintf("register %s %d", i.Name, core))
	if p.refuse {
		return 0, errDriver
	}
	if p.err != nil {
		return 0, p.err
	}
	if core == ifnet.NotPolled {
		core = 0
	}
	p.on[i.Index] = core
	return core, nil
}

func (p *polls) Deregister(i ifnet.Info) error {
	p.calls = append(p.calls, "deregister "+i.Name)
	if p.err != nil {
		return p.err
	}
	delete(p.on, i.Index)
	return nil
}

func (p *polls) Move(i ifnet.Info, core int) error {
	p.calls = append(p.calls, fmt.Sprintf("move %s %d", i.Name, core))
	if p.err != nil {
		return p.err
	}
	p.on[i.Index] = core
	return nil
}

// barrier counts.
type barrier struct{ waits int }

func (b *barrier) Wait() { b.waits++ }

// driver has every power, remembers what it was told, and fails if it is told to.
type driver struct {
	mu    *serializer
	calls []string
	err   error
	flags []ifnet.Flags
	mtu   int
	caps  ifnet.Caps
	group []ifnet.Group
	mac   net.HardwareAddr
	sent  [][]byte
	// failAt lets the n-th SetFlags from now fail, 1 the next.
	failAt int
	// failBack lets every call fail once failAt has happened.
	failBack               bool
	refuseAddr, refuseSend bool
	up                     bool // what SetAddr answers
	media                  string
	again                  int
	dogs                   int
	queue                  ifnet.SendQueue
	src                    netip.Addr
	dst                    netip.Addr
	gen                    []byte
	phys                   uint32
}

// serializer is a mutex that knows whether it is held.
type serializer struct {
	sync.Mutex
	held bool
}

func (s *serializer) Lock() { s.Mutex.Lock(); s.held = true }
func (s *serializer) TryLock() bool {
	if !s.Mutex.TryLock() {
		return false
	}
	s.held = true
	return true
}
func (s *serializer) Unlock() { s.held = false; s.Mutex.Unlock() }

var errDriver = errors.New("the card is on fire")

func (d *driver) note(format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	if !d.mu.held {
		call += " without the serializer"
	}
	d.calls = append(d.calls, call)
	return d.err
}

func (d *driver) SetFlags(f ifnet.Flags) error {
	err := d.note("flags %v", f)
	if d.failAt > 0 {
		if d.failAt--; d.failAt == 0 {
			err = errDriver
			if d.failBack {
				d.err = errDriver
			}
		}
	}
	if err == nil {
		d.flags = append(d.flags, f)
	}
	return err
}

func (d *driver) SetMTU(mtu int) error {
	err := d.note("mtu %d", mtu)
	if err == nil {
		d.mtu = mtu
	}
	return err
}

func (d *driver) SetCaps(on ifnet.Caps) error {
	err := d.note("caps %v", on)
	if err == nil {
		d.caps = on
	}
	return err
}

func (d *driver) SetGroups(g []ifnet.Group) error {
	err := d.note("groups %v", g)
	if err == nil {
		d.group = slices.Clone(g)
	}
	return err
}

func (d *driver) SetLLAddr(mac net.HardwareAddr) error {
	err := d.note("lladdr %v", mac)
	if err == nil {
		d.mac = mac
	}
	return err
}

func (d *driver) SetAddr(a ifnet.AddrInfo) (bool, error) {
	if d.refuseAddr {
		return false, errDriver
	}
	return d.up, d.note("addr %v", a.Prefix)
}
func (d *driver) Watchdog() int { d.dogs++; _ = d.note("watchdog"); return d.again }
func (d *driver) SetPhys(p uint32) error {
	err := d.note("phys %d", p)
	if err == nil {
		d.phys = p
	}
	return err
}
func (d *driver) Media() (string, error) { return d.media, d.note("media?") }
func (d *driver) SetMedia(m string) error {
	err := d.note("media %s", m)
	if err == nil {
		d.media = m
	}
	return err
}
func (d *driver) Generic() ([]byte, error)    { return d.gen, d.note("generic?") }
func (d *driver) SetGeneric(req []byte) error { d.gen = req; return d.note("generic %s", req) }
func (d *driver) Status() (string, error)     { return "fine\n", d.note("status?") }
func (d *driver) Tunnel() (src, dst netip.Addr, err error) {
	return d.src, d.dst, d.note("tunnel?")
}
func (d *driver) SetTunnel(src, dst netip.Addr) error {
	d.src, d.dst = src, dst
	return d.note("tunnel %v %v", src, dst)
}
func (d *driver) UseQueue(q ifnet.SendQueue) error { d.queue = q; return d.note("queue") }

// Send copies, as the frame is the caller's.
func (d *driver) Send(frame []byte) error {
	err := d.note("send %d", len(frame))
	if d.refuseSend {
		return errDriver
	}
	if err == nil {
		d.sent = append(d.sent, slices.Clone(frame))
	}
	return err
}

// rig is a System over stepped cores, with all that it needs.
type rig struct {
	*ifnet.System
	t        testing.TB
	cores    *steppedCores
	barrier  *barrier
	polls    *polls
	tables   routeTables
	messages []ifnet.Message
	told     []string // handlers and domains, in order
	events   *ifnet.Listener
	now      time.Time
	root     *ifnet.Control
}

func newRig(t testing.TB, cores int, change ...func(*ifnet.Config)) *rig {
	t.Helper()
	r := &rig{t: t, cores: newStepped(cores), barrier: &barrier{}, polls: &polls{on: map[int]int{}}, tables: newTables(cores),
		now: time.Date(2008, 3, 29, 3, 38, 53, 0, time.UTC)}
	cfg := ifnet.Config{
		Cores: r.cores, Barrier: r.barrier, Polling: r.polls, Routes: r.tables,
		OnAttach:  func(i ifnet.Info) { r.told = append(r.told, "attach "+i.Name) },
		OnDetach:  func(i ifnet.Info) { r.told = append(r.told, "detach "+i.Name) },
		OnMessage: func(m ifnet.Message) { r.messages = append(r.messages, m) },
		Now: func() time.Time {
			r.now = r.now.Add(time.Second)
			return r.now
		},
	}
	for _, fn := range change {
		fn(&cfg)
	}
	s, err := ifnet.New(cfg)
	require.NoError(t, err)
	r.System, r.root = s, s.As(ifnet.Cred{Name: "uid 0", Privileged: true})
	r.events = s.Listen(4096)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.Zero(t, s.Addresses(), "every address is gone in the end")
		for core, tab := range r.tables {
			require.Zero(t, tab.Len(), "routes of core %d", core)
		}
	})
	return r
}

// attach makes an interface with a driver of every power.
func (r *rig) attach(name string, change ...func(*ifnet.Params)) (*ifnet.Interface, *driver) {
	r.t.Helper()
	d := &driver{mu: &serializer{}}
	p := ifnet.Params{Name: name, MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(1 + len(r.names()))}, QueueLimit: 50, With: d, Serializer: d.mu,
		Caps: ifnet.CapRxChecksum | ifnet.CapTxChecksum}
	for _, fn := range change {
		fn(&p)
	}
	ifp, err := r.Attach(bg, p)
	require.NoError(r.t, err)
	return ifp, d
}

// p2p makes the Params those of a point-to-point interface.
func p2p(p *ifnet.Params) {
	p.Flags, p.Type, p.MAC = ifnet.FlagPointopoint|ifnet.FlagMulticast, ifnet.TypePPP, nil
}

func (r *rig) names() (names []string) {
	list, err := r.Interfaces(bg)
	require.NoError(r.t, err)
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

func (r *rig) info(ifp *ifnet.Interface) ifnet.Info {
	r.t.Helper()
	i, err := r.Info(bg, ifp)
	require.NoError(r.t, err)
	return i
}

// add adds addresses written as prefixes, "PREFIX" or "PREFIX>PEER".
func (r *rig) add(ifp *ifnet.Interface, specs ...string) {
	r.t.Helper()
	for _, text := range specs {
		require.NoError(r.t, r.AddAddr(bg, ifp, spec(text)), text)
	}
}

func spec(text string) ifnet.AddrSpec {
	p, peer, found := text, "", false
	for i := range text {
		if text[i] == '>' {
			p, peer, found = text[:i], text[i+1:], true
		}
	}
	s := ifnet.AddrSpec{Prefix: netip.MustParsePrefix(p)}
	if found {
		s.Peer = netip.MustParseAddr(peer)
	}
	return s
}

// kinds returns the kinds of the events so far, with what they are about.
func (r *rig) kinds() (list []string) {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	for {
		e, err := r.events.Next(ctx)
		if err != nil {
			return list
		}
		text := string(e.Kind)
		for _, s := range []string{e.Interface, e.Old, e.Address, e.Group, e.Route} {
			if s != "" {
				text += " " + s
			}
		}
		list = append(list, text)
	}
}

// each runs fn with every replica, control's included.
func (r *rig) each(fn func(rep *ifnet.Replica)) {
	r.Bind(func(_ int, rep *ifnet.Replica) { fn(rep) })
	r.Own(fn)
}

// found is what every core finds: they must agree. It is "" for nothing.
func (r *rig) found(look func(rep *ifnet.Replica) *ifnet.Container) (found string) {
	r.t.Helper()
	first := true
	r.each(func(rep *ifnet.Replica) {
		got := ""
		if c := look(rep); c != nil {
			require.True(r.t, c.Alive())
			got = c.View().State().Name + " " + c.Address().String()
		}
		if first {
			found, first = got, false
		}
		require.Equal(r.t, found, got, "core %d", rep.Core())
	})
	return found
}

func (r *rig) withAddr(a string) string {
	r.t.Helper()
	return r.found(func(rep *ifnet.Replica) *ifnet.Container { return rep.WithAddr(netip.MustParseAddr(a)) })
}

func (r *rig) withDst(a string) string {
	r.t.Helper()
	return r.found(func(rep *ifnet.Replica) *ifnet.Container { return rep.WithDstAddr(netip.MustParseAddr(a)) })
}

func (r *rig) withNet(a string) string {
	r.t.Helper()
	return r.found(func(rep *ifnet.Replica) *ifnet.Container { return rep.WithNet(netip.MustParseAddr(a)) })
}

func (r *rig) bestOf(a, name string) string {
	r.t.Helper()
	return r.found(func(rep *ifnet.Replica) *ifnet.Container { return rep.BestOf(netip.MustParseAddr(a), rep.ByName(name)) })
}

// lists returns what is on an interface's list, the same on every core.
func (r *rig) lists(name string) (list []string) {
	r.t.Helper()
	first := true
	r.each(func(rep *ifnet.Replica) {
		var got []string
		if v := rep.ByName(name); v != nil {
			v.Addresses(func(c *ifnet.Container) bool {
				got = append(got, c.Address().String())
				return true
			})
		}
		if first {
			list, first = got, false
		}
		require.Equal(r.t, list, got, "core %d", rep.Core())
	})
	return list
}

// routes returns the routes, the same on every core: "DST via GATEWAY dev NAME src ADDR".
func (r *rig) routes() (list []string) {
	r.t.Helper()
	for core, tab := range r.tables {
		var got []string
		tab.Walk(func(dst netip.Prefix, rt *ifnet.Route) bool {
			require.True(r.t, rt.Addr.Alive(), "the route to %v holds a dead address", dst)
			text := dst.String()
			if rt.Gateway.IsValid() {
				text += " via " + rt.Gateway.String()
			}
			got = append(got, fmt.Sprintf("%s dev %s src %v", text, rt.View.State().Name, rt.Addr.Address()))
			return true
		})
		if core > 0 {
			require.Equal(r.t, list, got, "core %d", core)
		}
		list = got
	}
	return list
}

// breakRoute lets no core delete the route; mend deletes what is left then.
func (r *rig) breakRoute(dst netip.Prefix) {
	for _, tab := range r.tables {
		tab.broken = dst
	}
}

func (r *rig) mend() {
	for _, tab := range r.tables {
		tab.broken = netip.Prefix{}
		var left []netip.Prefix
		tab.Walk(func(dst netip.Prefix, _ *ifnet.Route) bool {
			left = append(left, dst)
			return true
		})
		for _, dst := range left {
			rt, err := tab.Delete(dst)
			require.NoError(r.t, err)
			rt.Addr.Release()
		}
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func fmtGroups(groups []ifnet.Group) string { return fmt.Sprint(groups) }

// fails checks that an error names call and interface, and wraps the errno.
func fails(t testing.TB, err error, errno syscall.Errno, call, name string) {
	t.Helper()
	require.ErrorIs(t, err, errno)
	var e *ifnet.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, call, e.Call)
	require.Equal(t, name, e.Interface)
}

func mustAddr(a string) netip.Addr { return netip.MustParseAddr(a) }
