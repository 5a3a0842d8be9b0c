package dataplane_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// With one worker the counters balance exactly at every moment: each picture is
// taken between two bursts. Between two of them counters only rise.
func TestStatsBalanceUnderTraffic(t *testing.T) {
	mixed := dataplane.StageFunc(func(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
		w.Drop(pmd.ReasonSink, burst[0])
		w.Send(in^1, burst[1])
		w.SendBurst(in^1, burst[2:len(burst)-2])
		w.Send(7, burst[len(burst)-2])
		w.Send(in, burst[len(burst)-1])
	})
	l := newLab(t, dataplane.Config{Stage: mixed})
	_, a := l.port("a", 0)
	_, b := l.port("b", 0)
	a.endless, b.endless, a.record, b.record = true, true, false, false
	b.room = 20
	l.start(t)
	var last *dataplane.Stats
	for range 200 {
		s, err := l.Stats(t.Context())
		require.NoError(t, err)
		got := sum(s)
		require.Equal(t, got.rx, got.tx+got.dropped+got.inHand, "%+v", got)
		if last != nil {
			require.GreaterOrEqual(t, s.Cores[0].Turns, last.Cores[0].Turns)
			require.GreaterOrEqual(t, s.Cores[0].BusyNs, last.Cores[0].BusyNs)
			require.GreaterOrEqual(t, s.Uptime, last.Uptime)
			require.GreaterOrEqual(t, got.rx, sum(last).rx)
		}
		last = s
	}
	got := sum(last)
	require.NotZero(t, got.drops["sink"])
	require.NotZero(t, got.drops["no_port"])
	require.NotZero(t, got.drops["tx_full"])
	require.Greater(t, last.Cores[0].Busy, 0.0)
	require.LessOrEqual(t, last.Cores[0].Busy, 1.0)
	require.Empty(t, last.Pools, "Stats alone takes no account")
}

func TestStatsTellWhatThereIs(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Cores: unpinned(2)})
	_, a := l.port("a", 0)
	l.port("b", 1)
	a.rx = burstOf(1, 0, 3)
	a.rx[1].size = 100
	l.turn(0)
	l.turn(1)
	l.turn(1)
	s := l.stats()
	require.Zero(t, s.Uptime, "not run yet")
	p := s.Ports[0]
	require.Equal(t, "a", p.Name)
	require.Equal(t, "fake", p.Driver)
	require.Equal(t, "02:00:00:00:00:00", p.MAC)
	require.Equal(t, uint64(3), p.RxPackets)
	require.Equal(t, uint64(2*packetSize+100), p.RxBytes)
	require.Equal(t, uint64(2*packetSize+100), s.Ports[1].TxBytes)
	require.Equal(t, map[string]uint64{"calls": 1}, s.Ports[1].Missed, "names that never happened are left out")
	require.Equal(t, uint64(1), s.Cores[0].Turns)
	require.Equal(t, uint64(2), s.Cores[1].Turns)
	require.Equal(t, uint64(1), s.Cores[1].EmptyTurns)
	require.Equal(t, "stopped", s.Cores[0].State)
	require.Equal(t, 2048, s.Pools[0].FrameSize)
	require.Equal(t, 4096, s.Pools[0].Accounted)

	text, err := json.Marshal(s)
	require.NoError(t, err)
	var back struct {
		Ports []struct {
			Name  string            `json:"name"`
			RX    uint64            `json:"rx_packets"`
			Drops map[string]uint64 `json:"drops"`
		} `json:"ports"`
		Cores []struct {
			CPU   *int     `json:"cpu"`
			Turns *uint64  `json:"turns"`
			Busy  *float64 `json:"busy"`
		} `json:"cores"`
		Pools []struct {
			Frames    int `json:"frames"`
			Accounted int `json:"accounted"`
		} `json:"pools"`
	}
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, "a", back.Ports[0].Name)
	require.Equal(t, uint64(3), back.Ports[0].RX)
	require.NotNil(t, back.Ports[0].Drops)
	require.NotNil(t, back.Cores[0].CPU)
	require.NotNil(t, back.Cores[0].Turns)
	require.NotNil(t, back.Cores[0].Busy)
	require.Equal(t, 4096, back.Pools[0].Frames)
	require.Equal(t, 4096, back.Pools[0].Accounted)
}

func TestReasonName(t *testing.T) {
	l := newLab(t, dataplane.Config{Stage: pairs, Reasons: []string{"policy"}})
	require.Equal(t, "tx_full", l.ReasonName(pmd.ReasonTxFull))
	require.Equal(t, "policy", l.ReasonName(pmd.ReasonUser))
	require.Equal(t, "user1", l.ReasonName(pmd.ReasonUser+1))
	for r := range 256 {
		require.NotEmpty(t, l.ReasonName(pmd.Reason(r)))
	}
}

// A worker that does not answer makes statistics an error in time, not a hang.
func TestStatsOfAWorkerThatIsStuck(t *testing.T) {
	release := make(chan struct{})
	stage := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
		<-release
		w.DropBurst(pmd.ReasonSink, burst)
	})
	l := newLab(t, dataplane.Config{Stage: stage, Cores: unpinned(2)})
	freed := sync.OnceFunc(func() { close(release) })
	_, a := l.port("a", 1)
	stop := l.start(t)
	t.Cleanup(freed) // a failed check must not hang the test
	require.Eventually(t, func() bool { return l.core(1).State == "running" }, eventually, tick)
	l.do(1, func(*dataplane.Worker) { a.rx = burstOf(1, 0, 1) })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	require.Eventually(t, func() bool { _, err := l.Stats(ctx); return err != nil }, eventually, tick)
	_, err := l.Stats(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "worker 1")
	_, err = l.Accounts()
	require.ErrorIs(t, err, dataplane.ErrBusy)
	freed()
	require.Eventually(t, func() bool { _, err := l.Accounts(); return err == nil }, eventually, tick)
	require.NoError(t, stop())
}

func TestResetMaxTurn(t *testing.T) {
	slow := true
	stage := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
		if slow {
			time.Sleep(30 * time.Millisecond)
		}
		w.DropBurst(pmd.ReasonSink, burst)
	})
	l := newLab(t, dataplane.Config{Stage: stage})
	_, a := l.port("a", 0)
	l.start(t)
	l.do(0, func(*dataplane.Worker) { a.rx = burstOf(1, 0, 1) })
	require.Eventually(t, func() bool { return l.balancedNow().dropped == 1 }, eventually, tick)
	require.Greater(t, l.core(0).MaxTurnNs, uint64(20e6))
	// A turn that waited for the machine may be as long; it does not happen
	// every time.
	require.Eventually(t, func() bool {
		require.NoError(t, l.ResetMaxTurn(t.Context()))
		return l.core(0).MaxTurnNs < 20e6
	}, eventually, tick)
}
