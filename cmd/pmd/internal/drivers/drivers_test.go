package drivers_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/pmd"
)

func TestRegistry(t *testing.T) {
	kinds := drivers.Registry().Kinds()
	assert.Equal(t, []string{"afpacket", "afxdp", "null", "pcap", "ring", "tap"}, kinds)
	assert.Contains(t, kinds, pmd.DefaultDriver, "a spec that names no driver must find one")
	assert.NotSame(t, drivers.Registry(), drivers.Registry(), "ring pairs of one process must not meet those of another registry")
}

func ExampleRegistry() {
	fmt.Println(drivers.Registry().Kinds())
	// Output: [afpacket afxdp null pcap ring tap]
}
