package forward

import (
	"math/bits"
	"sync/atomic"

	"example.org/pmd/cpu"

	xcpu "golang.org/x/sys/cpu"
)

// pacer grants frames at a rate, to all cores that send on a port together. It
// grants exactly rate frames a second from when it was first asked, as long as it
// is asked often enough. What was not asked for in time is made up at twice the
// rate at most, and is forfeited beyond a tenth of a second.
type pacer struct {
	_    xcpu.CacheLinePad
	rate uint64 // frames a second; 0 grants everything. Constant.
	// start is when it was first asked, granted how many frames were since, last
	// when. Cores write them once a burst. Each stands for itself: nothing else
	// is published by them.
	start, granted, last atomic.Uint64
	_                    xcpu.CacheLinePad
}

// claim returns how many of up to want frames may be sent now.
func (p *pacer) claim(clock cpu.Clock, now uint64, want int) int {
	if p.rate == 0 {
		return want
	}
	hz := uint64(clock.Hz())
	start := p.start.Load()
	if start == 0 {
		if p.start.CompareAndSwap(0, now) {
			p.last.Store(now)
		}
		return 0
	}
	granted := p.granted.Load()
	due := share(now-start, p.rate, hz)
	if now < start || due <= granted {
		return 0 // or the clock of another core is a little ahead
	}
	if most := p.rate/10 + uint64(want); due-granted > most {
		if !p.granted.CompareAndSwap(granted, due-most) {
			return 0
		}
		granted = due - most
	}
	n := min(due-granted, uint64(want))
	if last := p.last.Load(); now > last {
		n = min(n, 1+share(now-last, 2*p.rate, hz))
	} else {
		n = 1
	}
	if !p.granted.CompareAndSwap(granted, granted+n) {
		return 0 // another core was first; it is asked again next turn
	}
	p.last.Store(now)
	return int(n)
}

// giveBack returns frames that were granted and could not be sent.
func (p *pacer) giveBack(n int) {
	if p.rate != 0 && n > 0 {
		p.granted.Add(-uint64(n))
	}
}

// share returns cycles*rate/hz, the frames of so many cycles.
func share(cycles, rate, hz uint64) uint64 {
	hi, lo := bits.Mul64(cycles, rate)
	if hi >= hz {
		return 0 // centuries; or no clock
	}
	q, _ := bits.Div64(hi, lo, hz)
	return q
}
