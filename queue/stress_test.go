package queue

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stressLimit bounds a stress test that has lost an element and would wait for
// it for ever.
const stressLimit = 30 * time.Second

// stress sends perProducer numbered elements from each producer through put
// (one per producer: its calls) to the consumers' take, all at once, and
// checks that each arrives exactly once and that no consumer sees the elements
// of one producer out of order.
func stress(t *testing.T, producers, consumers, perProducer int, put func([]uint64) int, take func([]uint64) int) {
	t.Helper()
	var (
		wg       sync.WaitGroup
		arrived  atomic.Int64
		giveUp   atomic.Bool
		total    = int64(producers * perProducer)
		received = make([][]uint64, consumers)
	)
	timer := time.AfterFunc(stressLimit, func() { giveUp.Store(true) })
	defer timer.Stop()
	for p := range producers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(p), 1))
			src := make([]uint64, 0, 48)
			for next := 0; (next < perProducer || len(src) > 0) && !giveUp.Load(); {
				for want := 1 + rng.IntN(cap(src)); len(src) < want && next < perProducer; next++ {
					src = append(src, uint64(p)<<32|uint64(next))
				}
				n := put(src)
				src = append(src[:0], src[n:]...)
				if n == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	for c := range consumers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 2))
			dst := make([]uint64, 48)
			for arrived.Load() < total && !giveUp.Load() {
				n := take(dst[:1+rng.IntN(len(dst))])
				if n == 0 {
					runtime.Gosched()
					continue
				}
				received[c] = append(received[c], dst[:n]...)
				arrived.Add(int64(n))
			}
		})
	}
	wg.Wait()
	require.False(t, giveUp.Load(), "only %d of %d elements arrived", arrived.Load(), total)

	seen := make([]int, producers) // how many of each producer's have arrived
	for c, got := range received {
		last := make([]int64, producers)
		for i := range last {
			last[i] = -1
		}
		for _, v := range got {
			p, n := int(v>>32), int64(uint32(v))
			require.Greater(t, n, last[p], "consumer %d: producer %d out of order, or twice", c, p)
			last[p] = n
			seen[p]++
		}
	}
	// Nothing twice within a consumer; between consumers the marks tell.
	marks := make(map[uint64]struct{}, total)
	for _, got := range received {
		for _, v := range got {
			marks[v] = struct{}{}
		}
	}
	require.Len(t, marks, int(total))
	for p, n := range seen {
		require.Equal(t, perProducer, n, "producer %d", p)
	}
}

// The rings begin shortly before the wrap and are small, so that both the wrap
// and full and empty rings happen under contention.
const stressStart = ^uint32(0) - 5_000

func TestStressSPSC(t *testing.T) {
	for _, size := range []int{2, 64, 1024} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			r, err := newSPSC[uint64](size, stressStart)
			require.NoError(t, err)
			stress(t, 1, 1, 20_000, putAny(r, 1), takeAny(r, 1))
		})
	}
}

func TestStressMPSC(t *testing.T) {
	for _, size := range []int{2, 64, 1024} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			r, err := newMPSC[uint64](size, stressStart)
			require.NoError(t, err)
			stress(t, 4, 1, 12_000, putAny(r, 4), takeAny(r, 1))
		})
	}
}

func TestStressMPMC(t *testing.T) {
	for _, size := range []int{2, 64, 1024} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			r, err := newMPMC[uint64](size, stressStart)
			require.NoError(t, err)
			stress(t, 4, 3, 12_000, putAny(r, 4), takeAny(r, 3))
		})
	}
}

// At GOMAXPROCS=1 a caller that waits for an earlier one has to yield to it.
func TestStressMPMCOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, err := newMPMC[uint64](32, stressStart)
	require.NoError(t, err)
	stress(t, 4, 4, 5_000, putAny(r, 4), takeAny(r, 4))
}

// A waiting caller lets the one it waits for run: without the yield this would
// last until the runtime preempts it by force, 10 ms a time.
func TestWaitYields(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, err := NewMPMC[uint64](8)
	require.NoError(t, err)
	var took []time.Duration
	for range 200 {
		started := time.Now()
		// An earlier producer has claimed and is then stopped.
		pos, n := r.prod.claim(1, 1, 8, &r.cons.shared)
		require.EqualValues(t, 1, n)
		done := make(chan struct{})
		go func() {
			r.prod.publish(pos, pos+n)
			close(done)
		}()
		require.True(t, r.Enqueue(1)) // claims behind it, and must wait
		<-done
		require.Equal(t, 2, r.DequeueBurst(make([]uint64, 2)))
		took = append(took, time.Since(started))
	}
	// Microseconds; a machine that is busy takes the CPU away in some rounds only.
	slices.Sort(took)
	require.Less(t, took[len(took)/4], 5*time.Millisecond)
}

