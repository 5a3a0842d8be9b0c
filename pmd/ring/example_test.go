package ring_test

import (
	"fmt"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/ring"
)

// Env is what a program hands to drivers; a dataplane brings its own.
func exampleEnv() (*mbuf.Pool, pmd.Env) {
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: 256})
	if err != nil {
		panic(err)
	}
	return pool, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }}
}

// One end goes to the dataplane, the other is worked by hand with bytes.
func ExampleEndpoint() {
	_, env := exampleEnv()
	port, far, err := ring.NewPair(ring.Config{Name: "lab"}, env)
	if err != nil {
		fmt.Println(err)
		return
	}
	hand := ring.NewEndpoint(far)
	dataplane := ring.NewEndpoint(port) // stands for a worker here

	if _, err := hand.Send([]byte("ping"), []byte("pong")); err != nil {
		fmt.Println(err)
	}
	for _, p := range dataplane.Receive(10) {
		fmt.Printf("%s received %s\n", port.Info().Name, p)
	}
	fmt.Println(hand.Close(), dataplane.Close())
	// Output:
	// lab.a received ping
	// lab.a received pong
	// <nil> <nil>
}

// The far end's Queue without the help of an Endpoint: nothing is copied.
func ExampleNewPair() {
	pool, env := exampleEnv()
	near, far, err := ring.NewPair(ring.Config{Name: "lab"}, env)
	if err != nil {
		fmt.Println(err)
		return
	}
	bind := func(d *ring.Device, port uint16) (pmd.Queue, *mbuf.Local) {
		local := mbuf.NewLocal()
		local.Add(pool)
		q := d.Queues()[0]
		q.Bind(pmd.Binding{Local: local, Port: port})
		return q, local
	}
	in, mine := bind(far, 0)
	out, theirs := bind(near, 42)

	frames := make([]mbuf.Frame, 1)
	mine.Cache(pool.ID()).TakeFrames(frames, uint32(pool.DataOffset()), 5, pool.Meta(0))
	copy(mine.Bytes(frames[0]), "hello")
	fmt.Println("sent", in.TxBurst(frames)) // not ours any more

	n := out.RxBurst(frames)
	fmt.Printf("received %d on port %d: %s\n", n, frames[0].Meta.Port(), theirs.Bytes(frames[0]))
	theirs.Free(frames[:n])
	// Output:
	// sent 1
	// received 1 on port 42: hello
}
