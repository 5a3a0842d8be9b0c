package dataplane_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// diary collects events.
type diary struct {
	mu     sync.Mutex
	events []dataplane.Event
}

func (d *diary) write(e dataplane.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

// of returns the events of a kind so far.
func (d *diary) of(kind string) []dataplane.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []dataplane.Event
	for _, e := range d.events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// halfway is a stage that forwards like pairs until a burst holds a packet of
// flow 666. Then it sends ten frames in three ways, drops three, and panics with
// the rest.
var halfway = dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	if p, _ := readPacket(w.Mem(burst[0]).Bytes(burst[0])); p.flow != 666 {
		w.SendBurst(in^1, burst)
		return
	}
	w.SendBurst(in^1, burst[:4]) // on a queue of its own
	w.Send(in^1, burst[4])       // in a buffer
	w.Send(in^1, burst[5])
	w.SendBurst(2, burst[6:10]) // a port of the other worker
	w.Drop(pmd.ReasonSink, burst[10])
	w.DropBurst(pmd.ReasonSink, burst[11:13])
	panic(errors.New("divided by a carrot"))
})

func TestPanicTakesDownOneWorker(t *testing.T) {
	var log diary
	l := newLab(t, dataplane.Config{Stage: halfway, Cores: unpinned(2), Burst: 32, OnEvent: log.write})
	l.one(32)
	_, a := l.port("a", 0)
	_, b := l.port("b", 0)
	_, c := l.port("c", 1)
	_, e := l.port("e", 1)
	c.endless, c.flow, e.record = true, 3, false
	a.rx = append(burstOf(1, 0, 32), burstOf(666, 0, 20)...)
	stop := l.startUnchecked(t)
	require.Eventually(t, func() bool { return len(log.of(dataplane.EventPortDown)) == 2 }, eventually, tick)

	failed := log.of(dataplane.EventWorkerFailed)
	require.Len(t, failed, 1)
	require.Contains(t, failed[0].Text, "divided by a carrot")
	require.Contains(t, failed[0].Text, "panic_test.go", "the stack tells where")
	require.Contains(t, failed[0].Text, "7 frames recovered")
	for i, name := range []string{"a", "b"} {
		require.Equal(t, name, log.of(dataplane.EventPortDown)[i].Port)
		require.Equal(t, 1, l.devs[i].closes())
	}

	// The others go on, while the account balances.
	before := l.stats()
	require.Eventually(t, func() bool { return l.stats().Ports[3].TxPackets > before.Ports[3].TxPackets }, eventually, tick)
	s := l.stats()
	require.True(t, s.Pools[0].Balanced(), "%+v %v", s.Pools[0].Account, s.Pools[0].Owners)
	require.Equal(t, []string{"failed", "running"}, []string{s.Cores[0].State, s.Cores[1].State})
	for i, up := range []bool{false, false, true, true} {
		require.Equal(t, up, s.Ports[i].Up, "port %d", i)
		require.Equal(t, up, s.Ports[i].Detail == "", "port %d: %s", i, s.Ports[i].Detail)
	}
	require.Contains(t, s.Ports[0].Detail, "failed")

	require.NoError(t, stop(), "the rest of the process is well")
	got := l.balanced(0)
	require.Equal(t, uint64(7), got.drops["stage_panic"], "20 less 10 sent and 3 dropped")
	require.Equal(t, uint64(3), got.drops["sink"])
	require.Equal(t, uint64(2), got.drops["stopped"], "those in the transmit buffer")
	require.Equal(t, uint64(4), got.drops["tx_lost"], "those the device had")
	require.Equal(t, count(4), shift(seqs(c.sent, 666), 6), "those for the other worker went")
	require.Len(t, seqs(b.sent, 1), 32)
}

// shift subtracts by from each.
func shift(in []uint64, by uint64) []uint64 {
	out := make([]uint64, len(in))
	for i := range in {
		out[i] = in[i] - by
	}
	return out
}

// A frame for a port whose worker has failed is a counted drop.
func TestSendToAPortOfAFailedWorker(t *testing.T) {
	var log diary
	l := newLab(t, dataplane.Config{Stage: halfway, Cores: unpinned(2), Burst: 32, OnEvent: log.write})
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	l.port("c", 1)
	a.rx = burstOf(666, 0, 13)
	stop := l.startUnchecked(t)
	require.Eventually(t, func() bool { return len(log.of(dataplane.EventPortDown)) == 1 }, eventually, tick)
	l.do(1, func(*dataplane.Worker) { b.rx = burstOf(1, 0, 9) })
	require.Eventually(t, func() bool { return l.balancedNow().drops["port_down"] == 9 }, eventually, tick)
	require.NoError(t, stop())
	got := l.balanced(0)
	require.Zero(t, got.drops["stage_panic"], "nothing was left in its hands")
}

// A new port can take the place of one that was lost with its worker.
func TestPortOfAFailedWorkerOpenedAgain(t *testing.T) {
	var log diary
	l := newLab(t, dataplane.Config{Stage: halfway, Cores: unpinned(2), Burst: 32, OnEvent: log.write})
	_, a := l.port("a", 0)
	a.rx = burstOf(666, 0, 13)
	l.startUnchecked(t)
	require.Eventually(t, func() bool { return len(log.of(dataplane.EventPortDown)) == 1 }, eventually, tick)
	id, again := l.port("a", 1)
	require.Equal(t, dataplane.PortID(1), id, "numbers are not used twice")
	l.do(1, func(*dataplane.Worker) { again.rx = burstOf(1, 0, 5) })
	require.Eventually(t, func() bool { return l.balancedNow().drops["port_down"] >= 5 }, eventually, tick)
}

