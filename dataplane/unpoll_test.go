package dataplane_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/queue"
)

// A port that is given up has frames everywhere: on the send queue, held by who drains
// that, in the device. Each is accounted for, nobody has the queue, and the port goes on
// where it stopped when it is taken up again.
func TestUnpoll(t *testing.T) {
	var log diary
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(3), Burst: 8, OnEvent: log.write})
	l.one(8)
	_, a := l.port("a", 0)
	id, b := l.port("b", 1)
	a.rx = burstOf(1, 0, 24)
	b.room, b.stuck = 3, true
	l.turn(0)
	l.turn(1) // 3 in the device, 5 held
	l.turn(0)
	l.turn(0) // 16 on the send queue
	b.rx = burstOf(2, 0, 6)

	require.NoError(t, l.Unpoll(t.Context(), id))
	require.Nil(t, b.local, "nobody has the queue")
	got := l.balanced(0)
	require.Equal(t, map[string]uint64{"not_polled": 21}, got.drops)
	require.Equal(t, uint64(3), got.inHand, "what the device has not sent stays in the account")
	s := l.stats()
	require.True(t, s.Ports[1].Unpolled)
	require.True(t, s.Ports[1].Up, "of the link nothing is said")
	require.Equal(t, -1, s.Ports[1].Queues[0].Worker)
	require.Equal(t, uint64(3), s.Ports[1].Queues[0].InFlight)
	require.NotEmpty(t, s.Ports[1].Missed)
	require.False(t, s.Ports[0].Unpolled)

	// Nothing is received there, and what is sent there is dropped, in bursts and one
	// by one.
	a.rx = burstOf(1, 24, 4)
	require.Equal(t, 4, l.turn(0))
	l.do(2, func(w *dataplane.Worker) {
		var f [1]mbuf.Frame
		w.Local().Cache(b.pool.ID()).TakeFrames(f[:], 0, 60, b.pool.Meta(0))
		require.False(t, w.Owns(id))
		require.Empty(t, w.Make(id, 1, 60))
		w.Local().Free(f[:])
	})
	require.Zero(t, l.turn(1))
	require.Equal(t, uint64(25), l.balanced(0).drops["not_polled"])

	// What the device does with its queue meanwhile, and a link that changes, change
	// nothing of that.
	host, ran := l.Env().Host, false
	host.Exclusive(b, func() { ran = true })
	require.True(t, ran)
	require.NoError(t, l.Unpoll(t.Context(), id), "once more is harmless")

	// Another worker takes it up.
	b.room, b.stuck = -1, false
	require.NoError(t, l.Repoll(t.Context(), id, []int{2}))
	s = l.stats()
	require.False(t, s.Ports[1].Unpolled)
	require.Equal(t, 2, s.Ports[1].Queues[0].Worker)
	require.Equal(t, 6, l.turn(2), "what waited in the device")
	a.rx = burstOf(1, 28, 4)
	l.turn(0)
	require.Zero(t, l.turn(1))
	l.turn(2)
	require.Equal(t, []uint64{0, 1, 2, 28, 29, 30, 31}, seqs(b.sent, 1))
	require.Zero(t, l.balanced(0).inHand)
	text := []string{}
	for _, e := range log.of(dataplane.EventPortChanged) {
		require.Equal(t, "b", e.Port)
		text = append(text, e.Text)
	}
	require.Equal(t, []string{"no core polls it any more", "polled on CPU any"}, text)

	// Given up and taken up again without a word about where; then moved by the same
	// call, without loss.
	require.NoError(t, l.Unpoll(t.Context(), id))
	require.NoError(t, l.Repoll(t.Context(), id, nil))
	require.NoError(t, l.Repoll(t.Context(), id, nil))
	require.Equal(t, 2, l.stats().Ports[1].Queues[0].Worker)
	a.rx = burstOf(1, 32, 4)
	l.turn(0)
	require.NoError(t, l.Repoll(t.Context(), id, []int{1}))
	require.Zero(t, l.turn(2))
	l.turn(1)
	l.turn(1)
	require.Len(t, seqs(b.sent, 1), 11)
	require.Equal(t, 1, l.stats().Ports[1].Queues[0].Worker)
}

