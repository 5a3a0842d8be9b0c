package dataplane_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/ring"
)

// byFlow is a stage that sends the packets of a flow to the port that the flow's
// number says, in bursts or one by one, and holds some of them for a while.
type byFlow struct {
	ports int
	hold  bool
	held  [][]mbuf.Frame // by worker
}

func (s *byFlow) Process(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
	held := &s.held[w.ID()]
	if s.hold && len(*held) < 8 {
		*held = append(*held, burst...)
		return
	}
	s.send(w, *held)
	*held = (*held)[:0]
	s.send(w, burst)
}

func (s *byFlow) send(w *dataplane.Worker, burst []mbuf.Frame) {
	for len(burst) > 0 {
		run := burst[:mbuf.FirstPacket(burst)]
		burst = burst[len(run):]
		p, _ := readPacket(w.Mem(run[0]).Bytes(run[0]))
		out := dataplane.PortID(int(p.flow) % s.ports)
		if p.flow%2 == 0 {
			for _, f := range run {
				w.Send(out, f)
			}
		} else {
			w.SendBurst(out, run)
		}
	}
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*byFlow) MultiBuffer() {}

func (s *byFlow) Walk(w *dataplane.Worker, l *mbuf.Ledger) {
	l.Frames(mbuf.OwnerBurst, s.held[w.ID()])
}
func (s *byFlow) Held(w *dataplane.Worker) int { return mbuf.Packets(s.held[w.ID()]) }
func (s *byFlow) Release(w *dataplane.Worker) {
	s.send(w, s.held[w.ID()])
	s.held[w.ID()] = nil
}

// order checks that the packets of each flow come in rising order.
type order struct{ next map[uint32]uint64 }

func (o *order) see(t require.TestingT, p packet) {
	if o.next == nil {
		o.next = map[uint32]uint64{}
	}
	require.GreaterOrEqual(t, p.seq, o.next[p.flow], "flow %d: a packet was overtaken", p.flow)
	o.next[p.flow] = p.seq + 1
}

// Queues move between workers at any moment, of ports with one queue and with
// several: no frame is lost by it, and whatever leaves a port is in order within
// each flow, over all its queues. Devices send when they like, but at once when a
// worker waits for them.
func TestMovesKeepOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		workers := rapid.IntRange(2, 3).Draw(rt, "workers")
		ports := rapid.IntRange(1, 4).Draw(rt, "ports")
		stage := &byFlow{ports: ports, hold: rapid.Bool().Draw(rt, "hold"), held: make([][]mbuf.Frame, workers)}
		d, err := dataplane.New(dataplane.Config{
			Stage: stage, Cores: unpinned(workers),
			Burst:     rapid.IntRange(1, 20).Draw(rt, "burst"),
			SendQueue: rapid.IntRange(1, 60).Draw(rt, "send queue"),
			Pool:      mbuf.Config{Frames: 1024, HugePages: mbuf.HugeOff},
		})
		require.NoError(rt, err)
		l := &lab{Dataplane: d, t: rt}
		class := pmd.Class{NUMANode: -1, MultiBuffer: rapid.Bool().Draw(rt, "multi-buffer")}
		next := map[*fakeQueue][]uint64{}
		var queues []*fakeQueue
		where := map[*fakeQueue][2]int{}
		for i := range ports {
			dev := l.device(string(rune('a'+i)), class, rapid.IntRange(1, 3).Draw(rt, "queues"))
			left := &order{}
			owners := make([]int, len(dev.queues))
			for k, q := range dev.queues {
				q := q.(*fakeQueue)
				q.left = func(p packet) { left.see(rt, p) }
				q.part = patternAt
				q.slow = rapid.IntRange(0, 8).Draw(rt, "slow")
				owners[k] = rapid.IntRange(0, workers-1).Draw(rt, "owner")
				queues, where[q], next[q] = append(queues, q), [2]int{i, k}, make([]uint64, ports)
			}
			_, err := l.AddPort(dev, dataplane.PortConfig{Workers: owners})
			require.NoError(rt, err)
		}
		queue := rapid.Custom(func(rt *rapid.T) *fakeQueue {
			return queues[rapid.IntRange(0, len(queues)-1).Draw(rt, "queue")]
		})
		total := 0
		rt.Repeat(map[string]func(*rapid.T){
			"turn": func(rt *rapid.T) { l.turn(rapid.IntRange(0, workers-1).Draw(rt, "worker")) },
			"receive": func(rt *rapid.T) {
				q := queue.Draw(rt, "queue")
				at := where[q]
				for range rapid.IntRange(1, 40).Draw(rt, "packets") {
					// A flow comes in on one queue and goes out by one port.
					out := rapid.IntRange(0, ports-1).Draw(rt, "out")
					flow := uint32((at[0]*3+at[1])*ports + out)
					size := packetSize // of two frames, if they may be several, or of one
					if rapid.Bool().Draw(rt, "short") {
						size = patternAt
					}
					q.rx = append(q.rx, packet{flow, next[q][out], size})
					next[q][out]++
					total++
				}
			},
			"room": func(rt *rapid.T) { queue.Draw(rt, "queue").room = rapid.IntRange(2, 30).Draw(rt, "room") }, // a packet's
			"move": func(rt *rapid.T) {
				at := where[queue.Draw(rt, "queue")]
				require.NoError(rt, l.MoveQueue(rt.Context(), dataplane.PortID(at[0]), at[1], rapid.IntRange(0, workers-1).Draw(rt, "to")))
			},
			"": func(*rapid.T) {
				held := uint64(0)
				for _, h := range stage.held {
					held += uint64(mbuf.Packets(h))
				}
				l.balanced(held)
			},
		})
		for _, q := range queues {
			q.room, q.slow = -1, 0
		}
		for range 2*total + 10 { // a burst may be of one
			for w := range workers {
				l.turn(w)
			}
		}
		require.NoError(rt, l.SetStage(rt.Context(), pairs))
		for w := range workers {
			l.turn(w)
			l.turn((w + 1) % workers)
		}
		got := l.balanced(0)
		require.Equal(rt, uint64(total), got.rx, "a queue is not polled any more")
		for _, q := range queues {
			require.Zero(rt, q.damaged+q.broken)
		}
		require.NoError(rt, d.Close())
	})
}

