package cpu

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// exact is cycles × 10^9 / hz in whole numbers of any size.
func exact(cycles uint64, hz float64) *big.Int {
	n := new(big.Int).Mul(new(big.Int).SetUint64(cycles), big.NewInt(1e9))
	return n.Div(n, big.NewInt(int64(hz)))
}

func TestClockAgainstExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hz := float64(rapid.Int64Range(1e6, 20e9).Draw(t, "hz"))
		cycles := rapid.Uint64().Draw(t, "cycles")
		c := newClock(hz, true, "test")

		want := exact(cycles, hz)
		got := c.Duration(cycles)
		if !want.IsInt64() {
			// Beyond 292 years. The rounded factor may see it just within.
			if got < math.MaxInt64/2 {
				t.Fatalf("%d cycles at %v Hz: %v, but it does not fit", cycles, hz, got)
			}
			return
		}
		tolerance := float64(want.Int64())/1e8 + 1
		if diff := math.Abs(float64(got) - float64(want.Int64())); diff > tolerance {
			t.Fatalf("%d cycles at %v Hz: %d ns, want %v", cycles, hz, got, want)
		}
		// And back again.
		if got < math.MaxInt64 {
			back := float64(c.Cycles(got))
			if diff := math.Abs(back - float64(cycles)); diff > float64(cycles)/1e6+hz/1e9+2 {
				t.Fatalf("%d cycles at %v Hz became %v", cycles, hz, back)
			}
		}
	})
}

func TestClockLimits(t *testing.T) {
	c := newClock(3e9, true, "test")
	assert.Equal(t, time.Duration(0), c.Duration(0))
	assert.InDelta(t, float64(30*24*time.Hour), float64(c.Duration(3e9*30*24*3600)), float64(time.Millisecond*30), "30 days")
	assert.Greater(t, c.Duration(math.MaxUint64), 100*365*24*time.Hour, "no wrap")
	assert.Equal(t, time.Duration(math.MaxInt64), newClock(1e9, true, "").Duration(math.MaxUint64))
	assert.Equal(t, uint64(0), c.Cycles(-1))
	assert.Equal(t, uint64(0), c.Cycles(math.MinInt64))
	assert.Equal(t, uint64(3e9), c.Cycles(time.Second))
	assert.Equal(t, uint64(math.MaxUint64), newClock(20e9, true, "").Cycles(math.MaxInt64))

	var zero Clock
	assert.Equal(t, time.Duration(0), zero.Duration(12345))
	assert.Equal(t, uint64(0), zero.Cycles(time.Hour))

	m := monotonic("x")
	assert.Equal(t, time.Duration(123456789), m.Duration(123456789), "nanoseconds are exact")
	assert.Equal(t, uint64(123456789), m.Cycles(123456789))
}

func TestCalibrate(t *testing.T) {
	c, err := Calibrate(10 * time.Millisecond)
	require.NoError(t, err)
	t.Logf("%s, %.0f Hz", c.Source(), c.Hz())
	require.True(t, plausible(c.Hz()))
	assert.Equal(t, c.Hardware(), c.Source() == counterName)
	assert.Equal(t, !c.Hardware(), strings.HasPrefix(c.Source(), "monotonic: "))

	// The clock measures what the monotonic clock does. On a machine that is busy with
	// other tests the readings on both sides may be far apart, but not every time.
	var off float64
	for range 50 {
		start, from := time.Now(), c.Now()
		time.Sleep(30 * time.Millisecond)
		to, took := c.Now(), time.Since(start)
		if off = math.Abs(float64(c.Duration(to-from))/float64(took) - 1); off < 0.1 {
			return
		}
	}
	assert.Failf(t, "another time", "off by %.0f %%", 100*off)
}

func TestCalibrateBounds(t *testing.T) {
	for _, d := range []time.Duration{-1, 1, time.Millisecond - 1, 10*time.Second + 1, math.MaxInt64, math.MinInt64} {
		_, err := Calibrate(d)
		assert.ErrorContains(t, err, d.String())
	}
	_, err := Calibrate(0)
	assert.NoError(t, err, "0 means the default")
}

// bench is a machine whose time the test moves: a counter against a clock that advances by
// 50 ns a reading and by the time slept.
type bench struct {
	t     time.Duration
	count func(t time.Duration) uint64
}

func (b *bench) meter() meter {
	return meter{
		read:  func() uint64 { return b.count(b.t) },
		now:   func() time.Duration { b.t += 50; return b.t },
		sleep: func(d time.Duration) { b.t += d },
	}
}

