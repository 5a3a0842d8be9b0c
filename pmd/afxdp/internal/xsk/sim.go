package xsk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"syscall"

	"example.org/pmd/pmd/mbuf"

	"golang.org/x/sys/cpu"
)

// SimConfig describes a simulated queue. Mem, FrameSize and the ring sizes, all
// powers of two, must be set.
type SimConfig struct {
	// Mem is the packet memory, a whole number of chunks.
	Mem []byte
	// FrameSize is the size of a chunk in bytes, 2048 or 4096.
	FrameSize uint32
	// Headroom is kept free before a packet beyond the kernel's 256 bytes.
	Headroom uint32
	// RxRing, TxRing, FillRing and CompRing are sizes in entries.
	RxRing, TxRing, FillRing, CompRing uint32
	// Start is the value that all ring indices begin with, so that tests need
	// not wait for one to wrap.
	Start uint32
	// Budget is the most frames that Sendto sends in one call. Default 32.
	Budget uint32
	// Late makes Sendto publish the transmit ring's consumer index as kernels
	// before 6.17 do: only once the frames it knows of are all sent.
	Late bool
	// Polls makes it a NIC that looks at its rings by itself: none of them asks for a
	// wakeup, and Turn serves them instead of Deliver and Sendto.
	Polls bool
	// MultiBuffer is XDP_USE_SG: packets may have several descriptors.
	MultiBuffer bool
	// TxMetadata is Config.TxMetadata: a packet may ask for its checksum and for a time
	// stamp, which is what Clock says when it is complete.
	TxMetadata bool
	Clock      func() uint64
	// Drop, if set, tells which frames the device refuses: Sendto completes
	// them, stops, and answers EBUSY.
	Drop func(packet []byte) bool
	// Sink, if set, is given the bytes of each packet that is sent.
	Sink func(packet []byte)
}

// Sim plays the kernel's side of a queue in copy mode, over rings on the Go
// heap, as far as net/xdp/xsk.c and xsk_queue.h show it to user space. Its
// methods, except Rings, are the kernel side and belong to one goroutine; Rings
// are our side and may belong to another.
type Sim struct {
	// Ours. The padding keeps the kernel side, which another core may run, off
	// its lines.
	rings Rings
	_     cpu.CacheLinePad

	// The kernel's.
	cfg                SimConfig
	geo                geometry
	rx, tx, fill, comp simRing
	// free holds chunks taken from the fill ring for packets that then found
	// the receive ring full; they are used before the fill ring's next.
	free []uint64
	// inFlight holds what was sent and is not complete, oldest first. The room
	// for completion is reserved as long. asked are those of it that want a stamp.
	inFlight []uint64
	asked    map[uint64]bool
	// packet is what was read of a packet whose end has not been, and parts of how many
	// frames; they are in flight, and are not complete before the end is sent.
	packet []byte
	parts  int
	stats  SimStatistics
	_      cpu.CacheLinePad
}

// SimStatistics are the counters of a Sim, named as the kernel's.
type SimStatistics struct {
	RxDropped, RxInvalidDescs, TxInvalidDescs, RxRingFull, RxFillRingEmptyDescs uint64
}

// simRing is the kernel's view of a ring (struct xsk_queue): the indices it has
// come to by itself, and those last read or written in shared memory.
type simRing struct {
	view
	prod, cons uint32
}

