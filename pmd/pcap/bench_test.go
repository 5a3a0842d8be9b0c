package pcap_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd/mbuf"
)

// BenchmarkReplay is what a port costs a forwarding loop that does nothing: a burst
// of frames copied out of the capture and the same discarded, through the interface
// the worker calls.
func BenchmarkReplay(b *testing.B) {
	for _, size := range []int{64, 128, 512, 1514} {
		for _, packets := range []int{1, 1000, 100000} {
			b.Run(fmt.Sprintf("op=rxtx/size=%d/packets=%d", size, packets), func(b *testing.B) {
				_, env, _ := newEnv(b, mbuf.Config{})
				path := save(b, plain.encode(numbered(packets, size)))
				dev, err := open(b, env, "pcap:loop=on,rx="+path)
				require.NoError(b, err)
				rxtx(b, bind(b, dev, 1))
			})
		}
	}
}

// rxtx measures bursts of 64 in and out.
func rxtx(b *testing.B, o *owner) {
	frames := make([]mbuf.Frame, 64)
	b.ReportAllocs()
	var sent uint64
	for b.Loop() {
		n := o.RxBurst(frames)
		k := o.TxBurst(frames[:n])
		o.local.Free(frames[k:n])
		sent += uint64(k)
	}
	ns := float64(b.Elapsed().Nanoseconds()) / float64(sent)
	b.ReportMetric(1e9/ns, "pkts/s")
	b.ReportMetric(ns, "ns/pkt")
	b.ReportMetric(0, "ns/op")
}
