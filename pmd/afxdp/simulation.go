package afxdp

// SimulationConfig describes a Simulation. The zero value of each field but CPU means its
// default.
type SimulationConfig struct {
	// CPU is where the kernel's side runs: not one of the poll cores'.
	CPU int
	// Ports is the number of ports. Default 2.
	Ports int
	// Size is the length of the packets received, 60 to what fits into a frame.
	// Default 60.
	Size int
	// Ring is the size of each ring in descriptors, a power of two. Default 2048.
	Ring int
}
