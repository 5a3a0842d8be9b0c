package forward

import (
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

// ioStage forwards frames as they are.
type ioStage struct{ out table }

func newIO(c Config) (dataplane.Stage, error) { return &ioStage{c.Out}, nil }

// Process implements dataplane.Stage.
func (s *ioStage) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	w.SendBurst(s.out.to(in), burst)
}

// MultiBuffer implements dataplane.MultiBufferStage.
func (*ioStage) MultiBuffer() {}
