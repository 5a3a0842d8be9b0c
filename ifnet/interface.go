package ifnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
)

// NotPolled is the core of an interface that is not polled, if_poll_cpuid at
// attachment.
const NotPolled = -1

// Params says what interface to attach. Name, or Driver and Unit, is required; the zero
// value of every other field works.
type Params struct {
	// Name is the interface's. Default: InitName(Driver, Unit).
	Name string
	// Driver and Unit are if_dname and if_dunit.
	Driver string
	Unit   int
	// Type is the kind of link. Default: TypeEthernet.
	Type Type
	// Flags are those the interface begins with. Default: those of Ethernet,
	// FlagBroadcast, FlagSimplex and FlagMulticast. To begin up is not for
	// a Params: it is FlagUp's edge that does the work.
	Flags Flags
	// MTU is in bytes. Default: 1500.
	MTU int
	// Caps are the capabilities there are, CapEnabled those that are on.
	Caps, CapEnabled Caps
	// MAC is the link-level address, filled in by the driver. It may be empty.
	MAC net.HardwareAddr
	// Serializer is held around every call of the driver. Default: one of the
	// interface's own.
	Serializer Locker
	// Queue is the send queue, the classic one of the port. Default: a classic
	// queue of packets as bytes, for QueueLimit of them.
	Queue SendQueue
	// QueueLimit is for an interface without a Queue. Default: DefaultSendQueue,
	// with a warning.
	QueueLimit int
	// With is the driver: a value with those of the driver powers (FlagSetter,
	// MTUSetter, …) that it has. It may be nil.
	With any
}

// ParamsOf returns the Params of a port, as far as its device tells: name, driver, MAC
// and MTU. Queue and With are the program's to add.
func ParamsOf(info pmd.Info) Params {
	return Params{
		Name: info.Name, Driver: info.Driver, Unit: UnitNone, MTU: info.MTU, MAC: info.MAC,
		Type: TypeEthernet, Flags: FlagBroadcast | FlagSimplex | FlagMulticast | FlagRunning,
	}
}

const defaultMTU = 1500

// withDefaults fills what was left zero and checks the rest.
func (p Params) withDefaults() (Params, *failure) {
	if p.Name == "" && p.Driver != "" {
		if len(p.Driver)+len(strconv.Itoa(p.Unit)) >= NameSize && p.Unit != UnitNone {
			return p, fail(syscall.ENAMETOOLONG, "driver and unit do not fit into a name")
		}
		p.Name = InitName(p.Driver, p.Unit)
	}
	if f := checkName(p.Name); f != nil {
		return p, f
	}
	if p.Type == 0 {
		p.Type = TypeEthernet
	}
	if p.Flags == 0 {
		p.Flags = FlagBroadcast | FlagSimplex | FlagMulticast
	}
	if bad := p.Flags & (FlagUp | FlagPolling | FlagPromisc | FlagPPromisc | FlagAllMulti | flagsUnassigned); bad != 0 {
		return p, fail(syscall.EINVAL, "an interface does not begin with "+bad.String())
	}
	if p.MTU == 0 {
		p.MTU = defaultMTU
	}
	if p.MTU < MinMTU || p.MTU > MaxMTU {
		return p, mtuFailure(p.MTU)
	}
	if bad := p.CapEnabled &^ p.Caps; bad != 0 {
		return p, fail(syscall.EINVAL, bad.String()+" is on and not offered")
	}
	if len(p.MAC) > 20 || p.Type.ethernetLike() && len(p.MAC) != 0 && len(p.MAC) != 6 {
		return p, fail(syscall.EINVAL, fmt.Sprintf("a link-level address of %d bytes", len(p.MAC)))
	}
	return p, nil
}

