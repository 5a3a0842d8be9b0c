package doctor

import (
	"io/fs"
	"os"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/netlab"
)

// Machine is what is examined.
type Machine struct {
	// Root is rooted where / is: below it proc and sys are read.
	Root fs.FS
	// Executable is the path of this binary, for commands about it.
	Executable string
	// Topology tells of the CPUs.
	Topology func() (*cpu.Topology, error)
	// TryKernel tries what the driver uses of the kernel.
	TryKernel func() ([]afxdp.Feature, error)
	// Interfaces lists the interfaces there are, and Inspect reads one.
	Interfaces func() ([]string, error)
	Inspect    func(name string) (*afxdp.Facts, error)
}

// Local is the machine that this process runs on, with the interfaces of a network
// namespace: a name or a path, empty for the process's own.
func Local(netns string) Machine {
	exe, err := os.Executable()
	if err != nil {
		exe = "pmd"
	}
	return Machine{
		Root: os.DirFS("/"), Executable: exe, Topology: cpu.Local,
		TryKernel: func() (list []afxdp.Feature, err error) {
			err = netlab.Throwaway(func() (err error) {
				list, err = afxdp.TryFeatures()
				return err
			})
			return list, err
		},
		Interfaces: func() ([]string, error) { return afxdp.Interfaces(netns) },
		Inspect:    func(name string) (*afxdp.Facts, error) { return afxdp.Inspect(netns, name) },
	}
}
