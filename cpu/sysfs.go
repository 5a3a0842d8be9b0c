package cpu

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// sysCPU is the folder of the CPUs below /sys, sysNode that of the NUMA nodes
// (Documentation/ABI/testing/sysfs-devices-system-cpu, stable/sysfs-devices-node).
const (
	sysCPU  = "devices/system/cpu"
	sysNode = "devices/system/node"
)

// ReadTopology reads the topology from sys, a file system rooted where /sys is. Allowed is
// set to the online CPUs; [Local] is the call that knows better.
//
// Only devices/system/cpu/online must be there: without it the error matches
// [fs.ErrNotExist]. Other files vary with kernel version and configuration, and stand for
// their usual content when missing. A file that is there but makes no sense is an error
// that names it.
func ReadTopology(sys fs.FS) (*Topology, error) {
	online, ok, err := readList(sys, path.Join(sysCPU, "online"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("CPU topology: %w", err)
	case !ok:
		return nil, fmt.Errorf("CPU topology: %s: %w; is sysfs mounted?", path.Join(sysCPU, "online"), fs.ErrNotExist)
	case online.IsEmpty():
		return nil, fmt.Errorf("CPU topology: %s lists no CPU", path.Join(sysCPU, "online"))
	}
	t := &Topology{
		Online: online, Present: online, Possible: online, Allowed: online,
		cpus: map[int]place{}, nodes: map[int]Set{},
	}
	for _, f := range []struct {
		name string
		dst  *Set
	}{
		{"present", &t.Present},
		{"possible", &t.Possible},
		{"isolated", &t.Isolated},  // since Linux 4.2
		{"nohz_full", &t.NoHzFull}, // with CONFIG_NO_HZ_FULL only
	} {
		set, ok, err := readList(sys, path.Join(sysCPU, f.name))
		if err != nil {
			return nil, fmt.Errorf("CPU topology: %w", err)
		}
		if ok {
			*f.dst = set
		}
	}
	if err := t.readNodes(sys); err != nil {
		return nil, fmt.Errorf("CPU topology: %w", err)
	}
	for id := range t.Present.Or(online).All() {
		p, err := t.readPlace(sys, id)
		if err != nil {
			return nil, fmt.Errorf("CPU topology: %w", err)
		}
		t.cpus[id] = p
	}
	return t, nil
}

// readNodes fills in the NUMA nodes. A kernel built without CONFIG_NUMA has no such folder;
// to itself all it has is node 0 (include/asm-generic/topology.h).
func (t *Topology) readNodes(sys fs.FS) error {
	entries, err := fs.ReadDir(sys, sysNode)
	if errors.Is(err, fs.ErrNotExist) {
		t.nodes[0] = t.Online
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), "node")
		if !ok {
			continue
		}
		node, err := parseNumber(digits, 1<<16)
		if err != nil {
			continue // not a node: the folder has other entries too
		}
		set, _, err := readList(sys, path.Join(sysNode, e.Name(), "cpulist"))
		if err != nil {
			return err
		}
		t.nodes[node] = set
	}
	return nil
}

// readPlace reads where one CPU sits. The topology folder of an offline CPU is gone, which
// is no error.
func (t *Topology) readPlace(sys fs.FS, id int) (p place, err error) {
	dir := path.Join(sysCPU, "cpu"+strconv.Itoa(id), "topology")
	p.node = -1
	for node, cpus := range t.nodes {
		if cpus.Has(id) {
			p.node = node
		}
	}
	if p.core, err = readID(sys, path.Join(dir, "core_id")); err != nil {
		return p, err
	}
	if p.pkg, err = readID(sys, path.Join(dir, "physical_package_id")); err != nil {
		return p, err
	}
	// core_cpus_list is the name since Linux 5.3, thread_siblings_list the older one.
	// A list the CPU itself is not on (an offline CPU can read as empty) says nothing.
	for _, name := range []string{"core_cpus_list", "thread_siblings_list"} {
		set, ok, err := readList(sys, path.Join(dir, name))
		if err != nil {
			return p, err
		}
		if ok && set.Has(id) {
			p.siblings = set
			return p, nil
		}
	}
	p.siblings = SetOf(id)
	return p, nil
}

// readList reads a file that holds one CPU list. ok is false if there is no such file.
func readList(fsys fs.FS, name string) (set Set, ok bool, err error) {
	text, ok, err := readLine(fsys, name)
	if err != nil || !ok {
		return Set{}, false, err
	}
	// An unset mask is printed as a null pointer by nohz_full of some kernels.
	if text == "(null)" {
		return Set{}, true, nil
	}
	if set, err = ParseList(text); err != nil {
		return Set{}, false, fmt.Errorf("%s: %w", name, err)
	}
	return set, true, nil
}

// readID reads a file that holds one number, -1 meaning that the kernel does not know. A
// missing file means the same.
func readID(fsys fs.FS, name string) (int, error) {
	text, ok, err := readLine(fsys, name)
	if err != nil {
		return -1, err
	}
	if !ok {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < -1 {
		return -1, fmt.Errorf("%s: %.40q is not a number from -1 up", name, text)
	}
	return n, nil
}

// readLine reads a small file and trims white space. ok is false if there is no such file.
func readLine(fsys fs.FS, name string) (text string, ok bool, err error) {
	b, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return strings.TrimSpace(string(b)), true, nil
}
