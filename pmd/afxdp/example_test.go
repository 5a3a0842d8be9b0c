package afxdp_test

import (
	"context"
	"fmt"
	"strings"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
)

// A port is opened from a spec, as the pmd binary does it. Errors are one line that
// says what, where and why.
func ExampleDriver_Open() {
	drop := dataplane.StageFunc(func(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
		w.DropBurst(pmd.ReasonSink, burst)
	})
	d, err := dataplane.New(dataplane.Config{Stage: drop})
	if err != nil {
		fmt.Println(err)
		return
	}
	spec, err := pmd.ParseSpec("no-such-nic,mode=copy")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = afxdp.NewDriver().Open(context.Background(), spec, d.Env())
	fmt.Println(strings.HasPrefix(err.Error(), "afxdp: no-such-nic: "))

	spec.Options["mode"] = "fast"
	_, err = afxdp.NewDriver().Open(context.Background(), spec, d.Env())
	fmt.Println(err)
	// Output:
	// true
	// bad port: no-such-nic,mode=fast: mode=fast: use auto, zerocopy, copy, generic
}