// The worker that polls the port sends to it directly, and one by one; the frames in its
// buffer are dropped with the rest.
func TestUnpollOnItsOwnCore(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1)})
	_, a := l.port("a", 0)
	id, b := l.port("b", 0)
	l.do(0, func(w *dataplane.Worker) {
		var f [2]mbuf.Frame
		w.Local().Cache(b.pool.ID()).TakeFrames(f[:], 0, 60, b.pool.Meta(0))
		w.Send(id, f[0])
		w.Send(id, f[1])
	})
	require.NoError(t, l.Unpoll(t.Context(), id))
	require.Equal(t, uint64(2), l.stats().Ports[1].Drops["not_polled"])
	require.NoError(t, l.Repoll(t.Context(), id, []int{0}))
	calls := b.txCalls
	a.rx = burstOf(1, 0, 5)
	l.turn(0)
	require.Equal(t, calls+1, b.txCalls, "directly")
	require.Equal(t, count(5), seqs(b.sent, 1))
}

func TestUnpollMistakes(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(0), Cores: unpinned(2)})
	id, a := l.port("a", 0)
	frame := make([]byte, 60)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{
		l.Unpoll(t.Context(), 1), l.Repoll(t.Context(), 1, []int{0}), l.SendControl(t.Context(), 1, frame),
		l.Unpoll(t.Context(), dataplane.NoPort),
	} {
		require.ErrorContains(t, err, "there is none")
	}
	// Given up before it began: as before.
	require.ErrorIs(t, l.Unpoll(done, id), context.Canceled)
	a.rx = burstOf(1, 0, 3)
	require.Equal(t, 3, l.turn(0))
	require.Equal(t, count(3), seqs(a.sent, 1))
	require.ErrorContains(t, l.Repoll(t.Context(), id, []int{0, 1}), "2 workers named for 1 queues")

	require.NoError(t, l.Unpoll(t.Context(), id))
	for _, test := range []struct {
		workers []int
		want    string
	}{
		{[]int{2}, "worker 2: there are workers 0 to 1"},
		{[]int{-1}, "worker -1"},
		{[]int{0, 1}, "2 workers named for 1 queues"},
	} {
		require.ErrorContains(t, l.Repoll(t.Context(), id, test.workers), test.want)
	}
	require.ErrorIs(t, l.Repoll(done, id, []int{0}), context.Canceled)
	require.Nil(t, a.local)
	require.ErrorIs(t, l.MoveQueue(t.Context(), id, 0, 1), dataplane.ErrNotPolled)
	require.ErrorIs(t, l.SendControl(t.Context(), id, frame), dataplane.ErrNotPolled)

	// A port without a core is no obstacle to others, nor to being removed.
	other, b := l.port("b", 1)
	require.NoError(t, l.MoveQueue(t.Context(), other, 0, 0))
	b.rx = burstOf(1, 0, 2)
	require.Equal(t, 2, l.turn(0))
	require.NoError(t, l.SetStage(t.Context(), to(other)))
	require.NoError(t, l.RemovePort(id))
	require.Equal(t, 1, l.devs[0].closes())
	require.Equal(t, uint64(2), l.balanced(0).drops["not_polled"])
	b.rx = burstOf(1, 0, 1)
	l.do(0, func(w *dataplane.Worker) {
		var f [1]mbuf.Frame
		w.Local().Cache(b.pool.ID()).TakeFrames(f[:], 0, 60, b.pool.Meta(1))
		w.SendBurst(id, f[:])
	})
	require.Equal(t, uint64(1), l.stats().Ports[0].Drops["port_down"], "it is no more")
	require.ErrorContains(t, l.Unpoll(t.Context(), id), "there is none")
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Unpoll(t.Context(), id), dataplane.ErrClosed)
	require.ErrorIs(t, l.Repoll(t.Context(), id, nil), dataplane.ErrClosed)
}

