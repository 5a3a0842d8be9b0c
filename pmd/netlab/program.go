package netlab

import (
	"encoding/binary"
	"math/bits"

	"github.com/cilium/ebpf/asm"
)

// Actions of an XDP program (enum xdp_action in include/uapi/linux/bpf.h).
const (
	xdpAborted = 0
	xdpDrop    = 1
	xdpPass    = 2
	xdpTX      = 3
)

// Offsets in struct xdp_md (include/uapi/linux/bpf.h).
const (
	mdData    = 0
	mdDataEnd = 4
)

// restored is how many bytes at the head of a frame the generator writes anew
// each time: all headers up to UDP, and a little more.
const restored = 64

// passProgram lets every frame through.
func passProgram() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R0, xdpPass),
		asm.Return(),
	}
}

// redirectProgram sends every frame out of an interface.
func redirectProgram(index int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, int32(index)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
	}
}

// Offsets in genState, the value of the generator's map.
const (
	stateMade  = 0
	stateLimit = 8
	stateBase  = 16
	stateNext  = 24
)

// genState is shared with the generator's program. Only one run is under way
// at a time, so the program's plain loads and stores count exactly; Go writes
// it between runs.
type genState struct {
	// Made is the number of frames made so far, and of the next one.
	Made uint64
	// Limit, Base and Next are used with a rate only: frames beyond Limit
	// are not sent; Base is the time the run began (CLOCK_MONOTONIC, ns);
	// Next is when the next frame is due, in fractions of a nanosecond
	// (paceShift) after Base.
	Limit, Base, Next uint64
}

const (
	// paceShift gives 1/1024 ns: a rate of 10 million is exact to 1 in
	// 100,000, and the clock wraps after 208 days of one run.
	paceShift = 10
	// paceCatchUp is how much of a delay, in nanoseconds, is made up by
	// sending faster. What was missed beyond that is not sent.
	paceCatchUp = 10_000_000
	// maxRate is beyond any machine.
	maxRate = 1_000_000_000
)

// generatorProgram returns the program that turns a page into the next frame
// of the sequence and sends it. state is the descriptor of an array map with
// one genState.
//
// The kernel fills a page from the template only once and then uses it again
// and again. Whatever a receiver wrote into a frame would come back in a later
// one, so the head of the frame is written every time.
func generatorProgram(state int, frame []byte, c GeneratorConfig) asm.Instructions {
	head := min(len(frame), restored)
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMapValue(asm.R8, state, 0),
		asm.LoadMem(asm.R7, asm.R8, stateMade, asm.DWord),
	}
	if c.Rate > 0 {
		p = append(p, paceProgram(c.Rate)...)
	}
	p = append(p,
		// R2 and R3 are the bounds of the frame. The verifier wants to see
		// that the head lies inside.
		asm.LoadMem(asm.R2, asm.R6, mdData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, mdDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, int32(head)),
		asm.JGT.Reg(asm.R4, asm.R3, "aborted"),
		asm.Mov.Reg(asm.R4, asm.R7),
		asm.Add.Imm(asm.R4, 1),
		asm.StoreMem(asm.R8, stateMade, asm.R4, asm.DWord),
	)
	p = append(p, storeBytes(asm.R2, frame[:head])...)
	if c.Flows > 1 {
		p = append(p, flowProgram(frame, c.Flows)...)
	}
	if c.Sequence {
		p = append(p,
			asm.HostTo(asm.BE, asm.R7, asm.DWord),
			asm.StoreMem(asm.R2, offPayload, asm.R7, asm.DWord),
		)
	}
	if c.Stamp {
		p = append(p, stampProgram(c.Rate)...)
	}
	p = append(p,
		// A test run turns XDP_TX into a redirect out of the interface
		// named in its context.
		asm.Mov.Imm(asm.R0, xdpTX),
		asm.Return(),
		asm.Mov.Imm(asm.R0, xdpAborted).WithSymbol("aborted"),
		asm.Return(),
	)
	if c.Rate > 0 { // the verifier refuses what nothing can reach
		p = append(p,
			asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("idle"),
			asm.Return(),
		)
	}
	return p
}

