//go:build linux

package afpacket_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afpacket"
	"example.org/pmd/pmd/internal/netiftest"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
	"example.org/pmd/pmd/pmdtest"
)

// The conformance suite over a veth pair; the far side is a packet socket that hears
// the suite's EtherType (0x88b5) alone.
func TestConformance(t *testing.T) {
	lab := netlabtest.New(t)
	host, err := lab.Namespace("host")
	require.NoError(t, err)
	ports, err := lab.Namespace("ports")
	require.NoError(t, err)
	_, err = lab.Veth(netlab.VethEnd{Namespace: host, Name: "h0"}, netlab.VethEnd{Namespace: ports, Name: "p0"})
	require.NoError(t, err)
	for _, options := range []string{"ring=v2", "ring=v3", "queues=2"} {
		t.Run(options, func(t *testing.T) {
			pmdtest.TestDevice(t, pmdtest.Harness{
				Async: true,
				Sink:  true, // veth takes every frame
				Open: func(t testing.TB, env pmd.Env) pmdtest.Setup {
					spec, err := pmd.ParseSpec("afpacket:p0," + options + ",netns=" + ports.Path())
					require.NoError(t, err)
					dev, err := afpacket.Driver{}.Open(t.Context(), spec, env)
					require.NoError(t, err)
					setup := netiftest.FarSide(t, host, "h0")
					setup.Device = dev
					if len(dev.Queues()) > 1 {
						setup.Inject = nil // the kernel chooses the queue by flow
					}
					return setup
				},
			})
		})
	}
}
