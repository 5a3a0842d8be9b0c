package queue_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"example.org/pmd/cpu"
	"example.org/pmd/queue"
)

// What one operation is: a burst of N goes in and comes out again. With
// cores=1 one pinned goroutine does both in turn; with cores=2 a producer and a
// consumer on two CPUs run freely, and the time is that of the pair. Reported:
//
//	pkts/s, ns/pkt   elements a second, and time for each
//	cycles/elem      the same in ticks of the CPU's cycle counter
//	cycles/burst     cores=1: for the enqueue and the dequeue together
//	cycles/hop       cores=2: what it takes a cache line written by one of the
//	                 two CPUs to be seen by the other, at that moment
//
// cycles/hop is there because everything with cores=2 follows it: two virtual
// CPUs may share a cache now and be far apart a second later. Compare runs only
// where it is about the same.
const benchSize = 1024

func BenchmarkSPSC(b *testing.B)    { benchmark(b, word, spscLoops) }
func BenchmarkMPSC(b *testing.B)    { benchmark(b, word, mpscLoops) }
func BenchmarkMPMC(b *testing.B)    { benchmark(b, word, mpmcLoops) }
func BenchmarkClassic(b *testing.B) { benchmark(b, word, classicLoops) }

// The same with elements as large as a frame handle.
func BenchmarkSPSCFrame(b *testing.B)    { benchmark(b, handle, spscLoops) }
func BenchmarkMPMCFrame(b *testing.B)    { benchmark(b, handle, mpmcLoops) }
func BenchmarkClassicFrame(b *testing.B) { benchmark(b, handle, classicLoops) }

// frame has the size of a frame handle.
type frame struct {
	addr         uint64
	len, options uint32
}

func word(n uint64) uint64 { return n }

func handle(n uint64) frame { return frame{addr: n} }

// bursts are different bursts to send in turn, so that the other end can tell
// lost and swapped ones. They are made beforehand: a burst written element by
// element just before it is copied stalls the copy, which is not the queue's.
type bursts[T any] [8][]T

func newBursts[T any](n int, number func(n uint64) T) *bursts[T] {
	var out bursts[T]
	for i := range out {
		out[i] = make([]T, n)
		for j := range out[i] {
			out[i][j] = number(uint64(i*n + j))
		}
	}
	return &out
}

// at returns the burst to send as the n-th.
func (s *bursts[T]) at(n int) []T { return s[n%len(s)] }

// loops are the inner loops of a benchmark over one queue. Each queue has its
// own, for direct calls: through an interface or a function value a call takes
// some ten cycles more.
type loops[T any] struct {
	pair func(n int, src *bursts[T], dst []T) (bad int) // n bursts in and out in turn
	put  func(n int, src *bursts[T])                    // n bursts in
	take func(n int, src *bursts[T], dst []T) (bad int) // n bursts out
}

func spscLoops[T comparable](b *testing.B) loops[T] {
	r, err := queue.NewSPSC[T](benchSize)
	if err != nil {
		b.Fatal(err)
	}
	return loops[T]{
		pair: func(n int, src *bursts[T], dst []T) (bad int) {
			for i := range n {
				if !r.EnqueueBulk(src.at(i)) || !r.DequeueBulk(dst) || dst[0] != src.at(i)[0] {
					bad++
				}
			}
			return bad
		},
		put: func(n int, src *bursts[T]) {
			for i := range n {
				for !r.EnqueueBulk(src.at(i)) {
				}
			}
		},
		take: func(n int, src *bursts[T], dst []T) (bad int) {
			for i := range n {
				for !r.DequeueBulk(dst) {
				}
				if dst[0] != src.at(i)[0] {
					bad++
				}
			}
			return bad
		},
	}
}

func mpscLoops[T comparable](b *testing.B) loops[T] {
	r, err := queue.NewMPSC[T](benchSize)
	if err != nil {
		b.Fatal(err)
	}
	return loops[T]{
		pair: func(n int, src *bursts[T], dst []T) (bad int) {
			for i := range n {
				if !r.EnqueueBulk(src.at(i)) || !r.DequeueBulk(dst) || dst[0] != src.at(i)[0] {
					bad++
				}
			}
			return bad
		},
		put: func(n int, src *bursts[T]) {
			for i := range n {
				for !r.EnqueueBulk(src.at(i)) {
				}
			}
		},
		take: func(n int, src *bursts[T], dst []T) (bad int) {
			for i := range n {
				for !r.DequeueBulk(dst) {
				}
				if dst[0] != src.at(i)[0] {
					bad++
				}
			}
			return bad
		},
	}
}

func mpmcLoops[T comparable](b *testing.B) loops[T] {
	r, err := queue.NewMPMC[T](benchSize)
	if err != nil {
		b.Fatal(err)
	}
	return loops[T]{
		pair: func(n int, src *bursts[T], dst []T) (bad int) {
			for i := range n {
				if !r.EnqueueBulk(src.at(i)) || !r.DequeueBulk(dst) || dst[0] != src.at(i)[0] {
					bad++
				}
			}
			return bad
		},
		put: func(n int, src *bursts[T]) {
			for i := range n {
				for !r.EnqueueBulk(src.at(i)) {
				}
			}
		},
		take: func(n int, src *bursts[T], dst []T) (bad int) {
			for i := range n {
				for !r.DequeueBulk(dst) {
				}
				if dst[0] != src.at(i)[0] {
					bad++
				}
			}
			return bad
		},
	}
}

