package xsk

import (
	"runtime"
	"testing"
	"time"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTwoGoroutines runs the two sides of the rings beside each other. Every
// packet must come through once, whole and in order; under -race the detector
// checks that the indices alone order the entries.
func TestTwoGoroutines(t *testing.T) {
	const packets = 20000
	var sent uint32
	bad := 0
	cfg := SimConfig{RxRing: 128, TxRing: 64, FillRing: 64, CompRing: 64, Start: nearWrap}
	cfg.Sink = func(p []byte) { // on the kernel side's goroutine
		if be32(p) != sent {
			bad++
		}
		sent++
	}
	q := newTestQueue(t, 256, cfg)
	end := time.Now().Add(20 * time.Second)

	kernel := make(chan struct{})
	go func() {
		defer close(kernel)
		packet := numbered(0, 60)
		for next := uint32(0); sent < packets && time.Now().Before(end); {
			copy(packet, numbered(next, 4))
			if next < packets && q.sim.Deliver(packet, 1) == 1 {
				next++
			} else {
				runtime.Gosched()
			}
			q.sim.Sendto()
		}
	}()

	burst := make([]mbuf.Frame, 32)
	done, in := 0, 0
	for done < packets && time.Now().Before(end) {
		q.Fill.Fill(q.cache, 32, q.rxPosted)
		n, foreign := q.Rx.Receive(burst[:min(len(burst), q.Tx.Room())], 0, q.rxPosted)
		require.Zero(t, foreign)
		in += n
		k, why := q.Tx.Post(burst[:n], q.txPosted)
		require.Equal(t, n, k, "%v", why)
		k, bytes, foreign := q.Comp.Complete(q.cache, q.txPosted)
		require.Zero(t, foreign)
		require.EqualValues(t, 60*k, bytes)
		done += k
		if n+k == 0 {
			runtime.Gosched()
		}
	}
	<-kernel
	assert.Equal(t, [2]int{packets, packets}, [2]int{in, done})
	assert.EqualValues(t, packets, sent)
	assert.Zero(t, bad, "packets out of order or with other bytes")
	assert.Zero(t, q.txPosted.Len())
}
