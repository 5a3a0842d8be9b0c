package ifnet

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.org/pmd/cpu"
)

// Limits and defaults.
const (
	// MinMTU and MaxMTU bound the MTU of an interface in bytes, IF_MINMTU and
	// IF_MAXMTU.
	MinMTU = 72
	MaxMTU = 65535
	// DefaultSendQueue is the limit of a send queue in frames when the driver sets
	// none, IFQ_MAXLEN.
	DefaultSendQueue = 50
	// SlowHz is how often the watchdogs' countdown runs in a second, IFNET_SLOWHZ.
	SlowHz = 1
	// firstIndexLimit is how many indices the first index table has room for.
	firstIndexLimit = 8
	// firstRoom is how many addresses of each family a replica has room for at
	// first.
	firstRoom = 16
)

// Config says what a System works with. The zero value makes one without cores: an
// interface layer that only control looks at.
type Config struct {
	// Cores reaches the poll cores. Default: there are none.
	Cores Cores
	// Barrier is waited for by Down and Detach. Default: one more round of the
	// cores, which between two bursts finds each core past the one before.
	Barrier Barrier
	// Polling registers interfaces for polling. Default: calls that need it
	// are EOPNOTSUPP.
	Polling Polling
	// Routes has the route tables. Default: none, and addresses have no routes.
	Routes Routes
	// Domains are the protocols that are there from the start. See AttachDomain.
	Domains []Domain
	// Cloners are the kinds of interfaces that can be created by name.
	Cloners []Cloner
	// OnAttach and OnDetach are told before anybody else that an interface has
	// come or is about to go, the ifnet_attach_event and ifnet_detach_event
	// handlers. A rename is both. They must not call the System.
	OnAttach, OnDetach func(Info)
	// OnMessage is given what the seed logs. It must not call the System.
	OnMessage func(Message)
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Message is a line for the log, if_printf.
type Message struct {
	// Interface is the name the line is about, empty if it is about none. A log
	// with attributes has it as one.
	Interface string
	// Warning is set for what somebody should look at.
	Warning bool
	// Text is for a person.
	Text string
}

// System is an interface layer: the interfaces there are, and every core's replica of
// them. Make one with New. Its methods, and those of its Controls, may be called from
// any goroutine; they take turns, so what one does is done when the next begins.
type System struct {
	cfg   Config
	cores int

	replicas *cpu.PerCore[Replica]
	own      *Replica // control's, numbered like one core more

	// turn holds a token while somebody changes or reads what follows.
	turn   chan struct{}
	closed bool

	list     []*Interface // in the order of attachment
	table    []*Interface // by index, ifindex2ifnet
	last     int          // the highest index in use, if_index
	addrs    [2]int       // how many IPv4 and IPv6 addresses there are
	room     [2]int       // how many each replica has room for
	domains  []*Domain
	cloners  []*cloner
	started  bool
	stopSlow func() // ends the slow timer and waits for it

	// addresses counts addresses that some core has not let go of. Whoever is
	// last takes one off; it pairs with the load in Addresses.
	addresses atomic.Int64

	hub hub
}

// New makes a System. An error names the field of cfg that is wrong.
func New(cfg Config) (*System, error) {
	s := &System{turn: make(chan struct{}, 1), table: make([]*Interface, firstIndexLimit), room: [2]int{firstRoom, firstRoom}}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Cores == nil {
		cfg.Cores = noCores{}
	}
	if cfg.Barrier == nil {
		cfg.Barrier = roundBarrier{cfg.Cores}
	}
	s.cfg, s.cores = cfg, cfg.Cores.Len()
	if s.cores < 0 {
		return nil, fmt.Errorf("ifnet: Config.Cores: %d cores", s.cores)
	}
	for _, d := range cfg.Domains {
		s.domains = append(s.domains, &d)
	}
	for _, c := range cfg.Cloners {
		if err := s.addCloner(c); err != nil {
			return nil, err
		}
	}
	// The replicas are the cores' from the first message on; until then nobody
	// has them. This is ifaddrinit, but for the message ports, which are the cores' own.
	s.replicas = cpu.NewPerCore[Replica](s.cores + 1)
	for i, r := range s.replicas.All() {
		r.core, r.tables, r.index = i, newTables(firstRoom, firstRoom), make([]*View, firstIndexLimit)
		if cfg.Routes != nil {
			r.routes = cfg.Routes.Table(i)
		}
	}
	s.own = s.replicas.At(s.cores)
	return s, nil
}

// noCores is a system without poll cores.
type noCores struct{}

func (noCores) Len() int        { return 0 }
func (noCores) Round(func(int)) {}

// roundBarrier waits for a round of the cores.
type roundBarrier struct{ cores Cores }

func (b roundBarrier) Wait() { b.cores.Round(func(int) {}) }

// enter waits for the caller's turn. leave ends it.
func (s *System) enter(ctx context.Context) *failure {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return &failure{text: "others were at it until the caller gave up", cause: ctx.Err()}
	}
	if err := ctx.Err(); err != nil {
		s.leave()
		return &failure{text: "nothing was begun", cause: err}
	}
	if s.closed {
		s.leave()
		return fail(syscall.ENXIO, "the interface layer has been closed")
	}
	s.own.debugBind()
	return nil
}

