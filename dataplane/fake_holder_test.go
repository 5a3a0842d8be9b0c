package dataplane_test

import (
	"encoding/binary"
	"sync/atomic"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

// putTicket writes a stage's number into a packet that has room for it.
func putTicket(w *dataplane.Worker, f mbuf.Frame, n uint64) {
	if b := w.Mem(f).Bytes(f); len(b) >= patternAt {
		binary.LittleEndian.PutUint64(b[ticketAt:], n)
	}
}

// holder is a stage that keeps up to depth frames a worker and sends the others
// to the neighbour port.
type holder struct {
	depth    int
	held     [][]mbuf.Frame // by worker
	released atomic.Int32
	// What goes wrong: a panic in Process, Walk or Release.
	process, walk, release atomic.Bool
}

func newHolder(workers, depth int) *holder {
	return &holder{depth: depth, held: make([][]mbuf.Frame, workers)}
}

func (h *holder) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	held := &h.held[w.ID()]
	*held = append(*held, burst...)
	if h.process.Load() {
		panic("the stage is ill")
	}
	if n := len(*held) - h.depth; n > 0 {
		w.SendBurst(in^1, (*held)[:n])
		*held = append((*held)[:0], (*held)[n:]...)
	}
}

func (h *holder) Walk(w *dataplane.Worker, l *mbuf.Ledger) {
	if h.walk.Load() {
		panic("the walk is ill")
	}
	l.Frames(mbuf.OwnerBurst, h.held[w.ID()])
}

func (h *holder) Held(w *dataplane.Worker) int { return len(h.held[w.ID()]) }

func (h *holder) Release(w *dataplane.Worker) {
	if h.release.Load() {
		panic("the release is ill")
	}
	w.SendBurst(1, h.held[w.ID()])
	h.held[w.ID()] = nil
	h.released.Add(1)
}
