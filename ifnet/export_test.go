package ifnet

import "context"

// Replica returns the replica of a core, to be used where that core is: on the goroutine
// that steps the cores.
func (s *System) Replica(core int) *Replica { return s.replicas.At(core) }

// ContainerOf returns a core's container of an address, control's for Cores().
func ContainerOf(a *Address, core int) *Container { return a.containers.At(core) }

// Freed reports whether the last core has let go of the address.
func Freed(a *Address) bool { return a.containers == nil }

// Refs returns the references a core counts.
func (c *Container) Refs() int { return int(c.refs) }

// Index returns the index table: its size, and the last index in use.
func (s *System) Index() (size, last int) { return len(s.table), s.last }

// Queue returns the interface's send queue.
func (ifp *Interface) Queue() SendQueue { return ifp.queue }

// Timer returns the seconds to the watchdog.
func (ifp *Interface) Timer() int { return ifp.timer }

// Own runs fn with the replica of control.
func (s *System) Own(fn func(r *Replica)) {
	s.turn <- struct{}{}
	defer s.leave()
	s.own.debugBind()
	fn(s.own)
}

// ConfInTurn is Conf for a callback, which has the turn already.
func (s *System) ConfInTurn() []ConfEntry {
	s.leave()
	defer func() { s.turn <- struct{}{} }()
	list := make([]ConfEntry, 100)
	n, _, _ := s.Conf(context.Background(), list)
	return list[:n]
}

// UseAllUnits lets every unit of a kind be out.
func (s *System) UseAllUnits(kind string) {
	for u := range MaxUnit + 1 {
		s.clonerOf(kind).used[u] = true
	}
}

// LinkAtHead gives an interface an address that is the first on its list.
func (s *System) LinkAtHead(ifp *Interface, spec AddrSpec) {
	s.turn <- struct{}{}
	defer s.leave()
	s.own.debugBind()
	s.iflink(s.newIPAddress(ifp, spec), false)
}
