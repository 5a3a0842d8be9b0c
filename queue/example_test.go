package queue_test

import (
	"errors"
	"fmt"
	"syscall"

	"example.org/pmd/queue"
)

// Two poll cores, one that receives and one that sends. Each keeps one buffer
// and works on whatever fits it.
func ExampleSPSC() {
	ring, err := queue.NewSPSC[uint64](1024)
	if err != nil {
		fmt.Println(err)
		return
	}

	received := []uint64{10, 11, 12, 13, 14}
	taken := ring.EnqueueBurst(received)
	fmt.Println("still ours:", received[taken:]) // what did not fit

	burst := make([]uint64, 3)
	for {
		n := ring.DequeueBurst(burst)
		if n == 0 {
			break
		}
		fmt.Println(burst[:n])
	}
	// Output:
	// still ours: []
	// [10 11 12]
	// [13 14]
}

// A mailbox: anybody leaves a message, one goroutine empties it between two
// bursts of packets.
func ExampleMPSC() {
	type message struct{ port, up int }
	mailbox, err := queue.NewMPSC[message](64)
	if err != nil {
		fmt.Println(err)
		return
	}
	if !mailbox.Enqueue(message{port: 3, up: 1}) {
		fmt.Println("try again later")
	}
	for m, ok := mailbox.Dequeue(); ok; m, ok = mailbox.Dequeue() {
		fmt.Printf("port %d up %d\n", m.port, m.up)
	}
	// Output: port 3 up 1
}

// A pool of free indices that several cores share. A bulk is all or nothing, so
// a core either gets what it needs or takes nothing from the others.
func ExampleMPMC() {
	free, err := queue.NewMPMC[uint32](8)
	if err != nil {
		fmt.Println(err)
		return
	}
	free.EnqueueBulk([]uint32{0, 1, 2, 3, 4, 5, 6, 7})

	mine := make([]uint32, 6)
	fmt.Println(free.DequeueBulk(mine), mine)
	fmt.Println(free.DequeueBulk(make([]uint32, 6)), free.Len(), "left")
	fmt.Println(free.EnqueueBulk(mine), free.Len(), "left")
	// Output:
	// true [0 1 2 3 4 5]
	// false 2 left
	// true 8 left
}

// The send queue of an interface. Its limit is exact, and what exceeds it goes
// back where it came from.
func ExampleClassic() {
	var freed []int
	sendq, err := queue.NewClassic(3, func(frames []int) { freed = append(freed, frames...) })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("kept", sendq.EnqueueBurst([]int{1, 2, 3, 4, 5}), "freed", freed, "drops", sendq.Drops())
	fmt.Println("ENOBUFS:", errors.Is(sendq.Enqueue(6), syscall.ENOBUFS))

	next, _ := sendq.Poll() // a scheduler looks before it decides
	sent, _ := sendq.Remove()
	fmt.Println("polled", next, "removed", sent)

	fmt.Println("purged", sendq.Purge(), "freed", freed)
	// Output:
	// kept 3 freed [4 5] drops 2
	// ENOBUFS: true
	// polled 1 removed 1
	// purged 2 freed [4 5 6 2 3]
}

// Offer leaves what does not fit with the caller, who may try again or count
// the loss under a reason of its own.
func ExampleClassic_Offer() {
	sendq, err := queue.NewClassic(2, func([]int) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	burst := []int{1, 2, 3}
	n := sendq.Offer(burst)
	fmt.Println("taken", burst[:n], "still ours", burst[n:], "drops", sendq.Drops())
	// Output: taken [1 2] still ours [3] drops 0
}
