package pmdtest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Harness tells the suite how to open a driver's device and what to expect of it.
type Harness struct {
	// Open opens a fresh device over a pool of env. It is called once a check,
	// and again within one that closes and opens. It fails the test itself.
	Open func(t testing.TB, env pmd.Env) Setup
	// Pool describes the pool of each check. Default: that of mbuf. It should
	// hold several times what the device can keep posted.
	Pool mbuf.Config
	// Source says that RxBurst yields frames of its own accord.
	Source bool
	// Paced says that the owner of a Source's queue can sleep until its next frame.
	// Thousands must come within Timeout.
	Paced bool
	// Sink says that TxBurst takes every frame it is given, always.
	Sink bool
	// Lossy says that packets may be lost between the device and its far side.
	Lossy bool
	// Async says that transmissions complete after Flush has returned, so that
	// waiting for them should leave the processor to others.
	Async bool
	// Timeout bounds each wait for something that must happen. Default 30 s: the
	// machine may be busy.
	Timeout time.Duration
	// MaxPacket is the longest packet of several frames, in bytes, if Pool is
	// MultiBuffer. Default: what four frames hold.
	MaxPacket int
	// MaxFrame is the longest frame to send, in bytes. Default 1514, or what a
	// frame of the pool holds.
	MaxFrame int
}

// Setup is an open device and its far side. Fields but Device may be nil.
type Setup struct {
	// Device is the device under test.
	Device pmd.Device
	// Inject puts packets in at the far side, from the first on, for the
	// device to receive on its first queue. It returns how many it could; the
	// suite gives the others again later.
	Inject func(packets [][]byte) int
	// Collect returns what the device has sent since the last call.
	Collect func() [][]byte
	// Walk enters the frames of the pool that the far side has.
	Walk func(l *mbuf.Ledger)
	// Release closes the far side, whose frames return to the pool. It is
	// called once, after Device.Close.
	Release func()
}

// withDefaults fills the fields left zero.
func (h Harness) withDefaults() Harness {
	if h.Timeout == 0 {
		h.Timeout = 30 * time.Second
	}
	return h
}

// check is one subtest.
type check struct {
	name string
	run  func(t testing.TB, h Harness)
}

// checks are the subtests in the order of the package comment. It is a function
// and not a variable so that nobody can change it.
func checks() []check {
	return []check{
		{"info", checkInfo},
		{"burst limits", checkBurstLimits},
		{"never blocks", checkNeverBlocks},
		{"content", checkContent},
		{"unsent tail", checkUnsentTail},
		{"whole packets", checkWholePackets},
		{"invalid frames", checkInvalidFrames},
		{"exhaustion", checkExhaustion},
		{"statistics", checkStatistics},
		{"close", checkClose},
		{"rebind", checkRebind},
		{"reopen", checkReopen},
		{"two queues", checkTwoQueues},
		{"allocations", checkAllocations},
		{"powers", checkPowers},
		{"waiting", checkWaiting},
	}
}

// TestDevice runs the conformance suite over devices that h opens.
func TestDevice(t *testing.T, h Harness) {
	h = h.withDefaults()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}

// host is the suite's pmd.Host: a lock for each queue stands for its worker.
type host struct {
	// notices counts calls of Notify; nothing hangs on it.
	notices atomic.Int64

	mu    sync.Mutex
	locks map[pmd.Queue]*sync.Mutex
}

var _ pmd.Host = (*host)(nil)

// lock returns the lock that whoever calls q holds.
func (h *host) lock(q pmd.Queue) *sync.Mutex {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.locks[q]
	if l == nil {
		l = &sync.Mutex{}
		h.locks[q] = l
	}
	return l
}

// Exclusive runs fn between two calls of q.
func (h *host) Exclusive(q pmd.Queue, fn func()) {
	l := h.lock(q)
	l.Lock()
	defer l.Unlock()
	fn()
}

// Notify counts: what is new the checks look for themselves.
func (h *host) Notify(pmd.Device, string) { h.notices.Add(1) }
