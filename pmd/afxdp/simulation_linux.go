package afxdp

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp/internal/xsk"
)

// simulationBurst is how many packets the NIC moves before it tells.
const simulationBurst = 64

// NewSimulation opens ports whose rings are in ordinary memory, and a goroutine on a CPU of
// its own that plays the kernel and a NIC with zero-copy: it receives packets as fast as
// chunks are posted, and sends what is there. Nothing but the code of this package and
// of the rings is at work, so what it takes on a poll core is what AF_XDP costs
// there without a kernel. No byte of a packet is written: they hold what the pool holds.
//
// The goroutine ends when the last port is closed. Errors name the step.
func NewSimulation(cfg SimulationConfig, env pmd.Env) ([]pmd.Device, error) {
	if cfg.Ports == 0 {
		cfg.Ports = 2
	}
	if cfg.Size == 0 {
		cfg.Size = 60
	}
	if cfg.Ring == 0 {
		cfg.Ring = defaultRing
	}
	pool, err := env.Pool(pmd.Class{NUMANode: -1, ZeroCopy: true})
	if err != nil {
		return nil, fmt.Errorf("afxdp: simulation: %w", err)
	}
	if cfg.Size < 60 || cfg.Size > pool.MaxLen() {
		return nil, fmt.Errorf("afxdp: simulation: packets of %d bytes: use 60 to %d", cfg.Size, pool.MaxLen())
	}
	s := &simulation{size: uint32(cfg.Size)}
	for i := range cfg.Ports {
		n := uint32(cfg.Ring)
		side, err := xsk.NewSim(xsk.SimConfig{
			Mem: pool.Mem(), FrameSize: uint32(pool.FrameSize()), Headroom: uint32(pool.Headroom()),
			RxRing: n, TxRing: n, FillRing: n, CompRing: n, Polls: true,
		})
		if err != nil {
			return nil, fmt.Errorf("afxdp: simulation: %w", err)
		}
		q := newQueue(pool, cfg.Ring)
		q.rings, q.manner = side.Rings(), manner{zeroCopy: true, needWakeup: true}
		q.setMTU(pool.MaxLen() - vlanHeader)
		s.ports = append(s.ports, &simulatedPort{name: fmt.Sprintf("sim%d", i), queue: q, side: side, left: make(chan struct{})})
	}
	started := make(chan error)
	go s.run(cfg.CPU, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("afxdp: simulation: %w", err)
	}
	ports := make([]pmd.Device, cfg.Ports)
	for i, p := range s.ports {
		ports[i] = p
	}
	return ports, nil
}

// simulation is the kernel's side of some ports.
type simulation struct {
	ports []*simulatedPort
	size  uint32
}

// run plays the kernel until all ports are closed.
func (s *simulation) run(id int, started chan<- error) {
	pinned, err := cpu.Pin(id)
	started <- err
	if err != nil {
		return
	}
	// It is not released: the thread ends with the goroutine, and takes with it what others
	// may have noted of its affinity meanwhile.
	open := slices.Clone(s.ports)
	for n := 0; len(open) > 0; n++ {
		for i, p := range open {
			if p.closing.Load() { // pairs with the Store in Close
				close(p.left)
				open = slices.Delete(open, i, i+1)
				break
			}
			p.side.Turn(simulationBurst, s.size)
		}
		if n&0xffff == 0xffff {
			pinned.Yield() // some milliseconds: see cpu.Pinned.Yield
		}
	}
}

// simulatedPort is a port of a simulation.
type simulatedPort struct {
	name  string
	queue *queue
	side  *xsk.Sim // the simulation's goroutine's
	// closing asks the goroutine to leave the port; left is closed when it has.
	closing atomic.Bool
	left    chan struct{}
	once    sync.Once
}

// Info implements pmd.Device.
func (p *simulatedPort) Info() pmd.Info {
	return pmd.Info{
		Name: p.name, Driver: "afxdp", Mode: "simulated", MAC: pmd.LocalMAC("afxdp", p.name),
		MTU: p.queue.pool.MaxLen() - vlanHeader, NUMANode: -1, Up: !p.closing.Load(),
	}
}

// Queues implements pmd.Device.
func (p *simulatedPort) Queues() []pmd.Queue { return []pmd.Queue{p.queue} }

// Close implements pmd.Device.
func (p *simulatedPort) Close() error {
	p.once.Do(func() {
		p.closing.Store(true)
		<-p.left
		q := p.queue
		q.quarantine.Merge(q.rxPosted)
		q.quarantine.Merge(q.txPosted)
		q.release()
	})
	return nil
}
