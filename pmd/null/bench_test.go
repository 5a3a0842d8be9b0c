package null_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/null"
)

// BenchmarkNull is what a port costs a forwarding loop that does nothing: one
// burst in and the same one out, through the interface the worker calls.
func BenchmarkNull(b *testing.B) {
	for _, burst := range []int{32, 64, 256} {
		b.Run(fmt.Sprintf("op=rxtx/burst=%d", burst), func(b *testing.B) {
			pool, env := newEnv(b, mbuf.Config{})
			dev, err := null.New(null.Config{}, env)
			require.NoError(b, err)
			local := mbuf.NewLocal()
			local.Add(pool)
			q := dev.Queues()[0]
			q.Bind(pmd.Binding{Local: local, Port: 1})
			frames := make([]mbuf.Frame, burst)
			b.ReportAllocs()
			var sent uint64
			for b.Loop() {
				n := q.RxBurst(frames)
				sent += uint64(q.TxBurst(frames[:n]))
			}
			ns := float64(b.Elapsed().Nanoseconds()) / float64(sent)
			b.ReportMetric(1e9/ns, "pkts/s")
			b.ReportMetric(ns, "ns/pkt")
			b.ReportMetric(0, "ns/op")
			c := q.Counters()
			require.Equal(b, sent, c.TxPackets)
			require.Equal(b, c.RxPackets, c.TxPackets)
			q.Unbind()
			local.Drain()
			require.NoError(b, dev.Close())
		})
	}
}
