package pmdtest

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// burst is the burst that the checks send and receive unless they say otherwise.
const burst = 32

// stand is one check's device with everything around it. It knows all owners of
// frames, so it can take the account at any moment between two calls.
type stand struct {
	t      testing.TB
	h      Harness
	space  *mbuf.Space
	pool   *mbuf.Pool
	ledger *mbuf.Ledger
	host   *host
	env    pmd.Env
	setup  Setup
	mac    net.HardwareAddr
	ports  []*port
	// held are the frames in the check's hands.
	held []mbuf.Frame
	// collected are the numbers of the test packets that came out, in order.
	collected []uint32
	// seq is the number of the next test packet.
	seq uint32
}

// newStand makes a pool and opens a device over it.
func newStand(t testing.TB, h Harness) *stand {
	t.Helper()
	s := &stand{t: t, h: h, space: mbuf.NewSpace(), host: &host{locks: map[pmd.Queue]*sync.Mutex{}}}
	pool, err := s.space.NewPool(h.Pool)
	require.NoError(t, err)
	s.pool, s.ledger = pool, mbuf.NewLedger(pool)
	s.env = pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }, Host: s.host}
	s.open()
	return s
}

// open opens the device. A check that fails leaves it open, hence the cleanup.
func (s *stand) open() {
	s.t.Helper()
	s.setup = s.h.Open(s.t, s.env)
	dev := s.setup.Device
	require.NotNil(s.t, dev, "the harness opened no device")
	s.mac = dev.Info().MAC
	s.t.Cleanup(func() {
		if s.t.Failed() {
			_ = dev.Close() // the failure is told already
		}
	})
}

// maxFrame returns the longest packet to send.
func (s *stand) maxFrame() int {
	if s.h.MaxFrame != 0 {
		return s.h.MaxFrame
	}
	return min(1514, s.pool.MaxLen())
}

// eventually polls until cond is true, and fails the check if it never is. It
// keeps the far side moving meanwhile.
func (s *stand) eventually(what string, cond func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(s.h.Timeout); !cond(); s.pause() {
		if time.Now().After(deadline) {
			require.Fail(s.t, what, "not within %v", s.h.Timeout)
		}
		s.collect()
	}
}

// pause lets others run: the other goroutines, or the kernel on this processor.
func (s *stand) pause() {
	if s.h.Async {
		time.Sleep(20 * time.Microsecond)
		return
	}
	runtime.Gosched()
}

// collect notes what has come out at the far side.
func (s *stand) collect() {
	s.t.Helper()
	if s.setup.Collect == nil {
		return
	}
	for _, p := range s.setup.Collect() {
		seq, whole, ours := parse(p)
		if ours {
			require.True(s.t, whole, "packet %d of %d bytes was changed on its way out", seq, len(p))
			s.collected = append(s.collected, seq)
		}
	}
}

// give frees the frames in the check's hands.
func (s *stand) give(p *port) {
	p.local.Free(s.held)
	s.held = s.held[:0]
}

// account walks all owners. All goroutines but the caller's must stand still.
func (s *stand) account() mbuf.Account {
	s.ledger.Begin()
	for _, p := range s.ports {
		p.local.Walk(s.ledger)
	}
	for _, q := range s.setup.Device.Queues() {
		s.host.Exclusive(q, func() { q.Walk(s.ledger) })
	}
	s.ledger.Frames(mbuf.OwnerBurst, s.held)
	if s.setup.Walk != nil {
		s.setup.Walk(s.ledger)
	}
	return s.ledger.Account()
}

// balanced checks that every frame has exactly one owner.
func (s *stand) balanced(when string) {
	s.t.Helper()
	a := s.account()
	require.True(s.t, a.Balanced(), "account %s: %d frames, %d found, %d found twice; by owner %v",
		when, a.Frames, a.Accounted, a.Duplicate, a.ByOwner)
}

// finish takes the account, gives everything up and waits for the frames to come
// home.
func (s *stand) finish() {
	s.t.Helper()
	for _, p := range s.ports {
		s.give(p)
	}
	s.balanced("at the end")
	s.unbindAll()
	s.closeDevice()
	s.home()
	require.NoError(s.t, s.space.Release(s.pool))
}

// unbindAll takes the queues from their owners, whose caches go home.
func (s *stand) unbindAll() {
	for _, p := range s.ports {
		p.unbind()
	}
	s.ports = s.ports[:0]
}

// closeDevice closes the device, twice, and the far side.
func (s *stand) closeDevice() {
	s.t.Helper()
	require.NoError(s.t, s.setup.Device.Close())
	require.NoError(s.t, s.setup.Device.Close(), "closing twice must be harmless")
	if s.setup.Release != nil {
		s.setup.Release()
	}
	s.setup = Setup{}
}

// home waits until all frames are back in the pool's ring.
func (s *stand) home() {
	s.t.Helper()
	s.eventually("all frames back in the pool", func() bool { return s.pool.Available() >= s.pool.Frames() })
	s.ledger.Begin()
	a := s.ledger.Account()
	require.True(s.t, a.Balanced(), "the pool's ring after close: %d frames, %d found, %d found twice", a.Frames, a.Accounted, a.Duplicate)
}
