package dataplane

import (
	"context"
	"errors"
	"slices"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Stats is a picture of a dataplane. Each worker's part is exact at one moment
// between two bursts; the moments of different workers differ by microseconds.
type Stats struct {
	// Time is when the picture was taken.
	Time time.Time `json:"time"`
	// Uptime is the time since Run, in seconds.
	Uptime float64 `json:"uptime"`
	// Ports are in order of their numbers.
	Ports []PortStats `json:"ports"`
	// Cores are the workers in order.
	Cores []CoreStats `json:"cores"`
	// Pools are the frame pools with their accounts.
	Pools []PoolStats `json:"pools"`
}

// PortStats are the totals of one port since it was added.
type PortStats struct {
	ID     PortID `json:"id"`
	Name   string `json:"name"`
	Driver string `json:"driver"`
	// Mode is what the driver obtained, empty if it has no modes.
	Mode string `json:"mode"`
	Up   bool   `json:"up"`
	// Unpolled says that no core polls the port: see Unpoll.
	Unpolled bool `json:"unpolled,omitempty"`
	// UnpolledQueues are queues of its interface that frames come to and nobody polls,
	// while others of it are, and Remedy says what to do about them: see pmd.Info.
	UnpolledQueues []int  `json:"unpolled_queues,omitempty"`
	Remedy         string `json:"remedy,omitempty"`
	// Closed says that the port is closed since its worker failed.
	Closed bool `json:"closed,omitempty"`
	// Removed says that the port is no more, and its totals stand still.
	Removed bool `json:"removed,omitempty"`
	// Detail tells why the port is down.
	Detail string `json:"detail,omitempty"`
	MAC    string `json:"mac"`
	MTU    int    `json:"mtu"`
	// Obtained lists settings as the driver obtained them.
	Obtained  map[string]string `json:"obtained,omitempty"`
	RxPackets uint64            `json:"rx_packets"`
	RxBytes   uint64            `json:"rx_bytes"`
	TxPackets uint64            `json:"tx_packets"`
	TxBytes   uint64            `json:"tx_bytes"`
	// Drops counts frames by reason; reasons that never happened are left out.
	Drops map[string]uint64 `json:"drops"`
	// Missed counts frames lost before they were received, by the driver's
	// names.
	Missed map[string]uint64 `json:"missed,omitempty"`
	// Generated counts frames that the stage, or control (SendControl), made for this
	// port itself.
	Generated uint64 `json:"generated,omitempty"`
	// Counters are what stages count of received frames beside drops, by the
	// names of Counter; those that are 0 are left out.
	Counters map[string]uint64 `json:"counters,omitempty"`
	// InHand is the number of frames on their way out: in transmit buffers, on
	// the send queue, or taken by the device and not sent yet.
	InHand uint64       `json:"in_hand"`
	Queues []QueueStats `json:"queues"`
}

// QueueStats are the totals of one queue.
type QueueStats struct {
	Index int `json:"index"`
	// CPU is the CPU that polls it, -1 if it is not pinned or nobody does.
	CPU int `json:"cpu"`
	// Worker is the number of the worker that polls it, -1 if nobody does.
	Worker    int    `json:"worker"`
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	InFlight  uint64 `json:"in_flight"`
	// Wakeups counts system calls made to make the kernel work.
	Wakeups uint64 `json:"wakeups"`
	// TxStamps is nil if no packet was to be stamped when it is sent.
	TxStamps *TxStamps `json:"tx_stamps,omitempty"`
}

// TxStamps are the time stamps of packets that a queue has sent, since it was opened.
type TxStamps struct {
	// Asked is how many packets were to be stamped, Stamped how many were.
	Asked   uint64 `json:"asked"`
	Stamped uint64 `json:"stamped"`
	// LastNs is the latest stamp, in nanoseconds of the clock that stamps.
	LastNs uint64 `json:"last_ns"`
	// MinNs, MeanNs and MaxNs are the delay from the driver to the stamp, in nanoseconds,
	// 0 if the stamps are of a clock that cannot be compared.
	MinNs  uint64 `json:"min_ns"`
	MeanNs uint64 `json:"mean_ns"`
	MaxNs  uint64 `json:"max_ns"`
}

// txStamps are s, nil if there are none.
func txStamps(s pmd.TxStamps) *TxStamps {
	if s.Asked == 0 {
		return nil
	}
	t := &TxStamps{Asked: s.Asked, Stamped: s.Stamped, LastNs: s.Last, MinNs: s.Min, MaxNs: s.Max}
	if s.Delays > 0 {
		t.MeanNs = s.Sum / s.Delays
	}
	return t
}

// CoreStats tell how one worker spends its time.
type CoreStats struct {
	Worker int `json:"worker"`
	// CPU is -1 if the worker is not pinned.
	CPU int `json:"cpu"`
	// State is "running", "stopped" or "failed".
	State string `json:"state"`
	// Turns and EmptyTurns count rounds of the poll loop, and those without a
	// frame.
	Turns      uint64 `json:"turns"`
	EmptyTurns uint64 `json:"empty_turns"`
	// Busy is the share of time spent in turns that moved frames, 0 to 1,
	// since the worker started.
	Busy float64 `json:"busy"`
	// BusyNs and TotalNs are the times Busy is the quotient of, in
	// nanoseconds: their differences give the share over an interval.
	BusyNs  uint64 `json:"busy_ns"`
	TotalNs uint64 `json:"total_ns"`
	// MaxTurnNs is the longest turn since the worker started or ResetMaxTurn,
	// in nanoseconds: the longest pause of this core.
	MaxTurnNs uint64 `json:"max_turn_ns"`
	// Moves counts how often the worker had to change its thread: see
	// cpu.Pinned.Yield. It is rare, and costs some microseconds.
	Moves uint64 `json:"moves"`
	// Sleeps counts how often the core slept, SleepNs for how long, in
	// nanoseconds: it is part of TotalNs, and of no turn.
	Sleeps  uint64 `json:"sleeps"`
	SleepNs uint64 `json:"sleep_ns"`
	// Copies counts frames copied from one pool to another.
	Copies uint64 `json:"copies"`
	// Cycles is what the core's cycles are spent on.
	Cycles Cycles `json:"cycles"`
	// Poll is the scheduling model: its tunables, state and statistics.
	Poll PollState `json:"poll"`
	// Held is the number of frames that the stage holds on this core. Over all
	// ports and cores, received + generated = sent + dropped + in hand + held.
	Held uint64 `json:"held"`
}

// PoolStats is a pool and its account.
type PoolStats struct {
	mbuf.Account
	// FrameSize is in bytes.
	FrameSize int    `json:"frame_size"`
	Pages     string `json:"pages"`
	// Owners counts frames by owner.
	Owners map[string]int `json:"owners"`
}

// workerSnapshot is one worker's part, filled on the worker without allocating.
type workerSnapshot struct {
	turns, empty, busy, total, maxTurn, copies uint64
	held, moves, sleeps, slept                 uint64
	cycles                                     Cycles
	poll                                       PollState
	stopped, failed                            bool
	drops                                      [][pmd.MaxReasons]uint64 // by port
	generated                                  []uint64                 // by port
	counts                                     [][NumCounters]uint64    // by port
	waiting                                    []uint64                 // by port: frames in buffers
	queues                                     []queueSnapshot
	n                                          int
}

type queueSnapshot struct {
	port  PortID
	index int
	c     pmd.QueueCounters
}

func (w *Worker) snapshot(s *workerSnapshot) {
	s.n = 0
	s.turns, s.empty, s.busy, s.maxTurn, s.copies = w.turns, w.emptyTurns, w.busyCycles, w.maxTurn, w.copies
	s.total = w.lastCycles - w.startCycles
	s.held, s.moves = 0, w.moves
	s.sleeps, s.slept = w.sleep.sleeps, w.sleep.slept
	if h, ok := w.stage.(FrameHolder); ok {
		s.held = uint64(h.Held(w))
	}
	s.poll = w.poll.state(len(w.handlers))
	sp := &w.spent
	s.cycles = Cycles{
		Turns: sp.turns, Packets: sp.packets, Receive: sp.receive, Stage: sp.stage, Transmit: sp.transmit, Idle: sp.idle, Control: sp.ctl,
	}
	s.stopped, s.failed = w.unmanned.Load(), w.failed
	for i := range w.tx {
		s.drops[i], s.generated[i], s.counts[i] = w.tx[i].drops, w.tx[i].generated, w.tx[i].counts
		t := &w.tx[i]
		s.waiting[i] = w.packets(t.buf[:t.n]) + w.packets(t.hold[:t.held])
	}
	for _, r := range w.rx {
		s.queues[s.n] = queueSnapshot{r.port, r.index, r.q.Counters()}
		s.n++
	}
}

// Stats returns the counters of everything. A worker that does not answer until
// ctx is done is an error. Workers are asked one after the other, so a frame on
// its way between two of them may be in neither's part; StatsWithAccounts has all
// of them at one moment.
func (d *Dataplane) Stats(ctx context.Context) (*Stats, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.newPicture()
	err := d.closedError()
	for i, w := range d.workers {
		err = errors.Join(err, d.do(ctx, w, func(w *Worker) { w.snapshot(&p.workers[i]) }))
	}
	for i, port := range d.ports {
		p.lost[i] = port.lostFrames()
		if port.send == nil {
			continue
		}
		n := uint64(port.send.Len())
		if n > 0 && d.multi() { // frames that are fewer packets: only who drains may look
			err = errors.Join(err, d.do(ctx, port.drainer.Load(), func(*Worker) { n = port.waiting() }))
		}
		p.send[i] = n
	}
	if err != nil {
		return nil, err
	}
	p.time = time.Now()
	return d.stats(ctx, p), nil
}

// multi reports whether packets may have several frames.
func (d *Dataplane) multi() bool {
	return slices.ContainsFunc(d.ports, func(p *port) bool { return p.pool.MultiBuffer() })
}

// StatsWithAccounts is Stats with the accounts of the pools, see Accounts. All of
// it is taken while the workers stand still: it balances exactly.
func (d *Dataplane) StatsWithAccounts(ctx context.Context) (*Stats, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.newPicture()
	pools := d.space.Pools() // once: a driver may make another one meanwhile
	accounts, err := d.accounts(pools, func() {
		for i, w := range d.workers {
			w.snapshot(&p.workers[i])
		}
		for i, port := range d.ports {
			p.send[i], p.lost[i] = port.waiting(), port.lostFrames()
		}
		p.time = time.Now()
	})
	if err != nil {
		return nil, err
	}
	s := d.stats(ctx, p)
	for i, pool := range pools {
		p := PoolStats{Account: accounts[i], FrameSize: pool.FrameSize(), Pages: pool.Pages(), Owners: map[string]int{}}
		for o, n := range accounts[i].ByOwner {
			if n > 0 {
				p.Owners[mbuf.Owner(o).String()] = n
			}
		}
		s.Pools = append(s.Pools, p)
	}
	return s, nil
}

// picture is what statistics are made of.
type picture struct {
	time    time.Time
	workers []workerSnapshot
	send    []uint64 // packets in the send queue, by port
	lost    []uint64 // frames that its disciplines took and dropped, by port
}

// newPicture makes room for a picture, so that taking it allocates nothing.
func (d *Dataplane) newPicture() *picture {
	nq := 0
	for _, p := range d.ports {
		nq += len(p.owners)
	}
	p := &picture{workers: make([]workerSnapshot, len(d.workers)), send: make([]uint64, len(d.ports)), lost: make([]uint64, len(d.ports))}
	for i := range p.workers {
		p.workers[i] = workerSnapshot{
			drops:     make([][pmd.MaxReasons]uint64, len(d.ports)),
			generated: make([]uint64, len(d.ports)),
			counts:    make([][NumCounters]uint64, len(d.ports)),
			waiting:   make([]uint64, len(d.ports)),
			queues:    make([]queueSnapshot, nq),
		}
	}
	return p
}

// stats makes statistics of a picture.
func (d *Dataplane) stats(ctx context.Context, p *picture) *Stats {
	s := &Stats{Time: p.time, Ports: []PortStats{}, Pools: []PoolStats{}}
	if !d.started.IsZero() {
		s.Uptime = s.Time.Sub(d.started).Seconds()
	}
	for i := range p.workers {
		s.Cores = append(s.Cores, d.coreStats(d.workers[i], &p.workers[i]))
	}
	for _, port := range d.ports {
		s.Ports = append(s.Ports, d.portStats(ctx, port, p))
	}
	return s
}

// closedError is ErrClosed after Close.
func (d *Dataplane) closedError() error {
	if d.closed {
		return ErrClosed
	}
	return nil
}

func (d *Dataplane) coreStats(w *Worker, snap *workerSnapshot) CoreStats {
	ns := func(cycles uint64) uint64 { return uint64(d.clock.Duration(cycles)) }
	c := CoreStats{
		Worker: w.id, CPU: w.cpu, State: "running", Turns: snap.turns, EmptyTurns: snap.empty,
		BusyNs: ns(snap.busy), TotalNs: ns(snap.total), MaxTurnNs: ns(snap.maxTurn), Copies: snap.copies, Held: snap.held, Moves: snap.moves,
		Sleeps: snap.sleeps, SleepNs: ns(snap.slept), Cycles: snap.cycles, Poll: snap.poll,
	}
	switch {
	case snap.failed:
		c.State = "failed"
	case snap.stopped:
		c.State = "stopped"
	}
	if snap.total > 0 {
		c.Busy = float64(snap.busy) / float64(snap.total)
	}
	return c
}

func (d *Dataplane) portStats(ctx context.Context, p *port, pic *picture) PortStats {
	snaps := pic.workers
	info := p.info
	if !p.gone {
		info = p.dev.Info()
	}
	s := PortStats{
		ID: p.id, Name: p.info.Name, Driver: info.Driver, Mode: info.Mode, Up: info.Up, Unpolled: !p.polled() && !p.gone, UnpolledQueues: info.Unpolled, Remedy: info.Remedy, Closed: p.gone && !p.removed, Removed: p.removed, Detail: info.Detail,
		MAC: info.MAC.String(), MTU: info.MTU, Obtained: info.Obtained,
		Drops: map[string]uint64{}, Queues: []QueueStats{}, InHand: pic.send[p.id],
	}
	var drops [pmd.MaxReasons]uint64
	drops[pmd.ReasonSendQueueFull] = pic.lost[p.id]
	var counts [NumCounters]uint64
	queues := make([]QueueStats, len(p.owners))
	counted := make([]bool, len(p.owners))
	add := func(i, worker, cpuID int, c pmd.QueueCounters) {
		counted[i] = true
		queues[i] = QueueStats{
			Index: i, CPU: cpuID, Worker: worker, RxPackets: c.RxPackets, RxBytes: c.RxBytes,
			TxPackets: c.TxPackets, TxBytes: c.TxBytes, InFlight: c.InFlight, Wakeups: c.Wakeups, TxStamps: txStamps(c.TxStamps),
		}
		for r, n := range c.Drops {
			drops[r] += n
		}
	}
	for i := range snaps {
		snap := &snaps[i]
		s.InHand += snap.waiting[p.id]
		s.Generated += snap.generated[p.id]
		for r, n := range snap.drops[p.id] {
			drops[r] += n
		}
		for c, n := range snap.counts[p.id] {
			counts[c] += n
		}
		for _, q := range snap.queues[:snap.n] {
			if q.port == p.id {
				add(q.index, i, d.workers[i].cpu, q.c)
			}
		}
	}
	for i, q := range p.dev.Queues() {
		if !counted[i] {
			// Nobody owns it: its totals stand still, but for its device's.
			d.ownMu.Lock()
			c := q.Counters()
			d.ownMu.Unlock()
			add(i, -1, Unpinned, c)
		}
		if m, ok := q.(pmd.Missed); ok && !p.gone {
			d.addMissed(ctx, p, i, m, &s)
		}
	}
	for _, q := range queues {
		s.RxPackets += q.RxPackets
		s.RxBytes += q.RxBytes
		s.TxPackets += q.TxPackets
		s.TxBytes += q.TxBytes
		s.InHand += q.InFlight
	}
	s.Queues = queues
	for r, n := range drops {
		if n > 0 {
			s.Drops[d.ReasonName(pmd.Reason(r))] += n
		}
	}
	for c, n := range counts {
		if n > 0 {
			if s.Counters == nil {
				s.Counters = map[string]uint64{}
			}
			s.Counters[Counter(c).String()] = n
		}
	}
	return s
}

// addMissed asks a queue what was lost in front of it, on its owner if it has one.
func (d *Dataplane) addMissed(ctx context.Context, p *port, i int, m pmd.Missed, s *PortStats) {
	var missed map[string]uint64
	if !p.polled() {
		d.ownMu.Lock()
		missed = m.Missed()
		d.ownMu.Unlock()
	} else if err := d.do(ctx, d.workers[p.owners[i]], func(*Worker) { missed = m.Missed() }); err != nil {
		return
	}
	for k, n := range missed {
		if n > 0 {
			if s.Missed == nil {
				s.Missed = map[string]uint64{}
			}
			s.Missed[k] += n
		}
	}
}

// ReasonName returns the name of a drop reason, the program's own included.
func (d *Dataplane) ReasonName(r pmd.Reason) string {
	if i := int(r) - int(pmd.ReasonUser); i >= 0 && i < len(d.cfg.Reasons) {
		return d.cfg.Reasons[i]
	}
	return r.String()
}

// ResetMaxTurn starts the search for the longest turn anew on every worker.
func (d *Dataplane) ResetMaxTurn(ctx context.Context) error {
	for _, w := range d.workers {
		if err := d.do(ctx, w, func(w *Worker) { w.maxTurn = 0 }); err != nil {
			return err
		}
	}
	return nil
}