// NewSim returns a simulated queue with empty rings.
func NewSim(cfg SimConfig) (*Sim, error) {
	if n := len(cfg.Mem); cfg.FrameSize < 2048 || cfg.FrameSize&(cfg.FrameSize-1) != 0 || n == 0 || n%int(cfg.FrameSize) != 0 {
		return nil, fmt.Errorf("xsk: simulation: %d bytes in chunks of %d", n, cfg.FrameSize)
	}
	if cfg.Budget == 0 {
		cfg.Budget = minBudget
	}
	s := &Sim{cfg: cfg, geo: geometry{chunk: cfg.FrameSize}}
	for _, r := range []struct {
		ring  *simRing
		size  uint32
		entry uint64
	}{
		{&s.rx, cfg.RxRing, descSize}, {&s.tx, cfg.TxRing, descSize},
		{&s.fill, cfg.FillRing, addrSize}, {&s.comp, cfg.CompRing, addrSize},
	} {
		if r.size == 0 || r.size&(r.size-1) != 0 {
			return nil, fmt.Errorf("xsk: simulation: ring of %d entries: use a power of two", r.size)
		}
		// As the kernel does, each index on a line of its own.
		o := offsets{producer: 0, consumer: 128, flags: 256, entries: 384}
		var err error
		if r.ring.view, err = newView(heapRing(o.size(r.size, r.entry)), o, r.size, r.entry); err != nil {
			return nil, err
		}
		r.ring.prod, r.ring.cons = cfg.Start, cfg.Start
		*r.ring.producer, *r.ring.consumer = cfg.Start, cfg.Start
	}
	if !cfg.Polls {
		*s.tx.flags = needWakeup // always, in copy mode
	}
	s.free, s.asked = make([]uint64, 0, cfg.RxRing), map[uint64]bool{}
	s.inFlight = make([]uint64, 0, cfg.CompRing)
	s.rings.attach(s.rx.view, s.tx.view, s.fill.view, s.comp.view, cfg.FrameSize)
	if cfg.TxMetadata {
		s.rings.Tx.carryRequests(cfg.Mem)
	}
	return s, nil
}

// Rings returns our side of the queue.
func (s *Sim) Rings() *Rings { return &s.rings }

// Kick kicks the simulated kernel as [Socket.KickTx] does the real one. It runs
// both sides, so only one goroutine may be at work.
func (s *Sim) Kick() KickResult {
	k := kicker{send: s.Sendto, publishes: !s.cfg.Late, budget: s.cfg.Budget}
	return k.kick(&s.rings.Tx)
}

// Statistics returns the counters.
func (s *Sim) Statistics() SimStatistics { return s.stats }

// available returns what the consumer can take, and asks shared memory if that
// is nothing.
func (r *simRing) available() uint32 {
	if r.prod == r.cons {
		// Pairs with the store in ring.publish of our producers.
		r.prod = atomic.LoadUint32(r.producer)
	}
	return r.prod - r.cons
}

// spare returns the room the producer has, reserved entries taken off.
func (r *simRing) spare(reserved uint32) uint32 {
	n := r.entries - (r.prod - r.cons) - reserved
	if n == 0 {
		// Pairs with the store in ring.publish of our consumers.
		r.cons = atomic.LoadUint32(r.consumer)
		n = r.entries - (r.prod - r.cons) - reserved
	}
	return n
}

// Deliver receives the same packet n times, as one burst of the device, and
// returns how many reached the receive ring. The others are counted.
func (s *Sim) Deliver(packet []byte, n int) int {
	done := 0
	for range n {
		if s.receive(packet) {
			done++
		}
	}
	s.flushRx()
	return done
}

// receive is __xsk_rcv: chunk, copy, descriptor.
func (s *Sim) receive(packet []byte) bool {
	offset := uint64(mbuf.KernelHeadroom + s.cfg.Headroom)
	if uint64(len(packet))+offset > uint64(s.geo.chunk) {
		if s.cfg.MultiBuffer {
			return s.receiveParts(packet, int(uint64(s.geo.chunk)-offset))
		}
		s.stats.RxDropped++
		return false
	}
	chunk, ok := s.takeChunk()
	if !ok {
		s.stats.RxDropped++
		return false
	}
	copy(s.cfg.Mem[chunk+offset:], packet)
	if s.rx.spare(0) == 0 {
		s.stats.RxRingFull++
		s.free = append(s.free, chunk)
		return false
	}
	s.putRx(mbuf.Frame{Addr: chunk + offset, Len: uint32(len(packet))})
	return true
}