func TestMeterRate(t *testing.T) {
	steady := func(hz float64) func(time.Duration) uint64 {
		return func(t time.Duration) uint64 { return uint64(t.Seconds() * hz) }
	}
	for _, hz := range []float64{1e6 * 1.001, 24e6, 1e9, 2.9945e9, 19.9e9} {
		got, ok := (&bench{count: steady(hz)}).meter().rate(20 * time.Millisecond)
		require.True(t, ok, "%v Hz", hz)
		assert.InEpsilon(t, hz, got, 200e-6, "%v Hz", hz)
	}

	for name, count := range map[string]func(time.Duration) uint64{
		"stuck":     func(time.Duration) uint64 { return 7 },
		"too slow":  steady(1000),
		"backwards": func(t time.Duration) uint64 { return math.MaxUint64/2 - uint64(t) },
		"changes its rate": func(t time.Duration) uint64 {
			return uint64(t.Seconds() * 2e9 * (1 + 20*t.Seconds()))
		},
	} {
		_, ok := (&bench{count: count}).meter().rate(20 * time.Millisecond)
		assert.False(t, ok, name)
	}
}

// One pause of the virtual machine spoils one measurement, not the calibration.
func TestMeterRepeatsAfterPause(t *testing.T) {
	b := &bench{count: func(t time.Duration) uint64 {
		c := uint64(t) * 3
		if t > 5*time.Millisecond {
			c += 1e9 // the counter ran on while the clock stood still
		}
		return c
	}}
	hz, ok := b.meter().rate(20 * time.Millisecond)
	require.True(t, ok)
	assert.InEpsilon(t, 3e9, hz, 100e-6)
}

// An interrupt between the readings of clock and counter must not count.
func TestMeterSampleTakesTheTightestTry(t *testing.T) {
	calls := 0
	var now time.Duration
	m := meter{
		now: func() time.Duration {
			if calls++; calls != 9 {
				now += 10 * time.Microsecond // interrupted, all but once
			} else {
				now += 40
			}
			if calls == 10 {
				now += 40 - 10*time.Microsecond
			}
			return now
		},
		read: func() uint64 { return uint64(calls) },
	}
	count, at := m.sample()
	assert.Equal(t, uint64(9), count)
	assert.Equal(t, 8*10*time.Microsecond+40+20, at)
}

func TestTSCWithdrawn(t *testing.T) {
	const name = "devices/system/clocksource/clocksource0/available_clocksource"
	for content, want := range map[string]bool{
		"tsc kvm-clock ": false, "kvm-clock tsc hpet acpi_pm ": false, "tsc": false,
		"hpet acpi_pm ": true, "hyperv_clocksource_tsc_page acpi_pm": true,
	} {
		assert.Equal(t, want, tscWithdrawn(fstest.MapFS{name: file(content)}), content)
	}
	assert.False(t, tscWithdrawn(fstest.MapFS{}), "nothing known")
}

func TestCyclesAdvance(t *testing.T) {
	start := Cycles()
	deadline := time.Now().Add(5 * time.Second)
	for Cycles() == start {
		require.True(t, time.Now().Before(deadline), "the counter stands still")
	}
	assert.Less(t, Cycles()-start, uint64(1)<<63, "forwards")
}

func TestClockDoesNotAllocate(t *testing.T) {
	c, err := Calibrate(time.Millisecond)
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		start := c.Now()
		sinkDuration = c.Duration(c.Now() - start + c.Cycles(time.Microsecond))
	}))
}

// Results of benchmarks go here, so that the compiler cannot leave the work out.
var (
	sinkUint     uint64
	sinkDuration time.Duration
)

func BenchmarkCycles(b *testing.B) {
	for b.Loop() {
		sinkUint = Cycles()
	}
}

func BenchmarkClock(b *testing.B) {
	c, err := Calibrate(0)
	require.NoError(b, err)
	b.Run("op=Now", func(b *testing.B) {
		for b.Loop() {
			sinkUint = c.Now()
		}
	})
	b.Run("op=Duration", func(b *testing.B) {
		n := uint64(1 << 40)
		for b.Loop() {
			sinkDuration = c.Duration(n)
			n++
		}
	})
	b.Run("op=time.Now", func(b *testing.B) { // what it replaces
		for b.Loop() {
			sinkUint = nanos()
		}
	})
}
