package pmdtest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd/mbuf"
)

func checkClose(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 1)
	// In hand: received frames and frames of our own. In the device: frames
	// posted and not flushed, and packets that nobody has received.
	if s.receives() {
		s.held = append(s.held, p.receive(burst)...)
	}
	s.held = append(s.held, p.packets(burst)...)
	posted := p.packets(burst)
	s.held = append(s.held, posted[p.tx(posted):]...)
	if s.setup.Inject != nil {
		s.setup.Inject([][]byte{packet(s.seq, minPacket, s.mac)})
	}
	s.balanced("before close")
	mine := mbuf.NewFrameSet(s.pool)
	for _, f := range s.held {
		require.True(t, mine.Add(f.Addr))
	}
	s.unbindAll()
	s.closeDevice()

	// All but ours come home, and ours do not. Nobody writes into them.
	for _, f := range s.held {
		for i := range s.pool.Mem().Bytes(f) {
			s.pool.Mem().Bytes(f)[i] = 0xa5
		}
	}
	want := s.pool.Frames() - len(s.held)
	s.eventually("the device's frames back in the pool", func() bool { return s.pool.Available() >= want })
	s.ledger.Begin()
	s.ledger.Frames(mbuf.OwnerBurst, s.held)
	a := s.ledger.Account()
	require.True(t, a.Balanced(), "account after close: %d frames, %d found, %d found twice; by owner %v", a.Frames, a.Accounted, a.Duplicate, a.ByOwner)
	for _, f := range s.held {
		for _, b := range s.pool.Mem().Bytes(f) {
			require.Equal(t, byte(0xa5), b, "a closed device wrote into a frame that is not its own")
		}
	}
	require.Equal(t, len(s.held), s.pool.Return(mine))
	s.home()
	require.NoError(t, s.space.Release(s.pool))
}

func checkRebind(t testing.TB, h Harness) {
	s := newStand(t, h)
	var rx, tx uint64
	for round := range 4 {
		// Each owner is another goroutine with another Local and port number.
		errs := &report{}
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			p := s.newPort(0, uint16(100+round))
			p.t = errs
			p.rxPackets, p.txPackets = rx, tx
			s.ports = append(s.ports, p)
			buf := make([]mbuf.Frame, burst)
			for range 8 {
				if s.h.Source {
					n := p.rx(buf)
					p.local.Free(buf[p.tx(buf[:n]):n])
				}
				frames := p.packets(burst)
				p.local.Free(frames[p.tx(frames):])
				p.q.Flush()
			}
			rx, tx = p.rxPackets, p.txPackets
		}()
		wg.Wait()
		errs.tell(t)
		require.Len(t, s.ports, 1)
		s.balanced("with frames in flight")
		p := s.ports[0]
		before := p.counters()
		s.unbindAll() // frames in flight stay in flight
		s.balanced("between two owners")
		// The old owner's cache must be left alone from here on.
		old := p.local
		p = s.bind(0, uint16(200+round))
		p.rxPackets, p.txPackets = rx, tx
		after := p.counters()
		require.Equal(t, []uint64{before.RxPackets, before.RxBytes}, []uint64{after.RxPackets, after.RxBytes}, "received, before and after")
		require.Equal(t, before.TxPackets+before.InFlight+drops(before), after.TxPackets+after.InFlight+drops(after), "taken, before and after")
		p.flushed()
		if s.receives() {
			s.held = append(s.held, p.receive(burst)...)
			s.give(p)
		}
		p.send(p.packets(burst))
		require.Zero(t, old.Cache(s.pool.ID()).Len(), "frames went to the cache of the owner before")
		rx, tx = p.rxPackets, p.txPackets
		s.unbindAll()
		s.balanced("without an owner")
	}
	s.finish()
}

