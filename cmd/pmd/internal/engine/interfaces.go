package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Interface describes a port for people and programs.
type Interface struct {
	ID     int    `json:"id"`
	Name   string `json:"name"`
	Driver string `json:"driver"`
	// Mode is what the driver obtained, empty if it has no modes.
	Mode string `json:"mode"`
	Up   bool   `json:"up"`
	// Detail tells why the port is down.
	Detail string `json:"detail,omitempty"`
	MAC    string `json:"mac"`
	// MTU is in bytes, without the Ethernet header.
	MTU int `json:"mtu"`
	// NUMANode is -1 if it is not known or does not matter.
	NUMANode int `json:"numa_node"`
	// To is the port that received frames go to.
	To string `json:"to"`
	// Spec is what the port was opened from.
	Spec   string           `json:"spec"`
	Queues []InterfaceQueue `json:"queues"`
	// Obtained lists settings as the driver obtained them.
	Obtained map[string]string `json:"obtained,omitempty"`
}

// InterfaceQueue tells who polls a queue.
type InterfaceQueue struct {
	Index int `json:"index"`
	// CPU is -1 if the queue's worker is not pinned, or nobody polls it.
	CPU int `json:"cpu"`
}

// ErrNoPort is wrapped when a port is asked for that is not there.
var ErrNoPort = errors.New("no such port")

// Interfaces describes every port, in the order of the configuration.
func (e *Engine) Interfaces(ctx context.Context) ([]Interface, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	ports, w := e.now()
	s, err := e.dp.Stats(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Interface, 0, len(ports))
	for i, port := range ports {
		p := s.Ports[port.id]
		f := Interface{
			ID: int(port.id), Name: p.Name, Driver: p.Driver, Mode: p.Mode, Up: p.Up, Detail: p.Detail, MAC: p.MAC, MTU: p.MTU,
			NUMANode: port.node, To: ports[w.table[i]].spec.Name, Spec: port.spec.String(), Obtained: p.Obtained,
			Queues: []InterfaceQueue{},
		}
		for _, q := range p.Queues {
			f.Queues = append(f.Queues, InterfaceQueue{Index: q.Index, CPU: q.CPU})
		}
		list = append(list, f)
	}
	return list, nil
}

// Interface describes one port, by name or else by number. The error wraps
// ErrNoPort if it is not there.
func (e *Engine) Interface(ctx context.Context, ref string) (Interface, error) {
	list, err := e.Interfaces(ctx)
	if err != nil {
		return Interface{}, err
	}
	names := make([]string, len(list))
	number := -1
	for i, f := range list {
		if f.Name == ref { // names first: a port may be called "1"
			return f, nil
		}
		if strconv.Itoa(f.ID) == ref {
			number = i
		}
		names[i] = f.Name
	}
	if number >= 0 {
		return list[number], nil
	}
	return Interface{}, fmt.Errorf("%w: %q; there are %s", ErrNoPort, ref, strings.Join(names, ", "))
}