// Interface is an attached interface, struct ifnet. What it holds belongs to whoever
// has the System's turn; outside it is a handle for calls, valid under whatever
// name until Detach.
type Interface struct {
	state      *State
	views      *cpu.PerCore[View]
	serializer Locker
	driver     any
	driverName string
	unit       int
	cloner     *cloner

	caps, capsOn Caps
	metric       int
	phys         uint32
	link         LinkState
	lastChange   time.Time
	pollCore     int
	timer        int // seconds to the watchdog, 0 for none
	promisc      int // if_pcount
	allMulti     int // if_amcount
	// ownAllMulti says that one of allMulti is that of Control.Set.
	ownAllMulti bool

	classic, queue SendQueue
	lladdr         *Address
	afdata         map[*Domain]any
	detached       bool
}

// Info is an interface as it is at a moment. It is the caller's.
type Info struct {
	Name   string
	Driver string
	Unit   int
	Index  int
	Type   Type
	Flags  Flags
	MTU    int
	// Metric is for routing protocols; nothing here reads it.
	Metric int
	// Phys is the driver's choice of physical connector, if_physical.
	Phys uint32
	// Caps are the capabilities there are, CapEnabled those that are on.
	Caps, CapEnabled Caps
	Link             LinkState
	// MAC is empty if there is none.
	MAC net.HardwareAddr
	// PollCore is the core that polls the interface, or NotPolled.
	PollCore int
	// Promisc and AllMulti count who asked for it.
	Promisc, AllMulti int
	// OwnAllMulti says that Settings.AllMulti is one of those that AllMulti counts.
	OwnAllMulti bool
	// LastChange is when something was last changed.
	LastChange time.Time
	// Addresses are those that are not link-level, in the order of the list.
	Addresses []AddrInfo
	// Groups are the multicast memberships, newest first.
	Groups []Membership
	// Queued, QueueLimit, QueueDrops and QueuePurged are the send queue's.
	Queued, QueueLimit      int
	QueueDrops, QueuePurged uint64
}

// AddrInfo is an address as it is at a moment.
type AddrInfo struct {
	// Prefix is the address and the length of its network; NoMask says that it
	// has no netmask.
	Prefix netip.Prefix
	NoMask bool
	// Peer and Broadcast are zero if there is none.
	Peer, Broadcast netip.Addr
}

// infoOf describes an address.
func infoOf(a *Address) AddrInfo {
	return AddrInfo{a.spec.Prefix, a.spec.NoMask, a.spec.Peer, a.spec.Broadcast}
}

// info describes the interface. In turn only.
func (s *System) info(ifp *Interface) Info {
	st := ifp.state
	i := Info{
		Name: st.Name, Driver: ifp.driverName, Unit: ifp.unit, Index: st.Index, Type: st.Type, Flags: st.Flags, MTU: st.MTU,
		Metric: ifp.metric, Phys: ifp.phys, Caps: ifp.caps, CapEnabled: ifp.capsOn, Link: ifp.link,
		MAC: slices.Clone(st.MAC), PollCore: ifp.pollCore, Promisc: ifp.promisc, AllMulti: ifp.allMulti, OwnAllMulti: ifp.ownAllMulti,
		LastChange: ifp.lastChange, Groups: slices.Clone(st.Groups),
	}
	for c := ifp.views.At(s.cores).first; c != nil; c = c.next {
		if c.addr.family != FamilyLink {
			i.Addresses = append(i.Addresses, infoOf(c.addr))
		}
	}
	if q := ifp.queue; q != nil {
		i.Queued, i.QueueLimit, i.QueueDrops, i.QueuePurged = q.Len(), q.Limit(), q.Drops(), q.Purged()
	}
	return i
}

// locked runs fn with the interface's serializer held.
func (ifp *Interface) locked(fn func() error) error {
	ifp.serializer.Lock()
	defer ifp.serializer.Unlock()
	return fn()
}

// publish replaces what cores know of the interface.
func (s *System) publish(ifp *Interface, change func(st *State)) {
	st := *ifp.state
	change(&st)
	ifp.state = &st
	s.round(func(r *Replica) { ifp.views.At(r.core).state = &st })
}

