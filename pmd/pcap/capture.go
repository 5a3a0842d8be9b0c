package pcap

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"example.org/pmd/pmd"
)

// A capture is kept in slabs: frames one behind the other, each at a multiple of
// 64 bytes, so that no frame touches a cache line more than it has to.
// Replay goes through them in order, so where a frame begins follows from the
// lengths before it. Slabs grow with the capture: a short one takes little memory,
// a long one is never moved.
const (
	lineLen  = 64
	minSlab  = 1 << 16
	maxSlab  = 4 << 20
	maxFrame = 1<<16 - 1 // what a length in slab.lens can say
)

// lines returns n rounded up to whole lines.
func lines(n int) int { return (n + lineLen - 1) &^ (lineLen - 1) }

// slab is a run of frames. It does not change once it is loaded, so any number of
// cores may read it.
type slab struct {
	data []byte
	lens []uint16
	// due are the times to replay at, in nanoseconds from the first frame of the
	// capture, never falling. nil unless times are kept.
	due []int64
}

// capture is a capture file in memory.
type capture struct {
	slabs []slab
	// packets and bytes count what is replayed in one lap.
	packets, bytes uint64
	// longest is the length of the longest frame in bytes.
	longest int
	// period is the time from the first frame to the first of the next lap, in
	// nanoseconds: the length of the capture and once more the mean distance of two
	// frames. 0 if times are not kept.
	period int64
	// cut counts frames that the capture has only the beginning of; long those
	// left out since they do not fit into a frame of the pool; empty those without
	// any byte.
	cut, long, empty uint64
	// format is what the file was, for people.
	format string
	// damage is what ended a file that was loaded in part, or nil.
	damage error
}

// loader makes a capture of packets.
type loader struct {
	capture
	maxMemory int64
	memory    int64
	// speed divides the times; 0 keeps none.
	speed float64
	first time.Time
	last  int64 // the due time of the last frame
	times int   // frames that had a time
}

// add appends a packet. t is zero if the file does not tell its time.
func (l *loader) add(p []byte, t time.Time) error {
	room := lines(len(p))
	if n := len(l.slabs); n == 0 || cap(l.slabs[n-1].data)-len(l.slabs[n-1].data) < room {
		// The first slab has minSlab bytes, each further one as many as all
		// before, up to maxSlab.
		if err := l.grow(max(room, min(maxSlab, minSlab<<min(n, 16)))); err != nil {
			return err
		}
	}
	s := &l.slabs[len(l.slabs)-1]
	at := len(s.data)
	s.data = s.data[:at+room]
	copy(s.data[at:], p)
	// Lengths and times grow by half when they are full, which the 8 bytes a
	// frame that grow reckons with cover.
	s.lens = append(s.lens, uint16(len(p)))
	if l.speed != 0 {
		s.due = append(s.due, l.dueTime(t))
	}
	l.packets++
	l.bytes += uint64(len(p))
	l.longest = max(l.longest, len(p))
	return nil
}

// grow adds a slab for n bytes.
func (l *loader) grow(n int) error {
	perFrame := int64(4) // two bytes, and as many for growing
	if l.speed != 0 {
		perFrame += 16
	}
	// There are at most so many frames in a slab as it has lines.
	l.memory += int64(n) + int64(n/lineLen)*perFrame
	if l.memory > l.maxMemory {
		return fmt.Errorf("needs more memory than max-memory=%s: raise it if the machine has as much, or cut the file (editcap -c, tcpdump -r)", size(l.maxMemory))
	}
	l.slabs = append(l.slabs, slab{data: make([]byte, 0, n)})
	return nil
}

// dueTime converts the time of a packet. Captures of several interfaces and queues
// are not always in order: a time that falls is taken as the one before.
func (l *loader) dueTime(t time.Time) int64 {
	if t.IsZero() {
		return l.last
	}
	if l.times == 0 {
		l.first = t
	}
	l.times++
	// Sub is bounded to 292 years either way. The quotient is to a quarter of that,
	// as a conversion of a float that does not fit is not defined, and a period of
	// twice as much still fits.
	const longest = 1 << 61
	l.last = max(l.last, int64(min(float64(t.Sub(l.first))/l.speed, longest)))
	return l.last
}

// unroll puts several laps of a short capture behind each other, so that a burst
// does not have to begin anew every few frames. It is not for recorded times.
func (c *capture) unroll() {
	s := c.slabs[0]
	if len(c.slabs) > 1 || len(s.lens) >= pmd.MaxBurst {
		return
	}
	laps := (pmd.MaxBurst + len(s.lens) - 1) / len(s.lens)
	c.slabs = []slab{{data: bytes.Repeat(s.data, laps), lens: slices.Repeat(s.lens, laps)}}
}

// finish returns the capture.
func (l *loader) finish() *capture {
	if l.speed != 0 && l.packets > 0 {
		l.period = l.last
		if l.packets > 1 {
			l.period += l.last / int64(l.packets-1)
		}
	}
	c := l.capture
	return &c
}