// What only a move could lose: with room everywhere, every packet leaves.
func TestMoveTakesFramesAlong(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(3), Burst: 16})
	_, a := l.port("a", 0)
	id, b := l.port("b", 1)
	a.rx = burstOf(1, 0, 48)
	for range 3 {
		l.turn(0)
	}
	b.room, b.stuck = 4, true
	l.turn(1) // 4 sent, 12 held, 32 on the send queue
	require.NoError(t, l.MoveQueue(t.Context(), id, 0, 2))
	got := l.balanced(0)
	require.Equal(t, uint64(48), got.inHand)
	b.room, b.stuck = -1, false
	require.Zero(t, l.turn(1), "it is not the owner any more")
	for range 4 {
		l.turn(2)
	}
	require.Equal(t, count(48), seqs(b.sent, 1))
	require.Equal(t, -1, l.stats().Ports[1].Queues[0].CPU)

	// Home again, where the frames come from: they go directly, behind the others.
	a.rx = burstOf(1, 48, 20)
	l.turn(0)
	require.NoError(t, l.MoveQueue(t.Context(), id, 0, 0))
	a.rx = append(a.rx, burstOf(1, 68, 16)...)
	for range 4 {
		l.turn(0)
	}
	require.Equal(t, count(84), seqs(b.sent, 1))
	calls := b.txCalls
	a.rx = burstOf(1, 84, 16)
	l.turn(0)
	require.Equal(t, calls+1, b.txCalls, "the direct way is taken again")
	require.Equal(t, uint64(16), uint64(len(b.posted)+len(b.sent))-84)
	l.turn(0)
	require.Equal(t, count(100), seqs(b.sent, 1))
	l.balanced(0)
}

// A queue goes to a worker with a transmit queue of its own, while frames from it wait for
// another one, whose device takes few at a time: they leave first.
func TestMoveWaitsForASlowDevice(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(3), Burst: 8})
	id, a := l.port("a", 0)
	dev := l.device("b", pmd.Class{NUMANode: -1}, 2)
	var left []uint64
	for _, q := range dev.queues {
		q.(*fakeQueue).left = func(p packet) { left = append(left, p.seq) }
	}
	_, err := l.AddPort(dev, dataplane.PortConfig{Workers: []int{1, 2}})
	require.NoError(t, err)
	dev.q().slow = 1
	a.rx = burstOf(1, 0, 8)
	l.turn(0)
	l.turn(1)
	dev.q().room = 2 // of which seven are taken
	a.rx = burstOf(1, 8, 22)
	l.turn(0)
	require.NoError(t, l.MoveQueue(t.Context(), id, 0, 2))
	a.rx = burstOf(1, 30, 10)
	l.turn(2)
	require.Equal(t, count(40), left)
	l.balanced(0)
}

func TestMoveQueueMistakes(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	id, a := l.port("a", 0)
	for _, test := range []struct {
		port          dataplane.PortID
		queue, worker int
		want          string
	}{
		{1, 0, 0, "port 1: there is none"},
		{dataplane.NoPort, 0, 0, "there is none"},
		{id, 1, 0, "port a queue 1: there are queues 0 to 0"},
		{id, -1, 0, "queue -1"},
		{id, 0, 2, "worker 2: there are workers 0 to 1"},
		{id, 0, -1, "worker -1"},
	} {
		err := l.MoveQueue(t.Context(), test.port, test.queue, test.worker)
		require.ErrorContains(t, err, test.want)
		require.NotContains(t, err.Error(), "\n")
	}
	require.NoError(t, l.MoveQueue(t.Context(), id, 0, 0), "it is there already")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, l.MoveQueue(ctx, id, 0, 1), context.Canceled)
	a.rx = burstOf(1, 0, 3)
	require.Equal(t, 3, l.turn(0), "nothing has changed")
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.MoveQueue(t.Context(), id, 0, 1), dataplane.ErrClosed)
}

