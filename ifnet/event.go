package ifnet

import (
	"context"
	"errors"
	"sync"
	"time"
)

// EventKind says what an Event is about.
type EventKind string

// The kinds. The comment names the routing message that the seed sends.
const (
	EventAttach     EventKind = "attach"      // an interface has arrived (RTM_IFANNOUNCE)
	EventDetach     EventKind = "detach"      // an interface has departed (RTM_IFANNOUNCE)
	EventRename     EventKind = "rename"      // between the departure of the old name and the arrival of the new
	EventUp         EventKind = "up"          // FlagUp was set (RTM_IFINFO)
	EventDown       EventKind = "down"        // FlagUp was cleared (RTM_IFINFO)
	EventLink       EventKind = "link"        // the link's state changed (RTM_IFINFO)
	EventChange     EventKind = "change"      // MTU, flags, MAC or polling changed (RTM_IFINFO)
	EventAddrAdd    EventKind = "addr_add"    // an address is there (RTM_NEWADDR)
	EventAddrDel    EventKind = "addr_del"    // an address is gone (RTM_DELADDR)
	EventGroupJoin  EventKind = "group_join"  // a membership is there (RTM_NEWMADDR)
	EventGroupLeave EventKind = "group_leave" // a membership is gone (RTM_DELMADDR)
	EventRouteAdd   EventKind = "route_add"   // a route is there (RTM_ADD)
	EventRouteDel   EventKind = "route_del"   // a route is gone (RTM_DELETE)
	EventLost       EventKind = "lost"        // Lost events were not told to this listener
)

// Event tells of one change. It is a copy and the listener's.
type Event struct {
	// Seq counts events from 1, without a gap but for those lost.
	Seq uint64 `json:"seq"`
	// Time is when it happened.
	Time time.Time `json:"time"`
	Kind EventKind `json:"kind"`
	// Interface and Index are those of the interface, Interface empty if none is
	// concerned.
	Interface string `json:"interface,omitempty"`
	Index     int    `json:"index,omitempty"`
	// Old is the name before a rename.
	Old string `json:"old,omitempty"`
	// Flags, MTU, MAC and Link are as they are after the change.
	Flags string `json:"flags,omitempty"`
	MTU   int    `json:"mtu,omitempty"`
	MAC   string `json:"mac,omitempty"`
	Link  string `json:"link,omitempty"`
	// Address is that of an address event, Group that of a membership event, Route
	// the destination of a route event.
	Address string `json:"address,omitempty"`
	Group   string `json:"group,omitempty"`
	Route   string `json:"route,omitempty"`
	// Text is for a person; the events of this package have none.
	Text string `json:"text,omitempty"`
	// Lost is how many events an EventLost stands for.
	Lost uint64 `json:"lost,omitempty"`
}

// announce tells every listener of a change of an interface. fill adds what the kind
// has; it may be nil.
func (s *System) announce(ifp *Interface, kind EventKind, fill func(*Event)) {
	st := ifp.state
	e := Event{Time: s.cfg.Now(), Kind: kind, Interface: st.Name, Index: st.Index, Flags: st.Flags.String(),
		MTU: st.MTU, MAC: st.MAC.String(), Link: ifp.link.String()}
	if fill != nil {
		fill(&e)
	}
	s.hub.publish(e)
}

// Announce tells every listener of something that is the program's own, in its place
// among the events of the System. Its Seq, and a zero Time, are filled in. It never blocks
// and may be called from anywhere.
func (s *System) Announce(e Event) {
	if e.Time.IsZero() {
		e.Time = s.cfg.Now()
	}
	s.hub.publish(e)
}

// ErrClosed is what Next returns once the System or the Listener is closed and every
// event before that has been told.
var ErrClosed = errors.New("ifnet: no more events")

// DefaultEvents is how many events wait for a listener that does not say.
const DefaultEvents = 256

// hub hands events to listeners.
type hub struct {
	mu        sync.Mutex
	seq       uint64
	listeners map[*Listener]struct{}
	closed    bool
}

// publish never blocks: a listener that is full loses its oldest.
func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	e.Seq = h.seq
	for l := range h.listeners {
		l.put(e)
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for l := range h.listeners {
		close(l.end)
	}
	h.listeners = nil
}

// Listener follows the events of a System, from when it began to. It belongs to one
// goroutine; any number of listeners can follow.
type Listener struct {
	hub  *hub
	wake chan struct{} // holds a token if there is something to read
	end  chan struct{} // closed when nothing more will come

	mu   sync.Mutex
	ring []Event // room for all that may wait
	from int     // the oldest
	n    int     // how many wait
	lost uint64
}

// Listen begins to follow events. Up to room of them wait for a listener that is slow, 1
// to 65536, 0 takes DefaultEvents; then it loses the oldest, and is told how many.
func (s *System) Listen(room int) *Listener {
	if room <= 0 {
		room = DefaultEvents
	}
	l := &Listener{hub: &s.hub, wake: make(chan struct{}, 1), end: make(chan struct{}), ring: make([]Event, min(room, 1<<16))}
	h := &s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(l.end)
		return l
	}
	if h.listeners == nil {
		h.listeners = map[*Listener]struct{}{}
	}
	h.listeners[l] = struct{}{}
	return l
}

func (l *Listener) put(e Event) {
	l.mu.Lock()
	if l.n == len(l.ring) {
		l.from, l.n = (l.from+1)%len(l.ring), l.n-1
		l.lost++
	}
	l.ring[(l.from+l.n)%len(l.ring)] = e
	l.n++
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take returns the next event that waits.
func (l *Listener) take() (e Event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.lost > 0:
		e = Event{Time: l.ring[l.from].Time, Kind: EventLost, Lost: l.lost}
		l.lost = 0
		return e, true
	case l.n == 0:
		return e, false
	}
	e, l.ring[l.from] = l.ring[l.from], Event{}
	l.from, l.n = (l.from+1)%len(l.ring), l.n-1
	return e, true
}

// Next returns the next event, waiting for it. An event of kind EventLost comes in the
// place of those that were lost. The error is that of ctx, or ErrClosed.
func (l *Listener) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := l.take(); ok {
			return e, nil
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		case <-l.end:
			if e, ok := l.take(); ok { // it came between the look and the end
				return e, nil
			}
			return Event{}, ErrClosed
		}
	}
}

// Close ends the listener. Closing twice is harmless.
func (l *Listener) Close() {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if _, ok := l.hub.listeners[l]; ok {
		delete(l.hub.listeners, l)
		close(l.end)
	}
}
