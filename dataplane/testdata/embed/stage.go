package main

import (
	"encoding/binary"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

// everyTenth drops every tenth packet and sends the others to the other port.
type everyTenth struct{}

// Process implements dataplane.Stage.
func (everyTenth) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	mem := w.Mem(burst[0])
	for _, f := range burst {
		if binary.LittleEndian.Uint64(mem.Bytes(f))%10 == 9 {
			w.Drop(reasonTenth, f)
		} else {
			w.Send(1-in, f)
		}
	}
}
