// Package forward holds the forwarding modes: the stages that the pmd binary
// offers, one file each.
//
// # Model
//
// A mode is a [dataplane.Stage]. It looks up the output port of a burst in a
// cross-connect table ([Connect]), changes headers as the mode says, and sends
// the burst whole. A stage is immutable: another mode, or another table, is
// another stage, put in place by [dataplane.Dataplane.SetStage].
//
// The names and what they do are those of DPDK's testpmd where it has them.
//
// # Concurrency
//
// Every worker runs the same stage at the same time; stages hold no state that
// changes.
//
// # Limitations
//
// Modes look at Ethernet headers only.
package forward
