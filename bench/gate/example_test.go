package gate_test

import (
	"fmt"

	"example.org/pmd/bench/gate"
)

// Twelve pairs in which a packet took a tenth longer with the change, give or take 2 %, and
// one in which the machine did something else.
func ExampleJudge() {
	ratios := []float64{1.10, 1.09, 1.11, 1.10, 1.12, 1.08, 1.10, 1.11, 1.09, 1.10, 1.12, 1.10, 2.3}
	verdict, i := gate.Judge(ratios, 0.05, false)
	fmt.Printf("%s: %.2f times as long, %.2f to %.2f\n", verdict, i.Median, i.Lo, i.Hi)
	// Output: slower: 1.10 times as long, 1.08 to 2.30
}
