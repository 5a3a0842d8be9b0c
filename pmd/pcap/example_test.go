package pcap_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/pcap"
)

// One port writes what it is sent, another replays it.
func ExampleNew() {
	if err := example(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// recorder: 3 frames sent
	// player: 3 frames of pcapng received: ping 1, ping 2, ping 3
}

func example() error {
	dir, err := os.MkdirTemp("", "pcap")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "pings.pcapng")
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: 256})
	if err != nil {
		return err
	}
	env := pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }}
	local := mbuf.NewLocal()
	cache := local.Add(pool)

	recorder, err := pcap.New(context.Background(), pcap.Config{Name: "recorder", TX: file}, env)
	if err != nil {
		return err
	}
	q := recorder.Queues()[0]
	q.Bind(pmd.Binding{Local: local})
	var burst [32]mbuf.Frame
	n := cache.TakeFrames(burst[:3], uint32(pool.DataOffset()), 6, pool.Meta(0))
	for i, f := range burst[:n] {
		copy(local.Bytes(f), fmt.Sprintf("ping %d", i+1))
	}
	sent := q.TxBurst(burst[:n])
	q.Unbind()
	if err := recorder.Close(); err != nil { // the file is complete from here
		return err
	}
	fmt.Printf("%s: %d frames sent\n", recorder.Info().Name, sent)

	player, err := pcap.New(context.Background(), pcap.Config{Name: "player", RX: file}, env)
	if err != nil {
		return err
	}
	q = player.Queues()[0]
	q.Bind(pmd.Binding{Local: local})
	n = q.RxBurst(burst[:])
	fmt.Printf("%s: %d frames of %s received:", player.Info().Name, n, player.Info().Obtained["format"])
	sep := " "
	for _, f := range burst[:n] {
		fmt.Printf("%s%s", sep, local.Bytes(f))
		sep = ", "
	}
	fmt.Println()
	local.Free(burst[:n])
	q.Unbind()
	return player.Close()
}
