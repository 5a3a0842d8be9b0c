package mbuf

import "iter"

// FrameSet is a set of frames of one pool. A queue keeps the frames it has posted
// to the kernel in one, so that they can be given back when the queue is lost, and
// so that an address the kernel hands out is believed only if it was posted. It
// belongs to one goroutine.
//
// It has a word for each chunk, not a bit: chunks freed one after the other are
// neighbours more often than not, and with bits each would have to wait for the
// store of the one before. The word holds the length of the frame, so that the
// bytes sent are known when the kernel tells no more than an address.
type FrameSet struct {
	in    []uint16 // by chunk: 0 if it is not in the set, else the frame's length or unknownLen
	shift uint
	n     int
}

const (
	// unknownLen stands for the length of a frame that was added by its address. It
	// is no frame's: chunks are 4096 bytes at most.
	unknownLen = 0xffff
	// partLen is added to the length of a frame whose packet goes on in another.
	partLen = 0x8000
)

// NewFrameSet returns an empty set for frames of p.
func NewFrameSet(p *Pool) *FrameSet {
	return &FrameSet{in: make([]uint16, p.frames), shift: p.shift}
}

// Add puts the chunk that addr lies in into the set. It reports false, and
// changes nothing, if it is in already or addr is outside the pool.
func (s *FrameSet) Add(addr uint64) bool {
	i := addr >> s.shift
	if i >= uint64(len(s.in)) || s.in[i] != 0 {
		return false
	}
	s.in[i] = unknownLen
	s.n++
	return true
}

// Remove takes the chunk that addr lies in out of the set. It reports false, and
// changes nothing, if it is not in.
func (s *FrameSet) Remove(addr uint64) bool {
	i := addr >> s.shift
	if i >= uint64(len(s.in)) || s.in[i] == 0 {
		return false
	}
	s.in[i] = 0
	s.n--
	return true
}

// AddAddrs is Add for each of addrs, in order. Those that it added it moves to the
// front, and it returns how many.
func (s *FrameSet) AddAddrs(addrs []uint64) int {
	// A shift of 63 at most spares the compiler a test; see also the other loops.
	in, shift, n := s.in, s.shift&63, 0
	for _, a := range addrs {
		i := a >> shift
		if i >= uint64(len(in)) || in[i] != 0 {
			continue
		}
		in[i] = unknownLen
		if uint(n) < uint(len(addrs)) { // always; it spares the bounds check
			addrs[n] = a
			n++
		}
	}
	s.n += n
	return n
}

// RemoveAddrs is Remove for each of src, in order. Those that it removed it writes
// to dst, which must not be shorter than src. It returns how many, and the sum of
// the lengths of those that AddFrames had added.
func (s *FrameSet) RemoveAddrs(dst, src []uint64) (n int, bytes uint64) {
	in, shift := s.in, s.shift&63
	for _, a := range src {
		i := a >> shift
		if i >= uint64(len(in)) || in[i] == 0 {
			continue
		}
		if l := in[i]; l != unknownLen {
			bytes += uint64(l)
		}
		in[i] = 0
		if uint(n) < uint(len(dst)) { // always; it spares the bounds check
			dst[n] = a
			n++
		}
	}
	s.n -= n
	return n, bytes
}

// AddFrames is Add for the chunks of src, in order, up to the first that cannot be
// added. Those that it added it writes to dst without their Meta, which are the
// bits that the kernel takes for options; dst must not be shorter than src. It
// returns how many it added. The frames must be Valid.
func (s *FrameSet) AddFrames(dst, src []Frame) int {
	in, shift := s.in, s.shift&63
	dst = dst[:len(src)]
	for k := range src {
		addr, length := src[k].Addr, src[k].Len
		i := addr >> shift
		if i >= uint64(len(in)) || in[i] != 0 {
			s.n += k
			return k
		}
		in[i] = uint16(length)
		dst[k] = Frame{Addr: addr, Len: length}
	}
	s.n += len(src)
	return len(src)
}

// AddPacket is Add for the chunks of a packet's frames. If one of them cannot be
// added none is, and it reports false. The frames must be Valid.
func (s *FrameSet) AddPacket(packet []Frame) bool {
	for k := range packet {
		f := &packet[k]
		i := f.Addr >> s.shift
		if i >= uint64(len(s.in)) || s.in[i] != 0 {
			for _, f := range packet[:k] {
				s.in[f.Addr>>s.shift] = 0
			}
			return false
		}
		s.in[i] = uint16(f.Len) | uint16(f.Meta&FlagMore)*partLen
	}
	s.n += len(packet)
	return true
}

// Has reports whether the chunk that addr lies in is in the set.
func (s *FrameSet) Has(addr uint64) bool {
	i := addr >> s.shift
	return i < uint64(len(s.in)) && s.in[i] != 0
}

// RemovePackets is RemoveAddrs for a set of which AddPacket is used: it returns as
// well how many packets ended in the frames that it removed.
func (s *FrameSet) RemovePackets(dst, src []uint64) (n, packets int, bytes uint64) {
	in, shift := s.in, s.shift&63
	for _, a := range src {
		i := a >> shift
		if i >= uint64(len(in)) || in[i] == 0 {
			continue
		}
		if l := in[i]; l != unknownLen {
			bytes += uint64(l &^ partLen)
			packets += int(1 - l/partLen)
		}
		in[i] = 0
		if uint(n) < uint(len(dst)) { // always; it spares the bounds check
			dst[n] = a
			n++
		}
	}
	s.n -= n
	return n, packets, bytes
}

// RemoveFrames is Remove for the chunks of src, in order. A frame that it removed
// and that is Valid it writes to dst, which must not be shorter than src, with meta
// and of its own Meta what is in keep; it returns how many. A frame that is not
// Valid stays in the set.
func (s *FrameSet) RemoveFrames(dst, src []Frame, meta, keep Meta) int {
	in, shift, n := s.in, s.shift&63, 0
	offset := uint64(1)<<shift - 1
	for k := range src {
		addr, length := src[k].Addr, src[k].Len
		i := addr >> shift
		// An empty frame's length becomes 2^32-1, which no chunk has room for.
		if addr&offset+uint64(length-1) > offset || i >= uint64(len(in)) || in[i] == 0 {
			continue
		}
		in[i] = 0
		if uint(n) < uint(len(dst)) { // always; it spares the bounds check
			dst[n] = Frame{Addr: addr, Len: length, Meta: meta | src[k].Meta&keep}
			n++
		}
	}
	s.n -= n
	return n
}

// Len returns the number of frames in the set.
func (s *FrameSet) Len() int { return s.n }

// Clear empties the set.
func (s *FrameSet) Clear() {
	clear(s.in)
	s.n = 0
}

// Merge moves every frame of o into s.
func (s *FrameSet) Merge(o *FrameSet) {
	for i := range o.chunks() {
		s.insert(i)
	}
	o.Clear()
}

// insert puts chunk i into the set, whether it is there or not.
func (s *FrameSet) insert(i int) {
	if s.in[i] == 0 {
		s.in[i] = unknownLen
		s.n++
	}
}

// All yields the address of each chunk in the set, in rising order.
func (s *FrameSet) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := range s.chunks() {
			if !yield(uint64(i) << s.shift) {
				return
			}
		}
	}
}

// chunks yields the number of each chunk in the set, in rising order.
func (s *FrameSet) chunks() iter.Seq[int] {
	return func(yield func(int) bool) {
		left := s.n
		for i, in := range s.in {
			if left == 0 {
				return
			}
			if in != 0 {
				left--
				if !yield(i) {
					return
				}
			}
		}
	}
}
