package afpacket_test

import (
	"context"
	"fmt"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afpacket"
	"example.org/pmd/pmd/mbuf"
)

// A port is opened from a spec. Mistakes in it are told in one line.
func ExampleDriver_Open() {
	pool, err := mbuf.NewSpace().NewPool(mbuf.Config{Frames: 256})
	if err != nil {
		fmt.Println(err)
		return
	}
	env := pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }}
	for _, s := range []string{"afpacket:eth1,fanout=random", "afpacket:queues=2"} {
		spec, err := pmd.ParseSpec(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		_, err = afpacket.Driver{}.Open(context.Background(), spec, env)
		fmt.Println(err)
	}
	// Output:
	// bad port: afpacket:eth1,fanout=random: fanout=random: use hash, cpu
	// bad port: afpacket:queues=2: iface=: use the name of an interface: afpacket:eth1
}