// A port stays unpolled over a change of its link, and is closed with frames in its
// device.
func TestUnpolledPortAndItsLink(t *testing.T) {
	var log diary
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), OnEvent: log.write})
	_, a := l.port("a", 0)
	id, b := l.port("b", 1)
	stop := l.start(t)
	host := l.Env().Host
	require.NoError(t, l.Unpoll(t.Context(), id))
	up := func(want bool, n int) {
		kind := dataplane.EventPortDown
		if want {
			kind = dataplane.EventPortUp
		}
		l.devs[1].set(host, want, "the link")
		require.Eventually(t, func() bool { return len(log.of(kind)) == n }, eventually, tick)
	}
	send := func(first, n int) { l.do(0, func(*dataplane.Worker) { a.rx = burstOf(1, first, n) }) }
	seen := func(reason string, n uint64) {
		require.Eventually(t, func() bool { return l.balancedNow().drops[reason] == n }, eventually, tick)
	}
	up(false, 1)
	up(true, 1)
	send(0, 5)
	seen("not_polled", 5)
	up(false, 2)
	require.NoError(t, l.Repoll(t.Context(), id, nil))
	send(5, 4)
	seen("port_down", 4)
	up(true, 2)
	send(9, 3)
	require.Eventually(t, func() bool { return l.balancedNow().tx == 3 }, eventually, tick)
	l.do(1, func(*dataplane.Worker) { b.stuck = true })
	send(12, 6)
	require.Eventually(t, func() bool { return l.balancedNow().inHand == 6 }, eventually, tick)
	require.NoError(t, l.Unpoll(t.Context(), id))
	require.NoError(t, stop())
	require.Equal(t, uint64(6), l.balanced(0).inHand)
	require.NoError(t, l.Close())
	require.Equal(t, uint64(6), b.c.Drops[pmd.ReasonTxLost])
}

// A worker fails: the ports it has no more are none of its affair, and it is not given
// any.
func TestUnpolledPortOutlivesItsWorker(t *testing.T) {
	var ill atomic.Bool
	stage := dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		if ill.Load() && w.ID() == 0 {
			panic("the stage is ill")
		}
		w.SendBurst(in^1, burst)
	})
	var log diary
	l := newLab(t, dataplane.Config{Stage: stage, Cores: unpinned(2), OnEvent: log.write})
	id, a := l.port("a", 0)
	_, b := l.port("b", 1)
	_, c := l.port("c", 0)
	stop := l.start(t)
	require.NoError(t, l.Unpoll(t.Context(), id))
	ill.Store(true)
	l.do(0, func(*dataplane.Worker) { c.rx = burstOf(1, 0, 7) })
	require.Eventually(t, func() bool { return len(log.of(dataplane.EventPortDown)) == 1 }, eventually, tick)
	require.Equal(t, "c", log.of(dataplane.EventPortDown)[0].Port)
	require.ErrorContains(t, l.Repoll(t.Context(), id, nil), "has failed")
	require.NoError(t, l.Repoll(t.Context(), id, []int{1}))
	l.do(1, func(*dataplane.Worker) { b.rx = burstOf(2, 0, 5) })
	require.Eventually(t, func() bool { return l.balancedNow().tx == 5 }, eventually, tick)
	require.NoError(t, stop())
	require.Equal(t, count(5), seqs(a.sent, 2))
	require.Equal(t, uint64(7), l.balanced(0).drops["stage_panic"])
}

