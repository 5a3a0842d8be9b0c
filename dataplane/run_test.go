package dataplane_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

func TestConfigMistakes(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  dataplane.Config
		want string
	}{
		{"no stage", dataplane.Config{}, "Stage is nil"},
		{"a CPU twice", dataplane.Config{Stage: pairs, Cores: []int{3, 1, 3}}, "CPU 3 is named twice"},
		{"too many cores", dataplane.Config{Stage: pairs, Cores: unpinned(dataplane.MaxWorkers + 1)}, "at most 1024"},
		{"burst too large", dataplane.Config{Stage: pairs, Burst: pmd.MaxBurst + 1}, "burst 257: use 1 to 256"},
		{"burst negative", dataplane.Config{Stage: pairs, Burst: -1}, "burst -1"},
		{"send queue negative", dataplane.Config{Stage: pairs, SendQueue: -1}, "send queue of -1 frames"},
		{"send queue too large", dataplane.Config{Stage: pairs, SendQueue: 1<<20 + 1}, "use 1 to 1048576"},
		{"too many reasons", dataplane.Config{Stage: pairs, Reasons: make([]string, pmd.MaxReasons)}, "32 reasons: at most 17"},
		{"pool", dataplane.Config{Stage: pairs, Pool: mbuf.Config{Frames: 1}}, "1 frames"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := dataplane.New(test.cfg)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestAddPortMistakes(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	l.port("taken", 0)
	stranger := newLab(t, dataplane.Config{Stage: pairs})
	mixed := l.device("mixed", pmd.Class{NUMANode: -1}, 1)
	mixed.queues = append(mixed.queues, l.device("", pmd.Class{NUMANode: -1, FrameSize: 4096}, 1).queues...)
	ill := l.device("ill", pmd.Class{NUMANode: -1}, 2)
	ill.queues[1].(*fakeQueue).bindPanics = true
	for _, test := range []struct {
		name    string
		dev     pmd.Device
		workers []int
		want    string
	}{
		{"name", l.device("taken", pmd.Class{NUMANode: -1}, 1), nil, "a port named taken exists"},
		{"no queue", l.device("x", pmd.Class{NUMANode: -1}, 0), nil, "no queue"},
		{"too few workers", l.device("x", pmd.Class{NUMANode: -1}, 2), []int{0}, "1 workers named for 2 queues"},
		{"no such worker", l.device("x", pmd.Class{NUMANode: -1}, 1), []int{2}, "there are workers 0 to 1"},
		{"negative worker", l.device("x", pmd.Class{NUMANode: -1}, 1), []int{-1}, "worker -1"},
		{"pool of another dataplane", stranger.device("x", pmd.Class{NUMANode: -1}, 1), nil, "with the Env of this dataplane"},
		{"two pools", mixed, nil, "mixed queue 1"},
		{"a queue that cannot be bound", ill, nil, "cannot be bound"},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, err := l.AddPort(test.dev, dataplane.PortConfig{Workers: test.workers})
			require.ErrorContains(t, err, test.want)
			require.Equal(t, dataplane.NoPort, id)
			l.balanced(0)
		})
	}
	// What was half done is undone: the name is free and nobody polls the queue.
	require.Nil(t, ill.queues[0].(*fakeQueue).local)
	id, q := l.port("ill", 0)
	q.rx = burstOf(1, 0, 3)
	require.Equal(t, 3, l.turn(0))
	require.Equal(t, dataplane.PortID(2), id)
}

// A CPU that does not exist ends Run with an error that names it; everything can
// still be closed.
func TestRunOnACPUThatIsNotThere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("pinning is Linux's")
	}
	for _, id := range []int{4000, 1 << 20, -7} {
		l := newLab(t, dataplane.Config{Stage: pairs, Cores: []int{dataplane.Unpinned, id}})
		_, a := l.port("a", 0)
		_, b := l.port("b", 1)
		a.rx, b.rx = burstOf(1, 0, 5), burstOf(2, 0, 5)
		err := l.Run(t.Context())
		require.ErrorContains(t, err, fmt.Sprintf("CPU %d", id))
		require.ErrorContains(t, err, "worker 1")
		require.NotContains(t, err.Error(), "\n")
		l.balanced(0)
	}
}

func TestRunEndsInGoodOrder(t *testing.T) {
	before := runtime.NumGoroutine()
	procs := runtime.GOMAXPROCS(0)
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.endless, b.endless, a.record, b.record = true, true, false, false
	stop := l.start(t)
	require.GreaterOrEqual(t, runtime.GOMAXPROCS(0), 4, "two pollers and two for others: cpu.Processors")
	require.NoError(t, stop())
	require.Equal(t, procs, runtime.GOMAXPROCS(0))
	s := l.stats()
	require.Equal(t, "stopped", s.Cores[0].State)
	got := l.balanced(0)
	require.Zero(t, got.inHand)

	err := l.Run(t.Context())
	require.ErrorContains(t, err, "once")
	require.NotContains(t, err.Error(), "\n")
	require.NoError(t, l.Close())
	require.NoError(t, l.Close(), "twice is harmless")
	require.ErrorIs(t, l.Run(t.Context()), dataplane.ErrClosed)
	_, err = l.Accounts()
	require.ErrorIs(t, err, dataplane.ErrClosed)
	_, err = l.Stats(t.Context())
	require.ErrorIs(t, err, dataplane.ErrClosed)
	_, err = l.AddPort(l.devs[0], dataplane.PortConfig{})
	require.ErrorIs(t, err, dataplane.ErrClosed)
	require.Equal(t, 1, l.devs[0].closes())
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, eventually, tick, "a goroutine is left behind")
}

