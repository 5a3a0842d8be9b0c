package cpu

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func read(t *testing.T, sys fs.FS) *Topology {
	t.Helper()
	top, err := ReadTopology(sys)
	require.NoError(t, err)
	return top
}

func list(t *testing.T, s string) Set {
	t.Helper()
	set, err := ParseList(s)
	require.NoError(t, err)
	return set
}

func TestTwoSocketsSMT(t *testing.T) {
	for _, old := range []bool{false, true} {
		m := twoSockets()
		m.oldNames = old
		top := read(t, m.sysfs())
		assert.Equal(t, "0-15", top.Online.String())
		assert.Equal(t, "0-15", top.Allowed.String())
		assert.True(t, top.NoHzFull.IsEmpty(), "(null) is no CPU")
		assert.Equal(t, []int{0, 1}, top.Nodes())
		assert.Equal(t, []int{0, 1}, top.Packages())
		assert.Equal(t, "4-7,12-15", top.CPUsOfNode(1).String())
		assert.Equal(t, "5,13", top.Siblings(13).String())
		assert.Equal(t, 1, top.NodeOf(13))
		assert.Equal(t, 1, top.PackageOf(13))
		assert.Equal(t, 1, top.CoreOf(13))
		assert.Equal(t, 0, top.NodeOf(8))
		assert.Equal(t, "1-15", top.DefaultCores().String())
	}
}

func TestUnknownCPUAndNode(t *testing.T) {
	top := read(t, twoSockets().sysfs())
	for _, id := range []int{-1, 16, MaxCPUs, 1 << 30} {
		assert.Equal(t, -1, top.NodeOf(id))
		assert.Equal(t, -1, top.PackageOf(id))
		assert.Equal(t, -1, top.CoreOf(id))
		assert.True(t, top.Siblings(id).IsEmpty())
	}
	assert.True(t, top.CPUsOfNode(2).IsEmpty())
	assert.True(t, top.CPUsOfNode(-1).IsEmpty())
}

// CPUs 12 to 15 have been switched off: their topology folders are gone, the lists of nodes
// and siblings shrank. Slots 16 to 19 are empty.
func TestOfflineCPUs(t *testing.T) {
	m := twoSockets()
	m.online, m.possible = "0-11", "0-19"
	m.nodes[1] = "4-7"
	m.cpus = m.cpus[:12]
	for i := 4; i < 8; i++ {
		m.cpus[i].siblings = list(t, m.cpus[i].siblings).And(list(t, m.online)).String()
	}
	top := read(t, m.sysfs())
	assert.Equal(t, "0-15", top.Present.String())
	assert.Equal(t, "0-19", top.Possible.String())
	assert.Equal(t, "0-11", top.Allowed.String())
	assert.Equal(t, "5", top.Siblings(5).String())
	assert.Equal(t, "13", top.Siblings(13).String())
	assert.Equal(t, -1, top.NodeOf(13))
	assert.Equal(t, -1, top.PackageOf(13))

	assert.NoError(t, top.Check(11))
	assert.ErrorIs(t, top.Check(12), ErrOffline)
	assert.ErrorIs(t, top.Check(16), ErrNoSuchCPU, "an empty slot")
}

func Test256CPUs(t *testing.T) {
	top := read(t, bigServer().sysfs())
	assert.Equal(t, 256, top.Online.Len())
	assert.Equal(t, "0-511", top.Possible.String())
	assert.Equal(t, "254-255", top.Siblings(255).String())
	assert.Equal(t, 7, top.NodeOf(255))
	assert.Equal(t, 8, len(top.Nodes()))
	assert.Equal(t, "1-255", top.DefaultCores().String())
}

func TestARM64(t *testing.T) {
	top := read(t, arm64Server().sysfs())
	assert.Equal(t, []int{36, 6924}, top.Packages())
	assert.Equal(t, 6924, top.PackageOf(7))
	assert.Equal(t, top.CoreOf(3), top.CoreOf(7), "core ids repeat in each cluster")
	assert.Equal(t, "7", top.Siblings(7).String(), "yet these are two cores")
	assert.Equal(t, []int{0}, top.Nodes(), "no NUMA is one node")
	assert.Equal(t, 0, top.NodeOf(7))
	assert.Equal(t, "0-7", top.CPUsOfNode(0).String())
}

func TestMemoryOnlyNode(t *testing.T) {
	m := twoSockets()
	m.nodes[2] = ""
	top := read(t, m.sysfs())
	assert.Equal(t, []int{0, 1, 2}, top.Nodes())
	assert.True(t, top.CPUsOfNode(2).IsEmpty())
}

func TestMissingFiles(t *testing.T) {
	top := read(t, fstest.MapFS{sysCPU + "/online": file("0-3")})
	assert.Equal(t, "0-3", top.Present.String())
	assert.Equal(t, "0-3", top.Possible.String())
	assert.True(t, top.Isolated.IsEmpty())
	assert.Equal(t, "2", top.Siblings(2).String())
	assert.Equal(t, -1, top.PackageOf(2))
	assert.Empty(t, top.Packages())
	assert.Equal(t, 0, top.NodeOf(2))

	_, err := ReadTopology(fstest.MapFS{})
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "devices/system/cpu/online")
}