// touched notes the time of a change, getmicrotime(&if_lastchange).
func (s *System) touched(ifp *Interface) { ifp.lastChange = s.cfg.Now() }

// doOn runs fn in turn on an interface that is attached.
func (s *System) doOn(ctx context.Context, call string, ifp *Interface, fn func() *failure) error {
	if ifp == nil {
		return fail(syscall.ENXIO, "no interface is given").as(call, "")
	}
	if f := s.enter(ctx); f != nil {
		return f.as(call, "")
	}
	defer s.leave()
	if ifp.detached || s.table[ifp.state.Index] != ifp {
		return fail(syscall.ENXIO, "the interface has been detached").as(call, ifp.state.Name)
	}
	return fn().as(call, ifp.state.Name)
}

// unit returns the interface of a name, ifunit.
func (s *System) unit(name string) *Interface {
	if v := s.own.ByName(name); v != nil {
		return v.ifp
	}
	return nil
}

// Lookup returns the interface of a name, ifunit; the error wraps ENXIO if there is
// none.
func (s *System) Lookup(ctx context.Context, name string) (ifp *Interface, err error) {
	err = s.do(ctx, "look up", name, func() *failure {
		if ifp = s.unit(name); ifp == nil {
			return s.unknown()
		}
		return nil
	})
	return ifp, err
}

// unknown is the failure of a name that no interface has.
func (s *System) unknown() *failure {
	names := make([]string, len(s.list))
	for i, ifp := range s.list {
		names[i] = ifp.state.Name
	}
	return fail(syscall.ENXIO, "there is no such interface; there are "+listed(names))
}

