package dataplane

import (
	"sync"
	"sync/atomic"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/queue"

	xcpu "golang.org/x/sys/cpu"
)

// Worker is one poll core. Everything in it but the mailbox belongs to the
// goroutine that runs it; other goroutines reach it by Dataplane.Do.
type Worker struct {
	// Hot: every turn. The burst comes first, so that it begins on a cache line.
	burst    [pmd.MaxBurst]mbuf.Frame
	one      [1]mbuf.Frame
	stage    Stage
	gen      Generator // stage, if it is one
	handlers []rxQueue // the queues that are polled: rx, or none if disabled
	tx       []txPort  // by PortID
	open     []PortID  // the ports that are not closed, in order: what a turn looks at
	local    *mbuf.Local
	poll     poller
	inHand   int  // frames of burst that the stage is working on
	fetched  byte // so that fetch's loads are not left out
	stopping bool
	many     bool // other workers exist: send queues must be looked at
	// multi: packets may have several frames, of one pool at least. screens: the
	// stage knows nothing of that.
	multi, screens bool
	_              xcpu.CacheLinePad

	// Statistics, written every turn, read by message.
	turns, emptyTurns uint64
	busyCycles        uint64
	lastCycles        uint64
	startCycles       uint64
	maxTurn           uint64
	copies            uint64
	spent             spent
	_                 xcpu.CacheLinePad

	// Control.
	id, cpu int
	mail    mailbox
	bell    *queue.Bell // wakes the worker while it sleeps
	answers *answers    // of the dataplane: where answered mail goes
	sleep   sleeper
	rx      []rxQueue // the queues that the worker owns
	clock   cpu.Clock
	// pinned is nil for a worker that is not pinned.
	pinned *cpu.Pinned
	// slice is how many cycles the worker runs between two yields, sliceStart
	// when it last did.
	slice, sliceStart uint64
	moves             uint64
	// spill takes frames that were copied to another pool, see passMixed. It is
	// there if multi. spilled of them have been and are on their way.
	spill   []mbuf.Frame
	spilled int
	line    []byte // see Gather
	_       xcpu.CacheLinePad

	// unmanned is true while no goroutine runs the worker; its mail is then
	// served by whoever sends it, one at a time under serveMu.
	unmanned atomic.Bool
	serveMu  sync.Mutex
	failed   bool
}

// rxQueue is a receive queue that the worker owns.
type rxQueue struct {
	q    pmd.Queue
	port PortID
	// multi: packets may have several frames.
	multi bool
	// index is the queue's number within its port.
	index int
	// wait and arm are q, as far as it can wake who sleeps; else nil.
	wait pmd.Waiter
	arm  pmd.Armer
}

// newRxQueue makes an entry of a worker's table.
func newRxQueue(q pmd.Queue, port PortID, index int) rxQueue {
	r := rxQueue{q: q, port: port, index: index, multi: q.Pool().MultiBuffer()}
	r.wait, _ = q.(pmd.Waiter)
	r.arm, _ = q.(pmd.Armer)
	return r
}

// txPort is the worker's way to a port.
type txPort struct {
	// direct is where frames for the port go: the queue that this worker owns,
	// or nil if they go over the port's send queue.
	direct pmd.Queue
	// q is a queue of the port that this worker owns, the one it has had for
	// longest, nil if it owns none. Where q is set and direct is not, frames take
	// the send queue until those sent that way earlier have left it: see move.go.
	q pmd.Queue
	// up is false while the port cannot carry traffic, or is not polled; why is
	// the reason frames for it are dropped for then.
	up  bool
	why pmd.Reason
	// dirty says that q took frames since it was last flushed.
	dirty bool
	// drains says that this worker empties the port's send queue.
	drains bool
	pool   uint8
	// checksums says that the port completes checksums on request.
	checksums bool
	// n frames wait in buf, from single sends. With limit of them it is full, but
	// for the rest of the last one's packet.
	n, limit int
	buf      []mbuf.Frame
	// held frames in hold came off the send queue but did not fit on q yet.
	held int
	hold []mbuf.Frame
	send Discipline
	// drainer is the worker that empties send. All workers share it; whoever has
	// put something in rings there. The Store of a new one comes before its first
	// look at send, so what was put in before that is seen.
	drainer *atomic.Pointer[Worker]
	// drops counts frames dropped for this port, as input or as output as
	// docs/drops.md says for each reason.
	drops [pmd.MaxReasons]uint64
	// generated counts frames that stages and control made for this port, counts what else
	// they count of frames received on it.
	generated uint64
	counts    [NumCounters]uint64
}

// ID returns the worker's number, from 0.
func (w *Worker) ID() int { return w.id }

