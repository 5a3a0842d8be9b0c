//go:build linux

package tap_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/internal/netiftest"
	"example.org/pmd/pmd/netlab/netlabtest"
	"example.org/pmd/pmd/pmdtest"
	"example.org/pmd/pmd/tap"
)

// The conformance suite; the far side is a packet socket on the tap device, which
// hears the suite's EtherType (0x88b5) alone.
func TestConformance(t *testing.T) {
	for _, queues := range []int{1, 3} {
		t.Run(fmt.Sprintf("queues=%d", queues), func(t *testing.T) {
			lab := netlabtest.New(t)
			ns, err := lab.Namespace("host")
			require.NoError(t, err)
			pmdtest.TestDevice(t, pmdtest.Harness{
				Sink: true, // the kernel takes every frame
				Open: func(t testing.TB, env pmd.Env) pmdtest.Setup {
					spec, err := pmd.ParseSpec(fmt.Sprintf("tap:tap0,queues=%d,netns=%s", queues, ns.Path()))
					require.NoError(t, err)
					dev, err := tap.Driver{}.Open(t.Context(), spec, env)
					require.NoError(t, err)
					setup := netiftest.FarSide(t, ns, "tap0")
					setup.Device = dev
					if queues > 1 {
						setup.Inject = nil // the kernel chooses the queue by flow
					}
					return setup
				},
			})
		})
	}
}
