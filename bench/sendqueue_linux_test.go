//go:build linux

package bench

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/cpu"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab/netlabtest"
	"example.org/pmd/pmd/null"
)

// settings are how long comparisons run.
type settings struct{ rounds, seconds int }

// peerSettings reads them from the environment, and skips the test if nobody asked for
// comparisons.
func peerSettings(t *testing.T) settings {
	t.Helper()
	if os.Getenv("PMD_PEERS") == "" {
		t.Skip("set PMD_PEERS=1 to compare")
	}
	number := func(key string, least, other int) int {
		s := os.Getenv(key)
		if s == "" {
			return other
		}
		n, err := strconv.Atoi(s)
		require.NoError(t, err, key)
		require.GreaterOrEqual(t, n, least, key)
		return n
	}
	return settings{rounds: number("PMD_PEERS_ROUNDS", 1, 5), seconds: number("PMD_PEERS_SECONDS", 1, 4)}
}

// contender is one side of a comparison: a round of it returns frames a second.
type contender struct {
	name  string
	round func() float64
}

// compare runs both sides in turn and prints medians and the ratio.
func (s settings) compare(t *testing.T, ours, theirs contender) {
	t.Helper()
	if s.rounds < 5 {
		t.Logf("%d rounds: a trial, not a result; there are no figures of fewer than five", s.rounds)
	}
	var a, b, ratio []float64
	for i := range s.rounds {
		// Who is first changes, so that neither always finds a warm machine.
		var x, y float64
		if i%2 == 0 {
			x = ours.round()
			y = theirs.round()
		} else {
			y = theirs.round()
			x = ours.round()
		}
		require.NotZero(t, y, "%s moved nothing", theirs.name)
		a, b, ratio = append(a, x), append(b, y), append(ratio, x/y)
		t.Logf("round %d: %s %.3f Mpps, %s %.3f Mpps, ratio %.3f", i+1, ours.name, x/1e6, theirs.name, y/1e6, x/y)
	}
	t.Logf("median of %d: %s %.3f Mpps, %s %.3f Mpps, ratio %.3f (%.3f to %.3f)", s.rounds,
		ours.name, median(a)/1e6, theirs.name, median(b)/1e6, median(ratio), slices.Min(ratio), slices.Max(ratio))
}

// sample returns the median over seconds of what count counts.
func (s settings) sample(count func() uint64) float64 {
	var v []float64
	n, at := count(), time.Now()
	for range s.seconds {
		time.Sleep(time.Second)
		m, now := count(), time.Now()
		v = append(v, float64(m-n)/now.Sub(at).Seconds())
		n, at = m, now
	}
	return median(v)
}

// ourRound measures a rig: what it received or sent, or what count counts. It closes
// the rig, after taking its account.
func (s settings) ourRound(t *testing.T, r *Rig, mode string, count func() uint64) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if count == nil {
		count = func() uint64 {
			s, err := r.Stats(ctx)
			require.NoError(t, err)
			rx, tx, _ := totals(s)
			if mode == "rxonly" {
				return rx
			}
			return tx
		}
	}
	time.Sleep(500 * time.Millisecond) // warm up
	rate := s.sample(count)
	require.NoError(t, r.Check(ctx))
	return rate
}

