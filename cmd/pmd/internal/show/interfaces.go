package show

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"example.org/pmd/cmd/pmd/internal/engine"
)

// queueCPUs lists the CPU of each queue, in order of the queues.
func queueCPUs(qs []engine.InterfaceQueue) string {
	parts := make([]string, len(qs))
	for i, q := range qs {
		parts[i] = CPU(q.CPU)
	}
	return strings.Join(parts, ",")
}

// Interfaces writes one line a port.
func Interfaces(w io.Writer, list []engine.Interface) error {
	t := NewTable("NO→", "PORT", "DRIVER", "MODE", "STATE", "MAC", "MTU→", "QUEUES→", "CPU", "TO")
	for _, f := range list {
		t.Row(strconv.Itoa(f.ID), f.Name, f.Driver, f.Mode, state(f.Up), f.MAC, strconv.Itoa(f.MTU),
			strconv.Itoa(len(f.Queues)), queueCPUs(f.Queues), f.To)
	}
	return t.Write(w, "")
}

// Interface writes everything about one port.
func Interface(w io.Writer, f engine.Interface) error {
	e := &errWriter{w: w}
	up := state(f.Up)
	if f.Detail != "" {
		up += ": " + f.Detail
	}
	fmt.Fprintf(e, "port %d %s: %s\n", f.ID, f.Name, up)
	node := "any"
	if f.NUMANode >= 0 {
		node = strconv.Itoa(f.NUMANode)
	}
	lines := [][2]string{
		{"spec", f.Spec}, {"driver", f.Driver}, {"mode", f.Mode}, {"mac", f.MAC},
		{"mtu", strconv.Itoa(f.MTU)}, {"numa node", node}, {"forwards to", f.To},
		{"queues", fmt.Sprintf("%d, polled on CPU %s", len(f.Queues), queueCPUs(f.Queues))},
	}
	for _, k := range slices.Sorted(maps.Keys(f.Obtained)) {
		lines = append(lines, [2]string{k, f.Obtained[k]})
	}
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	for _, l := range lines {
		if l[1] != "" {
			fmt.Fprintf(e, "  %-*s  %s\n", width, l[0], l[1])
		}
	}
	return e.err
}

// Forwarding writes the mode, those there are, and the cross-connect.
func Forwarding(w io.Writer, f engine.Forwarding) error {
	e := &errWriter{w: w}
	fmt.Fprintf(e, "mode %s (of %s)\n", f.Mode, strings.Join(f.Modes, ", "))
	for _, o := range f.Options.List() {
		fmt.Fprintf(e, "  --%s %s\n", o[0], o[1])
	}
	for _, c := range f.Connect {
		fmt.Fprintf(e, "  %s → %s\n", c.From, c.To)
	}
	return e.err
}
