package forward_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd/ring"
)

// Ports 0 and 3 are linked; the others are paired in order.
func ExampleConnect() {
	out, err := forward.Connect(5, forward.Link{A: 0, B: 3})
	fmt.Println(out, err)
	_, err = forward.Connect(2, forward.Link{A: 0, B: 7})
	fmt.Println(err)
	// Output:
	// [3 2 1 0 4] <nil>
	// forward: cross-connect 0:7: there is no port 7; ports are 0 to 1
}

// A lone port in mode macswap answers every frame with its addresses exchanged.
func ExampleNew() {
	out, err := forward.Connect(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	stage, err := forward.New("macswap", forward.Config{Out: out})
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := dataplane.New(dataplane.Config{Stage: stage})
	if err != nil {
		fmt.Println(err)
		return
	}
	inside, outside, err := ring.NewPair(ring.Config{}, d.Env())
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := d.AddPort(inside, dataplane.PortConfig{}); err != nil {
		fmt.Println(err)
		return
	}
	end := ring.NewEndpoint(outside)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()

	frame := make([]byte, 60)
	copy(frame, net.HardwareAddr{0x02, 0, 0, 0, 0, 0xaa}) // destination
	copy(frame[6:], net.HardwareAddr{0x02, 0, 0, 0, 0, 0xbb})
	if _, err := end.Send(frame); err != nil {
		fmt.Println(err)
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if got := end.Receive(1); len(got) > 0 {
			fmt.Println("to  ", net.HardwareAddr(got[0][:6]))
			fmt.Println("from", net.HardwareAddr(got[0][6:12]))
			break
		}
	}
	cancel()
	fmt.Println(<-done, end.Close(), d.Close())
	// Output:
	// to   02:00:00:00:00:bb
	// from 02:00:00:00:00:aa
	// <nil> <nil> <nil>
}
