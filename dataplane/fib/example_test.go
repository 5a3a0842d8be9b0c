package fib_test

import (
	"fmt"
	"net/netip"

	"example.org/pmd/dataplane/fib"
)

// The longest prefix wins.
func ExampleTable() {
	var routes fib.Table[string]
	_ = routes.Add(netip.MustParsePrefix("0.0.0.0/0"), "to the provider")
	_ = routes.Add(netip.MustParsePrefix("10.0.0.0/8"), "to the office")

	fmt.Println(*routes.Lookup(netip.MustParseAddr("10.1.2.3")))
	fmt.Println(*routes.Lookup(netip.MustParseAddr("192.0.2.1")))
	fmt.Println(routes.Add(netip.MustParsePrefix("10.0.0.0/8"), "elsewhere"))
	// Output:
	// to the office
	// to the provider
	// fib: add 10.0.0.0/8: there is a route to it: file exists
}