// listed joins names for a message, the first few if there are many.
func listed(names []string) string {
	const enough = 16
	if len(names) == 0 {
		return "none"
	}
	text := ""
	for i, n := range names {
		if i == enough {
			return text + ", …"
		}
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}

// Info describes the interface as it is now.
func (s *System) Info(ctx context.Context, ifp *Interface) (i Info, err error) {
	err = s.doOn(ctx, "describe", ifp, func() *failure {
		i = s.info(ifp)
		return nil
	})
	return i, err
}

// Interfaces describes every interface, in the order of attachment.
func (s *System) Interfaces(ctx context.Context) (list []Info, err error) {
	err = s.do(ctx, "list interfaces", "", func() *failure {
		for _, ifp := range s.list {
			list = append(list, s.info(ifp))
		}
		return nil
	})
	return list, err
}

// Attach makes an interface known: if_attach. In this order it gets its serializer, a
// place on the list and the next index, an empty list of addresses on every core and
// there its link-level address first; then the attach handler is told, the send
// queue set, each protocol domain attached, and its arrival announced. A name that is
// taken is EEXIST.
func (s *System) Attach(ctx context.Context, p Params) (ifp *Interface, err error) {
	err = s.do(ctx, "attach", p.Name, func() (f *failure) {
		ifp, f = s.attach(p)
		return f
	})
	return ifp, err
}

func (s *System) attach(p Params) (*Interface, *failure) {
	p, f := p.withDefaults()
	if f != nil {
		return nil, f
	}
	if s.unit(p.Name) != nil {
		return nil, fail(syscall.EEXIST, "the name is taken")
	}
	classic, f := s.classicFor(p)
	if f != nil {
		return nil, f
	}
	ifp := &Interface{
		driver: p.With, driverName: p.Driver, unit: p.Unit, caps: p.Caps, capsOn: p.CapEnabled,
		serializer: p.Serializer, pollCore: NotPolled, afdata: map[*Domain]any{},
	}
	if ifp.serializer == nil {
		ifp.serializer = new(sync.Mutex)
	}
	s.list = append(s.list, ifp)
	s.last++
	ifp.state = &State{Name: p.Name, Index: s.last, Type: p.Type, Flags: p.Flags, MTU: p.MTU, MAC: slices.Clone(p.MAC)}
	ifp.views = cpu.NewPerCore[View](s.cores + 1)
	s.touched(ifp)
	grown := s.growTable()
	s.table[s.last] = ifp
	ifp.lladdr = s.newLinkAddress(ifp)
	s.round(func(r *Replica) { r.attach(ifp, ifp.lladdr, grown[r.core]) })
	s.handlers(s.cfg.OnAttach, ifp)
	ifp.classic, ifp.queue = classic, classic
	if s.started {
		// An interface that comes before Start is seen to there.
		if f := s.defaultQueue(ifp); f != nil {
			return nil, f
		}
	}
	s.attachDomains(ifp)
	s.announce(ifp, EventAttach, nil)
	return ifp, nil
}

// classicFor returns the classic queue an interface asks for, nil if its driver did
// not say.
func (s *System) classicFor(p Params) (SendQueue, *failure) {
	if p.Queue != nil || p.QueueLimit == 0 {
		return p.Queue, nil
	}
	return newClassic(p.QueueLimit)
}

// growTable doubles the index table if the new last index has no room, and returns
// for each core the larger table it is to use, or nil.
func (s *System) growTable() [][]*View {
	grown := make([][]*View, s.cores+1)
	if s.last < len(s.table) {
		return grown
	}
	limit := 2 * len(s.table)
	s.table = append(make([]*Interface, 0, limit), s.table...)[:limit]
	for i := range grown {
		grown[i] = make([]*View, limit)
	}
	return grown
}

// handlers tells one of the program's handlers.
func (s *System) handlers(fn func(Info), ifp *Interface) {
	if fn != nil {
		fn(s.info(ifp))
	}
}

// Detach removes an interface: if_detach. In this order: the detach handler is told,
// polling ends, the interface goes down, its send queue is emptied and the classic one
// again, its addresses go, the link-level one last, then what protocols hold
// (memberships and Purge), its routes on every core; its departure is announced, domains are
// detached, the index is free, and it is off every core's list. When Detach
// returns no core holds a frame or a pointer of it.
//
// What goes wrong on the way, a driver or a polling registration that fails, is a
// message, and Detach goes on: an interface that is half gone is of no use to
// anybody.
func (s *System) Detach(ctx context.Context, ifp *Interface) error {
	return s.doOn(ctx, "detach", ifp, func() *failure { return s.detach(ifp) })
}

func (s *System) detach(ifp *Interface) *failure {
	name := ifp.state.Name
	warn := func(f *failure) {
		if f != nil {
			s.message(name, true, "%v", f.as("detach", name))
		}
	}
	s.handlers(s.cfg.OnDetach, ifp)
	if ifp.state.Flags&FlagPolling != 0 {
		warn(s.pollOff(ifp))
	}
	warn(s.down(ifp))
	warn(s.dropQueue(ifp))
	ll := ifp.lladdr
	ifp.lladdr = nil
	s.purgeAddrs(ifp)
	s.unlinkAddress(ll)
	s.destroyAddress(ll)
	warn(s.purgeGroups(ifp))
	s.purgeDomains(ifp)
	s.purgeRoutes(ifp)
	s.announce(ifp, EventDetach, nil)
	s.detachDomains(ifp)
	s.table[ifp.state.Index] = nil
	for s.last > 0 && s.table[s.last] == nil {
		s.last--
	}
	s.list = slices.DeleteFunc(s.list, func(o *Interface) bool { return o == ifp })
	s.round(func(r *Replica) { r.detach(ifp) })
	s.cfg.Barrier.Wait()
	ifp.detached = true
	return nil
}

// dropQueue is altq_disable and altq_detach: another discipline gives way to the
// classic one, and nothing is left in either.
func (s *System) dropQueue(ifp *Interface) *failure {
	if user, ok := ifp.driver.(QueueUser); ok {
		if f := s.useQueue(ifp, user, ifp.classic); f != nil {
			return f
		}
	}
	return purge(ifp.queue)
}
