package engine

import (
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// plain are ports with these numbers of queues that may be polled anywhere.
func plain(queues ...int) []port {
	ports := make([]port, len(queues))
	for i, n := range queues {
		ports[i] = port{queues: n, node: -1}
	}
	return ports
}

// workers are those on CPUs 1, 2, …, on these NUMA nodes.
func workers(nodes ...int) cores {
	c := cores{nodes: nodes}
	for i := range nodes {
		c.ids = append(c.ids, i+1)
	}
	return c
}

func TestPlaceKeepsConnectionsTogether(t *testing.T) {
	table, err := forward.Connect(4, forward.Link{A: 0, B: 2})
	require.NoError(t, err)
	gs := groups(table)
	assert.Equal(t, []group{{0, 2}, {1, 3}}, gs)
	one := plain(1, 1, 1, 1)
	assert.Len(t, units(gs, one), 2)
	assert.Equal(t, [][]int{{0}, {1}, {0}, {1}}, place(gs, one, workers(0, 0)), "linked ports share a worker")
	assert.Equal(t, [][]int{{0}, {0}, {0}, {0}}, place(gs, one, workers(0)))
	assert.Equal(t, [][]int{{0}, {2}, {1}, {3}}, place(gs, one, workers(0, 0, 0, 0)), "workers to spare: a queue each")
}

func TestPlaceQueues(t *testing.T) {
	table, err := forward.Connect(4)
	require.NoError(t, err)
	gs := groups(table)
	ports := plain(2, 2, 2, 1)
	assert.Len(t, units(gs, ports), 4)
	assert.Equal(t, [][]int{{0, 1}, {0, 1}, {0, 1}, {0}}, place(gs, ports, workers(0, 0)), "queue q of both ports on worker q")
	assert.Equal(t, [][]int{{0, 1}, {0, 1}, {2, 3}, {2}}, place(gs, ports, workers(0, 0, 0, 0)))
}

func TestPlaceNearThePort(t *testing.T) {
	table, err := forward.Connect(4)
	require.NoError(t, err)
	gs := groups(table)
	ports := plain(1, 1, 2, 2)
	ports[2].node, ports[3].node = 1, 1
	assert.Equal(t, [][]int{{0}, {0}, {1, 2}, {1, 2}}, place(gs, ports, workers(0, 1, 1)))
	// A worker that is idle is better than a near one that is not.
	assert.Equal(t, [][]int{{2}, {2}, {1, 0}, {1, 0}}, place(gs, ports, workers(0, 1, 0)))
}

func TestPlacePollCPU(t *testing.T) {
	table, err := forward.Connect(4)
	require.NoError(t, err)
	gs := groups(table)
	ports := plain(2, 3, 1, 1)
	ports[0].cpus = []int{3, 1}
	assert.Equal(t, [][]int{{2, 0}, {2, 0, 2}, {1}, {1}}, place(gs, ports, workers(0, 0, 0)),
		"the peer follows, from the start again for its third queue, and the others keep away")
	ports[1].cpus = []int{2}
	assert.Equal(t, [][]int{{2, 0}, {1, 1, 1}, {0}, {0}}, place(gs, ports, workers(0, 0, 0)), "unless it has a list of its own")
}

// TestPlaceProperties: every queue of every port has a worker that exists, the one
// that it asks for, and no worker stands idle that could have had a queue.
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

		c := workers(rapid.SliceOfN(rapid.IntRange(0, 1), 1, 12).Draw(t, "nodes")...)
		ports, total, asks := make([]port, n), 0, false
		for i := range ports {
			ports[i] = port{queues: rapid.IntRange(1, 4).Draw(t, "queues"), node: rapid.IntRange(-1, 1).Draw(t, "node")}
			if rapid.IntRange(0, 9).Draw(t, "asks") == 0 {
				ports[i].cpus = rapid.SliceOfN(rapid.IntRange(1, len(c.ids)), 1, 3).Draw(t, "pollcpu")
				asks = true
			}
			total += ports[i].queues
		}
		us := units(gs, ports)
		where := place(gs, ports, c)
		used := map[int]bool{}
		for i := range where {
			assert.Len(t, where[i], ports[i].queues)
			for q, w := range where[i] {
				assert.GreaterOrEqual(t, w, 0)
				assert.Less(t, w, len(c.ids))
				if want := ports[i].cpu(q); want >= 0 {
					assert.Equal(t, want, c.ids[w])
				}
				used[w] = true
			}
		}
		switch {
		case asks: // those that ask may crowd
		case len(c.ids) <= len(us):
			assert.Len(t, used, len(c.ids), "as many workers as needed, or fewer: all have work")
		default:
			assert.Len(t, used, min(len(c.ids), total), "more than needed: each queue has its own while there are any")
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
		cfg   Config
		need  int
		ids   []int
		rest  string
		named []int // what pollcpu= of a further port names
	}{
		"default":               {Config{Topology: machine()}, 1, []int{1}, "0,2-5", nil},
		"no more than need":     {Config{Topology: machine()}, 3, []int{1, 2, 3}, "0,4-5", nil},
		"no more than exist":    {Config{Topology: machine()}, 99, []int{1, 2, 3, 4, 5}, "0", nil},
		"isolated":              {Config{Topology: machine(4, 5)}, 9, []int{4, 5}, "0-3", nil},
		"explicit, all used":    {Config{Topology: machine(4, 5), Cores: cpu.SetOf(0, 3)}, 1, []int{0, 3}, "1-2,4-5", nil},
		"nothing left":          {Config{Topology: machine(), Cores: cpu.SetOf(0, 1, 2, 3, 4, 5)}, 1, []int{0, 1, 2, 3, 4, 5}, "", nil},
		"unpinned":              {Config{Topology: machine(), Unpinned: 2}, 1, []int{dataplane.Unpinned, dataplane.Unpinned}, "", nil},
		"named in addition":     {Config{Topology: machine()}, 2, []int{1, 2, 4}, "0,3,5", []int{4, 4}},
		"named alone":           {Config{Topology: machine()}, 0, []int{0}, "1-5", []int{0}},
		"named and isolated":    {Config{Topology: machine(4, 5)}, 1, []int{4, 5}, "0-3", []int{4}},
		"named of the explicit": {Config{Topology: machine(), Cores: cpu.SetOf(2, 3)}, 1, []int{2, 3}, "0-1,4-5", []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.cfg.Unpinned == 0 && c.cfg.Cores.IsEmpty() {
				skipWithoutPinning(t)
			}
			gs, ports := []group(nil), plain(make([]int, c.need)...)
			for i := range ports {
				ports[i].queues = 1
				gs = append(gs, group{dataplane.PortID(i)})
			}
			if c.named != nil {
				gs = append(gs, group{dataplane.PortID(len(ports))})
				ports = append(ports, port{queues: len(c.named), node: -1, cpus: c.named})
			}
			c.cfg.Ports = make([]pmd.Spec, len(ports))
			got, err := chooseCores(c.cfg, units(gs, ports), ports)
			require.NoError(t, err)
			assert.Equal(t, c.ids, got.ids)
			assert.Equal(t, c.rest, got.rest.String())
		})
	}
}