// CPU returns the CPU the worker is pinned to, -1 if it is not pinned.
func (w *Worker) CPU() int { return w.cpu }

// Mem returns the memory that f's bytes are in. Frames of one burst share it.
func (w *Worker) Mem(f mbuf.Frame) mbuf.Mem { return w.local.Mem(f) }

// Local returns the worker's caches, for a stage that makes frames of its own.
func (w *Worker) Local() *mbuf.Local { return w.local }

// Ports returns how many port numbers there are, taken away ones included.
func (w *Worker) Ports() int { return len(w.tx) }

// turn is one round of the poll loop: mail, receive, stage, send. It returns the
// number of frames it moved. Each queue may give up to burst frames, in rounds of
// each_burst, so that none waits for long; rounds end once no queue had a full
// visit's frames, or burst has no whole visit left.
func (w *Worker) turn() int {
	if w.mail.head.Load() != nil { // a hint; serve pairs with push
		w.serve()
	}
	work, each, residual := 0, w.poll.each, w.poll.burst
	visit, plenty := each, each
	if w.multi {
		// Room for a packet at least; what is left of it may be too little for the next.
		visit = max(each, mbuf.MaxSegments)
		plenty = visit - mbuf.MaxSegments + 1
	}
	for full := true; full && residual >= each; {
		residual -= each
		full = false
		for i := range w.handlers {
			q := &w.handlers[i]
			n := q.q.RxBurst(w.burst[:visit])
			if w.spent.on {
				w.lapReceive(n)
			}
			if n == 0 {
				continue
			}
			work += n
			full = full || n >= plenty
			if q.multi && w.screens {
				if n = w.screen(w.burst[:n]); n == 0 {
					continue
				}
			}
			w.inHand = n
			w.stage.Process(w, q.port, w.burst[:n])
			w.inHand = 0
			if w.spent.on {
				w.lap(&w.spent.stage)
			}
		}
	}
	w.poll.residual = residual
	if w.gen != nil {
		work += w.gen.Generate(w)
		w.inHand = 0
		if w.spent.on {
			w.lap(&w.spent.stage)
		}
	}
	if w.many {
		work += w.drainSendQueues()
	}
	w.transmit()
	w.tally(work)
	return work
}

// serve does the control work that waits, and measures it.
func (w *Worker) serve() {
	start := w.clock.Now()
	w.mail.serve(w)
	d := w.clock.Now() - start
	w.poll.control += d
	w.poll.wanted = true
	if w.spent.on {
		w.lap(&w.spent.ctl)
	}
}

// lapReceive ends a visit of a queue in a turn that is measured.
func (w *Worker) lapReceive(n int) {
	if n == 0 {
		w.lap(&w.spent.idle)
	} else {
		w.lap(&w.spent.receive)
	}
}

// register takes up the queues that the worker polls, after a change of what it owns
// or whether it polls.
func (w *Worker) register() {
	w.handlers = w.rx
	if w.poll.cfg.Enable == 0 {
		w.handlers = nil
	}
	if len(w.handlers) == 0 {
		w.poll.restart(w.clock.Now()) // the last one out resets the state
	}
}

// lookAfter makes the device go on with what it has taken and not sent, such as on
// an interface that was down.
func (w *Worker) lookAfter() {
	for i := range w.rx {
		if q := w.rx[i].q; q.Counters().InFlight > 0 {
			q.Flush()
		}
	}
}

// yield gives the Go runtime its turn before it takes it: see cpu.Pinned.Yield.
func (w *Worker) yield() {
	w.sliceStart = w.lastCycles
	if w.pinned != nil && w.pinned.Yield() {
		w.moves++
	}
}

// transmit sends what single sends left in buffers, makes queued frames leave and
// takes completed ones back.
func (w *Worker) transmit() {
	for _, id := range w.open {
		t := &w.tx[id]
		if t.n > 0 {
			w.flushBuffer(t)
		}
		if t.dirty {
			t.flush()
		}
	}
	for i := range w.rx {
		w.rx[i].q.Reclaim()
	}
}

// tally counts the turn. One reading of the clock serves as the end of
// this turn and the start of the next.
func (w *Worker) tally(work int) {
	now := w.clock.Now()
	d := now - w.lastCycles
	w.lastCycles = now
	w.turns++
	if work > 0 {
		w.busyCycles += d
		w.sleep.work(now)
	} else {
		w.emptyTurns++
	}
	if d > w.maxTurn {
		w.maxTurn = d
	}
	if w.spent.on {
		w.spent.sampled(now, work)
	} else if w.spent.left--; w.spent.left <= 0 {
		w.spent.on, w.spent.mark = true, now
	}
	if now >= w.poll.due && w.poll.step(now, len(w.handlers)) {
		w.lookAfter()
	}
}
