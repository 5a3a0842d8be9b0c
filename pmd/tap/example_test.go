package tap_test

import (
	"context"
	"fmt"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/tap"
)

// A port is opened from a spec. Mistakes in it are told in one line, before anything
// is made.
func ExampleDriver_Open() {
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: 256})
	if err != nil {
		fmt.Println(err)
		return
	}
	env := pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }}
	for _, s := range []string{"tap:tap0,queues=2,adr=10.0.0.1/24", "tap:tap0,addr=10.0.0.1"} {
		spec, err := pmd.ParseSpec(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		_, err = tap.Driver{}.Open(context.Background(), spec, env)
		fmt.Println(err)
	}
	// Output:
	// bad port: tap:tap0,adr=10.0.0.1/24,queues=2: driver tap has no option "adr"; it has addr, iface, mac, mtu, name, netns, persist, pollcpu, queues, up
	// bad port: tap:tap0,addr=10.0.0.1: addr=10.0.0.1: use an address and its prefix length, such as 192.0.2.1/24
}
