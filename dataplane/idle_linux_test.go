package dataplane_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/pcap"
	"example.org/pmd/pmd/ring"
)

// sleepers is a lab whose two workers sleep whenever they can: ports 0 and 1 are rings
// on worker 0 and 1, whose other ends the test has.
func sleepers(t *testing.T, idle dataplane.Idle, stage dataplane.Stage) (*lab, [2]*ring.Endpoint) {
	t.Helper()
	l := newLab(t, dataplane.Config{Stage: stage, Cores: unpinned(2), Idle: idle})
	var ends [2]*ring.Endpoint
	for i, name := range []string{"r0", "r1"} {
		inside, outside, err := ring.NewPair(ring.Config{Name: name}, l.Env())
		require.NoError(t, err)
		ends[i] = ring.NewEndpoint(outside)
		_, err = l.AddPort(inside, dataplane.PortConfig{Workers: []int{i}})
		require.NoError(t, err)
	}
	return l, ends
}

// asleep waits until both workers sleep for long.
func asleep(t *testing.T, l *lab) {
	t.Helper()
	var last [2]dataplane.CoreStats
	require.Eventually(t, func() bool {
		time.Sleep(20 * time.Millisecond)
		s, err := l.Stats(t.Context())
		require.NoError(t, err)
		ok := true
		for i := range last {
			ok = ok && s.Cores[i].SleepNs-last[i].SleepNs > 10e6
			last[i] = s.Cores[i]
		}
		return ok
	}, eventually, tick)
}

// soundly makes sleeps end only by what is meant to end them: by themselves, not within
// any test.
func soundly(l *lab) {
	for i := range l.Workers() {
		l.do(i, func(w *dataplane.Worker) { w.SleepFor(time.Hour, dataplane.IdleInterrupt) })
	}
}

// Everything that concerns a core reaches it while it sleeps.
func TestWhatWakesASleeper(t *testing.T) {
	l, ends := sleepers(t, dataplane.IdleInterrupt, pairs)
	soundly(l)
	l.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	receive := func(e *ring.Endpoint) {
		deadline := time.Now().Add(eventually)
		for len(e.Receive(1)) == 0 {
			require.True(t, time.Now().Before(deadline), "no frame came")
			time.Sleep(10 * time.Microsecond)
		}
	}
	for name, act := range map[string]func(){
		"do":        func() { l.do(0, func(*dataplane.Worker) {}) },
		"barrier":   func() { require.NoError(t, l.Barrier(ctx)) },
		"stats":     func() { _, err := l.Stats(ctx); require.NoError(t, err) },
		"set stage": func() { require.NoError(t, l.SetStage(ctx, pairs)) },
		"accounts": func() {
			require.Eventually(t, func() bool { // workers that share CPUs may be late
				_, err := l.Accounts()
				require.True(t, err == nil || errors.Is(err, dataplane.ErrBusy), "%v", err)
				return err == nil
			}, eventually, tick)
		},
		// The frame wakes worker 0, whose frame on the send queue wakes worker 1.
		"a frame": func() {
			n, err := ends[0].Send(make([]byte, packetSize))
			require.NoError(t, err)
			require.Equal(t, 1, n)
			receive(ends[1])
		},
		"a queue that moves": func() {
			require.NoError(t, l.MoveQueue(ctx, 1, 0, 0))
			require.NoError(t, l.MoveQueue(ctx, 1, 0, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var took []time.Duration
			for range 5 {
				asleep(t, l)
				began := time.Now()
				act()
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			t.Logf("median %v, longest %v", took[2], took[4])
		})
	}
	for _, e := range ends {
		require.NoError(t, e.Close())
	}
}

// Run ends while the workers sleep.
func TestStopWakesSleepers(t *testing.T) {
	l, ends := sleepers(t, dataplane.IdleInterrupt, pairs)
	soundly(l)
	stop := l.start(t)
	asleep(t, l)
	require.NoError(t, stop())
	for _, e := range ends {
		require.NoError(t, e.Close())
	}
	l.balanced(0)
}

// A stage that panics as its worker has just woken takes down that worker only, and the
// other one, asleep, is found by the account.
func TestPanicOfASleeper(t *testing.T) {
	stage := dataplane.StageFunc(func(*dataplane.Worker, dataplane.PortID, []mbuf.Frame) { panic(errors.New("woken up")) })
	l, ends := sleepers(t, dataplane.IdleInterrupt, stage)
	l.start(t)
	asleep(t, l)
	_, err := ends[0].Send(make([]byte, packetSize))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return l.core(0).State == "failed" }, eventually, tick)
	require.Equal(t, "running", l.core(1).State)
	for _, e := range ends {
		require.NoError(t, e.Close())
	}
}

