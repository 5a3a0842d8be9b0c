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
	// Hot: every turn.
	stage    Stage
	rx       []rxQueue
	tx       []txPort // by PortID
	local    *mbuf.Local
	each     int
	inHand   int // frames of burst that the stage is working on
	stopping bool
	many     bool // other workers exist: send queues must be looked at
	burst    [pmd.MaxBurst]mbuf.Frame
	one      [1]mbuf.Frame
	_        xcpu.CacheLinePad

	// Statistics, written every turn, read by message.
	turns, emptyTurns uint64
	busyCycles        uint64
	lastCycles        uint64
	startCycles       uint64
	maxTurn           uint64
	copies            uint64
	_                 xcpu.CacheLinePad

	// Control.
	id, cpu int
	mail    mailbox
	clock   cpu.Clock
	// pinned is nil for a worker that is not pinned.
	pinned *cpu.Pinned
	// slice is how many cycles the worker runs between two yields, sliceStart
	// when it last did.
	slice, sliceStart uint64
	moves             uint64
	_                 xcpu.CacheLinePad

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
	// index is the queue's number within its port.
	index int
}

// sendQueue is a port's send queue (if_snd in BSD's struct ifnet). The account
// must be able to see what waits in it.
type sendQueue interface {
	queue.Discipline[mbuf.Frame]
	// Snapshot copies what waits while everything stands still.
	Snapshot(dst []mbuf.Frame) int
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
	// up is false while the port cannot carry traffic.
	up bool
	// dirty says that q took frames since it was last flushed.
	dirty bool
	// drains says that this worker empties the port's send queue.
	drains bool
	pool   uint8
	// n frames wait in buf, from single sends.
	n   int
	buf []mbuf.Frame
	// held frames in hold came off the send queue but did not fit on q yet.
	held int
	hold []mbuf.Frame
	send sendQueue
	// drops counts frames dropped for this port, as input or as output as
	// docs/drops.md says for each reason.
	drops [pmd.MaxReasons]uint64
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
// number of frames it moved.
func (w *Worker) turn() int {
	if w.mail.head.Load() != nil { // a hint; serve pairs with push
		w.mail.serve(w)
	}
	work := 0
	for i := range w.rx {
		q := &w.rx[i]
		n := q.q.RxBurst(w.burst[:w.each])
		if n == 0 {
			continue
		}
		w.inHand = n
		w.stage.Process(w, q.port, w.burst[:n])
		w.inHand = 0
		work += n
	}
	if w.many {
		work += w.drainSendQueues()
	}
	w.transmit()
	w.tally(work)
	return work
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
	for i := range w.tx {
		t := &w.tx[i]
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
	} else {
		w.emptyTurns++
	}
	if d > w.maxTurn {
		w.maxTurn = d
	}
}
