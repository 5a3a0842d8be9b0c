package cpu_test

import (
	"errors"
	"fmt"
	"log"
	"runtime"
	"testing/fstest"
	"time"

	"example.org/pmd/cpu"
)

// A list as a user writes it, with the CPUs taken out that are not to be used.
func ExampleParseList() {
	cores, err := cpu.ParseList("2-5,8")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cores.Len(), cores.Has(3), cores.AndNot(cpu.SetOf(2, 8)))

	_, err = cpu.ParseList("2-5,eight")
	fmt.Println(err)
	// Output:
	// 5 true 3-5
	// CPU list: item "eight": a CPU id is a number from 0 to 8191
}

// A machine whose CPU 3 is switched off and whose CPU 2 is isolated.
func ExampleReadTopology() {
	sys := fstest.MapFS{
		"devices/system/cpu/online":   {Data: []byte("0-2\n")},
		"devices/system/cpu/present":  {Data: []byte("0-3\n")},
		"devices/system/cpu/isolated": {Data: []byte("2\n")},
	}
	t, err := cpu.ReadTopology(sys)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("poll on", t.DefaultCores())
	err = t.Check(3)
	fmt.Println(err, errors.Is(err, cpu.ErrOffline))
	// Output:
	// poll on 2
	// CPU 3 is offline: choose from 0-2 true
}

// A worker from start to end: the rest of the process is moved off its CPU first.
func ExamplePin() {
	top, err := cpu.Local()
	if err != nil {
		log.Fatal(err)
	}
	cores := top.DefaultCores()
	clock, err := cpu.Calibrate(0)
	if err != nil {
		log.Fatal(err)
	}
	// One processor of the Go scheduler for each poll loop, and some for the others.
	defer runtime.GOMAXPROCS(cpu.Processors(cores.Len()))
	restore, err := cpu.Confine(top.Allowed.AndNot(cores))
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() {
		pinned, err := cpu.Pin(cores.Min())
		if err != nil {
			done <- err
			return
		}
		start := clock.Now()
		// … the poll loop …
		fmt.Println("CPU", pinned.CPU(), "was busy for", clock.Duration(clock.Now()-start))
		done <- pinned.Release()
	}()
	if err := <-done; err != nil {
		log.Print(err)
	}
	if err := restore(); err != nil {
		log.Print(err)
	}
}

// Counters that each core has for itself, summed up by a reader afterwards.
func ExamplePerCore() {
	type counters struct{ packets uint64 }
	cores := cpu.NewPerCore[counters](2)
	cores.At(0).packets = 30 // done by core 0
	cores.At(1).packets = 12 // done by core 1

	var sum uint64
	for _, c := range cores.All() {
		sum += c.packets
	}
	fmt.Println(sum)
	// Output: 42
}

// Waiting without a system call, and finding out how long it took.
func ExampleCalibrate() {
	clock, err := cpu.Calibrate(10 * time.Millisecond)
	if err != nil {
		log.Fatal(err)
	}
	start := clock.Now()
	deadline := start + clock.Cycles(50*time.Microsecond)
	for clock.Now() < deadline {
	}
	waited := clock.Duration(clock.Now() - start)
	fmt.Println(waited >= 49*time.Microsecond)
	// Output: true
}
