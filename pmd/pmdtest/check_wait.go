package pmdtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// checkWaiting does what an owner does that sleeps: it arms the queue, looks whether it
// may sleep, and waits for the descriptor.
func checkWaiting(t testing.TB, h Harness) {
	s := newStand(t, h)
	p := s.bind(0, 5)
	w, ok := p.q.(pmd.Waiter)
	if !ok {
		s.finish()
		t.Skip("the first queue is no pmd.Waiter: its owner sleeps for a bounded time")
	}
	if !canPoll {
		s.finish()
		t.Skip("there is no poll(2) here")
	}
	var fd int
	p.do(func() { fd = w.WaitFD() })
	switch {
	case fd == pmd.WaitNever:
		if s.setup.Inject != nil {
			require.Zero(t, s.setup.Inject([][]byte{packet(0, minPacket, s.mac)}), "WaitFD is WaitNever, and a packet is on its way")
		}
		dst := make([]mbuf.Frame, burst)
		for range 100 {
			require.Zero(t, p.rx(dst), "WaitFD is WaitNever, and frames came")
		}
	case fd >= 0 && (s.setup.Inject != nil || h.Paced):
		for range 3 {
			p.sleepAndWake(w)
		}
	}
	s.finish()
}

// sleepAndWake goes to sleep on an empty queue and is woken by a packet, or by the
// next one of a source.
func (p *port) sleepAndWake(w pmd.Waiter) {
	s, t := p.s, p.t
	s.t.Helper()
	a, arms := p.q.(pmd.Armer)
	arm := func() (may bool) {
		may = true
		if arms {
			p.do(func() { may = a.Arm() })
		}
		return may
	}
	disarm := func() {
		if arms {
			p.do(a.Disarm)
		}
	}
	readable := func() (yes bool) {
		p.do(func() { yes = polls(w.WaitFD()) })
		return yes
	}
	dst := make([]mbuf.Frame, burst)
	take := func() (n int) {
		n = p.rx(dst)
		p.local.Free(dst[:n])
		p.settle()
		return n
	}
	// What others say on a real link may come meanwhile: there is a moment of quiet.
	s.eventually("an empty queue on which one may sleep: its descriptor is readable, or Arm refuses", func() bool {
		disarm()
		for take() > 0 {
		}
		return arm() && !readable()
	})
	inject := func() bool { return true }
	if !s.h.Paced {
		in := [][]byte{packet(s.seq, minPacket, s.mac)}
		s.seq++
		inject = func() bool { return s.setup.Inject(in) == 1 }
	}
	s.eventually("room for a packet", inject)
	s.eventually("a readable descriptor, as there is a frame", func() bool {
		if s.h.Lossy {
			inject() // the one before may be lost
		}
		return readable()
	})
	if arms {
		disarm()
		require.False(t, readable(), "the descriptor is readable after Disarm")
		require.False(t, arm(), "Arm allows to sleep though there is a frame")
		disarm()
	}
	s.eventually("the frame that made the descriptor readable", func() bool { return take() > 0 })
}
