package engine

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
)

func TestPlaceKeepsConnectionsTogether(t *testing.T) {
	table, err := forward.Connect(4, forward.Link{A: 0, B: 2})
	require.NoError(t, err)
	gs := groups(table)
	assert.Equal(t, []group{{0, 2}, {1, 3}}, gs)
	one := []int{1, 1, 1, 1}
	assert.Equal(t, 2, needed(gs, one))
	assert.Equal(t, [][]int{{0}, {1}, {0}, {1}}, place(gs, one, 2), "linked ports share a worker")
	assert.Equal(t, [][]int{{0}, {0}, {0}, {0}}, place(gs, one, 1))
	assert.Equal(t, [][]int{{0}, {2}, {1}, {3}}, place(gs, one, 4), "workers to spare: a queue each")
}

func TestPlaceQueues(t *testing.T) {
	table, err := forward.Connect(2)
	require.NoError(t, err)
	gs := groups(table)
	queues := []int{2, 2}
	assert.Equal(t, 2, needed(gs, queues))
	assert.Equal(t, [][]int{{0, 1}, {0, 1}}, place(gs, queues, 2), "queue q of both ports on worker q")
}

// TestPlaceProperties: every queue of every port has a worker that exists, and no
// worker stands idle that could have had a queue.
func TestPlaceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "ports")
		var links []forward.Link
		if n > 2 && rapid.Bool().Draw(t, "link") {
			links = append(links, forward.Link{A: 0, B: dataplane.PortID(rapid.IntRange(0, n-1).Draw(t, "to"))})
		}
		table, err := forward.Connect(n, links...)
		if err != nil {
			t.Skip("port linked to itself twice")
		}
		gs := groups(table)
		members := 0
		for _, g := range gs {
			members += len(g)
		}
		assert.Equal(t, n, members, "each port is in one group")

		queues, total := make([]int, n), 0
		for i := range queues {
			queues[i] = rapid.IntRange(1, 4).Draw(t, "queues")
			total += queues[i]
		}
		workers := rapid.IntRange(1, 12).Draw(t, "workers")
		where := place(gs, queues, workers)
		used := map[int]bool{}
		for i := range where {
			assert.Len(t, where[i], queues[i])
			for _, w := range where[i] {
				assert.GreaterOrEqual(t, w, 0)
				assert.Less(t, w, workers)
				used[w] = true
			}
		}
		if workers <= needed(gs, queues) {
			assert.Len(t, used, workers, "as many workers as needed, or fewer: all have work")
		} else {
			assert.Len(t, used, min(workers, total), "more than needed: each queue has its own while there are any")
		}
	})
}

// machine is a topology of CPUs 0 to 7 of which 6 is offline and 7 not allowed.
func machine(isolated ...int) *cpu.Topology {
	all := cpu.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
	return &cpu.Topology{
		Possible: all, Present: all, Online: all.AndNot(cpu.SetOf(6)),
		Allowed: all.AndNot(cpu.SetOf(6, 7)), Isolated: cpu.SetOf(isolated...),
	}
}

func TestChooseCores(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		need int
		ids  []int
		rest string
	}{
		"default":            {Config{Topology: machine()}, 1, []int{1}, "0,2-5"},
		"no more than need":  {Config{Topology: machine()}, 3, []int{1, 2, 3}, "0,4-5"},
		"no more than exist": {Config{Topology: machine()}, 99, []int{1, 2, 3, 4, 5}, "0"},
		"isolated":           {Config{Topology: machine(4, 5)}, 9, []int{4, 5}, "0-3"},
		"explicit, all used": {Config{Topology: machine(4, 5), Cores: cpu.SetOf(0, 3)}, 1, []int{0, 3}, "1-2,4-5"},
		"nothing left":       {Config{Topology: machine(), Cores: cpu.SetOf(0, 1, 2, 3, 4, 5)}, 1, []int{0, 1, 2, 3, 4, 5}, ""},
		"unpinned":           {Config{Topology: machine(), Unpinned: 2}, 1, []int{dataplane.Unpinned, dataplane.Unpinned}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.cfg.Unpinned == 0 && c.cfg.Cores.IsEmpty() {
				skipWithoutPinning(t)
			}
			got, err := chooseCores(c.cfg, c.need)
			require.NoError(t, err)
			assert.Equal(t, c.ids, got.ids)
			assert.Equal(t, c.rest, got.rest.String())
		})
	}
}

func TestChooseCoresRefuses(t *testing.T) {
	for id, why := range map[int]error{6: cpu.ErrOffline, 7: cpu.ErrNotAllowed, 99: cpu.ErrNoSuchCPU} {
		_, err := chooseCores(Config{Topology: machine(), Cores: cpu.SetOf(0, id)}, 1)
		require.ErrorIs(t, err, why)
		assert.True(t, usage.Is(err))
		assert.ErrorContains(t, err, "choose from 0-5")
	}
}
