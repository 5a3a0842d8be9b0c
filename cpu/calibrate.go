package cpu

import (
	"fmt"
	"math"
	"time"
)

// Bounds of a calibration. Reading the clock is uncertain by some 100 ns, which over a
// millisecond is 100 parts in a million.
const (
	defaultCalibration = 20 * time.Millisecond
	minCalibration     = time.Millisecond
	maxCalibration     = 10 * time.Second
)

// Calibrate makes a [Clock] for this machine. On amd64 it measures the time-stamp counter
// for d, sleeping meanwhile, against the monotonic clock that Go programs read. That clock
// rather than CLOCK_MONOTONIC_RAW, so that a Clock agrees with time.Now about deadlines and
// rates; NTP slews it by 500 parts in a million at most. On arm64 the rate is read from
// CNTFRQ_EL0 at once.
//
// d is from 1 ms to 10 s, anything else being an error; 0 means 20 ms. The two halves of the
// measurement must agree to one part in a thousand. If not, perhaps because the virtual
// machine was paused, it is repeated up to twice.
//
// If there is no counter to rely on (see [Clock.Source]) the Clock reads the monotonic
// clock, which is right, but slower. That is no error.
func Calibrate(d time.Duration) (Clock, error) {
	if d == 0 {
		d = defaultCalibration
	}
	if d < minCalibration || d > maxCalibration {
		return Clock{}, fmt.Errorf("calibrating the cycle clock for %v: must be from %v to %v", d, minCalibration, maxCalibration)
	}
	if doubt := counterDoubt(); doubt != "" {
		return monotonic(doubt), nil
	}
	if hz := float64(counterHz()); plausible(hz) {
		return newClock(hz, true, counterName), nil
	}
	m := meter{read: Cycles, now: func() time.Duration { return time.Since(epoch) }, sleep: time.Sleep}
	hz, ok := m.rate(d)
	if !ok {
		return monotonic("the rate of the cycle counter is not steady"), nil
	}
	return newClock(hz, true, counterName), nil
}

// monotonic is the clock to fall back on.
func monotonic(why string) Clock { return newClock(1e9, false, "monotonic: "+why) }

// plausible reports whether a rate in Hz can be that of a cycle counter. The slowest generic
// timers run at 1 MHz. It also keeps the factors of a Clock within range.
func plausible(hz float64) bool { return hz >= 1e6 && hz <= 20e9 }

// meter measures the rate of a counter; its parts are replaced in tests.
type meter struct {
	read  func() uint64        // the counter
	now   func() time.Duration // the clock to measure against
	sleep func(time.Duration)
}

// rate measures for d in two halves, up to three times, until the halves agree.
func (m meter) rate(d time.Duration) (hz float64, ok bool) {
	for range 3 {
		c0, t0 := m.sample()
		m.sleep(d / 2)
		c1, t1 := m.sample()
		m.sleep(d - d/2)
		c2, t2 := m.sample()
		// A counter that went backwards shows as a huge, so implausible, rate.
		first := float64(c1-c0) / (t1 - t0).Seconds()
		second := float64(c2-c1) / (t2 - t1).Seconds()
		whole := float64(c2-c0) / (t2 - t0).Seconds()
		if plausible(whole) && math.Abs(first-second) < whole/1000 {
			return whole, true
		}
	}
	return 0, false
}

// sample reads counter and clock as nearly at once as possible: of several tries, the one
// with the least time between the readings of the clock before and after. The others were
// interrupted.
func (m meter) sample() (count uint64, at time.Duration) {
	best := time.Duration(math.MaxInt64)
	for range 16 {
		before := m.now()
		c := m.read()
		if gap := m.now() - before; gap < best {
			best, count, at = gap, c, before+gap/2
		}
	}
	return count, at
}
