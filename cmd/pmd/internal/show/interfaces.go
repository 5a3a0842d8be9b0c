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

// ifState says in a word why a port carries no frames, or that it does.
func ifState(f engine.Interface) string {
	switch {
	case !f.AdminUp:
		return "down"
	case !f.Up:
		return "no link"
	case !f.Polling:
		return "not polled"
	}
	return "up"
}

// Interfaces writes one line a port.
func Interfaces(w io.Writer, list []engine.Interface) error {
	t := NewTable("NO→", "PORT", "DRIVER", "MODE", "STATE", "MAC", "MTU→", "QUEUES→", "CPU", "TO", "ADDRESSES")
	for _, f := range list {
		var addrs []string
		for _, a := range f.Addresses {
			addrs = append(addrs, a.Address)
		}
		t.Row(strconv.Itoa(f.ID), f.Name, f.Driver, f.Mode, ifState(f), f.MAC, strconv.Itoa(f.MTU),
			strconv.Itoa(len(f.Queues)), queueCPUs(f.Queues), f.To, strings.Join(addrs, ","))
	}
	e := &errWriter{w: w}
	_ = t.Write(e, "")
	for _, f := range list {
		if f.Up && f.Detail != "" {
			fmt.Fprintf(e, "\n%s: %s\n", f.Name, f.Detail)
		}
		if f.Remedy != "" {
			fmt.Fprintf(e, "\n%s: %s\n", f.Name, f.Remedy)
		}
	}
	return e.err
}

// Interface writes everything about one port and its interface.
func Interface(w io.Writer, f engine.Interface) error {
	e := &errWriter{w: w}
	n := f.NetInterface
	fmt.Fprintf(e, "%s: flags=%x<%s> metric %d mtu %d\n", f.Name, n.FlagBits, strings.Join(n.Flags, ","), n.Metric, f.MTU)
	link := n.Link
	if f.Detail != "" {
		link += ": " + f.Detail
	}
	node := "any"
	if f.NUMANode >= 0 {
		node = strconv.Itoa(f.NUMANode)
	}
	polling := "polled on CPU " + queueCPUs(f.Queues)
	if !n.Polling || !n.AdminUp {
		polling = "not polled"
	}
	lines := [][2]string{
		{"port", fmt.Sprintf("%d, index %d", f.ID, n.Index)}, {"link", link}, {"lladdr", f.MAC},
	}
	for _, a := range n.Addresses {
		lines = append(lines, [2]string{"inet" + six(a.Address), address(a)})
	}
	for _, g := range n.Groups {
		lines = append(lines, [2]string{"group", group(g)})
	}
	lines = append(lines, [][2]string{
		{"spec", f.Spec}, {"driver", f.Driver}, {"mode", f.Mode},
		{"capabilities", capabilities(n)},
		{"numa node", node}, {"forwards to", f.To},
		{"queues", fmt.Sprintf("%d, %s", len(f.Queues), polling)},
		{"send queue", fmt.Sprintf("%d of %d frames, %s dropped", n.SendQueue.Length, n.SendQueue.Limit, Count(n.SendQueue.Drops))},
		{"last change", n.LastChange.Format("2006-01-02 15:04:05 MST")},
	}...)
	lines = append(lines, [2]string{"unpolled", f.Remedy})
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

// six tells the families apart as ifconfig does.
func six(address string) string {
	if strings.Contains(address, ":") {
		return "6"
	}
	return ""
}

// address writes an address with what belongs to it.
func address(a engine.NetAddress) string {
	text := a.Address
	if a.Peer != "" {
		text += " peer " + a.Peer
	}
	if a.Broadcast != "" {
		text += " broadcast " + a.Broadcast
	}
	return text
}

// group writes a membership.
func group(g engine.NetGroup) string {
	text := g.Group
	if g.Link != "" {
		text += " as " + g.Link
	}
	if g.Count > 1 {
		text += fmt.Sprintf(", asked for %d times", g.Count)
	}
	return text
}

// capabilities writes those that are there, those that are off in brackets.
func capabilities(n engine.NetInterface) string {
	var list []string
	for _, c := range n.Caps {
		if !slices.Contains(n.CapsEnabled, c) {
			c = "(" + c + ")"
		}
		list = append(list, c)
	}
	return strings.Join(list, ",")
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