func classicLoops[T comparable](b *testing.B) loops[T] {
	q, err := queue.NewClassic(benchSize, func([]T) {})
	if err != nil {
		b.Fatal(err)
	}
	return loops[T]{
		pair: func(n int, src *bursts[T], dst []T) (bad int) {
			for i := range n {
				if q.Offer(src.at(i)) != len(dst) || q.DequeueBurst(dst) != len(dst) || dst[0] != src.at(i)[0] {
					bad++
				}
			}
			return bad
		},
		put: func(n int, src *bursts[T]) {
			for i := range n {
				for rest := src.at(i); len(rest) > 0; {
					rest = rest[q.Offer(rest):]
				}
			}
		},
		take: func(n int, src *bursts[T], dst []T) (bad int) {
			for i := range n {
				for got := 0; got < len(dst); {
					got += q.DequeueBurst(dst[got:])
				}
				if dst[0] != src.at(i)[0] {
					bad++
				}
			}
			return bad
		},
	}
}

// benchmark runs a queue with all bursts on one core and on two.
func benchmark[T any](b *testing.B, number func(uint64) T, newLoops func(*testing.B) loops[T]) {
	local, err := cpu.Local()
	if err != nil {
		b.Skip("no CPU to pin to: ", err)
	}
	cpus := slices.Collect(local.Allowed.All())
	for _, burst := range []int{1, 8, 32, 128} {
		src, dst := newBursts(burst, number), make([]T, burst)
		b.Run(fmt.Sprintf("burst=%d/cores=1", burst), func(b *testing.B) {
			oneCore(b, cpus, newLoops(b), src, dst)
		})
		b.Run(fmt.Sprintf("burst=%d/cores=2", burst), func(b *testing.B) {
			if len(cpus) < 2 {
				b.Skip("only one CPU is allowed")
			}
			twoCores(b, cpus, newLoops(b), src, dst)
		})
	}
}

// pinned runs each function on a goroutine of its own on the CPU of the same
// index, none before all are on their CPUs. The goroutines' threads end with
// them, and the bindings with those.
func pinned(b *testing.B, cpus []int, fns ...func()) {
	b.Helper()
	ready, done := make(chan error), make(chan struct{})
	start := make(chan bool)
	for i, fn := range fns {
		go func() {
			_, err := cpu.Pin(cpus[i])
			ready <- err
			if <-start {
				fn()
			}
			done <- struct{}{}
		}()
	}
	var errs []error
	for range fns {
		errs = append(errs, <-ready)
	}
	err := errors.Join(errs...)
	for range fns {
		start <- err == nil
	}
	for range fns {
		<-done
	}
	if err != nil {
		b.Skip("cannot pin: ", err)
	}
}

func oneCore[T any](b *testing.B, cpus []int, q loops[T], src *bursts[T], dst []T) {
	var bad int
	var cycles uint64
	b.ReportAllocs()
	pinned(b, cpus, func() {
		b.ResetTimer()
		start := cpu.Cycles()
		bad = q.pair(b.N, src, dst)
		cycles = cpu.Cycles() - start
		b.StopTimer()
	})
	report(b, len(dst), bad, cycles)
	b.ReportMetric(float64(cycles)/float64(b.N), "cycles/burst")
}

func twoCores[T any](b *testing.B, cpus []int, q loops[T], src *bursts[T], dst []T) {
	var bad int
	var cycles uint64
	var listening atomic.Bool
	b.ReportAllocs()
	pinned(b, cpus, func() {
		for !listening.Load() { // pairs with the store by the consumer
		}
		b.ResetTimer()
		start := cpu.Cycles()
		q.put(b.N, src)
		for listening.Load() { // the same
		}
		cycles = cpu.Cycles() - start
		b.StopTimer()
	}, func() {
		listening.Store(true) // pairs with the loads by the producer
		bad = q.take(b.N, src, dst)
		listening.Store(false) // the same
	})
	report(b, len(dst), bad, cycles)
	b.ReportMetric(hop(b, cpus), "cycles/hop")
}

func report(b *testing.B, burst, bad int, cycles uint64) {
	b.Helper()
	if bad > 0 {
		b.Fatalf("%d of %d bursts were refused, lost or out of order", bad, b.N)
	}
	elems := float64(b.N) * float64(burst)
	b.ReportMetric(elems/b.Elapsed().Seconds(), "pkts/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/elems, "ns/pkt")
	b.ReportMetric(float64(cycles)/elems, "cycles/elem")
}

// hop measures how long a cache line takes from one CPU to the other: half a
// round of a ball that each plays back.
func hop(b *testing.B, cpus []int) float64 {
	const rounds = 2000
	var ball atomic.Uint32 // each load pairs with the other end's store
	var cycles uint64
	pinned(b, cpus, func() {
		start := cpu.Cycles()
		for n := uint32(0); n < 2*rounds; n += 2 {
			ball.Store(n + 1)
			for ball.Load() != n+2 {
			}
		}
		cycles = cpu.Cycles() - start
	}, func() {
		for n := uint32(0); n < 2*rounds; n += 2 {
			for ball.Load() != n+1 {
			}
			ball.Store(n + 2)
		}
	})
	return float64(cycles) / (2 * rounds)
}
