package engine

import (
	"context"
	"fmt"
	"slices"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
)

// Forwarding tells what becomes of received frames.
type Forwarding struct {
	// Mode is the forwarding mode, one of Modes.
	Mode  string   `json:"mode"`
	Modes []string `json:"modes"`
	// Connect is the cross-connect, one entry a port, in order.
	Connect []Connection `json:"connect"`
}

// Connection tells where a port's frames go.
type Connection struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// forwardConfig is what forwarding modes are made from.
func (e *Engine) forwardConfig() forward.Config {
	return forward.Config{Out: slices.Clone(e.table), MACs: e.macs, Peers: e.peers}
}

// Mode returns the forwarding mode.
func (e *Engine) Mode() string {
	e.modeMu.Lock()
	defer e.modeMu.Unlock()
	return e.mode
}

// Forwarding returns the mode and the cross-connect.
func (e *Engine) Forwarding() Forwarding {
	f := Forwarding{Mode: e.Mode(), Modes: forward.Modes(), Connect: []Connection{}}
	for i := range e.table {
		f.Connect = append(f.Connect, Connection{From: e.specs[i].Name, To: e.peerName(dataplane.PortID(i))})
	}
	return f
}

// peerName returns the name of the port that id's frames go to.
func (e *Engine) peerName(id dataplane.PortID) string {
	if int(id) < len(e.table) && int(e.table[id]) < len(e.specs) {
		return e.specs[e.table[id]].Name
	}
	return ""
}

// SetMode changes the forwarding mode while traffic flows; no frame is lost by it.
// An unknown mode is a mistake of the user.
func (e *Engine) SetMode(ctx context.Context, mode string) error {
	if err := checkMode(mode); err != nil {
		return err
	}
	// One change at a time, or the name and the stage could differ.
	e.modeMu.Lock()
	defer e.modeMu.Unlock()
	stage, err := forward.New(mode, e.forwardConfig())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	if err := e.dp.SetStage(ctx, stage); err != nil {
		return fmt.Errorf("forwarding mode %s: some cores may run it and others %s, set it again: %w", mode, e.mode, err)
	}
	e.mode = mode
	return nil
}