// Each file in turn holds garbage: the error must name it.
func TestGarbage(t *testing.T) {
	for _, garbage := range []string{"\x00\xff", "0-", "0-4000000000", "zero", "0 1", "99999999999999999999"} {
		base := twoSockets().sysfs()
		for _, name := range slices.Sorted(maps.Keys(base)) {
			switch path.Base(name) {
			case "offline", "boost":
				continue // not read
			case "thread_siblings_list":
				continue // not read either: core_cpus_list is there
			}
			if name == sysNode+"/online" || strings.Contains(name, "node_notes") {
				continue // no node, and not read
			}
			sys := maps.Clone(base)
			sys[name] = file(garbage)
			_, err := ReadTopology(sys)
			if assert.Error(t, err, "%s = %q", name, garbage) {
				assert.ErrorContains(t, err, name)
				assert.NotContains(t, err.Error(), "\n")
			}
		}
	}
}

func TestNumbersBelowMinusOneAreGarbage(t *testing.T) {
	sys := arm64Server().sysfs()
	sys[sysCPU+"/cpu3/topology/physical_package_id"] = file("-1")
	assert.Equal(t, -1, read(t, sys).PackageOf(3), "the kernel does not know")
	sys[sysCPU+"/cpu3/topology/physical_package_id"] = file("-2")
	_, err := ReadTopology(sys)
	assert.ErrorContains(t, err, "cpu3")
}

func TestNoCPUOnline(t *testing.T) {
	_, err := ReadTopology(fstest.MapFS{sysCPU + "/online": file("")})
	assert.ErrorContains(t, err, "lists no CPU")
}

func TestDefaultCores(t *testing.T) {
	for _, tc := range []struct{ name, allowed, isolated, want string }{
		{"all but the lowest", "0-7", "", "1-7"},
		{"lowest is not 0", "4-7", "", "5-7"},
		{"single", "3", "", "3"},
		{"isolated", "0-7", "4-5", "4-5"},
		{"isolated and in part allowed", "0-4", "4-5", "4"},
		{"isolated but not allowed", "0-3", "4-5", "1-3"},
		{"lowest is isolated", "0-7", "0", "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			top := read(t, arm64Server().sysfs())
			top.Allowed, top.Isolated = list(t, tc.allowed), list(t, tc.isolated)
			assert.Equal(t, tc.want, top.DefaultCores().String())
		})
	}
}

func TestAllowedSet(t *testing.T) {
	const none = "-" // cpuset not readable
	for _, tc := range []struct{ name, isolated, affinity, cgroup, want string }{
		{"unrestricted", "", "0-7", none, "0-7"},
		{"taskset", "", "2-3", none, "2-3"},
		{"taskset within a cpuset", "", "2-3", "0-3", "2-3"},
		{"cpuset narrower than the mask", "", "0-7", "0-3", "0-3"},
		{"wrong cpuset read", "", "4-7", "0-3", "4-7"},
		{"empty cpuset read", "", "4-7", "", "4-7"},
		{"isolcpus leaves the mask", "6-7", "0-5", none, "0-7"},
		{"isolcpus, root cpuset", "6-7", "0-5", "0-7", "0-7"},
		{"isolcpus, cpuset with one of them", "6-7", "0-5", "0-6", "0-6"},
		{"isolcpus, cpuset without them", "6-7", "0-3", "0-3", "0-3"},
		{"isolcpus, but taskset", "6-7", "2-3", none, "2-3"},
		{"isolcpus by taskset", "6-7", "6-7", none, "6-7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			top := read(t, arm64Server().sysfs())
			top.Isolated = list(t, tc.isolated)
			cgroup := Set{}
			if tc.cgroup != none {
				cgroup = list(t, tc.cgroup)
			}
			got := allowedSet(top, list(t, tc.affinity), cgroup, tc.cgroup != none)
			assert.Equal(t, tc.want, got.String())
		})
	}
}

func TestCheck(t *testing.T) {
	m := arm64Server()
	m.online = "0-5"
	top := read(t, m.sysfs())
	top.Allowed = list(t, "1-3,7")
	require.NoError(t, top.Check(2))

	for _, tc := range []struct {
		cpu  int
		want error
	}{{0, ErrNotAllowed}, {7, ErrOffline}, {8, ErrNoSuchCPU}, {-1, ErrNoSuchCPU}, {1 << 30, ErrNoSuchCPU}} {
		err := top.Check(tc.cpu)
		assert.ErrorIs(t, err, tc.want, "CPU %d", tc.cpu)
		ce, ok := errors.AsType[*CPUError](err)
		require.True(t, ok)
		assert.Equal(t, tc.cpu, ce.CPU)
		assert.Equal(t, "1-3", ce.Allowed.String())
	}
	assert.EqualError(t, top.Check(7), "CPU 7 is offline: choose from 1-3")
	assert.EqualError(t, top.Check(99), "CPU 99 does not exist: choose from 1-3")

	assert.NoError(t, top.CheckSet(list(t, "1-3")))
	assert.ErrorIs(t, top.CheckSet(list(t, "2,4,8")), ErrNotAllowed, "the lowest of two errors")
	assert.NoError(t, top.CheckSet(Set{}))

	top.Allowed = Set{}
	assert.ErrorContains(t, top.Check(0), "no CPU is left")
}