// paceInterval is the time between two frames, in fractions of a nanosecond (paceShift).
func paceInterval(rate uint64) uint64 { return (1_000_000_000<<paceShift + rate/2) / rate }

// stampProgram writes when the frame at R2 was due. paceProgram leaves in R9 when the next
// one is.
func stampProgram(rate uint64) asm.Instructions {
	return asm.Instructions{
		asm.LoadImm(asm.R1, int64(paceInterval(rate)), asm.DWord),
		asm.Sub.Reg(asm.R9, asm.R1),
		asm.RSh.Imm(asm.R9, paceShift),
		asm.LoadMem(asm.R1, asm.R8, stateBase, asm.DWord),
		asm.Add.Reg(asm.R9, asm.R1),
		asm.HostTo(asm.BE, asm.R9, asm.DWord),
		asm.StoreMem(asm.R2, offStamp, asm.R9, asm.DWord),
	}
}

// recordProgram writes sequence number, stamp and arrival of the frame whose context is
// in R6 into the next entry of an array, as long as there is one. next is the descriptor of
// an array with the number of the next entry.
func recordProgram(next, entries, capacity int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R6, mdData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, mdDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, offStamp+8),
		asm.JGT.Reg(asm.R4, asm.R3, "recorded"),
		asm.LoadMem(asm.R7, asm.R2, offPayload, asm.DWord),
		asm.LoadMem(asm.R8, asm.R2, offStamp, asm.DWord),
		// Frames of one queue arrive one after another.
		asm.LoadMapValue(asm.R2, next, 0),
		asm.LoadMem(asm.R1, asm.R2, 0, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, 1),
		asm.StoreMem(asm.R2, 0, asm.R3, asm.DWord),
		asm.JGE.Imm(asm.R1, int32(capacity), "recorded"),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, entries),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "recorded"),
		asm.HostTo(asm.BE, asm.R7, asm.DWord),
		asm.HostTo(asm.BE, asm.R8, asm.DWord),
		asm.StoreMem(asm.R0, 0, asm.R7, asm.DWord),
		asm.StoreMem(asm.R0, 8, asm.R8, asm.DWord),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.FnKtimeGetNs.Call(),
		asm.StoreMem(asm.R7, 16, asm.R0, asm.DWord),
	}
}

// paceProgram jumps to "idle", where the page goes back unsent, unless a frame
// is due. The run spins through idle turns, because to end it and begin
// another takes the kernel some 25 ms. R7 is the number of the frame and R8
// the state.
func paceProgram(rate uint64) asm.Instructions {
	interval := paceInterval(rate)
	const catchUp = paceCatchUp << paceShift
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.R8, stateLimit, asm.DWord),
		asm.JGE.Reg(asm.R7, asm.R1, "idle"),
		// R0: now. R9: when this frame is due.
		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R1, asm.R8, stateBase, asm.DWord),
		asm.Sub.Reg(asm.R0, asm.R1),
		asm.LSh.Imm(asm.R0, paceShift),
		asm.LoadMem(asm.R9, asm.R8, stateNext, asm.DWord),
		asm.JLT.Reg(asm.R0, asm.R9, "idle"),
		// Too late to make all of it up: go on from paceCatchUp ago.
		asm.LoadImm(asm.R2, catchUp, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R9),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.JGE.Reg(asm.R1, asm.R0, "due"),
		asm.Mov.Reg(asm.R9, asm.R0),
		asm.Sub.Reg(asm.R9, asm.R2),
		asm.LoadImm(asm.R1, int64(interval), asm.DWord).WithSymbol("due"),
		asm.Add.Reg(asm.R9, asm.R1),
		asm.StoreMem(asm.R8, stateNext, asm.R9, asm.DWord),
	}
}

