// Package forward holds the forwarding modes: the stages that the pmd binary
// offers, one file each.
//
// # Model
//
// A mode is a [dataplane.Stage]. It looks up the output port of a burst in a
// cross-connect table ([Connect]), changes headers as the mode says, and sends
// the burst whole. A mode is made from its [Config] and keeps to it: another mode,
// another table or other [Options] are another stage, put in place by
// [dataplane.Dataplane.SetStage].
//
// Modes that are fast for one kind of packet, IPv4 without tags and options, have a
// slow way beside it that parses any frame with package packet; both do the same.
//
// The names and what they do are those of DPDK's testpmd where it has them.
//
// # Concurrency
//
// Every worker runs the same stage at the same time. What changes in a stage (the
// buffer of noisy, the place of txonly in its flows) is kept apart for each worker;
// only the pace of txonly and flowgen is shared, by atomics, once a burst.
//
// # Limitations
//
// Mode csum looks into no tunnel and knows no SCTP. Frames that txonly and flowgen
// make carry no time and no number.
package forward
