//go:build !linux

package afxdp

import (
	"fmt"
	"runtime"

	"example.org/pmd/pmd"
)

// NewSimulation opens ports against a simulated kernel: on Linux only.
func NewSimulation(SimulationConfig, pmd.Env) ([]pmd.Device, error) {
	return nil, fmt.Errorf("afxdp: simulation: only on Linux, not on %s", runtime.GOOS)
}