func TestChooseCoresRefuses(t *testing.T) {
	for id, why := range map[int]error{6: cpu.ErrOffline, 7: cpu.ErrNotAllowed, 99: cpu.ErrNoSuchCPU} {
		cfg := Config{Topology: machine(), Cores: cpu.SetOf(0, id)}
		_, err := chooseCores(cfg, nil, nil)
		require.ErrorIs(t, err, why)
		assert.True(t, usage.Is(err))
		assert.ErrorContains(t, err, "choose from 0-5")

		skipWithoutPinning(t)
		ports := []port{{queues: 1, node: -1, cpus: []int{id}}}
		gs := []group{{0}}
		_, err = chooseCores(Config{Topology: machine(), Ports: specs(t, fmt.Sprintf("eth1,pollcpu=%d", id))}, units(gs, ports), ports)
		require.ErrorIs(t, err, why)
		assert.True(t, usage.Is(err))
		assert.ErrorContains(t, err, fmt.Sprintf("port eth1: pollcpu=%d: ", id))
		assert.ErrorContains(t, err, "choose from 0-5")
	}
	ports := []port{{queues: 2, node: -1, cpus: []int{2, 4}}}
	for _, cfg := range []Config{{Topology: machine(), Cores: cpu.SetOf(2, 3)}, {Unpinned: 2}} {
		cfg.Ports = specs(t, "eth1,pollcpu=2,4")
		_, err := chooseCores(cfg, units([]group{{0}}, ports), ports)
		require.Error(t, err)
		assert.True(t, usage.Is(err))
		assert.ErrorContains(t, err, "port eth1: pollcpu=2,4: ")
		if cfg.Unpinned == 0 {
			assert.ErrorContains(t, err, "CPU 4 is not polled on, 2-3 is")
		}
	}
}

// CPUs near the ports are taken as long as there are any.
func TestDefaultCoresNearThePorts(t *testing.T) {
	topo, err := cpu.ReadTopology(twoNodes())
	require.NoError(t, err)
	on := func(nodes ...int) []unit {
		var us []unit
		for _, n := range nodes {
			us = append(us, unit{cpu: -1, node: n})
		}
		return us
	}
	for want, us := range map[string][]unit{
		"1":   on(0),
		"2":   on(1),
		"1-2": on(-1, 1), // the one without a wish comes last
		"2-3": on(1, 1),
		"1-3": on(1, 1, 1), // node 1 has no third
		"":    nil,
	} {
		assert.Equal(t, want, defaultCores(topo, topo.Online, cpu.Set{}, us).String())
	}
	assert.Equal(t, "3", defaultCores(topo, topo.Online, cpu.SetOf(2), on(1)).String(), "CPU 2 is taken")
}

// twoNodes is the sysfs of a machine with CPUs 0 and 1 on one node and 2 and 3 on
// another.
func twoNodes() fs.FS {
	f := fstest.MapFS{}
	add := func(name, text string) { f[name] = &fstest.MapFile{Data: []byte(text + "\n")} }
	for _, mask := range []string{"possible", "present", "online"} {
		add("devices/system/cpu/"+mask, "0-3")
	}
	add("devices/system/node/online", "0-1")
	add("devices/system/node/node0/cpulist", "0-1")
	add("devices/system/node/node1/cpulist", "2-3")
	return f
}

func TestFramesFor(t *testing.T) {
	for want, frames := range map[int][]int{
		mbuf.DefaultFrames: {0, 4096},
		32768:              {16384, 16384},
		maxAutoFrames:      {1 << 20},
	} {
		var ports []port
		for _, n := range frames {
			ports = append(ports, port{frames: n})
		}
		assert.Equal(t, want, framesFor(ports))
	}
}
