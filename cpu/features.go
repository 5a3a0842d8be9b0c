package cpu

import (
	"runtime"

	"github.com/klauspost/cpuid/v2"
)

// Info describes the processor this process runs on, for reports and start-up checks. It is
// no basis for choosing CPUs: that is [Topology].
type Info struct {
	Arch   string `json:"arch"`   // as in runtime.GOARCH
	Vendor string `json:"vendor"` // empty if not known
	Brand  string `json:"brand"`  // marketing name; on arm64 usually the vendor's only

	// Vectors lists the vector instruction sets that processor and operating system
	// both support, narrowest first: SSE4.2, AVX2, AVX512 (F, BW, DQ and VL, the
	// x86-64-v4 level), NEON, SVE.
	Vectors []string `json:"vectors"`

	// InvariantTSC says that the cycle counter runs at one rate in all power states, as
	// far as the processor declares it. See [Calibrate] for who else has a say.
	InvariantTSC bool `json:"invariant_tsc"`

	// Hypervisor says that we run in a virtual machine that admits it. On arm64 there is
	// no such bit and it is false.
	Hypervisor bool `json:"hypervisor"`

	// CacheLine is the line size in bytes, 0 if not known. [LineSize] is what to pad to.
	CacheLine int `json:"cache_line"`

	// PhysicalCores and LogicalCPUs count one package, or what a hypervisor makes of it;
	// 0 if not known.
	PhysicalCores int `json:"physical_cores"`
	LogicalCPUs   int `json:"logical_cpus"`
}

// Features returns what the processor says about itself. It never fails: what is not known
// is zero.
func Features() Info {
	c := &cpuid.CPU
	f := Info{
		Arch:          runtime.GOARCH,
		Vendor:        c.VendorString,
		Brand:         c.BrandName,
		InvariantTSC:  counterInvariant(),
		Hypervisor:    c.Has(cpuid.HYPERVISOR),
		CacheLine:     c.CacheLine,
		PhysicalCores: c.PhysicalCores,
		LogicalCPUs:   c.LogicalCores,
	}
	if f.Brand == "" {
		f.Brand = f.Vendor
	}
	for _, v := range []struct {
		name string
		has  bool
	}{
		{"SSE4.2", c.Has(cpuid.SSE42)},
		{"AVX2", c.Has(cpuid.AVX2)},
		{"AVX512", c.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL)},
		{"NEON", c.Has(cpuid.ASIMD)},
		{"SVE", c.Has(cpuid.SVE)},
	} {
		if v.has {
			f.Vectors = append(f.Vectors, v.name)
		}
	}
	return f
}
