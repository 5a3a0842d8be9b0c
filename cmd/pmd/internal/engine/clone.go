package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
)

// IfKind is a kind of interface that can be created by name.
type IfKind struct {
	Kind string `json:"kind"`
	// What says what it is.
	What string `json:"what"`
	// Units are those that are there.
	Units []int `json:"units"`
}

// kindsThere are the drivers whose ports can be created by name: those without hardware.
func kindsThere() []ifnet.Cloner {
	return []ifnet.Cloner{
		{Kind: "null", Doc: "a source that always has frames, and a sink: size=, queues=, rx=, …"},
		{Kind: "pcap", Doc: "replays a capture file and writes one: rx=FILE, tx=FILE, …"},
		{Kind: "ring", Doc: "an end of a pair inside the process, or a loop: pair=NAME or loop=on, size=, …"},
		{Kind: "tap", Doc: "a Linux tap device of that name: queues=, mtu=, addr=, netns=, …"},
	}
}

// cloners are the kinds for which there is a driver. What they make is the port that the
// engine is about to attach.
func (e *Engine) cloners(drivers []string) (list []ifnet.Cloner) {
	for _, c := range kindsThere() {
		if slices.Contains(drivers, c.Kind) {
			c.Create = func(context.Context, int, map[string]string) (ifnet.Params, error) { return e.coming, nil }
			list = append(list, c)
		}
	}
	return list
}

// isCreated tells whether a port is one that can be created, and destroyed, by name: of one
// of the kinds, and named so.
func (e *Engine) isCreated(spec pmd.Spec) bool {
	digits, ok := strings.CutPrefix(spec.Name, spec.Driver)
	if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" || len(digits) > 1 && digits[0] == '0' {
		return false
	}
	if unit, err := strconv.Atoi(digits); err != nil || unit > ifnet.MaxUnit {
		return false
	}
	return slices.ContainsFunc(e.kinds, func(c ifnet.Cloner) bool { return c.Kind == spec.Driver })
}

// Kinds lists what can be created.
func (e *Engine) Kinds(ctx context.Context) (list []IfKind, err error) {
	kinds, err := e.sys.Kinds(ctx)
	for _, k := range kinds {
		list = append(list, IfKind{Kind: k.Name, What: k.Doc, Units: append([]int{}, k.Units...)})
	}
	return list, err
}

// Create makes an interface of a kind, by name: "ring3" that one, "ring" the first that is
// free. params are the options of its port. It is a port like any other, the last one, that
// the ways of frames are made for anew as if it had been there from the start.
func (e *Engine) Create(ctx context.Context, name string, params map[string]string) (f Interface, err error) {
	const call = "create"
	if err := e.changeMu.wait(ctx, e.bounds.control); err != nil {
		return f, On(call, name, err)
	}
	defer e.changeMu.Unlock()
	if err := ifnet.CheckName(name); err != nil {
		return f, fmt.Errorf("%s: %w", call, err)
	}
	spec, err := e.newSpec(ctx, name, params)
	if err != nil {
		return f, err
	}
	cfg, err := e.current(ctx)
	if err != nil {
		return f, err
	}
	cfg.Ports = append(cfg.Ports, spec)
	if _, err := e.apply(ctx, cfg); err != nil {
		return f, fmt.Errorf("%s %s: %w", call, spec.Name, err)
	}
	return e.Interface(context.WithoutCancel(ctx), spec.Name)
}

