package afxdp

import (
	"math/bits"

	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// stamps has packets of one queue stamped when they are sent: those that ask for it, and the
// first of each burst. It belongs to the queue's owner.
type stamps struct {
	mem   mbuf.Mem
	shift uint // of an address to its chunk
	// waiting has an entry a chunk: the packet in it that is to be stamped.
	waiting []handed
	// sameClock: stamps are of the clock that tells when packets were handed over.
	sameClock bool
	queue     int
	tell      func(TxStamp) // or nil
	sum       pmd.TxStamps
}

// handed is a packet that was handed over to be stamped. at is 0 if there is none.
type handed struct {
	addr, at uint64
	length   uint32
}

func newStamps(pool *mbuf.Pool, queue int, tell func(TxStamp)) *stamps {
	return &stamps{
		mem: pool.Mem(), shift: uint(bits.TrailingZeros(uint(pool.FrameSize()))), waiting: make([]handed, pool.Frames()),
		queue: queue, tell: tell,
	}
}

// reset forgets packets of a socket that is gone.
func (s *stamps) reset() { clear(s.waiting) }

// mark has the first packet of a burst stamped, and notes which ask for it. All of the
// burst is then offered to the ring.
func (s *stamps) mark(burst []mbuf.Frame) {
	if len(burst) == 0 {
		return
	}
	if f := &burst[0]; s.askable(*f) {
		s.mem.RequestTimestamp(f)
	}
	now := tai()
	for _, f := range burst {
		if i := f.Addr >> s.shift; i < uint64(len(s.waiting)) {
			s.waiting[i] = handed{}
			if s.askable(f) && s.mem.WantsTimestamp(f) {
				s.waiting[i] = handed{f.Addr, now, f.Len}
			}
		}
	}
}

// askable reports whether a request has its place in front of f.
func (s *stamps) askable(f mbuf.Frame) bool {
	return f.Addr < uint64(len(s.mem)) && f.Addr&(1<<s.shift-1) >= mbuf.MetaLen
}

// done is shown the addresses of frames that are complete.
func (s *stamps) done(addrs []uint64) {
	for _, a := range addrs {
		i := a >> s.shift
		if i >= uint64(len(s.waiting)) || s.waiting[i].at == 0 {
			continue
		}
		h := s.waiting[i]
		s.waiting[i] = handed{}
		ns := s.mem.TxTimestamp(h.addr)
		s.sum.Add(h.at, ns, s.sameClock)
		if ns != 0 && s.tell != nil {
			s.tell(TxStamp{Queue: s.queue, Packet: s.mem.Bytes(mbuf.Frame{Addr: h.addr, Len: h.length}), Sent: ns, Handed: h.at})
		}
	}
}

// tai reads CLOCK_TAI, which the kernel stamps by in copy mode (xsk_destruct_skb,
// net/xdp/xsk.c), in nanoseconds.
func tai() uint64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_TAI, &t) != nil {
		return 0 // not reached: the clock is there, and t ours
	}
	return uint64(t.Nano())
}
