package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// Forwarding tells what becomes of received frames.
type Forwarding struct {
	// Mode is the forwarding mode, one of Modes.
	Mode  string   `json:"mode"`
	Modes []string `json:"modes"`
	// Options are those that were given; the others have their defaults.
	Options forward.Options `json:"options"`
	// Connect is the cross-connect, one entry a port, in order.
	Connect []Connection `json:"connect"`
}

// Connection tells where a port's frames go.
type Connection struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// wiring is what becomes of frames: the mode, and by port, in the order of the
// configuration, the port that frames go to and the address mode mac sends to.
type wiring struct {
	mode    string
	options forward.Options
	table   []dataplane.PortID
	peers   []net.HardwareAddr
}

// wire makes the wiring of a configuration with its defaults.
func wire(cfg Config) (w wiring, err error) {
	w.mode, w.options = cfg.Mode, cfg.Options
	if w.table, err = connect(cfg.Ports, cfg.Links); err != nil {
		return w, err
	}
	w.peers, err = parsePeers(cfg.Ports, cfg.Peers)
	return w, err
}

// forwardConfig is what forwarding modes are made from. They count ports as the
// dataplane does: a number that was a port's and is no more leads nowhere.
func (e *Engine) forwardConfig(ports []openPort, w wiring) forward.Config {
	n := 0
	for _, p := range ports {
		n = max(n, int(p.id)+1)
	}
	fc := forward.Config{
		Out: make([]dataplane.PortID, n), MACs: make([]net.HardwareAddr, n), Peers: make([]net.HardwareAddr, n), MTUs: make([]int, n),
		Workers: len(e.cores.ids), Frames: e.frames, Options: w.options,
	}
	for i := range n {
		fc.Out[i], fc.MACs[i], fc.MTUs[i] = dataplane.NoPort, make(net.HardwareAddr, 6), math.MaxInt32
	}
	for i, p := range ports {
		fc.Out[p.id], fc.MACs[p.id], fc.Peers[p.id], fc.MTUs[p.id] = ports[w.table[i]].id, p.mac, w.peers[i], p.mtu
	}
	return fc
}

// setStage makes the workers forward so.
func (e *Engine) setStage(ctx context.Context, ports []openPort, w wiring) error {
	stage, err := newStage(w.mode, e.forwardConfig(ports, w))
	if err != nil {
		return err
	}
	return e.dp.SetStage(ctx, stage)
}

// now returns what there is.
func (e *Engine) now() ([]openPort, wiring) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ports, e.wiring // both are replaced, never changed
}

// become takes over what there is from now on.
func (e *Engine) become(ports []openPort, w wiring) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ports, e.wiring = slices.Clone(ports), w
}

// poolFrames returns how many frames a pool of this configuration has.
func poolFrames(c mbuf.Config) int {
	if c.Frames == 0 {
		return mbuf.DefaultFrames
	}
	return c.Frames
}

// newStage makes the stage of a mode. An option that does not suit the ports is
// the user's mistake, as one out of range is.
func newStage(mode string, c forward.Config) (dataplane.Stage, error) {
	stage, err := forward.New(mode, c)
	var wrong *forward.OptionError
	if errors.As(err, &wrong) {
		err = usage.Wrap(err)
	}
	return stage, err
}

// Mode returns the forwarding mode.
func (e *Engine) Mode() string {
	_, w := e.now()
	return w.mode
}

// Ports returns what the ports were opened from, in the order of the configuration,
// with the names they have.
func (e *Engine) Ports() []pmd.Spec {
	ports, _ := e.now()
	return specsOf(ports)
}

func specsOf(ports []openPort) []pmd.Spec {
	specs := make([]pmd.Spec, len(ports))
	for i, p := range ports {
		specs[i] = p.spec
	}
	return specs
}

// Forwarding returns the mode and the cross-connect.
func (e *Engine) Forwarding() Forwarding {
	ports, w := e.now()
	f := Forwarding{Mode: w.mode, Modes: forward.Modes(), Options: w.options, Connect: []Connection{}}
	for i, p := range ports {
		f.Connect = append(f.Connect, Connection{From: p.spec.Name, To: ports[w.table[i]].spec.Name})
	}
	return f
}

// SetMode changes the forwarding mode while traffic flows; no frame is lost by it.
// options is empty, or a JSON object with those that change; the others stay as
// they are. An unknown mode or option, or a value out of range, is a mistake of the
// user.
func (e *Engine) SetMode(ctx context.Context, mode string, options []byte) error {
	if err := checkMode(mode); err != nil {
		return err
	}
	// One change at a time, or the name and the stage could differ.
	if err := e.changeMu.wait(ctx, e.bounds.control); err != nil {
		return err
	}
	defer e.changeMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, e.bounds.control)
	defer cancel()
	ports, w := e.now()
	was := w.mode
	w.mode = mode
	if len(options) > 0 {
		dec := json.NewDecoder(bytes.NewReader(options))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&w.options); err != nil {
			return usage.Errorf("options: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	stage, err := newStage(mode, e.forwardConfig(ports, w))
	if err != nil {
		return err // nothing has changed
	}
	if err := e.dp.SetStage(ctx, stage); err != nil {
		return fmt.Errorf("forwarding mode %s: some cores may run it and others %s, set it again: %w", mode, was, err)
	}
	e.become(ports, w)
	return nil
}
