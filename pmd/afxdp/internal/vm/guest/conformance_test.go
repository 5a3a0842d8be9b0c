//go:build linux

package guest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/pmdtest"
)

// The conformance suite in each mode that the driver has.
func TestConformance(t *testing.T) {
	p := pair(t, 1)
	pool := mbuf.Config{}
	if driverOf(p.port) == "igb" {
		pool.FrameSize = 4096 // for whole packets in zero-copy mode
	}
	for _, mode := range modes(t, p.port) {
		t.Run(mode, func(t *testing.T) {
			pmdtest.TestDevice(t, pmdtest.Harness{
				Async: true,
				Pool:  pool,
				Open: func(t testing.TB, env pmd.Env) pmdtest.Setup {
					spec, err := pmd.ParseSpec(p.port + ",mode=" + mode)
					require.NoError(t, err)
					dev, err := afxdp.NewDriver().Open(context.Background(), spec, env)
					require.NoError(t, err)
					require.Equal(t, mode, dev.Info().Mode, "the mode as read back")
					running(t, p.port)
					w := openWire(t, p.far, 0x88b5) // the suite's EtherType
					return pmdtest.Setup{
						Device: dev,
						Inject: func(packets [][]byte) int { return w.send(packets...) },
						Collect: func() (out [][]byte) {
							for b := w.next(); b != nil; b = w.next() {
								out = append(out, append([]byte(nil), b...))
							}
							return out
						},
						Release: w.close,
					}
				},
			})
		})
	}
}
