package cpu

import (
	"fmt"
	"strconv"
	"testing/fstest"
)

// machine describes a computer, from which sysfs makes the tree its kernel would show.
type machine struct {
	online, present, possible string
	isolated, nohzFull        string
	cpus                      []machineCPU // those with a topology folder
	nodes                     map[int]string
	oldNames                  bool // kernel before 5.3: no core_cpus_list
}

// machineCPU is one CPU of a machine.
type machineCPU struct {
	id, core, pkg int
	siblings      string
}

// file is one file of sysfs, with the newline the kernel ends it with.
func file(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content + "\n")} }

func (m machine) sysfs() fstest.MapFS {
	sys := fstest.MapFS{
		sysCPU + "/online":        file(m.online),
		sysCPU + "/present":       file(m.present),
		sysCPU + "/possible":      file(m.possible),
		sysCPU + "/isolated":      file(m.isolated),
		sysCPU + "/nohz_full":     file(m.nohzFull),
		sysCPU + "/offline":       file(""),
		sysCPU + "/cpufreq/boost": file("1"),
	}
	for _, c := range m.cpus {
		dir := fmt.Sprintf("%s/cpu%d/topology/", sysCPU, c.id)
		sys[dir+"core_id"] = file(strconv.Itoa(c.core))
		sys[dir+"physical_package_id"] = file(strconv.Itoa(c.pkg))
		sys[dir+"thread_siblings_list"] = file(c.siblings)
		if !m.oldNames {
			sys[dir+"core_cpus_list"] = file(c.siblings)
		}
	}
	for node, list := range m.nodes {
		sys[fmt.Sprintf("%s/node%d/cpulist", sysNode, node)] = file(list)
	}
	if m.nodes != nil {
		sys[sysNode+"/online"] = file("0")
		sys[sysNode+"/node_notes/cpulist"] = file("garbage") // not a node
	}
	return sys
}

// twoSockets is 2 packages × 4 cores × 2 threads, numbered as Linux does on Intel servers:
// the second threads after all the first ones. One NUMA node a package.
func twoSockets() machine {
	m := machine{
		online: "0-15", present: "0-15", possible: "0-15", nohzFull: "(null)",
		nodes: map[int]string{0: "0-3,8-11", 1: "4-7,12-15"},
	}
	for id := range 16 {
		first := id % 8
		m.cpus = append(m.cpus, machineCPU{
			id: id, core: first % 4, pkg: first / 4,
			siblings: fmt.Sprintf("%d,%d", first, first+8),
		})
	}
	return m
}

// arm64Server is 8 cores in clusters of 4 without SMT. Package ids are offsets into an ACPI
// table, core ids repeat in each cluster, and the kernel has no NUMA.
func arm64Server() machine {
	m := machine{online: "0-7", present: "0-7", possible: "0-7", nohzFull: ""}
	for id := range 8 {
		m.cpus = append(m.cpus, machineCPU{id: id, core: id % 4, pkg: 36 + 6888*(id/4), siblings: strconv.Itoa(id)})
	}
	return m
}

// bigServer is one package of 128 cores × 2 threads in 8 nodes; thread pairs are adjoining,
// as on some AMD and POWER machines.
func bigServer() machine {
	m := machine{online: "0-255", present: "0-255", possible: "0-511", nodes: map[int]string{}}
	for id := range 256 {
		m.cpus = append(m.cpus, machineCPU{id: id, core: id / 2, pkg: 0, siblings: fmt.Sprintf("%d-%d", id&^1, id|1)})
	}
	for n := range 8 {
		m.nodes[n] = fmt.Sprintf("%d-%d", 32*n, 32*n+31)
	}
	return m
}