// A worker that fails while the port is given up, and one that did just before.
func TestUnpollFromAWorkerThatHasFailed(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	id, a := l.port("a", 0)
	_, b := l.port("b", 1)
	l.do(0, func(w *dataplane.Worker) {
		a.rx = burstOf(1, 0, 5)
		burst := make([]mbuf.Frame, 5)
		a.RxBurst(burst)
		w.Crash(burst)
	})
	require.NoError(t, l.Unpoll(t.Context(), id))
	l.Bury(0, errors.New("of a broken heart"))
	require.Equal(t, map[string]uint64{"stage_panic": 5}, l.balanced(0).drops)
	require.Zero(t, l.devs[0].closes())
	require.NoError(t, l.Repoll(t.Context(), id, []int{1}))
	b.rx = burstOf(2, 0, 5)
	l.turn(1)
	require.Equal(t, count(5), seqs(a.sent, 2))
}

// The send queue as control sees it: purged on the worker that drains it.
func TestSendQueueOfControl(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), Burst: 8, SendQueue: 20})
	_, a := l.port("a", 0)
	id, b := l.port("b", 1)
	q, err := l.SendQueue(id)
	require.NoError(t, err)
	require.Equal(t, 20, q.Limit())
	a.rx = burstOf(1, 0, 24)
	l.turn(0)
	require.Equal(t, 20, q.Len())
	require.Equal(t, uint64(4), q.Drops())
	b.room, b.stuck = 3, true
	l.turn(1) // 3 in the device, 5 held
	require.ErrorIs(t, q.Request(queue.RequestPurge+1), syscall.EINVAL)
	require.Equal(t, 12, q.Len())
	require.NoError(t, q.Request(queue.RequestPurge))
	require.Zero(t, q.Len())
	require.Equal(t, uint64(17), q.Purged())
	require.Equal(t, map[string]uint64{"send_queue_full": 4, "not_polled": 17}, l.balanced(0).drops)
	b.room, b.stuck = -1, false
	a.rx = burstOf(1, 24, 4)
	l.turn(0)
	l.turn(1)
	l.turn(1)
	require.Equal(t, []uint64{0, 1, 2, 24, 25, 26, 27}, seqs(b.sent, 1))

	require.NoError(t, l.Unpoll(t.Context(), id))
	require.NoError(t, q.Request(queue.RequestPurge))
	require.NoError(t, l.RemovePort(id))
	require.NoError(t, q.Request(queue.RequestPurge))
	require.Zero(t, q.Len())
	_, err = l.SendQueue(id)
	require.ErrorContains(t, err, "there is none")
}

// What a stage holds is given up, on every core; one that panics then is an error, and
// the port is unpolled all the same.
func TestUnpollReleasesWhatAStageHolds(t *testing.T) {
	h := newHolder(2, 10)
	l := newLab(t, dataplane.Config{Stage: h, Cores: unpinned(2)})
	id, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.rx, b.rx = burstOf(1, 0, 8), burstOf(2, 0, 8)
	l.turn(0)
	l.turn(1)
	l.balanced(16)
	require.NoError(t, l.Unpoll(t.Context(), id))
	require.EqualValues(t, 2, h.released.Load())
	l.turn(1)
	require.Equal(t, uint64(16), l.balanced(0).tx)

	require.NoError(t, l.Repoll(t.Context(), id, nil))
	h.release.Store(true)
	require.ErrorContains(t, l.Unpoll(t.Context(), id), "the release is ill")
	require.True(t, l.stats().Ports[0].Unpolled)
	require.Nil(t, a.local)
	h.release.Store(false)
	require.NoError(t, l.Repoll(t.Context(), id, nil))
}

// A queue that cannot be bound takes down its port, and nothing else.
func TestRepollOfAQueueThatCannotBeBound(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2)})
	dev := l.device("a", pmd.Class{NUMANode: -1}, 2)
	id, err := l.AddPort(dev, dataplane.PortConfig{Workers: []int{0, 1}})
	require.NoError(t, err)
	_, b := l.port("b", 1)
	require.NoError(t, l.Unpoll(t.Context(), id))
	dev.queues[1].(*fakeQueue).bindPanics = true
	err = l.Repoll(t.Context(), id, []int{1, 0})
	require.ErrorContains(t, err, "port a")
	require.ErrorContains(t, err, "the port is closed")
	require.Nil(t, dev.q().local)
	require.Equal(t, 1, dev.closes())
	b.rx = burstOf(1, 0, 2)
	require.Equal(t, 2, l.turn(1))
	l.balanced(0)
}

