package ifnet

import "net/netip"

// Cores is what a System needs to reach the poll cores: a message that makes the
// round of them. They are numbered from 0; which CPU each one is, is the
// program's affair.
type Cores interface {
	// Len returns the number of cores, which never changes.
	Len() int
	// Round runs visit(0) on core 0 between two bursts, then visit(1) on core 1,
	// and so on, and returns when the last one is done. What visit wrote before
	// is seen by the next core and by the caller. visit is short. A core that has
	// died, or does not run yet, is visited all the same, on another goroutine
	// that then owns what was the core's. Round must not give up half way: a
	// change that some cores have and others have not is what it is there to
	// prevent.
	Round(visit func(core int))
}

// Barrier is what Down and Detach wait for.
type Barrier interface {
	// Wait returns when every core has finished the burst it was in when Wait
	// was called: nobody then holds a frame, or a pointer, that it got before.
	Wait()
}

// Polling is the registration of interfaces with the cores that poll them,
// ether_poll_register and its kin.
type Polling interface {
	// Register begins to poll the interface on a core, or with core −1 on one of
	// its own choice, and returns which. It must not fail half way.
	Register(i Info, core int) (int, error)
	// Deregister ends it. When it returns no core polls the interface.
	Deregister(i Info) error
	// Move lets another core poll an interface that is polled, without losing
	// a frame. If it fails the interface is polled where it was.
	Move(i Info, core int) error
}

// Routes gives a System the route table of each core, rt_tables.
type Routes interface {
	// Table returns the table of core 0 to Len()−1, and for Len() itself the
	// one that control looks things up in. The same core always gets the same
	// table. It is used on that core alone.
	Table(core int) RouteTable
}

// RouteTable is the part of a route table that interfaces need. Its owner is one
// core; dataplane/fib has one.
type RouteTable interface {
	// Add enters a route. One that is there for the same destination is an
	// error that wraps EEXIST.
	Add(dst netip.Prefix, rt Route) error
	// Delete removes the route for exactly that destination and returns it. If
	// there is none the error wraps ESRCH.
	Delete(dst netip.Prefix) (Route, error)
	// Get returns the route for exactly that destination, or nil.
	Get(dst netip.Prefix) *Route
	// Walk calls fn for each route until it returns false. fn may change the
	// route it is given, and must not change the table.
	Walk(fn func(dst netip.Prefix, rt *Route) bool)
}

// Locker is a serializer: what lwkt_serialize is to a driver. *sync.Mutex is one.
type Locker interface {
	// Lock waits until the driver is free.
	Lock()
	// TryLock does not wait, and reports whether the driver was free.
	TryLock() bool
	// Unlock lets the next one in.
	Unlock()
}
