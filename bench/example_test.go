package bench_test

import (
	"context"
	"fmt"
	"time"

	"example.org/pmd/bench"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/null"
)

// A rig forwards between two ports, and its account must balance for the rate to
// count.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rig, err := bench.Start(ctx, bench.RigConfig{
		Mode:  "macswap",
		Cores: []int{dataplane.Unpinned},
		Open: func(_ context.Context, env pmd.Env) (devs []pmd.Device, err error) {
			for _, name := range []string{"a", "b"} {
				d, err := null.New(null.Config{Name: name}, env)
				if err != nil {
					return nil, err
				}
				devs = append(devs, d)
			}
			return devs, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	rate, err := rig.Measure(ctx, 100_000, 0)
	fmt.Println(rate.Sent > 0, err)
	fmt.Println("account:", rig.Check(ctx))
	fmt.Println("end:", rig.Close())
	// Output:
	// true <nil>
	// account: <nil>
	// end: <nil>
}
