package drivers

import (
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afpacket"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/pcap"
	"example.org/pmd/pmd/ring"
	"example.org/pmd/pmd/tap"
)

// Guarded reports whether a driver refuses the interface of the default route or of
// the SSH session unless take-management=on.
func Guarded(driver string) bool { return driver == afxdp.Kind || driver == afpacket.Kind }

// Registry returns the drivers that --port may name. Ring ports find their other
// end among those opened through the same registry.
func Registry() *pmd.Registry {
	return pmd.NewRegistry(afxdp.NewDriver(), null.Driver{}, pcap.Driver{}, &ring.Driver{}, tap.Driver{}, afpacket.Driver{})
}
