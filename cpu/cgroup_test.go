package cpu

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	mountV2     = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	mountV1     = "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
	mountHybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	mountProc   = "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
)

func TestCgroupCPUs(t *testing.T) {
	for _, tc := range []struct {
		name, cgroup, mounts string
		files                map[string]string
		want                 string // "-" for not known
	}{
		{
			"v2", "0::/user.slice/a.scope\n", mountProc + mountV2,
			map[string]string{
				"sys/fs/cgroup/cpuset.cpus.effective":                    "0-15",
				"sys/fs/cgroup/user.slice/cpuset.cpus.effective":         "0-7",
				"sys/fs/cgroup/user.slice/a.scope/cpuset.cpus.effective": "2-3",
			}, "2-3",
		},
		{
			"v2, controller off in the group", "0::/user.slice/a.scope\n", mountV2,
			map[string]string{
				"sys/fs/cgroup/cpuset.cpus.effective":            "0-15",
				"sys/fs/cgroup/user.slice/cpuset.cpus.effective": "0-7",
			}, "0-7",
		},
		{"v2, root group", "0::/\n", mountV2, map[string]string{"sys/fs/cgroup/cpuset.cpus.effective": "0-15"}, "0-15"},
		{"v2, no cpuset controller", "0::/x\n", mountV2, nil, "-"},
		{
			"hybrid: cpuset is v1", "3:cpuset:/job\n1:cpu,cpuacct:/\n0::/\n", mountHybrid + mountV1,
			map[string]string{"sys/fs/cgroup/cpuset/job/cpuset.effective_cpus": "1,4"}, "1,4",
		},
		{
			"v1 with company", "3:cpu,cpuset:/job\n", "34 31 0:31 / /cg rw - cgroup cgroup rw,cpu,cpuset\n",
			map[string]string{"cg/job/cpuset.effective_cpus": "5"}, "5",
		},
		{
			"container: mount shows the own group", "3:cpuset:/docker/abc\n",
			"34 31 0:31 /docker/abc /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n",
			map[string]string{"sys/fs/cgroup/cpuset/cpuset.effective_cpus": "6-7"}, "6-7",
		},
		{
			"container: group below the mount's", "3:cpuset:/docker/abc/in\n",
			"34 31 0:31 /docker/abc /cs ro - cgroup cgroup rw,cpuset\n",
			map[string]string{"cs/in/cpuset.effective_cpus": "6"}, "6",
		},
		{
			"container: another group with the same beginning", "3:cpuset:/docker/abcd\n",
			"34 31 0:31 /docker/abc /cs ro - cgroup cgroup rw,cpuset\n",
			map[string]string{"cs/cpuset.effective_cpus": "6", "csd/cpuset.effective_cpus": "1"}, "6",
		},
		{
			"namespace: group out of sight", "0::/../../other\n", mountV2,
			map[string]string{"sys/fs/cgroup/cpuset.cpus.effective": "0-3", "sys/other/cpuset.cpus.effective": "9"}, "0-3",
		},
		{
			"blank in the mount point", "0::/\n", `35 24 0:30 / /mnt/my\040cg rw - cgroup2 cgroup2 rw` + "\n",
			map[string]string{"mnt/my cg/cpuset.cpus.effective": "0-1"}, "0-1",
		},
		{"colon in the group", "0::/a:b\n", mountV2, map[string]string{"sys/fs/cgroup/a:b/cpuset.cpus.effective": "3"}, "3"},
		{"nothing mounted", "0::/\n", mountProc, nil, "-"},
		{"not in the mounted version", "0::/\n", mountV1, map[string]string{"sys/fs/cgroup/cpuset/cpuset.effective_cpus": "1"}, "-"},
		{"garbage around", "x\n0:\n0::/\n", "\n- -\n1 2 3\n" + mountV2, map[string]string{"sys/fs/cgroup/cpuset.cpus.effective": "0-1"}, "0-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := fstest.MapFS{
				"proc/self/cgroup":    {Data: []byte(tc.cgroup)},
				"proc/self/mountinfo": {Data: []byte(tc.mounts)},
			}
			for name, content := range tc.files {
				root[name] = file(content)
			}
			set, ok, err := cgroupCPUs(root)
			require.NoError(t, err)
			if tc.want == "-" {
				assert.False(t, ok)
				return
			}
			require.True(t, ok)
			assert.Equal(t, tc.want, set.String())
		})
	}
}

func TestCgroupCPUsNoProc(t *testing.T) {
	_, ok, err := cgroupCPUs(fstest.MapFS{})
	assert.NoError(t, err)
	assert.False(t, ok)
}

func TestCgroupCPUsGarbage(t *testing.T) {
	_, _, err := cgroupCPUs(fstest.MapFS{
		"proc/self/cgroup":                    {Data: []byte("0::/\n")},
		"proc/self/mountinfo":                 {Data: []byte(mountV2)},
		"sys/fs/cgroup/cpuset.cpus.effective": file("many"),
	})
	assert.ErrorContains(t, err, "cpuset.cpus.effective")
}

func TestUnescapeMount(t *testing.T) {
	for in, want := range map[string]string{
		`/a`: "/a", `/a\040b`: "/a b", `\134`: `\`, `\011x`: "\tx", `\04`: `\04`, `\999`: `\999`, `\`: `\`, `\777`: `\777`,
	} {
		assert.Equal(t, want, unescapeMount(in))
	}
}

// Whatever stands in the two files, the answer is a set, nothing, or an error.
func FuzzCgroupCPUs(f *testing.F) {
	f.Add("0::/a\n", mountV2)
	f.Add("3:cpuset:/docker/abc\n", mountHybrid+mountV1)
	f.Add("0::/../..\n", `35 24 0:30 /a\040b /m\134 rw - cgroup2 x rw`)
	f.Fuzz(func(t *testing.T, cgroup, mounts string) {
		root := fstest.MapFS{
			"proc/self/cgroup":                    {Data: []byte(cgroup)},
			"proc/self/mountinfo":                 {Data: []byte(mounts)},
			"sys/fs/cgroup/cpuset.cpus.effective": file("0-3"),
		}
		set, ok, err := cgroupCPUs(root)
		if ok != (set.String() == "0-3") {
			t.Fatalf("set %v, ok %v, err %v", set, ok, err)
		}
	})
}
