package engine

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
)

func TestSetPollCPU(t *testing.T) {
	cfg := small(t, "null:name=a", "null:name=b")
	cfg.Unpinned = 2
	e := started(t, cfg)
	ctx := t.Context()
	// CPUs are all -1 here: who polls shows in what the cores hold.
	busy := func(worker int) bool {
		s, err := e.Stats(ctx)
		require.NoError(t, err)
		turns := s.Cores[worker].Turns - s.Cores[worker].EmptyTurns
		var later uint64
		until(t, "turns", func() bool {
			s, err := e.Stats(ctx)
			require.NoError(t, err)
			later = s.Cores[worker].Turns - s.Cores[worker].EmptyTurns
			return later > turns || s.Ports[0].RxPackets > 0 && s.Uptime > 0 && s.Cores[worker].EmptyTurns > 0
		})
		return later > turns
	}
	for _, list := range []string{"w1", " w1 ", "w0", "w1"} {
		f, err := e.SetPollCPU(ctx, "a", list)
		require.NoError(t, err)
		assert.Equal(t, "a", f.Name)
		_, err = e.SetPollCPU(ctx, "1", list)
		require.NoError(t, err)
	}
	assert.True(t, busy(1), "worker 1 has both ports")
	for list, want := range map[string]string{
		"":        "no CPU between two commas",
		"w0,":     "no CPU between two commas",
		"w2":      "item \"w2\"",
		"w-1":     "CPU list",
		"0":       "CPU 0 is not polled: choose from w0, w1",
		"w0,w1":   "2 CPUs for 1 queues",
		"9999999": "number from 0 to 8191",
		"-1":      "CPU list",
	} {
		_, err := e.SetPollCPU(ctx, "a", list)
		require.ErrorContains(t, err, want, list)
		assert.True(t, usage.Is(err), list)
	}
	_, err := e.SetPollCPU(ctx, "c", "w0")
	require.ErrorIs(t, err, syscall.ENXIO)
}

// A list keeps its order, and a CPU may be in it twice.
func TestWorkerList(t *testing.T) {
	e := &Engine{cores: cores{ids: []int{4, 2, 3}}}
	for list, want := range map[string][]int{"3,4": {2, 0}, "2-4": {1, 2, 0}, "4,4": {0, 0}, "w0,2": {0, 1}} {
		got, err := e.workerList(list)
		require.NoError(t, err)
		assert.Equal(t, want, got, list)
	}
	_, err := e.workerList("2,5")
	require.ErrorContains(t, err, "CPU 5 is not polled: choose from 4, 2, 3")
}

func FuzzWorkerList(f *testing.F) {
	for _, seed := range []string{"", "1", "2-3,1", "w0", "0-63:2/4", strings.Repeat("1,", 3000)} {
		f.Add(seed)
	}
	e := &Engine{cores: cores{ids: []int{1, 2, dataplane.Unpinned}}}
	f.Fuzz(func(t *testing.T, list string) {
		got, err := e.workerList(list)
		if err != nil {
			assert.True(t, usage.Is(err))
			return
		}
		assert.NotEmpty(t, got)
		for _, w := range got {
			assert.Less(t, w, 3)
		}
	})
}
