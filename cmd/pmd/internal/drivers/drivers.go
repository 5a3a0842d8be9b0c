package drivers

import (
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/pcap"
	"example.org/pmd/pmd/ring"
)

// Registry returns the drivers that --port may name. Ring ports find their other
// end among those opened through the same registry.
func Registry() *pmd.Registry {
	return pmd.NewRegistry(afxdp.NewDriver(), null.Driver{}, pcap.Driver{}, &ring.Driver{})
}