// TestSendQueueRatio compares the path through a send queue with the direct one, by frames
// a second and core. It takes turns as
// TestObserved does, on the same request.
//
// Over null ports each port has a worker of its own, or both are on one: what is compared
// are the queue's operations with next to nothing. Over AF_XDP there are two workers in
// both cases, and each receives bursts from memory (their bytes are written by its CPU,
// as a kernel's are) and owns an interface: the frames leave by that one, or by the
// other worker's. Both are busy all the time, and nothing is dropped: a source gives
// frames while the interface they are for has not too many to send.
func TestSendQueueRatio(t *testing.T) {
	s := peerSettings(t)
	cores := []int{0, 1}
	t.Run("null", func(t *testing.T) {
		round := func(cores, workers []int) func() float64 {
			return func() float64 {
				r, err := Start(t.Context(), RigConfig{Mode: "io", Cores: cores, Workers: workers, Idle: dataplane.IdleSpin, Open: openNull(null.Config{Size: 64})})
				require.NoError(t, err)
				defer func() { require.NoError(t, r.Close()) }()
				return s.ourRound(t, r, "io", nil) / float64(len(cores))
			}
		}
		s.compare(t, contender{"send queue", round(cores, []int{0, 1})}, contender{"direct", round(cores[1:], []int{0, 0})})
	})
	t.Run("afxdp", func(t *testing.T) {
		netlabtest.RequireRoot(t)
		w := newWire(t)
		far, err := w.farEnd(0)
		require.NoError(t, err)
		path, err := writeTraffic(t.TempDir(), Scenario{Size: 64, Flows: FlowsMany}, 1024)
		require.NoError(t, err)
		// Ports are connected in pairs: each source with an interface.
		open := func(ctx context.Context, env pmd.Env) ([]pmd.Device, error) {
			sources, err := pcapPorts(2, path)(ctx, env)
			if err != nil {
				return nil, err
			}
			ports, err := w.open(ctx, env)
			if err != nil {
				return nil, errors.Join(err, closeAll(sources))
			}
			for i := range sources {
				sources[i], ports[i] = closedLoop(sources[i], ports[i])
			}
			return []pmd.Device{sources[0], ports[0], sources[1], ports[1]}, nil
		}
		round := func(workers []int) func() float64 {
			return func() float64 {
				before, err := far.count()
				require.NoError(t, err)
				r, err := Start(t.Context(), RigConfig{Mode: "io", Cores: cores, Workers: workers, Idle: dataplane.IdleSpin, Open: open})
				require.NoError(t, err)
				defer func() { require.NoError(t, r.Close()) }()
				time.Sleep(500 * time.Millisecond) // warm up
				began := time.Now()
				a, err := r.Stats(t.Context())
				require.NoError(t, err)
				time.Sleep(time.Duration(s.seconds) * time.Second)
				took := time.Since(began)
				b, err := r.Stats(t.Context())
				require.NoError(t, err)
				require.NoError(t, r.d.SetStage(t.Context(), discard))
				require.NoError(t, r.arrived(t.Context(), far, before))
				require.NoError(t, r.Check(t.Context()))
				_, sent0, dropped0 := totals(a)
				_, sent, dropped := totals(b)
				require.Equal(t, dropped0, dropped)
				return float64(sent-sent0) / took.Seconds() / float64(len(cores))
			}
		}
		s.compare(t, contender{"send queue", round([]int{0, 1, 1, 0})}, contender{"direct", round([]int{0, 0, 1, 1})})
	})
}

// ahead is how many frames a source of a closed loop is ahead of its sink at most: not so many
// that a send queue refuses some.
const ahead = 6 * dataplane.DefaultBurst

// closedLoop makes source give frames only while sink has not too many of them to send.
func closedLoop(source, sink pmd.Device) (pmd.Device, pmd.Device) {
	l := new(loop)
	return &loopDevice{source, []pmd.Queue{&loopSource{Queue: source.Queues()[0], loop: l}}},
		&loopDevice{sink, []pmd.Queue{&loopSink{Queue: sink.Queues()[0], loop: l}}}
}

// loop counts the frames that the sink has taken.
type loop struct {
	_     cpu.CacheLinePad
	taken atomic.Uint64 // written by the sink's worker, read by the source's
	_     cpu.CacheLinePad
}

type loopDevice struct {
	pmd.Device
	queues []pmd.Queue
}

func (d *loopDevice) Queues() []pmd.Queue { return d.queues }

type loopSource struct {
	pmd.Queue
	loop  *loop
	given uint64
	taken uint64 // as last seen
}

func (q *loopSource) RxBurst(dst []mbuf.Frame) int {
	if q.given-q.taken > ahead {
		if q.taken = q.loop.taken.Load(); q.given-q.taken > ahead { // pairs with the store in TxBurst
			return 0
		}
	}
	n := q.Queue.RxBurst(dst)
	q.given += uint64(n)
	return n
}

type loopSink struct {
	pmd.Queue
	loop  *loop
	taken uint64
}

// TxReads implements pmd.TxReader.
func (q *loopSink) TxReads() bool { return q.Queue.(pmd.TxReader).TxReads() }

func (q *loopSink) TxBurst(src []mbuf.Frame) int {
	n := q.Queue.TxBurst(src)
	q.taken += uint64(n)
	q.loop.taken.Store(q.taken) // pairs with the load in RxBurst
	return n
}
