package cpu

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// cgroupCPUs reads the CPUs that the cpuset of this process leaves it: the file
// cpuset.cpus.effective of cgroup v2, or cpuset.effective_cpus of v1. root is rooted at /.
//
// ok is false when there is nothing to read, which is common (no cgroup mounted, files
// hidden in a container) and no error: the affinity mask reflects the cpuset anyway. Content
// that makes no sense is an error.
func cgroupCPUs(root fs.FS) (set Set, ok bool, err error) {
	paths := readCgroupPaths(root)
	// Only one hierarchy can hold the cpuset controller. In a hybrid set-up v2 is mounted
	// too, but shows no cpuset files: whichever has one is the one.
	for _, m := range readCgroupMounts(root) {
		p, member := paths.v2, paths.hasV2
		file := "cpuset.cpus.effective"
		if m.v1 {
			p, member = paths.v1, paths.hasV1
			file = "cpuset.effective_cpus"
		}
		if !member {
			continue
		}
		// A group without the controller uses what its nearest ancestor has.
		for dir := m.locate(p); ; dir = path.Dir(dir) {
			set, ok, err := readList(root, path.Join(dir, file))
			if _, unreadable := errors.AsType[*fs.PathError](err); unreadable {
				break
			}
			if err != nil || ok {
				return set, ok, err
			}
			if dir == m.point || dir == "." {
				break
			}
		}
	}
	return Set{}, false, nil
}

// cgroupPaths says in which groups the process is.
type cgroupPaths struct {
	v2, v1       string
	hasV2, hasV1 bool
}

// readCgroupPaths reads /proc/self/cgroup, whose lines are hierarchy:controllers:path
// (cgroups(7)). Version 2 is hierarchy 0 without controllers.
func readCgroupPaths(root fs.FS) (p cgroupPaths) {
	text, _, _ := readLine(root, "proc/self/cgroup") // unreadable: in no group we can see
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case f[0] == "0" && f[1] == "":
			p.v2, p.hasV2 = f[2], true
		case hasWord(f[1], "cpuset"):
			p.v1, p.hasV1 = f[2], true
		}
	}
	return p
}

// cgroupMount is a mounted cgroup hierarchy.
type cgroupMount struct {
	root  string // the group that appears at the mount point
	point string // the mount point, relative to /
	v1    bool
}

// readCgroupMounts finds the mounts of cgroup v2 and of the v1 cpuset hierarchy in
// /proc/self/mountinfo (proc_pid_mountinfo(5)).
func readCgroupMounts(root fs.FS) (mounts []cgroupMount) {
	text, _, _ := readLine(root, "proc/self/mountinfo") // unreadable: no mount we can see
	for line := range strings.Lines(text) {
		// Before " - " are the mount's own fields, 3 the root and 4 the mount point; any
		// number of optional ones follow. After it: type, source, super-block options.
		own, super, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		o, s := strings.Fields(own), strings.Fields(super)
		if !ok || len(o) < 5 || len(s) < 3 {
			continue
		}
		v1 := s[0] == "cgroup" && hasWord(s[2], "cpuset")
		if s[0] != "cgroup2" && !v1 {
			continue
		}
		point := strings.TrimPrefix(path.Clean(unescapeMount(o[4])), "/")
		if point == "" {
			point = "."
		}
		mounts = append(mounts, cgroupMount{root: unescapeMount(o[3]), point: point, v1: v1})
	}
	return mounts
}

// locate returns the folder of a group below the mount point. When the mount shows only part
// of the hierarchy, as in containers, its root is the beginning of the group's path. A group
// outside that part, "/../x" in a cgroup namespace, is not to be seen: its nearest visible
// relative is the mount point.
func (m cgroupMount) locate(group string) string {
	rel := group
	if m.root != "/" {
		cut, ok := strings.CutPrefix(group, m.root)
		if !ok || (cut != "" && cut[0] != '/') {
			return m.point
		}
		rel = cut
	}
	if hasPart(rel, "..") {
		return m.point
	}
	return path.Join(m.point, rel)
}

// hasWord reports whether a list separated by commas has the word.
func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// hasPart reports whether a path has the given element.
func hasPart(p, part string) bool {
	for e := range strings.SplitSeq(p, "/") {
		if e == part {
			return true
		}
	}
	return false
}

// unescapeMount undoes the octal escapes, \040 for a blank, that mountinfo has in paths.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