// newSpec is the port of an interface that is to be created.
func (e *Engine) newSpec(ctx context.Context, name string, params map[string]string) (spec pmd.Spec, err error) {
	kinds, err := e.Kinds(ctx)
	if err != nil {
		return spec, err
	}
	kind := strings.TrimRight(name, "0123456789")
	at := slices.IndexFunc(kinds, func(k IfKind) bool { return k.Kind == kind })
	if at < 0 {
		var names []string
		for _, k := range kinds {
			names = append(names, k.Kind)
		}
		return spec, &ifnet.Error{Call: "create", Interface: name, Errno: syscall.EINVAL, Text: "there is no kind " + kind + "; there are " + strings.Join(names, ", ")}
	}
	ports, _ := e.now()
	taken := func(name string) bool {
		return slices.ContainsFunc(ports, func(p openPort) bool { return p.spec.Name == name }) ||
			slices.ContainsFunc(kinds[at].Units, func(u int) bool { return ifnet.InitName(kind, u) == name })
	}
	if name == kind {
		unit := 0
		for taken(ifnet.InitName(kind, unit)) {
			unit++
		}
		name = ifnet.InitName(kind, unit)
	}
	if taken(name) {
		return spec, &ifnet.Error{Call: "create", Interface: name, Errno: syscall.EEXIST, Text: "it is there already"}
	}
	// As it would be read from a command line, so that nothing gets in that could not.
	text := kind + ":name=" + name
	for _, key := range slices.Sorted(maps.Keys(params)) {
		if key == "name" || key == "iface" {
			return spec, usage.Errorf("create %s: its name is its name: %s= is not for it", name, key)
		}
		if strings.ContainsAny(key, ",=") || strings.Contains(params[key], ",") && key != "pollcpu" {
			return spec, usage.Errorf("create %s: %.40q=%.40q: cannot hold that", name, key, params[key])
		}
		text += "," + key + "=" + params[key]
	}
	if kind == "tap" {
		text += ",iface=" + name
	}
	spec, err = pmd.ParseSpec(text)
	if err != nil {
		return spec, fmt.Errorf("create %s: %w", name, err)
	}
	if !e.isCreated(spec) {
		err = &ifnet.Error{Call: "create", Interface: name, Errno: syscall.EINVAL, Text: fmt.Sprintf("a unit is a number from 0 to %d", ifnet.MaxUnit)}
	}
	return spec, err
}

// Destroy gives up an interface that was created by name, and its port. Others that were
// connected stay so.
func (e *Engine) Destroy(ctx context.Context, ref string) error {
	const call = "destroy"
	if err := e.changeMu.wait(ctx, e.bounds.control); err != nil {
		return On(call, ref, err)
	}
	defer e.changeMu.Unlock()
	ports, w := e.now()
	at, err := find(ports, ref, call)
	if err != nil {
		return err
	}
	p := ports[at]
	switch {
	case !p.created:
		return &ifnet.Error{Call: call, Interface: p.spec.Name, Errno: syscall.EINVAL,
			Text: "it was not created by name: take its port out of the configuration, with pmd config apply"}
	case len(ports) == 1:
		return &ifnet.Error{Call: call, Interface: p.spec.Name, Errno: syscall.EBUSY, Text: "it is the only port: end the process with pmd stop"}
	}
	cfg, err := e.current(ctx)
	if err != nil {
		return err
	}
	cfg.Interfaces = slices.DeleteFunc(cfg.Interfaces, func(c InterfaceConfig) bool { return c.Port == p.spec.Name })
	gone := slices.Clone(cfg.Ports)
	gone[at].Name = "" // whose peer, if there is one, is then alone, and no other port is taken for it
	cfg.Links, cfg.Peers = relink(links(cfg.Ports, w, int(w.table[at]) != at), cfg.Ports, gone), repeer(cfg.Peers, cfg.Ports, gone)
	cfg.Ports = slices.Delete(slices.Clone(cfg.Ports), at, at+1)
	_, err = e.apply(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%s %s: %w", call, p.spec.Name, err)
	}
	return nil
}

// links writes out all connections, those of ports with themselves if asked to.
func links(specs []pmd.Spec, w wiring, loops bool) (out []string) {
	for i, to := range w.table {
		if i < int(to) || loops && i == int(to) {
			out = append(out, specs[i].Name+":"+specs[to].Name)
		}
	}
	return out
}
