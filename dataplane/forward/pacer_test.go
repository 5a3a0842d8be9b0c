package forward

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cpu"
)

// A pacer that is asked at any moments grants the rate exactly, no more than a
// burst at once, and makes up for what was not asked for at twice the rate at most.
func TestPacer(t *testing.T) {
	clock, err := cpu.Calibrate(time.Millisecond)
	require.NoError(t, err)
	hz := clock.Hz()
	rapid.Check(t, func(t *rapid.T) {
		p := &pacer{rate: rapid.Uint64Range(1, 5_000_000).Draw(t, "rate")}
		const want = 64
		start := rapid.Uint64Range(1, 1<<50).Draw(t, "start")
		now, end := start, start+uint64(hz)
		require.Zero(t, p.claim(clock, now, want), "the first only sets the clock")
		// Turns short enough for the rate, with a pause of up to 50 ms.
		step := uint64(hz * min(want/2/float64(p.rate), 0.02))
		pause := now + rapid.Uint64Range(0, 400*step).Draw(t, "pause at")
		length := rapid.Uint64Range(0, uint64(hz/20)).Draw(t, "pause")
		granted, last := uint64(0), now
		for turns := 0; now < end && (turns < 500 || pause != 0 && turns < 2000); turns++ {
			now += rapid.Uint64Range(1, 2*step).Draw(t, "turn")
			if pause != 0 && now > pause {
				now, pause = now+length, 0
			}
			n := uint64(p.claim(clock, now, want))
			require.LessOrEqual(t, n, uint64(want))
			require.LessOrEqual(t, float64(n), 1+2*float64(p.rate)*float64(now-last)/hz+1)
			if n > 0 {
				last = now
			}
			granted += n
		}
		due := float64(p.rate) * float64(now-start) / hz
		require.LessOrEqual(t, float64(granted), due+1)
		// What it may be behind is a burst, and what the pause cost.
		require.GreaterOrEqual(t, float64(granted), due-want-float64(p.rate)*(float64(2*length)/hz)-2)
	})
}

// Without a rate everything is granted; what could not be sent is granted again.
func TestPacerGivesBack(t *testing.T) {
	clock, err := cpu.Calibrate(time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, 64, (&pacer{}).claim(clock, 1, 64))
	p := &pacer{rate: 1000}
	p.claim(clock, 1, 64)
	second := uint64(clock.Hz())
	require.InDelta(t, 50, p.claim(clock, 1+second/20, 64), 1)
	p.giveBack(int(p.granted.Load()))
	require.Equal(t, 64, p.claim(clock, 1+second/10, 64))
	require.EqualValues(t, 64, p.granted.Load())
}