// A core polls only so many queues; the port stays as it was.
func TestRepollWhereThereIsNoRoom(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	dev := l.device("a", pmd.Class{NUMANode: -1}, 2)
	id, err := l.AddPort(dev, dataplane.PortConfig{Workers: []int{0, 0}})
	require.NoError(t, err)
	require.NoError(t, l.Unpoll(t.Context(), id))
	full := l.device("b", pmd.Class{NUMANode: -1}, dataplane.MaxHandlers-1)
	_, err = l.AddPort(full, dataplane.PortConfig{Workers: make([]int, dataplane.MaxHandlers-1)})
	require.NoError(t, err)
	require.ErrorContains(t, l.Repoll(t.Context(), id, nil), "that is the limit")
	require.Nil(t, dev.q().local)
	require.NoError(t, l.Repoll(t.Context(), id, []int{0, 1}))
}

// A frame of control's leaves on the owner of the port, behind what was sent before.
func TestSendControl(t *testing.T) {
	for _, workers := range []int{1, 2} {
		l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(workers), Burst: 8})
		_, a := l.port("a", 0)
		id, b := l.port("b", workers-1)
		owner := workers - 1
		frame := make([]byte, packetSize)
		packet{7, 0, packetSize}.write(frame)
		a.rx = burstOf(7, 1, 3)
		l.turn(0)
		l.turn(owner)
		require.NoError(t, l.SendControl(t.Context(), id, frame))
		clear(frame) // it was copied
		require.Equal(t, uint64(1), l.stats().Ports[id].Generated)
		l.turn(owner)
		require.Equal(t, []uint64{1, 2, 3, 0}, seqs(b.sent, 7))
		require.Zero(t, b.damaged)
		l.balanced(0)

		for _, test := range []struct {
			bytes int
			want  string
		}{{13, "of 13 bytes"}, {0, "use 14 to"}, {10_000, "of 10000 bytes"}} {
			require.ErrorContains(t, l.SendControl(t.Context(), id, make([]byte, test.bytes)), test.want)
		}
		b.room, b.stuck = 0, true
		require.ErrorContains(t, l.SendControl(t.Context(), id, make([]byte, 60)), "no room")
		b.room = -1
		l.do(owner, func(w *dataplane.Worker) {
			all := make([]mbuf.Frame, 4096)
			n := w.Local().Cache(b.pool.ID()).TakeFrames(all, 0, 60, b.pool.Meta(0))
			b.posted = append(b.posted, all[:n]...)
		})
		if workers == 1 {
			require.ErrorContains(t, l.SendControl(t.Context(), id, make([]byte, 60)), "not enough frames free")
		}
		l.do(owner, func(w *dataplane.Worker) { w.Local().Free(b.posted); b.posted = nil })
		l.devs[1].set(l.Env().Host, false, "no carrier")
		stop := l.start(t)
		require.Eventually(t, func() bool {
			err := l.SendControl(t.Context(), id, make([]byte, 60))
			return err != nil && err.Error() == "dataplane: port b: a frame of 60 bytes was not sent: the port is down"
		}, eventually, tick)
		require.NoError(t, stop())
		l.balanced(0)
	}
}

