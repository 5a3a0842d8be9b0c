package engine

import (
	"context"
	"errors"
	"fmt"
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

// Interfaces describes every port, in order of their numbers.
func (e *Engine) Interfaces(ctx context.Context) ([]Interface, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	s, err := e.dp.Stats(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Interface, 0, len(s.Ports))
	for i, p := range s.Ports {
		f := Interface{
			ID: i, Name: p.Name, Driver: p.Driver, Mode: p.Mode, Up: p.Up, Detail: p.Detail, MAC: p.MAC, MTU: p.MTU,
			NUMANode: e.nodes[i], To: e.peerName(p.ID), Spec: e.specs[i].String(), Obtained: p.Obtained,
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
	id, err := portNumber(e.specs, ref)
	if err != nil {
		names := make([]string, len(e.specs))
		for i, s := range e.specs {
			names[i] = s.Name
		}
		return Interface{}, fmt.Errorf("%w: %q; there are %s", ErrNoPort, ref, strings.Join(names, ", "))
	}
	list, err := e.Interfaces(ctx)
	if err != nil {
		return Interface{}, err
	}
	return list[id], nil
}
