package dataplane_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

func TestForwardingKeepsEveryFrameAndTheirOrder(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Burst: 32})
	l.one(32)
	_, a := l.port("a", 0)
	_, b := l.port("b", 0)
	a.rx, b.rx = burstOf(1, 0, 100), burstOf(2, 0, 33)
	require.Equal(t, 64, l.turn(0), "each queue gives up to a burst a turn")
	require.Equal(t, 33, l.turn(0))
	l.turn(0)
	l.turn(0)
	require.Equal(t, 0, l.turn(0))
	require.Equal(t, count(100), seqs(b.sent, 1))
	require.Equal(t, count(33), seqs(a.sent, 2))
	require.Zero(t, a.damaged+b.damaged)
	got := l.balanced(0)
	require.Equal(t, totals{rx: 133, tx: 133, drops: map[string]uint64{}}, got)
}

// Single sends gather in a buffer; a burst sent after them must not overtake.
func TestSendAndSendBurstKeepOrder(t *testing.T) {
	for _, test := range []struct {
		name  string
		owner int
	}{{"own port", 0}, {"port of another worker", 1}} {
		t.Run(test.name, func(t *testing.T) {
			var out dataplane.PortID
			stage := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
				w.Send(out, burst[0])
				w.Send(out, burst[1])
				w.SendBurst(out, burst[2:7])
				for _, f := range burst[7:] {
					w.Send(out, f)
				}
			})
			l := newLab(t, dataplane.Config{Stage: stage, Cores: unpinned(2), Burst: 20})
			_, a := l.port("a", 0)
			id, b := l.port("b", test.owner)
			out = id
			a.rx = burstOf(1, 0, 60)
			for range 3 {
				l.turn(0)
			}
			for range 4 {
				l.turn(1)
			}
			require.Equal(t, count(60), seqs(b.sent, 1))
			l.balanced(0)
		})
	}
}

// Frames of single sends leave when the buffer is full, and at the end of the turn.
func TestSendBuffers(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(0), Burst: 4})
	_, q := l.port("a", 0)
	l.do(0, func(w *dataplane.Worker) {
		var f [6]mbuf.Frame
		require.Equal(t, 6, w.Local().Cache(q.pool.ID()).TakeFrames(f[:], 0, 60, q.pool.Meta(0)))
		for i := range 3 {
			w.Send(0, f[i])
		}
		require.Zero(t, q.txCalls)
		w.Send(0, f[3])
		require.Equal(t, 1, q.txCalls)
		require.Len(t, q.posted, 4)
		w.Send(0, f[4])
		w.Send(0, f[5])
	})
	require.Equal(t, uint64(6), l.stats().Ports[0].InHand)
	l.turn(0)
	require.Equal(t, uint64(6), q.c.TxPackets)
	require.Equal(t, 1, q.flushes, "one flush a turn")
}

// A full queue is flushed, reclaimed and asked once more; what still does not fit
// is dropped at the output port.
func TestTransmitQueueFull(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Burst: 32})
	_, a := l.port("a", 0)
	_, b := l.port("b", 0)

	b.room = 10
	a.rx = burstOf(1, 0, 32)
	l.turn(0)
	require.Equal(t, 2, b.txCalls, "tried twice")
	require.Equal(t, 2, b.flushes, "in between, and at the end of the turn")
	s := l.stats()
	require.Equal(t, map[string]uint64{"tx_full": 12}, s.Ports[1].Drops)
	require.Empty(t, s.Ports[0].Drops)
	require.Equal(t, count(20), seqs(b.sent, 1), "the first ones went")
	l.balanced(0)

	b.stuck = true
	a.rx = burstOf(1, 0, 32)
	l.turn(0)
	got := l.balanced(0)
	require.Equal(t, uint64(12+22), got.drops["tx_full"])
	require.Equal(t, uint64(10), got.inHand, "what the device has not sent yet")
	b.stuck = false
	l.turn(0)
	require.Equal(t, totals{rx: 64, tx: 30, dropped: 34, drops: map[string]uint64{"tx_full": 34}}, l.balanced(0))
}

