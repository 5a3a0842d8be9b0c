package xsk_test

import (
	"fmt"

	"example.org/pmd/pmd/afxdp/internal/xsk"
	"example.org/pmd/pmd/mbuf"
)

// One packet goes through the four rings: its chunk is posted, received into,
// sent and freed again. A simulated kernel stands in for a socket, whose rings
// are used in the same way.
func Example() {
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: 256, HugePages: mbuf.HugeOff})
	if err != nil {
		fmt.Println(err)
		return
	}
	sim, err := xsk.NewSim(xsk.SimConfig{
		Mem: pool.Mem(), FrameSize: uint32(pool.FrameSize()),
		RxRing: 64, TxRing: 64, FillRing: 64, CompRing: 64,
		Sink: func(p []byte) { fmt.Printf("on the wire: %s\n", p) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	q, cache := sim.Rings(), mbuf.NewCache(pool)
	rxPosted, txPosted := mbuf.NewFrameSet(pool), mbuf.NewFrameSet(pool)

	posted, _ := q.Fill.Fill(cache, 32, rxPosted)
	sim.Deliver([]byte("a packet"), 1)

	burst := make([]mbuf.Frame, 32)
	n, foreign := q.Rx.Receive(burst, pool.Meta(0), rxPosted)
	fmt.Printf("posted %d, received %d, foreign %d\n", posted, n, foreign)

	n, why := q.Tx.Post(burst[:n], txPosted)
	fmt.Printf("queued %d, %v\n", n, why)
	kick := sim.Kick()
	fmt.Printf("calls %d, dropped %d\n", kick.Calls, kick.Dropped)

	n, bytes, _ := q.Comp.Complete(cache, txPosted)
	fmt.Printf("completed %d, %d bytes\n", n, bytes)
	// Output:
	// posted 32, received 1, foreign 0
	// queued 1, accepted
	// on the wire: a packet
	// calls 1, dropped 0
	// completed 1, 8 bytes
}