// A queue that its new owner cannot bind takes down its port, and nothing else.
func TestMoveOfAQueueThatCannotBeBound(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(0), Cores: unpinned(2), Burst: 8})
	id, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.room, a.stuck = 1, true
	b.rx = burstOf(1, 0, 20)
	for range 3 {
		l.turn(1)
	}
	l.turn(0) // one posted, seven held, twelve on the send queue
	a.bindPanics = true
	err := l.MoveQueue(t.Context(), id, 0, 1)
	require.ErrorContains(t, err, "port a queue 0")
	require.ErrorContains(t, err, "the port is closed")
	s := l.stats()
	require.False(t, s.Ports[0].Up)
	require.True(t, s.Ports[1].Up)
	got := l.balanced(0)
	require.Equal(t, map[string]uint64{"tx_lost": 1, "port_down": 7, "stopped": 12}, got.drops)
	b.rx = burstOf(1, 20, 2)
	require.Equal(t, 2, l.turn(1))
}

// A device that asks for its queue while that moves gets it.
func TestExclusiveWhileQueuesMove(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	id, a := l.port("a", 0)
	stop := l.start(t)
	done := make(chan int)
	end := make(chan struct{})
	go func() {
		n := 0
		for {
			select {
			case <-end:
				done <- n
				return
			default:
				l.Env().Host.Exclusive(a, func() { n++ })
			}
		}
	}()
	for i := range 100 {
		require.NoError(t, l.MoveQueue(t.Context(), id, 0, (i+1)%2))
	}
	close(end)
	require.Positive(t, <-done)
	require.NoError(t, stop())
}

// Two workers that run, four ports, queues that move from one worker to the other
// all the time: every numbered packet comes out of the other end of its ring, and
// the flows are in order. There is never more on the way than every queue holds.
func TestMovesUnderTraffic(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2), Burst: 16})
	const ports, window, flows = 4, 200, 3
	moves := 400
	if testing.Short() {
		moves = 100
	}
	var ends [ports]*ring.Endpoint
	for i := range ends {
		inside, outside, err := ring.NewPair(ring.Config{Name: fmt.Sprint("r", i)}, l.Env())
		require.NoError(t, err)
		ends[i] = ring.NewEndpoint(outside)
		_, err = l.AddPort(inside, dataplane.PortConfig{Workers: []int{i / 2}})
		require.NoError(t, err)
	}
	stop := l.start(t)
	moved := make(chan error, 1)
	go func() {
		// On a busy machine each move takes long: then there are fewer.
		end := time.Now().Add(10 * time.Second)
		for i := 0; i < moves && time.Now().Before(end); i++ {
			if err := l.MoveQueue(t.Context(), dataplane.PortID(i*7%ports), 0, i/ports%2); err != nil {
				moved <- err
				return
			}
		}
		moved <- nil
	}()
	var sent, got [ports]uint64 // by sending end
	var orders [ports]order
	var seq [ports][flows]uint64
	exchange := func(more bool) {
		before := got
		defer func() {
			if got == before {
				time.Sleep(20 * time.Microsecond) // the workers may need this CPU
			}
		}()
		for i, e := range ends {
			for more && sent[i]-got[i] < window {
				flow := uint32(sent[i] % flows)
				b := make([]byte, packetSize)
				packet{flow, seq[i][flow], packetSize}.write(b)
				n, err := e.Send(b)
				require.NoError(t, err)
				if n == 0 {
					break
				}
				sent[i]++
				seq[i][flow]++
			}
			for _, b := range e.Receive(64) {
				p, intact := readPacket(b)
				require.True(t, intact)
				require.Equal(t, orders[i].next[p.flow], p.seq, "flow %d of port %d: lost or out of order", p.flow, i^1)
				orders[i].see(t, p)
				got[i^1]++
			}
		}
	}
	deadline := time.Now().Add(2 * eventually)
	for more := true; ; {
		require.True(t, time.Now().Before(deadline), "sent %v, arrived %v, %+v", sent, got, l.stats())
		select {
		case err := <-moved:
			require.NoError(t, err)
			more = false
		default:
		}
		exchange(more)
		if !more && sent == got {
			break
		}
	}
	require.NoError(t, stop())
	s := l.stats()
	require.Zero(t, sum(s).dropped, "%v", s.Ports)
	t.Logf("up to %d moves under %v packets", moves, sent)
	for _, e := range ends {
		require.NoError(t, e.Close())
	}
	l.balanced(0)
}
