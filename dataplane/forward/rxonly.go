package forward

import (
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// rxOnly receives and drops, counted as sink.
type rxOnly struct{}

func newRxOnly(Config) (dataplane.Stage, error) { return rxOnly{}, nil }

// Process implements dataplane.Stage.
func (rxOnly) Process(w *dataplane.Worker, _ dataplane.PortID, burst []mbuf.Frame) {
	w.DropBurst(pmd.ReasonSink, burst)
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (rxOnly) MultiBuffer() {}