// A queue need not take more than pmd.MaxBurst at once; that does not make it full.
func TestSendBurstLongerThanADeviceTakes(t *testing.T) {
	for owner := range 2 {
		l := newLab(t, dataplane.Config{Stage: to(0), Cores: unpinned(2)})
		id, q := l.port("a", owner)
		l.do(0, func(w *dataplane.Worker) {
			f := make([]mbuf.Frame, 1000)
			require.Equal(t, len(f), w.Local().Cache(q.pool.ID()).TakeFrames(f, 0, 60, q.pool.Meta(uint16(id))))
			w.SendBurst(id, f)
		})
		for range 20 {
			l.turn(0)
			l.turn(1)
		}
		require.Equal(t, uint64(1000), q.c.TxPackets, "owner %d: %v", owner, l.stats().Ports[0].Drops)
	}
}

func TestPortDown(t *testing.T) {
	single := dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		for _, f := range burst {
			w.Send(in^1, f)
		}
	})
	for name, stage := range map[string]dataplane.Stage{"burst": pairs, "single": single} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, dataplane.Config{Stage: stage})
			_, a := l.port("a", 0)
			dev := l.device("b", pmd.Class{NUMANode: -1}, 1)
			dev.info.Up = false
			_, err := l.AddPort(dev, dataplane.PortConfig{})
			require.NoError(t, err)
			a.rx = burstOf(1, 0, 10)
			l.turn(0)
			require.Equal(t, map[string]uint64{"port_down": 10}, l.stats().Ports[1].Drops)
			require.Zero(t, dev.q().txCalls)
			l.balanced(0)
		})
	}
}

func TestNoPort(t *testing.T) {
	var out dataplane.PortID
	stage := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
		w.SendBurst(out, burst[1:])
		w.Send(out, burst[0])
	})
	l := newLab(t, dataplane.Config{Stage: stage})
	_, a := l.port("a", 0)
	_, b := l.port("b", 0)
	for _, out = range []dataplane.PortID{2, 1000, dataplane.NoPort} {
		a.rx, b.rx = burstOf(1, 0, 5), burstOf(2, 0, 2)
		l.turn(0)
	}
	s := l.stats()
	require.Equal(t, map[string]uint64{"no_port": 15}, s.Ports[0].Drops, "counted where they came in")
	require.Equal(t, map[string]uint64{"no_port": 6}, s.Ports[1].Drops)
	l.balanced(0)
}

// A burst may hold frames of several input ports, as one of a stage that holds
// frames back.
func TestDropCountsAtTheInputPort(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(0), Reasons: []string{"policy", "ttl"}})
	_, a := l.port("a", 0)
	l.port("b", 0)
	l.do(0, func(w *dataplane.Worker) {
		cache := w.Local().Cache(a.pool.ID())
		var f [6]mbuf.Frame
		require.Equal(t, 6, cache.TakeFrames(f[:], 0, 60, a.pool.Meta(0)))
		for _, i := range []int{1, 4, 5} {
			f[i].Meta = a.pool.Meta(1)
		}
		w.DropBurst(pmd.ReasonUser+1, f[:])
		require.Equal(t, 1, cache.TakeFrames(f[:1], 0, 60, a.pool.Meta(1)))
		w.Drop(pmd.ReasonUser, f[0])
	})
	s := l.stats()
	require.Equal(t, map[string]uint64{"ttl": 3}, s.Ports[0].Drops)
	require.Equal(t, map[string]uint64{"ttl": 3, "policy": 1}, s.Ports[1].Drops)
}

// A port of another worker is reached over its send queue, in order, and its
// owner takes a burst a turn.
func TestSendQueue(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), Burst: 16})
	l.one(16)
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.rx = burstOf(1, 0, 48)
	for range 3 {
		l.turn(0)
	}
	require.Zero(t, b.txCalls, "only its owner touches the queue")
	require.Equal(t, uint64(48), l.balanced(0).inHand)
	acct := l.stats().Pools[0]
	require.Equal(t, 48, acct.ByOwner[mbuf.OwnerSendQueue])
	for i := range 3 {
		require.Equal(t, 16, l.turn(1))
		require.Equal(t, uint64(16*(i+1)), b.c.TxPackets)
	}
	require.Zero(t, l.turn(1))
	require.Equal(t, count(48), seqs(b.sent, 1))
	require.Equal(t, totals{rx: 48, tx: 48, drops: map[string]uint64{}}, l.balanced(0))
}

