//go:build amd64

package cpu

import "os"

// counterName is what [Clock.Source] calls the counter.
const counterName = "tsc"

// cpuidLeaf executes CPUID with the given leaf, subleaf 0.
func cpuidLeaf(leaf uint32) (eax, edx uint32)

// counterInvariant reports whether the time-stamp counter runs at one rate in all P-, C- and
// T-states: CPUID leaf 8000_0007h, EDX bit 8 (Intel SDM volume 3, "Invariant TSC"; AMD APM
// volume 3, appendix E).
func counterInvariant() bool {
	const maxLeaf, powerLeaf = 0x8000_0000, 0x8000_0007
	if eax, _ := cpuidLeaf(maxLeaf); eax < powerLeaf {
		return false
	}
	_, edx := cpuidLeaf(powerLeaf)
	return edx&(1<<8) != 0
}

// counterHz returns 0: the rate has to be measured. CPUID leaf 15h states it on some
// processors only, and not in most virtual machines.
func counterHz() uint64 { return 0 }

// counterDoubt says why the counter cannot be a clock, or nothing.
func counterDoubt() string {
	switch {
	case !counterInvariant():
		return "the rate of the TSC is not invariant"
	case tscWithdrawn(os.DirFS("/sys")):
		return "the kernel found the TSC unstable"
	}
	return ""
}