// flowProgram writes the source port of frame R7 into the frame at R2.
func flowProgram(frame []byte, flows int) asm.Instructions {
	pick := asm.Mod.Imm(asm.R4, int32(flows))
	if bits.OnesCount(uint(flows)) == 1 {
		// A power of two, the usual case, needs no division.
		pick = asm.And.Imm(asm.R4, int32(flows-1))
	}
	first := binary.BigEndian.Uint16(frame[offUDPSrc:])
	return asm.Instructions{
		asm.Mov.Reg(asm.R4, asm.R7),
		pick,
		asm.Add.Imm(asm.R4, int32(first)),
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.StoreMem(asm.R2, offUDPSrc, asm.R4, asm.Half),
	}
}

// storeBytes writes b at the address in reg, in words as far as they go.
func storeBytes(reg asm.Register, b []byte) asm.Instructions {
	var p asm.Instructions
	i := 0
	for ; i+4 <= len(b); i += 4 {
		p = append(p, asm.StoreImm(reg, int16(i), int64(int32(binary.NativeEndian.Uint32(b[i:]))), asm.Word))
	}
	for ; i < len(b); i++ {
		p = append(p, asm.StoreImm(reg, int16(i), int64(int8(b[i])), asm.Byte))
	}
	return p
}

// sinkProgram returns the program of a sink. counters is the descriptor of a
// per-CPU array with one value of two 64-bit words, frames and bytes: the
// interrupt handler of one CPU has them to itself, so it needs no atomic.
// record, if any, comes before the count.
func sinkProgram(counters int, c SinkConfig, record asm.Instructions) asm.Instructions {
	action := int32(xdpDrop)
	if c.Pass {
		action = xdpPass
	}
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
	}
	match := matchProgram(c)
	p = append(p, match...)
	p = append(p, record...)
	length := asm.Mov.Reg(asm.R1, asm.R6)
	if record != nil {
		length = length.WithSymbol("recorded")
	}
	p = append(p,
		// R7: the length over all fragments of the frame.
		length,
		asm.FnXdpGetBuffLen.Call(),
		asm.Mov.Reg(asm.R7, asm.R0),
		// R0: this CPU's counters.
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, counters),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "done"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.R0, 8, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R7),
		asm.StoreMem(asm.R0, 8, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, action).WithSymbol("done"),
		asm.Return(),
	)
	if len(match) == 0 {
		// The verifier refuses instructions that nothing can reach.
		return p
	}
	return append(p,
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("other"),
		asm.Return(),
	)
}

// matchProgram jumps to "other" unless the frame whose context is in R6 is one
// that c counts. It is empty if c counts all.
func matchProgram(c SinkConfig) asm.Instructions {
	etherType := c.EtherType
	if c.UDPPort != 0 {
		etherType = etherTypeIPv4
	}
	if etherType == 0 {
		return nil
	}
	need := int32(offIPv4)
	if c.UDPPort != 0 {
		need = offPayload
	}
	p := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R6, mdData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, mdDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, need),
		asm.JGT.Reg(asm.R4, asm.R3, "other"),
	}
	p = append(p, differs16(offEtherType, 0xffff, etherType)...)
	if c.UDPPort == 0 {
		return p
	}
	p = append(p,
		asm.LoadMem(asm.R4, asm.R2, offIPv4, asm.Byte),
		asm.JNE.Imm(asm.R4, 0x45, "other"),
		asm.LoadMem(asm.R4, asm.R2, offIPv4Proto, asm.Byte),
		asm.JNE.Imm(asm.R4, protoUDP, "other"),
	)
	p = append(p, differs16(offIPv4Frag, 0x3fff, 0)...)
	return append(p, differs16(offUDPDst, 0xffff, c.UDPPort)...)
}

// differs16 jumps to "other" if the 16 bits in network order at off, masked,
// are not want.
func differs16(off int16, mask, want uint16) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R4, asm.R2, off, asm.Half),
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.And.Imm(asm.R4, int32(mask)),
		asm.JNE.Imm(asm.R4, int32(want), "other"),
	}
}
