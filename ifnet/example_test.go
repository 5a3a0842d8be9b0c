package ifnet_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"

	"example.org/pmd/ifnet"
)

// oneCore is a dataplane of one core, which is this goroutine.
type oneCore struct{}

func (oneCore) Len() int                   { return 1 }
func (oneCore) Round(visit func(core int)) { visit(0) }

func Example() {
	ctx := context.Background()
	sys, err := ifnet.New(ifnet.Config{Cores: oneCore{}})
	if err != nil {
		log.Fatal(err)
	}
	// Each core gets its replica, on that core.
	var mine *ifnet.Replica
	sys.Bind(func(_ int, r *ifnet.Replica) { mine = r })

	_, err = sys.Attach(ctx, ifnet.Params{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, QueueLimit: 1024})
	if err != nil {
		log.Fatal(err)
	}
	root := sys.As(ifnet.Cred{Name: "root", Privileged: true})
	if err := root.AddAddr(ctx, "eth0", ifnet.AddrSpec{Prefix: netip.MustParsePrefix("192.0.2.1/24")}); err != nil {
		log.Fatal(err)
	}

	// On the packet path: whose is this destination?
	c := mine.WithNet(netip.MustParseAddr("192.0.2.77"))
	fmt.Println(c.View().State().Name, c.Address())

	fmt.Println(root.SetMTU(ctx, "eth1", 9000))
	fmt.Println(sys.As(ifnet.Cred{Name: "uid 1000"}).Rename(ctx, "eth0", "lan"))
	// Output:
	// eth0 192.0.2.1/24
	// ifnet: set mtu on eth1: there is no such interface; there are eth0: no such device or address
	// ifnet: rename on eth0: only root, and who started the process, may change interfaces: operation not permitted
}

// A listener follows what happens.
func ExampleSystem_Listen() {
	ctx := context.Background()
	sys, err := ifnet.New(ifnet.Config{})
	if err != nil {
		log.Fatal(err)
	}
	events := sys.Listen(0)
	if _, err := sys.Attach(ctx, ifnet.Params{Driver: "null", Unit: 0, QueueLimit: 1}); err != nil {
		log.Fatal(err)
	}
	root := sys.As(ifnet.Cred{Privileged: true})
	up, mtu := true, 9000
	// The driver cannot change the MTU: nothing is changed.
	fmt.Println(root.Set(ctx, "null0", ifnet.Settings{Up: &up, MTU: &mtu}))
	if err := root.Set(ctx, "null0", ifnet.Settings{Up: &up}); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		e, err := events.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Seq, e.Kind, e.Interface)
	}
	// Output:
	// ifnet: set on null0: the driver cannot change it: operation not supported
	// 1 attach null0
	// 2 up null0
}