// receiveParts is __xsk_rcv for a packet that takes several chunks of room bytes: all
// of it, or nothing.
func (s *Sim) receiveParts(packet []byte, room int) bool {
	var chunks []uint64
	n := (len(packet) + room - 1) / room
	for len(chunks) < n {
		chunk, ok := s.takeChunk()
		if !ok {
			s.stats.RxDropped++
			s.free = append(s.free, chunks...)
			return false
		}
		chunks = append(chunks, chunk)
	}
	if s.rx.spare(0) < uint32(n) {
		s.rx.cons = atomic.LoadUint32(s.rx.consumer) // pairs with ring.publish
	}
	if s.rx.spare(0) < uint32(n) {
		s.stats.RxRingFull++
		s.free = append(s.free, chunks...)
		return false
	}
	for i, chunk := range chunks {
		d := mbuf.Frame{Addr: chunk + uint64(int(s.geo.chunk)-room), Len: uint32(min(room, len(packet)))}
		packet = packet[copy(s.cfg.Mem[d.Addr:][:d.Len], packet):]
		if i < n-1 {
			d.Meta = mbuf.FlagMore
		}
		s.putRx(d)
	}
	return true
}

// takeChunk is xsk_buff_alloc: a chunk to receive into.
func (s *Sim) takeChunk() (uint64, bool) {
	if n := len(s.free); n > 0 {
		a := s.free[n-1]
		s.free = s.free[:n-1]
		return a, true
	}
	for s.fill.available() > 0 {
		a := s.fill.addrs[s.fill.cons&(s.fill.entries-1)]
		s.fill.cons++
		if a < uint64(len(s.cfg.Mem)) {
			return a &^ uint64(s.geo.chunk-1), true
		}
		s.stats.RxInvalidDescs++
	}
	s.stats.RxFillRingEmptyDescs++
	return 0, false
}

func (s *Sim) putRx(d mbuf.Frame) {
	s.rx.descs[s.rx.prod&(s.rx.entries-1)] = d
	s.rx.prod++
}

// flushRx is xsk_flush.
func (s *Sim) flushRx() {
	// Pairs with the load in ring.ready: descriptors are written.
	atomic.StoreUint32(s.rx.producer, s.rx.prod)
	// Pairs with the load in ring.room: addresses are read.
	atomic.StoreUint32(s.fill.consumer, s.fill.cons)
}

// InjectRx puts any descriptor into the receive ring, valid or not, and reports
// whether there was room.
func (s *Sim) InjectRx(d mbuf.Frame) bool {
	if s.rx.spare(0) == 0 {
		return false
	}
	s.putRx(d)
	s.flushRx()
	return true
}

// InjectCompletion puts any address into the completion ring and reports
// whether there was room.
func (s *Sim) InjectCompletion(addr uint64) bool {
	if s.comp.spare(uint32(len(s.inFlight))) == 0 {
		return false
	}
	s.complete(addr)
	s.flushComp()
	return true
}

// Sendto is sendto(2) on the socket in copy mode: it sends up to the budget,
// completes what it sent, and answers as __xsk_generic_xmit does.
func (s *Sim) Sendto() syscall.Errno {
	errno := s.xmit()
	s.Complete(len(s.inFlight) - s.parts)
	return errno
}

// xmit sends up to the budget and leaves the frames in flight.
func (s *Sim) xmit() syscall.Errno {
	sent := false
	errno := syscall.Errno(0)
	for budget := s.cfg.Budget; ; budget-- {
		d, ok := s.peekTx()
		if !ok {
			if s.tx.prod != s.tx.cons {
				s.tx.cons++ // a bad descriptor is passed over, and ends the call
			}
			break
		}
		if budget == 0 || s.comp.spare(uint32(len(s.inFlight))) == 0 {
			errno = syscall.EAGAIN
			break
		}
		packet := s.cfg.Mem[d.Addr:][:d.Len]
		if d.Meta&mbuf.FlagTxMeta != 0 && s.parts == 0 {
			if packet, ok = s.obey(d); !ok {
				errno = syscall.EINVAL
				break
			}
		}
		s.tx.cons++
		s.inFlight = append(s.inFlight, d.Addr)
		if s.cfg.MultiBuffer {
			s.packet = append(s.packet, packet...)
			if s.parts++; d.Meta&mbuf.FlagMore != 0 {
				continue
			}
			packet, s.packet, s.parts = s.packet, s.packet[:0], 0
		}
		if s.cfg.Drop != nil && s.cfg.Drop(packet) {
			errno = syscall.EBUSY
			break
		}
		if s.cfg.Sink != nil {
			s.cfg.Sink(packet)
		}
		sent = true
	}
	if sent && !s.cfg.Late {
		s.releaseTx()
	}
	return errno
}