// root puts a machine's sysfs under /sys and adds a cgroup v2 that leaves the CPUs listed.
func root(m machine, cgroup string) fstest.MapFS {
	r := fstest.MapFS{
		"proc/self/cgroup":                    {Data: []byte("0::/\n")},
		"proc/self/mountinfo":                 {Data: []byte(mountV2)},
		"sys/fs/cgroup/cpuset.cpus.effective": file(cgroup),
	}
	for name, f := range m.sysfs() {
		r["sys/"+name] = f
	}
	return r
}

func TestLocalTopology(t *testing.T) {
	m := twoSockets()
	m.isolated = "6-7,14-15"
	usual := list(t, "0-5,8-13") // what isolcpus= leaves in the mask

	top, err := localTopology(root(m, "0-15"), usual)
	require.NoError(t, err)
	assert.Equal(t, "0-15", top.Allowed.String())
	assert.Equal(t, "6-7,14-15", top.DefaultCores().String())

	top, err = localTopology(root(m, "0-6"), list(t, "0-5"))
	require.NoError(t, err)
	assert.Equal(t, "0-6", top.Allowed.String())
	assert.ErrorIs(t, top.Check(7), ErrNotAllowed)

	_, err = localTopology(root(m, "some"), usual)
	assert.ErrorContains(t, err, "cpuset.cpus.effective")
	m.online = "none"
	_, err = localTopology(root(m, "0-15"), usual)
	assert.ErrorContains(t, err, "online")
}

// No /sys, as in some containers: the mask is all that is known.
func TestLocalTopologyWithoutSysfs(t *testing.T) {
	top, err := localTopology(fstest.MapFS{}, list(t, "2-4"))
	require.NoError(t, err)
	assert.Equal(t, "2-4", top.Online.String())
	assert.Equal(t, "2-4", top.Allowed.String())
	assert.Equal(t, "3-4", top.DefaultCores().String())
	assert.Equal(t, 0, top.NodeOf(3))
	assert.Equal(t, -1, top.NodeOf(0))
	assert.Equal(t, "3", top.Siblings(3).String())
	assert.ErrorIs(t, top.Check(0), ErrNoSuchCPU)
}

// Whatever this machine is, what Local says about it must hang together.
func TestLocal(t *testing.T) {
	top, err := Local()
	require.NoError(t, err)
	require.False(t, top.Online.IsEmpty())
	require.False(t, top.Allowed.IsEmpty())
	assert.True(t, top.Allowed.AndNot(top.Online).IsEmpty(), "allowed CPUs are online")
	if runtime.GOOS == "linux" {
		assert.GreaterOrEqual(t, top.Allowed.Len(), runtime.NumCPU())
	}
	require.False(t, top.DefaultCores().IsEmpty())
	for id := range top.DefaultCores().All() {
		assert.NoError(t, top.Check(id))
	}
	for id := range top.Online.All() {
		assert.True(t, top.Siblings(id).Has(id))
		if n := top.NodeOf(id); n >= 0 {
			assert.True(t, top.CPUsOfNode(n).Has(id))
		}
	}
	for i, name := range []string{"present", "possible"} {
		outer := []Set{top.Present, top.Possible}[i]
		assert.True(t, top.Online.AndNot(outer).IsEmpty(), "online CPUs are %s", name)
	}
}

func FuzzReadTopology(f *testing.F) {
	f.Add("0-3", "0-3", "0-1", "0", "0", "0-1")
	f.Add("0", "", "(null)", "-1", "6924", "")
	f.Fuzz(func(t *testing.T, online, present, siblings, core, pkg, node string) {
		sys := fstest.MapFS{
			sysCPU + "/online":                            file(online),
			sysCPU + "/present":                           file(present),
			sysCPU + "/cpu1/topology/core_cpus_list":      file(siblings),
			sysCPU + "/cpu1/topology/core_id":             file(core),
			sysCPU + "/cpu1/topology/physical_package_id": file(pkg),
			sysNode + "/node0/cpulist":                    file(node),
		}
		top, err := ReadTopology(sys)
		if err != nil {
			return
		}
		for id := range top.Online.All() {
			if !top.Siblings(id).Has(id) {
				t.Fatalf("CPU %d is not its own sibling: %v", id, top.Siblings(id))
			}
			if err := top.Check(id); err != nil {
				t.Fatal(err)
			}
		}
		if top.DefaultCores().IsEmpty() {
			t.Fatal("no CPU to poll on")
		}
	})
}
