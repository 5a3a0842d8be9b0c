package xsk

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/require"
)

// simStep is one turn of the kernel side: receive what there are chunks for,
// send what there is.
func simStep(s *Sim, packet []byte, n int) int {
	got := s.Deliver(packet, n)
	s.Sendto()
	return got
}

// ownStep is one turn of our side, as a forwarding queue makes it: receive →
// transmit, completion → cache → fill.
func (q *testQueue) ownStep(burst []mbuf.Frame, meta mbuf.Meta) int {
	n, _ := q.Rx.Receive(burst, meta, q.rxPosted)
	if n > 0 {
		k, _ := q.Tx.Post(burst[:n], q.txPosted)
		q.cache.PutFrames(burst[k:n])
	}
	q.Comp.Complete(q.cache, q.txPosted)
	if q.Fill.Room() >= len(burst) {
		q.Fill.Fill(q.cache, len(burst), q.rxPosted)
	}
	return n
}

func benchQueue(b *testing.B, burst int) (*testQueue, []byte) {
	q := newTestQueue(b, 16384, SimConfig{
		RxRing: benchRing, TxRing: benchRing, FillRing: benchRing, CompRing: benchRing,
		Budget: uint32(burst),
	})
	return q, make([]byte, 60)
}

// benchRing is the ring size of the benchmarks.
const benchRing = 2048

func report(b *testing.B, packets int, what string) {
	b.ReportMetric(float64(packets)/b.Elapsed().Seconds(), "pkts/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), what)
}

// BenchmarkRings takes packets receive → transmit → completion → fill. An
// operation is a packet. With cores=1 one goroutine steps both sides, with
// cores=2 the kernel side runs beside ours.
func BenchmarkRings(b *testing.B) {
	for _, burst := range []int{32, 64, 256} {
		b.Run(fmt.Sprintf("cores=1/burst=%d", burst), func(b *testing.B) {
			q, packet := benchQueue(b, burst)
			q.Fill.Fill(q.cache, 1024, q.rxPosted)
			frames := make([]mbuf.Frame, burst)
			b.ReportAllocs()
			b.ResetTimer()
			done := 0
			for done < b.N {
				simStep(q.sim, packet, burst)
				done += q.ownStep(frames, 1<<8)
			}
			b.StopTimer()
			report(b, done, "ns/pkt")
			require.Zero(b, q.sim.Statistics().TxInvalidDescs)
		})
	}
	for _, burst := range []int{32, 64, 256} {
		b.Run(fmt.Sprintf("cores=2/burst=%d", burst), func(b *testing.B) {
			q, packet := benchQueue(b, burst)
			q.Fill.Fill(q.cache, 1024, q.rxPosted)
			frames := make([]mbuf.Frame, burst)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					default:
					}
					if simStep(q.sim, packet, burst) == 0 {
						runtime.Gosched()
					}
				}
			}()
			b.ReportAllocs()
			b.ResetTimer()
			done := 0
			for done < b.N {
				n := q.ownStep(frames, 1<<8)
				if n == 0 {
					runtime.Gosched()
				}
				done += n
			}
			b.StopTimer()
			close(stop)
			<-stopped
			report(b, done, "ns/pkt")
		})
	}
}

// BenchmarkOwnSide measures our side of the rings alone. The clock runs while a
// thousand packets are taken through, since reading it for each burst would be
// much of what is measured; ns/op is our time for a packet.
func BenchmarkOwnSide(b *testing.B) {
	const posted = 1024
	for _, burst := range []int{32, 64, 256} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) {
			q, packet := benchQueue(b, burst)
			q.Fill.Fill(q.cache, posted, q.rxPosted)
			frames := make([]mbuf.Frame, burst)
			var own time.Duration
			b.ResetTimer()
			done := 0
			for done < b.N {
				for range posted / burst {
					simStep(q.sim, packet, burst)
				}
				start := time.Now()
				for range posted / burst {
					done += q.ownStep(frames, 1<<8)
				}
				own += time.Since(start)
			}
			b.StopTimer()
			ns := float64(own.Nanoseconds()) / float64(done)
			b.ReportMetric(ns, "ns/op")
			b.ReportMetric(ns, "ns/pkt")
			b.ReportMetric(1e9/ns, "pkts/s")
		})
	}
}