// A device that does not get its frames out does not hold up the end for long;
// they come home when it is closed.
func TestRunEndsThoughADeviceIsStuck(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs})
	_, a := l.port("a", 0)
	_, b := l.port("b", 0)
	a.rx = burstOf(1, 0, 10)
	b.stuck = true
	stop := l.start(t)
	require.Eventually(t, func() bool { return l.balancedNow().inHand == 10 }, eventually, tick)
	require.NoError(t, stop()) // which gives up at some time
	require.Equal(t, uint64(10), l.balanced(0).inHand)
	require.NoError(t, l.Close())
	require.Equal(t, uint64(10), b.c.Drops[pmd.ReasonTxLost])
}

// What is on a send queue when the workers stop is counted as stopped.
func TestSendQueueAtTheEnd(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), Burst: 16})
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.rx = burstOf(1, 0, 40)
	b.room, b.stuck = 4, true
	stop := l.start(t)
	require.Eventually(t, func() bool { return l.balancedNow().rx == 40 }, eventually, tick)
	require.NoError(t, stop())
	got := l.balanced(0)
	require.Equal(t, uint64(36), got.drops["stopped"])
	require.Equal(t, uint64(4), got.inHand)
}

// Run ends at once if its context is done already.
func TestRunWithADoneContext(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	l.port("a", 0)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, l.Run(ctx))
	l.balanced(0)
}

// Ports are added while frames are sent to numbers that do not exist yet. No
// worker fails, and each new port carries traffic at once.
func TestAddPortUnderTraffic(t *testing.T) {
	var log diary
	everywhere := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
		for i, f := range burst {
			w.Send(dataplane.PortID(i%12), f)
		}
	})
	for _, workers := range []int{1, 2} {
		l := newLab(t, dataplane.Config{Stage: everywhere, Cores: unpinned(workers), OnEvent: log.write})
		_, a := l.port("p0", 0)
		a.endless, a.record = true, false
		stop := l.start(t)
		for i := 1; i < 12; i++ {
			dev := l.device(fmt.Sprint("p", i), pmd.Class{NUMANode: -1}, 1)
			dev.q().record = false
			id, err := l.AddPort(dev, dataplane.PortConfig{Workers: []int{i % workers}})
			require.NoError(t, err)
			require.Equal(t, dataplane.PortID(i), id)
			require.Eventually(t, func() bool { return l.stats().Ports[i].TxPackets > 0 }, eventually, tick)
		}
		require.NoError(t, stop())
		require.Empty(t, log.of(dataplane.EventWorkerFailed))
		got := l.balanced(0)
		require.NotZero(t, got.drops["no_port"])
	}
}

// The moment between a worker's knowing of a port and its queue's being bound:
// frames sent there are dropped by count. The owner has no queue to send them on.
func TestAddPortWhileFramesAreSentThere(t *testing.T) {
	for _, count := range []int{1, 2} {
		l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(count)})
		_, a := l.port("a", 0)
		workers := make([]*dataplane.Worker, count)
		for i := range workers {
			l.do(i, func(w *dataplane.Worker) { workers[i] = w })
		}
		dev := l.device("b", pmd.Class{NUMANode: -1}, 1)
		dev.q().meanwhile = func() {
			a.rx = burstOf(1, 0, 10)
			for _, w := range workers {
				w.Turn() // nobody runs them, and AddPort is busy with us
			}
		}
		_, err := l.AddPort(dev, dataplane.PortConfig{Workers: []int{count - 1}})
		require.NoError(t, err)
		for i := range workers {
			l.turn(i)
		}
		got := l.balanced(0)
		require.Zero(t, got.inHand, "nothing is stuck")
		require.Equal(t, uint64(10), got.drops["port_down"])
	}
}

func TestErrorTextsAreOneLine(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs})
	for _, err := range []error{
		l.Do(t.Context(), 5, nil),
		dataplane.ErrBusy, dataplane.ErrClosed,
	} {
		require.Error(t, err)
		require.False(t, strings.Contains(err.Error(), "\n"), err)
		require.True(t, strings.HasPrefix(err.Error(), "dataplane: "), err)
	}
}

// Close brings every frame home, wherever it is: in a transmit buffer, on a send
// queue, held by the owner of that, or in a device.
func TestCloseWithFramesEverywhere(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: to(1), Cores: unpinned(2), Burst: 8})
	l.one(8)
	_, a := l.port("a", 0)
	_, b := l.port("b", 1)
	a.rx = burstOf(1, 0, 24)
	b.room, b.stuck = 3, true
	l.turn(0)
	l.turn(1) // 3 in the device, 5 held
	l.turn(0)
	l.do(0, func(w *dataplane.Worker) {
		var f [2]mbuf.Frame
		w.Local().Cache(a.pool.ID()).TakeFrames(f[:], 0, 60, a.pool.Meta(0))
		w.Send(1, f[0])
		w.Send(0, f[1])
	})
	s := l.stats()
	require.True(t, s.Pools[0].Balanced())
	require.Equal(t, 8, s.Pools[0].ByOwner[mbuf.OwnerSendQueue])
	require.Equal(t, 3, s.Pools[0].ByOwner[mbuf.OwnerDevice])
	require.Equal(t, 5+2, s.Pools[0].ByOwner[mbuf.OwnerBurst])
	require.NoError(t, l.Close())
}
