package pcap

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A rate is kept to the frame over any time, however one asks.
func TestPaceAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pps := rapid.IntRange(1, MaxPPS).Draw(t, "pps")
		p := newPace(pps)
		start := rapid.Int64Range(0, 1<<50).Draw(t, "start")
		now, sent := start, uint64(0)
		for range rapid.IntRange(1, 50).Draw(t, "calls") {
			want := rapid.Uint64Range(1, 256).Draw(t, "burst")
			n, late := p.due(now, want)
			require.LessOrEqual(t, n, want)
			if late {
				require.EqualValues(t, 1, n)
				start, sent = now, 0
			}
			// One more than the product; in floats, hence the slack of one.
			due := float64(now-start)*float64(pps)/1e9 + 1
			require.LessOrEqual(t, float64(sent+n), due+1)
			if n < want {
				require.Greater(t, float64(sent+n), due-2)
			}
			took := rapid.Uint64Range(0, n).Draw(t, "taken") // the pool may have fewer
			p.took(took)
			sent += took
			if left := p.until(now); left > 0 {
				before, after := p, p
				n, _ = before.due(now+left-1, 1)
				require.Zero(t, n, "asleep for longer than until the next frame")
				n, late = after.due(now+left, 1)
				require.EqualValues(t, 1, n, "woken before the next frame")
				require.False(t, late)
			} else {
				n, _ = p.due(now, 1)
				require.EqualValues(t, 1, n)
				start, sent = p.start, p.released // it may have been late
			}
			now += rapid.Int64Range(0, int64(50*time.Millisecond)).Draw(t, "pause")
		}
	})
}

// After a pause that is too long the schedule begins anew, without a flood.
func TestPaceIsSetBack(t *testing.T) {
	p := newPace(1_000_000)
	n, late := p.due(0, 64)
	assert.EqualValues(t, 1, n)
	assert.False(t, late)
	p.took(n)
	n, late = p.due(int64(maxBehind)-1, 256)
	assert.EqualValues(t, 256, n, "up to there it is caught up")
	assert.False(t, late)
	n, late = p.due(int64(maxBehind)+10000, 256)
	assert.EqualValues(t, 1, n)
	assert.True(t, late)
	p.took(n)
	n, late = p.due(int64(maxBehind)+10000, 256)
	assert.Zero(t, n)
	assert.False(t, late)
	n, _ = p.due(int64(maxBehind)+13000, 256)
	assert.EqualValues(t, 3, n)

	slow := newPace(1) // less than one frame in maxBehind
	n, _ = slow.due(0, 1)
	slow.took(n)
	n, late = slow.due(int64(999*time.Millisecond), 1)
	assert.Zero(t, n)
	assert.False(t, late)
	n, late = slow.due(int64(1001*time.Millisecond), 1)
	assert.EqualValues(t, 1, n)
	assert.False(t, late)
}

// recordedAt returns a capture of frames at these times.
func recordedAt(t require.TestingT, at ...time.Duration) *capture {
	l := &loader{maxMemory: 1 << 30, speed: 1}
	for i, d := range at {
		require.NoError(t, l.add([]byte{byte(i)}, time.Unix(1, 0).Add(d)))
	}
	return l.finish()
}

func TestRecordedSchedule(t *testing.T) {
	const ms = time.Millisecond
	c := recordedAt(t, 0, 10*ms, 5*ms, 30*ms) // not in order: 5 is taken as 10
	assert.EqualValues(t, 40*ms, c.period)
	cur := newCursor(c, 2)
	at := func(now time.Duration, want uint64) (n uint64, late bool) {
		n, late = cur.due(int64(now), want)
		cur.left -= n
		for range n { // as fill does
			if cur.frame++; cur.frame == len(cur.cur.lens) {
				cur.next()
			}
		}
		return n, late
	}
	for _, step := range []struct {
		now  time.Duration
		want uint64
		n    uint64
		late bool
	}{
		{1000 * ms, 64, 1, false}, // the schedule begins at the first call
		{1009 * ms, 64, 0, false},
		{1010 * ms, 1, 1, false},
		{1010 * ms, 64, 1, false},
		{1029 * ms, 64, 0, false},
		{1030 * ms, 64, 1, false},
		{1039 * ms, 64, 0, false}, // the second lap, one mean distance later
		{1040 * ms, 64, 1, false},
		{1149 * ms, 2, 2, false}, // 99 ms behind
		{1300 * ms, 64, 1, true}, // 230 ms behind
	} {
		left := cur.until(int64(step.now))
		require.Equal(t, step.n == 0, left > 0, "%v", step.now)
		if left > 0 {
			twin := cur
			n, _ := twin.due(int64(step.now)+left, 1)
			require.EqualValues(t, 1, n)
		}
		n, late := at(step.now, step.want)
		require.Equal(t, step.n, n, "%v", step.now)
		require.Equal(t, step.late, late, "%v", step.now)
	}
	assert.Zero(t, cur.left)
}

// Whatever the file says of times, the schedule never falls and never wraps.
func TestAnyTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &loader{maxMemory: 1 << 30, speed: rapid.Float64Range(MinSpeed, MaxSpeed).Draw(t, "speed")}
		n := rapid.IntRange(1, 50).Draw(t, "packets")
		for range n {
			at := time.Time{}
			if rapid.Bool().Draw(t, "timed") {
				at = time.Unix(rapid.Int64().Draw(t, "s"), rapid.Int64().Draw(t, "ns"))
			}
			require.NoError(t, l.add([]byte{1}, at))
		}
		c := l.finish()
		last := int64(0)
		for _, d := range c.slabs[0].due {
			require.GreaterOrEqual(t, d, last)
			last = d
		}
		require.GreaterOrEqual(t, c.period, last)
	})
}

// A short capture is laid out several times, and stays the same replay.
func TestUnroll(t *testing.T) {
	for _, n := range []int{1, 3, 255, 256, 300} {
		l := &loader{maxMemory: 1 << 30}
		for i := range n {
			require.NoError(t, l.add(make([]byte, 1+i%200), time.Time{}))
		}
		c := l.finish()
		before := len(c.slabs[0].data)
		c.unroll()
		s := c.slabs[0]
		require.EqualValues(t, n, c.packets)
		require.GreaterOrEqual(t, len(s.lens), 256)
		require.Zero(t, len(s.lens)%n)
		require.Equal(t, before*len(s.lens)/n, len(s.data))
		for i, v := range s.lens {
			require.EqualValues(t, 1+i%n%200, v)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		in   string
		unit float64
		want int64
		ok   bool
	}{
		{"0", 1000, 0, true}, {"1", 1000, 1, true}, {"12k", 1000, 12000, true}, {"12K", 1024, 12288, true},
		{"1.5M", 1000, 1500000, true}, {"2G", 1024, 2 << 30, true}, {"1T", 1024, 1 << 40, true}, {"1e3", 1000, 1000, true},
		{"", 1000, 0, false}, {"k", 1000, 0, false}, {"1kk", 1000, 0, false}, {"k1", 1000, 0, false}, {"1.5", 1000, 0, false},
		{"-1", 1000, 0, false}, {"NaN", 1000, 0, false}, {"Inf", 1000, 0, false}, {"9999999T", 1024, 0, false}, {"0.0001k", 1000, 0, false},
	} {
		got, ok := parseNumber(c.in, c.unit)
		assert.Equal(t, c.ok, ok, c.in)
		assert.Equal(t, c.want, got, c.in)
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1k", 1 << 20: "1M", 3 << 29: "1.5G", 64 << 30: "64G", 1 << 46: "64T"} {
		assert.Equal(t, want, size(n))
	}
}
