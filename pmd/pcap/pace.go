package pcap

import (
	"math"
	"math/bits"
	"time"
)

// maxBehind is how far a replay may fall behind its schedule before the schedule is
// set back. It bounds the burst that follows a pause.
const maxBehind = 100 * time.Millisecond

// pace tells how many frames are due at a constant rate. It belongs to the owner
// of the queue. Times are nanoseconds from any fixed moment.
type pace struct {
	// perNano is the rate in frames a nanosecond, times 2^64.
	perNano uint64
	// behind is the number of frames in maxBehind, at least one.
	behind uint64
	// start is when frame 0 was due, released how many went since.
	start    int64
	released uint64
	running  bool
}

// newPace returns the pace of pps frames a second.
func newPace(pps int) pace {
	// Rounded up, so that a frame is not late by a nanosecond where it divides.
	per, _ := bits.Div64(uint64(pps), uint64(time.Second)-1, uint64(time.Second))
	return pace{perNano: per, behind: max(1, uint64(pps)*uint64(maxBehind)/uint64(time.Second))}
}

// due returns how many of want frames may go now. late is true if the schedule had
// to be set back.
func (p *pace) due(now int64, want uint64) (n uint64, late bool) {
	if !p.running {
		p.start, p.running = now, true
	}
	// Frame number k is due k/rate after the start, hence one more than the
	// product.
	total, _ := bits.Mul64(uint64(now-p.start), p.perNano)
	backlog := total + 1 - p.released
	if backlog > p.behind+1 {
		p.start, p.released = now, 0
		return min(1, want), true
	}
	return min(backlog, want), false
}

// until returns how many nanoseconds after now the next frame is due, 0 or less if it
// is.
func (p *pace) until(now int64) int64 {
	if !p.running {
		return 0
	}
	// The first moment at which the product in due has come to released. Both are
	// below 2^64 for as long as a replay of 584 years.
	due, rest := bits.Div64(p.released, 0, p.perNano)
	if rest > 0 {
		due++
	}
	return p.start + int64(due) - now
}

// took tells that n frames went.
func (p *pace) took(n uint64) { p.released += n }

// cursor is a place in a capture that is replayed lap after lap. It belongs to the
// owner of the queue.
type cursor struct {
	slabs []slab
	// cur is &slabs[slab]; frame is the next frame in it and at where its bytes are.
	cur       *slab
	slab      int
	frame, at int
	// left is how many frames are still to come in all laps.
	left uint64
	// period is the length of a lap in nanoseconds, and lap when this one began,
	// for times as recorded.
	period, lap int64
	running     bool
}

// newCursor returns the beginning of a replay of so many laps.
func newCursor(c *capture, loops int) cursor {
	cur := cursor{slabs: c.slabs, period: c.period, left: math.MaxUint64}
	if loops != Forever {
		cur.left = uint64(loops) * c.packets // below 2^30 times 2^41
	}
	cur.cur = &c.slabs[0]
	return cur
}

// next goes to the next slab, or to the first one of the next lap.
func (c *cursor) next() {
	c.slab++
	if c.slab == len(c.slabs) {
		c.slab = 0
		c.lap += c.period
	}
	c.cur, c.frame, c.at = &c.slabs[c.slab], 0, 0
}

// until returns how many nanoseconds after now the next frame is due, 0 or less if it
// is. There is one.
func (c *cursor) until(now int64) int64 {
	if !c.running {
		return 0
	}
	return c.cur.due[c.frame] - (now - c.lap)
}

// due returns how many of want frames may go at this time, as recorded. Frames
// behind the end of a slab wait for the next call. late is true if the schedule had
// to be set back.
func (c *cursor) due(now int64, want uint64) (n uint64, late bool) {
	due := c.cur.due[c.frame:]
	if !c.running {
		c.lap, c.running = now-due[0], true
	}
	t := now - c.lap
	if behind := t - due[0]; behind > int64(maxBehind) {
		c.lap += behind
		t, late = due[0], true
	}
	if uint64(len(due)) > want {
		due = due[:want]
	}
	for _, d := range due {
		if d > t {
			break
		}
		n++
	}
	return n, late
}