func checkReopen(t testing.TB, h Harness) {
	s := newStand(t, h)
	for round := range 3 {
		if round > 0 {
			s.open()
		}
		p := s.bind(0, 1)
		s.eventually("the device to be up", func() bool { return s.setup.Device.Info().Up })
		if s.receives() {
			s.held = append(s.held, p.receive(burst)...)
			s.give(p)
		}
		p.send(p.packets(burst))
		// Close with frames posted, which must not hinder the next to open.
		frames := p.packets(burst)
		p.local.Free(frames[p.tx(frames):])
		// The kernel may keep frames of the device before for a while, and
		// nobody can walk these.
		s.eventually("all frames found, in use or back from the device before", func() bool { return s.account().Balanced() })
		s.unbindAll()
		s.closeDevice()
	}
	s.home()
	require.NoError(t, s.space.Release(s.pool))
}

func checkTwoQueues(t testing.TB, h Harness) {
	s := newStand(t, h)
	if n := len(s.setup.Device.Queues()); n < 2 {
		t.Logf("the device has %d queue: nothing to check", n)
		s.finish()
		return
	}
	type result struct {
		p    *port
		errs report
	}
	results := make([]result, 2)
	var wg sync.WaitGroup
	for i := range results {
		r := &results[i]
		r.p = s.bind(i, uint16(10+i))
		r.p.t = &r.errs
		own := r.p.packets(burst * 4)
		wg.Add(1)
		go func() {
			defer wg.Done()
			dst := make([]mbuf.Frame, burst)
			for range 200 * (i + 1) { // so that equal totals are a mistake
				n := r.p.rx(dst)
				r.p.local.Free(dst[r.p.tx(dst[:n]):n])
				own = own[r.p.tx(own[:min(len(own), burst)]):]
				r.p.settle()
				runtime.Gosched()
			}
			r.p.local.Free(own)
		}()
	}
	wg.Wait()
	for i := range results {
		r := &results[i]
		r.errs.tell(t)
		r.p.t = t
		r.p.flushed()
		c := r.p.counters()
		require.Equal(t, r.p.rxPackets, c.RxPackets, "packets received on queue %d", i)
		require.Equal(t, r.p.txPackets, c.TxPackets+drops(c), "packets sent and dropped on queue %d", i)
	}
	s.finish()
}

func checkAllocations(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 1)
	// What is counted is the device alone: its calls, on prepared bursts. Other
	// goroutines allocate too now and then, so the median of the rounds counts.
	const rounds = 15
	counts := make([]uint64, 0, rounds)
	dst := make([]mbuf.Frame, burst)
	var m runtime.MemStats
	for range rounds {
		frames := p.packets(8 * burst)
		if s.setup.Inject != nil {
			s.setup.Inject([][]byte{packet(s.seq, minPacket, s.mac)})
			s.seq++
		}
		p.lock.Lock()
		runtime.ReadMemStats(&m)
		start := m.Mallocs
		for len(frames) > 0 {
			k := min(burst, len(frames))
			n := p.q.TxBurst(frames[:k])
			p.q.Flush()
			p.q.Reclaim()
			p.q.Counters()
			p.local.Free(dst[:p.q.RxBurst(dst)])
			p.local.Free(frames[n:k])
			frames = frames[k:]
		}
		runtime.ReadMemStats(&m)
		counts = append(counts, m.Mallocs-start)
		p.lock.Unlock()
		s.collect()
	}
	slices.Sort(counts)
	require.Zero(t, counts[rounds/2], "allocations in %d bursts each way, median of %d rounds", 8, rounds)
	s.eventually("transmission of all frames", func() bool {
		p.settle()
		return p.counters().InFlight == 0
	})
	s.finish()
}

// report keeps the failures of a goroutine that is not the test's own.
type report struct {
	mu   sync.Mutex
	errs []string
}

var _ reporter = (*report)(nil)

// Errorf keeps a message.
func (r *report) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, fmt.Sprintf(format, args...))
}

// FailNow ends the goroutine.
func (r *report) FailNow() { runtime.Goexit() }

// Helper does nothing: there is no stack to tidy.
func (r *report) Helper() {}

// tell hands the failures to the test. The goroutine must have ended.
func (r *report) tell(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.errs {
		t.Error(e)
	}
	if len(r.errs) > 0 {
		t.FailNow()
	}
}
