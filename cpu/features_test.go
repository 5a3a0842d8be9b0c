package cpu

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFeatures(t *testing.T) {
	f := Features()
	t.Logf("%+v", f)
	assert.Equal(t, runtime.GOARCH, f.Arch)
	switch runtime.GOARCH {
	case "amd64":
		assert.NotEmpty(t, f.Brand)
		assert.Positive(t, f.CacheLine)
	case "arm64":
		assert.Contains(t, f.Vectors, "NEON", "part of the base architecture")
		assert.True(t, f.InvariantTSC)
	}
}

// The kernel decoded the same CPUID leaves: both must agree.
func TestFeaturesAgainstKernel(t *testing.T) {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || runtime.GOARCH != "amd64" {
		t.Skip("needs /proc/cpuinfo of an amd64 Linux")
	}
	flags := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if name, list, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			for flag := range strings.FieldsSeq(list) {
				flags[flag] = true
			}
			break
		}
	}
	if len(flags) == 0 {
		t.Skip("/proc/cpuinfo lists no flags")
	}
	f := Features()
	assert.Equal(t, flags["avx2"], slices.Contains(f.Vectors, "AVX2"))
	assert.Equal(t, flags["sse4_2"], slices.Contains(f.Vectors, "SSE4.2"))
	assert.Equal(t, flags["hypervisor"], f.Hypervisor)
	// Linux sets both flags from the bit we read, or from knowing the model
	// (arch/x86/kernel/cpu): the bit implies the flag, not the other way round.
	if f.InvariantTSC {
		assert.True(t, flags["constant_tsc"] && flags["nonstop_tsc"])
	}
}
