package cpu_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/cpu"
)

func TestProcessors(t *testing.T) {
	old := runtime.GOMAXPROCS(3)
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
	for _, test := range []struct{ have, pollers, want int }{{1, 0, 4}, {1, 1, 4}, {1, 2, 4}, {1, 3, 8}, {4, 2, 4}, {6, 1, 8}, {8, 6, 8}, {8, 7, 12}} {
		runtime.GOMAXPROCS(test.have)
		require.Equal(t, test.have, cpu.Processors(test.pollers))
		require.Equal(t, test.want, runtime.GOMAXPROCS(0), "%v", test)
	}
}
