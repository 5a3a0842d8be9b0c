// Command embed is a program of another module with a dataplane inside: its own
// stage, its own driver, two workers. It moves what its ports make, ends by
// cancelling the context, and prints what it counted as one JSON object.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
)

// reasonTenth is this program's own reason to drop a frame.
const reasonTenth = pmd.ReasonUser

// report is what is printed.
type report struct {
	Received uint64            `json:"received"`
	Sent     uint64            `json:"sent"`
	Drops    map[string]uint64 `json:"drops"`
	Workers  int               `json:"workers"`
	Balanced bool              `json:"balanced"`
	Checksum uint64            `json:"checksum"`
}

func main() {
	r, err := run()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func run() (r report, err error) {
	d, err := dataplane.New(dataplane.Config{
		Cores:   []int{dataplane.Unpinned, dataplane.Unpinned},
		Stage:   everyTenth{},
		Reasons: []string{"tenth"},
	})
	if err != nil {
		return r, err
	}
	drivers := pmd.NewRegistry(driver{})
	var ports []*port
	for i, words := range []string{"counted:name=left,frames=500", "counted:name=right,frames=300"} {
		spec, err := pmd.ParseSpec(words)
		if err != nil {
			return r, err
		}
		dev, err := drivers.Open(context.Background(), spec, d.Env())
		if err != nil {
			return r, err
		}
		if _, err := d.AddPort(dev, dataplane.PortConfig{Workers: []int{i}}); err != nil {
			return r, err
		}
		ports = append(ports, dev.(*port))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()

	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s, err := d.StatsWithAccounts(ctx)
		if err != nil {
			return r, err
		}
		r = report{Drops: map[string]uint64{}, Workers: len(s.Cores), Balanced: true}
		done := uint64(0)
		for _, p := range s.Ports {
			r.Received += p.RxPackets
			r.Sent += p.TxPackets
			done += p.TxPackets
			for reason, n := range p.Drops {
				r.Drops[reason] += n
				done += n
			}
		}
		for _, p := range s.Pools {
			r.Balanced = r.Balanced && p.Balanced()
		}
		// Not InHand == 0: a frame between two workers may be in neither's part
		// of a picture, as the parts are not of one moment.
		if r.Received == 800 && done == 800 {
			break
		}
		if time.Now().After(end) {
			return r, fmt.Errorf("still waiting after 10 s: %+v", r)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		return r, err
	}
	for _, p := range ports {
		r.Checksum += p.sum // its worker has ended
	}
	return r, d.Close()
}