// When all workers have failed the process still answers, and ends in good order.
func TestAllWorkersFail(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			var log diary
			stage := dataplane.StageFunc(func(*dataplane.Worker, dataplane.PortID, []mbuf.Frame) { panic("all ill") })
			l := newLab(t, dataplane.Config{Stage: stage, Cores: unpinned(workers), OnEvent: log.write})
			for i := range workers {
				_, q := l.port(fmt.Sprint("p", i), i)
				q.rx = burstOf(uint32(i), 0, 10+i)
			}
			ctx := t.Context()
			stop := l.startUnchecked(t)
			require.Eventually(t, func() bool { return len(log.of(dataplane.EventPortDown)) == workers }, eventually, tick)
			require.NoError(t, l.Barrier(ctx))
			require.NoError(t, l.SetStage(ctx, pairs))
			for i, c := range l.stats().Cores {
				require.Equal(t, "failed", c.State, "worker %d", i)
			}
			for i := range workers {
				require.Equal(t, map[string]uint64{"stage_panic": uint64(10 + i)}, l.stats().Ports[i].Drops)
			}
			l.balanced(0)
			require.NoError(t, stop())
		})
	}
}

// Between the panic and the burial the account shows the burst as the worker's,
// and nothing twice.
func TestAccountWhileADeadWorkerWaits(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs})
	_, a := l.port("a", 0)
	var f [10]mbuf.Frame
	l.do(0, func(w *dataplane.Worker) {
		w.Local().Cache(a.pool.ID()).TakeFrames(f[:], 0, 60, a.pool.Meta(0))
		w.Crash(f[:])
		w.SendBurst(0, f[:2])
		w.DropBurst(pmd.ReasonSink, f[2:5])
	})
	s := l.stats()
	require.True(t, s.Pools[0].Balanced(), "%+v", s.Pools[0])
	require.Equal(t, 5, s.Pools[0].ByOwner[mbuf.OwnerBurst])
	l.Bury(0, errors.New("ill"))
	require.Equal(t, map[string]uint64{"sink": 3, "stage_panic": 5, "tx_lost": 2}, l.stats().Ports[0].Drops)
	require.True(t, l.stats().Pools[0].Balanced())
}

// A stage that holds frames and panics is asked to release them. If it cannot, the
// process still ends, and Close tells how many are missing.
func TestPanicOfAFrameHolder(t *testing.T) {
	for _, broken := range []bool{false, true} {
		t.Run(fmt.Sprintf("broken=%v", broken), func(t *testing.T) {
			var log diary
			h := newHolder(2, 10)
			d, err := dataplane.New(dataplane.Config{Stage: h, Cores: unpinned(2), Pool: smallPool(), OnEvent: log.write})
			require.NoError(t, err)
			l := &lab{Dataplane: d, t: t}
			_, a := l.port("a", 0)
			l.port("b", 1)
			a.rx = burstOf(1, 0, 8)
			stop := l.start(t)
			require.Eventually(t, func() bool { return l.balancedNow().rx == 8 }, eventually, tick)
			h.process.Store(true)
			h.release.Store(broken)
			l.do(0, func(*dataplane.Worker) { a.rx = burstOf(1, 8, 4) })
			require.Eventually(t, func() bool { return len(log.of(dataplane.EventPortDown)) == 1 }, eventually, tick)
			require.Equal(t, broken, strings.Contains(log.of(dataplane.EventWorkerFailed)[0].Text, "the release is ill"))
			require.True(t, l.stats().Pools[0].Balanced(), "the holder has them, or somebody else")
			if !broken {
				require.Eventually(t, func() bool { return l.balancedNow().tx == 12 }, eventually, tick)
				require.NoError(t, stop())
				l.balanced(0)
				require.NoError(t, d.Close())
				return
			}
			require.NoError(t, stop(), "its release on the other worker fails too, which takes down that one only")
			err = d.Close()
			require.ErrorIs(t, err, mbuf.ErrInUse)
			require.ErrorContains(t, err, "12 of 4096 frames")
		})
	}
}

// A stage that has reordered its burst, or shortened it, loses nothing in a panic.
func TestPanicAfterTheBurstWasOverwritten(t *testing.T) {
	var log diary
	stage := dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		w.Drop(pmd.ReasonSink, burst[0])
		copy(burst, burst[1:])
		burst = burst[:len(burst)-1]
		w.SendBurst(1, burst[:3]) // copied to another pool in place
		panic("ill")
	})
	l := newLab(t, dataplane.Config{Stage: stage, Cores: unpinned(2), OnEvent: log.write})
	_, a := l.port("a", 0)
	_, b := l.portOf("b", 1, pmd.Class{NUMANode: -1, FrameSize: 4096})
	a.rx = burstOf(1, 0, 10)
	stop := l.startUnchecked(t)
	require.Eventually(t, func() bool { return len(log.of(dataplane.EventPortDown)) == 1 }, eventually, tick)
	require.Eventually(t, func() bool { return l.balancedNow().tx == 3 }, eventually, tick)
	require.NoError(t, stop())
	got := l.balanced(0)
	require.Equal(t, map[string]uint64{"sink": 1, "stage_panic": 6}, got.drops)
	require.Equal(t, []uint64{1, 2, 3}, seqs(b.sent, 1))
}