func (s *System) leave() { <-s.turn }

// do runs fn in turn and completes its error.
func (s *System) do(ctx context.Context, call, name string, fn func() *failure) error {
	if f := s.enter(ctx); f != nil {
		return f.as(call, name)
	}
	defer s.leave()
	return fn().as(call, name)
}

// round lets each core, and then control, change its own replica. It is the one way
// in which anything that cores can see changes.
func (s *System) round(visit func(r *Replica)) {
	s.cfg.Cores.Round(func(core int) {
		r := s.replicas.At(core)
		r.debugBind()
		visit(r)
	})
	visit(s.own)
}

// Bind gives every core its replica: fn runs on each in turn, between two bursts, and
// may keep what it is given for that core's use. It is how the packet path gets
// at addresses.
func (s *System) Bind(fn func(core int, r *Replica)) {
	s.cfg.Cores.Round(func(core int) {
		r := s.replicas.At(core)
		r.debugBind()
		fn(core, r)
	})
}

// Cores returns the number of cores.
func (s *System) Cores() int { return s.cores }

// Addresses returns how many addresses there are that not every core has let go of,
// link-level ones included. It is for tests and for statistics.
func (s *System) Addresses() int { return int(s.addresses.Load()) }

// reserve sees to it that every replica has room for n4 and n6 more addresses. New
// tables are made here, so that no core has to allocate.
func (s *System) reserve(n4, n6 int) {
	n4, n6 = s.addrs[0]+n4, s.addrs[1]+n6
	if n4 <= s.room[0] && n6 <= s.room[1] {
		return
	}
	for s.room[0] < n4 {
		s.room[0] *= 2
	}
	for s.room[1] < n6 {
		s.room[1] *= 2
	}
	fresh := make([]tables, s.cores+1)
	for i := range fresh {
		fresh[i] = newTables(s.room[0], s.room[1])
	}
	s.round(func(r *Replica) {
		r.tables = fresh[r.core]
		r.rebuild()
	})
}

// message passes a line on for the log.
func (s *System) message(name string, warning bool, format string, args ...any) {
	if s.cfg.OnMessage != nil {
		s.cfg.OnMessage(Message{name, warning, fmt.Sprintf(format, args...)})
	}
}

// Start begins the slow timer, and gives interfaces that came without a limit for
// their send queue the default one, with a warning: ifinit. Interfaces that come
// later are seen to as they come. Starting twice is harmless.
func (s *System) Start(ctx context.Context) error {
	return s.do(ctx, "start", "", func() *failure {
		if s.started {
			return nil
		}
		s.started = true
		for _, ifp := range s.list {
			if f := s.defaultQueue(ifp); f != nil {
				return f
			}
		}
		stop, done := make(chan struct{}), make(chan struct{})
		go s.slowLoop(stop, done)
		s.stopSlow = sync.OnceFunc(func() {
			close(stop)
			<-done
		})
		return nil
	})
}

// slowLoop is the callout of if_slowtimo.
func (s *System) slowLoop(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	t := time.NewTicker(time.Second / SlowHz)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			s.SlowTimeout()
		}
	}
}

// Close detaches every interface, the last one first, and ends the timer and all
// listeners. Whatever is called afterwards fails with ENXIO.
func (s *System) Close() error {
	ctx := context.Background()
	var stop func()
	err := s.do(ctx, "close", "", func() *failure {
		for len(s.list) > 0 {
			if f := s.detach(s.list[len(s.list)-1]); f != nil {
				return f
			}
		}
		s.closed, stop = true, s.stopSlow
		return nil
	})
	if stop != nil {
		stop() // not in turn: the timer may be waiting for its own
	}
	if err == nil {
		s.hub.close()
	}
	return err
}