// Frames that another worker received are brought near before a queue that reads them
// gets them. A stage's wild handle among them is the queue's to deal with.
func TestSendQueueIsRead(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), Burst: 16})
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.reads, b.reads = true, true
	a.rx = burstOf(1, 0, 8)
	l.turn(0)
	require.Zero(t, b.asked)
	l.turn(1)
	require.Equal(t, 1, b.asked)
	require.Zero(t, a.asked)
	require.Equal(t, count(8), seqs(b.sent, 1))
	l.do(1, func(w *dataplane.Worker) { w.Fetch(b.pool.ID(), []mbuf.Frame{{}, {Addr: 1 << 60}}) })
	l.balanced(0)
}

// The limit of a send queue is exact and need not be a power of two. What its
// owner took off but could not send yet does not count.
func TestSendQueueLimit(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), Burst: 32, SendQueue: 25})
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.rx = burstOf(1, 0, 32)
	l.turn(0)
	s := l.stats()
	require.Equal(t, map[string]uint64{"send_queue_full": 7}, s.Ports[1].Drops)
	require.Equal(t, uint64(25), s.Ports[1].InHand)

	b.room, b.stuck = 10, true
	l.turn(1) // takes 25, sends 10, holds 15
	l.turn(1)
	got := l.balanced(0)
	require.Equal(t, uint64(25), got.inHand)
	a.rx = burstOf(1, 32, 32)
	l.turn(0)
	got = l.balanced(0)
	require.Equal(t, uint64(14), got.drops["send_queue_full"])
	require.Zero(t, got.drops["tx_full"], "the owner waits, it does not drop")

	b.room, b.stuck = -1, false
	for range 4 {
		l.turn(1)
	}
	require.Equal(t, append(count(25), 32, 33, 34), seqs(b.sent, 1)[:28])
	require.Equal(t, uint64(50), l.balanced(0).tx)
}

// When a port goes down, what waits on its send queue is dropped by its owner.
func TestSendQueueOfAPortThatGoesDown(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), Burst: 32})
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.rx = burstOf(1, 0, 50)
	l.turn(0)
	l.turn(0)
	b.room, b.stuck = 4, true
	l.turn(1) // 4 sent, 28 held, 18 on the queue
	stop := l.start(t)
	l.devs[1].set(l.Env().Host, false, "cable out")
	require.Eventually(t, func() bool { return sum(l.stats()).drops["port_down"] == 46 }, eventually, tick)
	require.NoError(t, stop())
	got := l.balanced(0)
	require.Equal(t, uint64(4), got.inHand, "the device still has those it took")
}

// A port with two queues on two workers is sent to from both without a send queue.
func TestPortWithTwoQueues(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2), Burst: 8})
	for _, name := range []string{"a", "b"} {
		_, err := l.AddPort(l.device(name, pmd.Class{NUMANode: -1}, 2), dataplane.PortConfig{})
		require.NoError(t, err)
	}
	for i := range 2 {
		l.devs[0].queues[i].(*fakeQueue).rx = burstOf(uint32(i), 0, 8)
		l.turn(i)
	}
	for i := range 2 {
		q := l.devs[1].queues[i].(*fakeQueue)
		require.Equal(t, count(8), seqs(q.sent, uint32(i)))
	}
	s := l.stats()
	require.Len(t, s.Ports[1].Queues, 2)
	for i, q := range s.Ports[1].Queues {
		require.Equal(t, dataplane.QueueStats{Index: i, CPU: -1, Worker: i, TxPackets: 8, TxBytes: 8 * packetSize}, q)
	}
	l.balanced(0)
}

// Without a word on workers, pairs of ports stay on one worker.
func TestDefaultPlacement(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		_, err := l.AddPort(l.device(name, pmd.Class{NUMANode: -1}, 1), dataplane.PortConfig{})
		require.NoError(t, err)
		l.devs[len(l.devs)-1].q().rx = burstOf(1, 0, 1)
	}
	require.Equal(t, 3, l.turn(0), "ports a, b and e")
	require.Equal(t, 2, l.turn(1), "ports c and d")
}