func TestStressClassic(t *testing.T) {
	for _, limit := range []int{1, 50, 1000} {
		t.Run(fmt.Sprintf("limit=%d", limit), func(t *testing.T) {
			q, err := newClassic(limit, func([]uint64) { panic("Offer frees nothing") }, stressStart)
			require.NoError(t, err)
			var accepted, removed atomic.Int64
			over := int64(0)
			stress(t, 4, 1, 12_000,
				func(src []uint64) int {
					n := q.Offer(src)
					accepted.Add(int64(n))
					return n
				},
				func(dst []uint64) int {
					// What has been accepted and not removed is no more than
					// the limit; nobody else removes.
					over = max(over, accepted.Load()-removed.Load()-int64(limit), int64(q.Len()-limit))
					n := 0
					if len(dst)%2 == 0 {
						n = q.DequeueBurst(dst)
					} else if v, ok := q.Poll(); ok {
						got, ok := q.Remove()
						if !ok || got != v {
							panic("Remove took another element than Poll showed")
						}
						dst[0], n = got, 1
					}
					removed.Add(int64(n))
					return n
				})
			require.LessOrEqual(t, over, int64(0), "more elements waited than the limit")
			require.Zero(t, q.Drops())
		})
	}
}

// Under overload, with purges, everything offered is delivered, dropped or
// purged, and the free function gets exactly the last two.
func TestStressClassicAccounts(t *testing.T) {
	const producers, perProducer = 4, 10_000
	var freed atomic.Int64
	q, err := newClassic(100, func(vs []uint64) { freed.Add(int64(len(vs))) }, stressStart)
	require.NoError(t, err)
	var (
		wg      sync.WaitGroup
		working atomic.Int32
		kept    atomic.Int64
	)
	working.Store(producers)
	for range producers {
		wg.Go(func() {
			defer working.Add(-1)
			src := make([]uint64, 30)
			for sent := 0; sent < perProducer; {
				if sent%4 == 0 {
					if q.Enqueue(1) == nil {
						kept.Add(1)
					}
					sent++
					continue
				}
				n := min(len(src), perProducer-sent)
				kept.Add(int64(q.EnqueueBurst(src[:n])))
				sent += n
			}
		})
	}
	delivered, purged := 0, 0
	dst := make([]uint64, 16)
	for turn := 0; working.Load() > 0; turn++ {
		if turn%8 == 0 {
			purged += q.Purge()
		} else {
			delivered += q.DequeueBurst(dst)
		}
		runtime.Gosched()
	}
	wg.Wait()
	purged += q.Purge()
	require.Zero(t, q.Len())
	require.EqualValues(t, purged, q.Purged())
	require.EqualValues(t, kept.Load(), delivered+purged)
	require.EqualValues(t, producers*perProducer, kept.Load()+int64(q.Drops()))
	require.EqualValues(t, freed.Load(), int64(q.Drops())+int64(purged))
}

// putAny returns a function that sends by single, bulk and burst calls in turn,
// and returns how many of src went. It may be used by the given number of
// goroutines at once.
func putAny(r ring, goroutines int) func([]uint64) int {
	calls := turns(goroutines)
	return func(src []uint64) int {
		switch calls() % 3 {
		case 0:
			return r.EnqueueBurst(src)
		case 1:
			if r.EnqueueBulk(src) {
				return len(src)
			}
			return 0
		default:
			for n, v := range src {
				if !r.Enqueue(v) {
					return n
				}
			}
			return len(src)
		}
	}
}

// takeAny is putAny for the other side.
func takeAny(r ring, goroutines int) func([]uint64) int {
	calls := turns(goroutines)
	return func(dst []uint64) int {
		switch calls() % 3 {
		case 0:
			return r.DequeueBurst(dst)
		case 1:
			if r.DequeueBulk(dst) {
				return len(dst)
			}
			return 0
		default:
			for n := range dst {
				v, ok := r.Dequeue()
				if !ok {
					return n
				}
				dst[n] = v
			}
			return len(dst)
		}
	}
}

// turns counts calls. For a lone goroutine it is a plain variable: an atomic
// shared by both sides would hide a missing synchronisation from the race
// detector.
func turns(goroutines int) func() uint32 {
	if goroutines == 1 {
		n := uint32(0)
		return func() uint32 { n++; return n }
	}
	var n atomic.Uint32
	return func() uint32 { return n.Add(1) }
}