// peekTx is xskq_cons_peek_desc: the next descriptor, if it is valid. Coming to
// the end of what it knows of publishes the index.
func (s *Sim) peekTx() (mbuf.Frame, bool) {
	if s.tx.prod == s.tx.cons {
		s.releaseTx()
		if s.tx.available() == 0 {
			return mbuf.Frame{}, false
		}
	}
	d := s.tx.descs[s.tx.cons&(s.tx.entries-1)]
	if d.Addr >= uint64(len(s.cfg.Mem)) || d.Len-1 >= s.geo.lastLen(d.Addr) || d.Meta&^s.options() != 0 ||
		s.cfg.TxMetadata && d.Addr&uint64(s.geo.chunk-1) < mbuf.MetaLen {
		s.stats.TxInvalidDescs++
		return d, false
	}
	return d, true
}

// options are the bits that a descriptor's options may have.
func (s *Sim) options() (bits mbuf.Meta) {
	if s.cfg.MultiBuffer {
		bits |= mbuf.FlagMore
	}
	if s.cfg.TxMetadata {
		bits |= mbuf.FlagTxMeta
	}
	return bits
}

// Flags of struct xsk_tx_metadata, XDP_TXMD_FLAGS_TIMESTAMP and XDP_TXMD_FLAGS_CHECKSUM.
const (
	simStamp    = 1
	simChecksum = 2
)

// obey is xsk_skb_metadata: it does what a packet asks for, to a copy of it, as far as that
// is done before it is sent. ok is false if it cannot be done, and then the ring stays there.
func (s *Sim) obey(d mbuf.Frame) (packet []byte, ok bool) {
	request := s.cfg.Mem[d.Addr-mbuf.MetaLen : d.Addr]
	what := binary.NativeEndian.Uint64(request)
	packet = bytes.Clone(s.cfg.Mem[d.Addr:][:d.Len])
	if what&^(simStamp|simChecksum) != 0 {
		return nil, false
	}
	if what&simChecksum != 0 {
		start := int(binary.NativeEndian.Uint16(request[8:]))
		at := start + int(binary.NativeEndian.Uint16(request[10:]))
		if at+2 > len(packet) {
			return nil, false
		}
		sum := uint64(0)
		for i, b := range packet[start:] {
			sum += uint64(b) << (8 * (1 - i&1))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		binary.BigEndian.PutUint16(packet[at:], ^uint16(sum))
	}
	if what&simStamp != 0 {
		s.asked[d.Addr] = true
	}
	return packet, true
}

func (s *Sim) releaseTx() {
	// Pairs with the loads in ring.room and TxRing.consumed.
	atomic.StoreUint32(s.tx.consumer, s.tx.cons)
}

// Complete completes the n oldest frames in flight, or all there are whose packets
// were sent, and returns how many.
func (s *Sim) Complete(n int) int {
	n = min(n, len(s.inFlight)-s.parts)
	for _, a := range s.inFlight[:n] {
		if s.asked[a] {
			binary.NativeEndian.PutUint64(s.cfg.Mem[a-mbuf.MetaLen+8:], s.cfg.Clock())
			delete(s.asked, a)
		}
		s.complete(a)
	}
	s.inFlight = s.inFlight[:copy(s.inFlight, s.inFlight[n:])]
	if n > 0 {
		s.flushComp()
	}
	return n
}

func (s *Sim) complete(addr uint64) {
	s.comp.addrs[s.comp.prod&(s.comp.entries-1)] = addr
	s.comp.prod++
}

func (s *Sim) flushComp() {
	// Pairs with the load in ring.ready: addresses are written.
	atomic.StoreUint32(s.comp.producer, s.comp.prod)
}
