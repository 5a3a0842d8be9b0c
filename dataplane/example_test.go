package dataplane_test

import (
	"context"
	"fmt"
	"time"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/ring"
)

// firewall is a stage of an embedding program: it lets IPv4 through and drops the
// rest for a reason of its own.
type firewall struct{ out dataplane.PortID }

const reasonNotIPv4 = pmd.ReasonUser

func (f firewall) Process(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
	mem := w.Mem(burst[0])
	for _, frame := range burst {
		b := mem.Bytes(frame)
		if len(b) >= 14 && b[12] == 0x08 && b[13] == 0x00 {
			w.Send(f.out, frame)
		} else {
			w.Drop(reasonNotIPv4, frame)
		}
	}
}

// A program brings its own stage, and ports of any driver: here two pairs inside
// the process, one end of each worked by hand.
func Example() {
	d, err := dataplane.New(dataplane.Config{
		Stage:   firewall{out: 1},
		Reasons: []string{"not_ipv4"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ends := map[string]*ring.Endpoint{}
	for _, name := range []string{"left", "right"} {
		inside, outside, err := ring.NewPair(ring.Config{Name: name}, d.Env())
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := d.AddPort(inside, dataplane.PortConfig{}); err != nil {
			fmt.Println(err)
			return
		}
		ends[name] = ring.NewEndpoint(outside)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()

	ipv4, arp := make([]byte, 60), make([]byte, 60)
	ipv4[12], ipv4[13] = 0x08, 0x00
	arp[12], arp[13] = 0x08, 0x06
	if _, err := ends["left"].Send(ipv4, arp, ipv4); err != nil {
		fmt.Println(err)
	}
	received := 0
	for end := time.Now().Add(5 * time.Second); received < 2 && time.Now().Before(end); {
		received += len(ends["right"].Receive(64))
	}
	s, err := d.Stats(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("received:", received)
	fmt.Println("left:", s.Ports[0].RxPackets, "in, dropped", s.Ports[0].Drops)
	fmt.Println("right:", s.Ports[1].TxPackets, "out")

	cancel()
	fmt.Println("run:", <-done)
	for _, e := range ends {
		if err := e.Close(); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("close:", d.Close())
	// Output:
	// received: 2
	// left: 3 in, dropped map[not_ipv4:1]
	// right: 2 out
	// run: <nil>
	// close: <nil>
}

// What a worker holds is read and changed between two of its bursts.
func ExampleDataplane_Do() {
	d, err := dataplane.New(dataplane.Config{Stage: firewall{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = d.Do(context.Background(), 0, func(w *dataplane.Worker) {
		fmt.Println("worker", w.ID(), "knows", w.Ports(), "ports")
	})
	fmt.Println(err)
	// Output:
	// worker 0 knows 0 ports
	// <nil>
}