// A frame of control's that is longer than one of the pool leaves in several where a packet
// may have them, and is refused with the limit where it may not, or beyond it.
func TestSendControlOfSeveralFrames(t *testing.T) {
	for _, workers := range []int{1, 2} {
		l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(workers)})
		l.portOf("a", 0, pmd.Class{NUMANode: -1})
		owner := workers - 1
		id, b := l.portOf("b", owner, pmd.Class{NUMANode: -1, MultiBuffer: true})
		room := b.pool.MaxLen()
		for i, size := range []int{packetSize, room, room + 1, 9014, mbuf.MaxSegments * room} {
			frame := make([]byte, size)
			packet{7, uint64(i), size}.write(frame)
			require.NoError(t, l.SendControl(t.Context(), id, frame))
			l.turn(owner)
			require.Equal(t, packet{7, uint64(i), size}, b.sent[i])
		}
		l.turn(owner)
		require.Zero(t, b.damaged+b.broken)
		require.Equal(t, uint64(5), l.stats().Ports[id].Generated, "packets, not frames")
		err := l.SendControl(t.Context(), id, make([]byte, mbuf.MaxSegments*room+1))
		require.ErrorContains(t, err, fmt.Sprintf("use 14 to %d bytes", mbuf.MaxSegments*room))
		b.room, b.stuck = len(b.posted)+3, true
		if workers == 1 {
			require.ErrorContains(t, l.SendControl(t.Context(), id, make([]byte, 9014)), "no room", "all of it or nothing")
			require.Empty(t, b.posted)
		}
		b.room, b.stuck = -1, false
		require.ErrorContains(t, l.SendControl(t.Context(), 0, make([]byte, room+1)), fmt.Sprintf("use 14 to %d bytes", room))
		l.balanced(0)
	}
}

// flood is four ports with endless traffic, half of which crosses from one worker to the
// other. Their queues are not safe for two goroutines, so the race detector sees if ever two
// have one.
func flood(t *testing.T) (*lab, [4]*fakeQueue) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2), Burst: 16, SendQueue: 64})
	var queues [4]*fakeQueue
	for i := range queues {
		_, queues[i] = l.port(fmt.Sprint("p", i), i%2)
		queues[i].endless, queues[i].record, queues[i].slow = true, false, 16
	}
	return l, queues
}

// flap gives up a port and takes it up again, on the same or the other worker, and does
// something else of all that control can do. It returns how many frames control sent.
func (l *lab) flap(i int, queues [4]*fakeQueue) (made uint64) {
	ctx, id := context.Background(), dataplane.PortID(i*7/3%len(queues))
	require.NoError(l.t, l.Unpoll(ctx, id))
	// Nobody has it: under the race detector this fails if a worker does.
	queues[id].flow++
	if i%16 == 0 {
		s := l.stats()
		require.True(l.t, s.Pools[0].Balanced(), "%v", s.Pools[0].Owners)
		require.True(l.t, s.Ports[id].Unpolled)
		require.Zero(l.t, s.Ports[id].InHand)
	}
	require.NoError(l.t, l.Repoll(ctx, id, []int{i / 5 % 2}))
	switch i % 3 {
	case 0:
		require.NoError(l.t, l.MoveQueue(ctx, (id+1)%dataplane.PortID(len(queues)), 0, i%2))
	case 1:
		if l.SendControl(ctx, id, make([]byte, packetSize)) == nil {
			made++
		}
	}
	return made
}

// Thousands of times, with workers that are stepped in turn.
func TestUnpollThousandsOfTimes(t *testing.T) {
	l, queues := flood(t)
	made := uint64(0)
	for i := range 4000 {
		l.turn(i % 2)
		made += l.flap(i, queues)
		l.turn(i / 2 % 2)
	}
	got := l.balanced(0)
	require.Equal(t, made, got.made)
	require.NotZero(t, got.tx)
	require.NotZero(t, got.drops["not_polled"])
}

// With workers that run, as often as there is time for: on a busy machine each message
// waits for its worker to get a CPU.
func TestUnpollUnderTraffic(t *testing.T) {
	l, queues := flood(t)
	stop := l.start(t)
	made, flaps := uint64(0), 0
	for end := time.Now().Add(2 * time.Second); flaps < 20 || flaps < 2000 && time.Now().Before(end); flaps++ {
		made += l.flap(flaps, queues)
	}
	require.NoError(t, stop())
	got := l.balanced(0)
	require.Equal(t, made, got.made)
	require.NotZero(t, got.tx)
	t.Logf("%d times given up under %d packets; %v", flaps, got.rx, got.drops)
}
