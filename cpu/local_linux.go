//go:build linux

package cpu

import (
	"fmt"
	"os"
)

// Local reads the topology of this machine. On Linux, Allowed is the affinity mask of the
// calling thread together with the effective CPUs of its cpuset; CPUs isolated at boot count
// as allowed unless the mask was narrowed on purpose. Call it before [Pin] and [Confine]:
// afterwards the mask shows what they set. Without sysfs, the CPUs of the mask are all that
// is known.
//
// On other systems it is runtime.NumCPU CPUs on one node, all allowed.
func Local() (*Topology, error) {
	affinity, err := threadAffinity(0)
	if err != nil {
		return nil, fmt.Errorf("CPU topology: reading the affinity mask: %w", err)
	}
	return localTopology(os.DirFS("/"), affinity)
}
