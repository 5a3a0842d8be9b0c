package xsk

import "example.org/pmd/pmd/mbuf"

// Turn is a round of a NIC that works on the rings by itself, as one with zero-copy does:
// it receives up to n packets of length bytes into chunks from the fill ring, and sends up
// to n from the transmit ring, which are complete at once. It writes and reads no packet
// byte, as DMA takes no CPU time. The Sim must be made with Polls. Addresses are those
// that our side posts: they are not checked as Deliver and Sendto do.
func (s *Sim) Turn(n int, length uint32) (received, sent int) {
	received = s.receiveMany(min(uint32(n), s.fill.available(), s.rx.spare(0)), length)
	sent = s.sendMany(min(uint32(n), s.tx.available(), s.comp.spare(0)))
	return received, sent
}

// receiveMany moves n chunks from the fill ring to the receive ring.
func (s *Sim) receiveMany(n, length uint32) int {
	if n == 0 {
		return 0
	}
	offset := uint64(mbuf.KernelHeadroom + s.cfg.Headroom)
	from, to := s.fill.addrs, s.rx.descs
	for i := range n {
		to[(s.rx.prod+i)&(s.rx.entries-1)] = mbuf.Frame{
			Addr: from[(s.fill.cons+i)&(s.fill.entries-1)]&^uint64(s.geo.chunk-1) + offset, Len: length,
		}
	}
	s.fill.cons += n
	s.rx.prod += n
	s.flushRx()
	return int(n)
}

// sendMany moves n chunks from the transmit ring to the completion ring.
func (s *Sim) sendMany(n uint32) int {
	if n == 0 {
		return 0
	}
	from, to := s.tx.descs, s.comp.addrs
	for i := range n {
		to[(s.comp.prod+i)&(s.comp.entries-1)] = from[(s.tx.cons+i)&(s.tx.entries-1)].Addr
	}
	s.tx.cons += n
	s.comp.prod += n
	s.releaseTx()
	s.flushComp()
	return int(n)
}