// Whether cores sleep, and how much of a CPU an idle one takes.
func TestIdlePolicies(t *testing.T) {
	for _, policy := range []dataplane.Idle{dataplane.IdleSpin, dataplane.IdleAdaptive, dataplane.IdleInterrupt} {
		t.Run(string(policy), func(t *testing.T) {
			l, ends := sleepers(t, policy, pairs)
			l.start(t)
			// Of the whole process, since workers that are not pinned may change
			// their threads: nothing else goes on in it. It is told only, since on a
			// busy machine all that a core does is dearer: how often it does it is
			// the policy's.
			used := func() time.Duration {
				var ru unix.Rusage
				require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &ru))
				return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
			}
			if policy == dataplane.IdleSpin {
				before := l.core(0).Turns
				require.Eventually(t, func() bool { return l.core(0).Turns > before+10_000 }, eventually, tick)
				require.Zero(t, l.core(0).Sleeps)
			} else {
				asleep(t, l)
			}
			cpu, began, before := used(), time.Now(), l.stats()
			time.Sleep(500 * time.Millisecond)
			after := l.stats()
			t.Logf("an idle core takes %.2f %% of a CPU", 100*float64(used()-cpu)/float64(time.Since(began))/2)
			for i := range after.Cores {
				b, a := before.Cores[i], after.Cores[i]
				took, turns := time.Duration(a.TotalNs-b.TotalNs), a.Turns-b.Turns
				t.Logf("core %d: %d turns, %d sleeps in %v", i, turns, a.Sleeps-b.Sleeps, took)
				if policy != dataplane.IdleSpin {
					require.NotZero(t, a.Sleeps)
					// A turn after each sleep; asking made it turn too.
					require.Less(t, turns, uint64(20+4*took/dataplane.LongSleep))
				}
			}
			for _, e := range ends {
				require.NoError(t, e.Close())
			}
		})
	}
}

// A core that replays a capture at a rate sleeps until the next frame is due, and for
// long when none will come.
func TestIdleBetweenFramesOfAReplay(t *testing.T) {
	const frames = 20
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	require.NoError(t, w.WriteFileHeader(packetSize, layers.LinkTypeEthernet))
	for range frames {
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{CaptureLength: packetSize, Length: packetSize}, make([]byte, packetSize)))
	}
	path := filepath.Join(t.TempDir(), "in.pcap")
	require.NoError(t, os.WriteFile(path, file.Bytes(), 0o600))

	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(1), Idle: dataplane.IdleInterrupt})
	replay, err := pcap.New(t.Context(), pcap.Config{RX: path, PPS: 20}, l.Env())
	require.NoError(t, err)
	sink, err := null.New(null.Config{NoRx: true}, l.Env())
	require.NoError(t, err)
	for _, dev := range []pmd.Device{replay, sink} {
		_, err = l.AddPort(dev, dataplane.PortConfig{})
		require.NoError(t, err)
	}
	soundly(l)
	l.start(t)
	require.Eventually(t, func() bool { return l.stats().Ports[0].RxPackets == frames }, eventually, 500*time.Millisecond)
	// 50 of them, a millisecond each, is what a sleep of a bounded time would take.
	sleeps := l.core(0).Sleeps
	t.Logf("%d sleeps for %d frames", sleeps, frames)
	require.Less(t, sleeps, uint64(10*frames))
	require.Eventually(t, func() bool {
		before := l.core(0).Sleeps
		time.Sleep(100 * time.Millisecond)
		return l.core(0).Sleeps-before <= 2 // asking ends them
	}, eventually, tick, "nothing more will come, and the core does not sleep for long")
}

// A core that was disabled polls nothing, sleeps, and goes on where it was.
func TestEnable(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs})
	_, a := l.port("a", 0)
	_, b := l.port("b", 0)
	zero, on := 0, 1
	require.NoError(t, l.SetPoll(t.Context(), 0, dataplane.PollSettings{Enable: &zero}))
	a.rx = burstOf(1, 0, 10)
	require.Zero(t, l.turn(0))
	require.Zero(t, l.core(0).Poll.Handlers)
	require.Equal(t, 0, l.core(0).Poll.Enable)
	require.NoError(t, l.SetPoll(t.Context(), 0, dataplane.PollSettings{Enable: &on}))
	require.Equal(t, 10, l.turn(0))
	require.Equal(t, 2, l.core(0).Poll.Handlers)
	require.Equal(t, count(10), seqs(b.sent, 1))
}
