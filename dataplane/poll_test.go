package dataplane

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cpu"
)

// twin is the model as the words of the source say it, one tick and one poll at a
// time, driven by a clock that moves by single cycles.
type twin struct {
	c                                               PollConfig
	tick, ticks                                     uint64 // length of one, and how many have come
	now, began, last, after, control                uint64
	wanted                                          bool
	burst, phase, pending, countdown                int
	shortTicks, lostPolls, stalled, suspect, checks uint64
	due                                             []uint64 // ticks that have come since the loop last looked
}

// advance lets time pass.
func (w *twin) advance(cycles uint64) {
	for range cycles {
		w.now++
		if (w.now-w.began)%w.tick == 0 {
			w.due = append(w.due, w.now)
		}
	}
}

// turn is the end of a turn of the loop: it notices the ticks, which is when they
// happen for the model, and finishes the poll, if the turn was one that was due.
func (w *twin) turn() {
	due := w.phase != 0
	if due {
		w.phase = 3
		w.countdown--
		if w.countdown == 0 {
			w.checks++
			w.countdown = w.c.RegFrac
		}
		w.phase = 4
	}
	for range w.due {
		if float64(w.now-w.last) < float64(w.tick/2) {
			w.shortTicks++
		} else {
			w.last = w.now
		}
		if w.pending > 100 {
			w.stalled++
			w.pending = 0
			w.phase = 0
		}
		if w.phase <= 2 {
			if w.phase != 0 {
				w.suspect++
			}
			w.phase = 1
			w.phase = 2
		}
		if w.pending > 0 {
			w.lostPolls++
		}
		w.pending++
	}
	w.due = nil
	if !due {
		return
	}
	w.phase = 5
	elapsed := w.now - w.after
	polling := float64(elapsed - min(w.control, elapsed))
	if w.wanted && polling*100 > float64(elapsed)*float64(100-w.c.UserFrac) {
		w.burst--
	} else {
		w.burst++
	}
	w.clamp()
	w.after, w.control, w.wanted = w.now, 0, false
	w.pending--
	if w.pending == 0 {
		w.phase = 0
		return
	}
	w.burst -= w.burst / 8
	w.clamp()
	w.phase = 6
}

func (w *twin) clamp() { w.burst = min(max(w.burst, w.c.EachBurst), w.c.BurstMax) }

// The model keeps to its twin whatever turns take and whatever control wants.
func TestPollerAgainstTwin(t *testing.T) {
	clock, err := cpu.Calibrate(time.Millisecond)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		c := PollConfig{
			Enable: 1, PollHz: 1000, EachBurst: rapid.IntRange(1, 64).Draw(t, "each_burst"), BurstMax: rapid.IntRange(64, 300).Draw(t, "burst_max"),
			UserFrac: rapid.IntRange(0, 99).Draw(t, "user_frac"), RegFrac: rapid.IntRange(1, 30).Draw(t, "reg_frac"), Idle: IdleSpin,
		}
		require.NoError(t, c.Validate())
		start := uint64(rapid.IntRange(0, 1000).Draw(t, "start"))
		var p poller
		p.set(c, clock, start)
		p.tick = uint64(rapid.IntRange(2, 50).Draw(t, "tick"))
		p.reg = c.RegFrac
		p.restart(start)
		w := &twin{c: c, tick: p.tick, now: start, began: start, last: start, after: start, burst: c.BurstMax, countdown: c.RegFrac}
		checks := uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "turns") {
			took := uint64(rapid.IntRange(1, 120).Draw(t, "took"))
			if rapid.IntRange(0, 60).Draw(t, "pause") == 0 {
				took += 110 * p.tick // stalls
			}
			if rapid.IntRange(0, 3).Draw(t, "mail") == 0 {
				n := uint64(rapid.IntRange(0, int(took)).Draw(t, "control"))
				p.control, p.wanted = p.control+n, true
				w.control, w.wanted = w.control+n, true
			}
			w.advance(took)
			w.turn()
			if w.now >= p.due && p.step(w.now, 1) {
				checks++
			}
			want := PollState{PollConfig: c, Burst: w.burst, Phase: w.phase, Handlers: 1, PendingPolls: w.pending,
				ShortTicks: w.shortTicks, LostPolls: w.lostPolls, Stalled: w.stalled, Suspect: w.suspect}
			require.Equal(t, want, p.state(1))
			require.Equal(t, w.checks, checks)
		}
	})
}

func TestPollerCases(t *testing.T) {
	clock, err := cpu.Calibrate(time.Millisecond)
	require.NoError(t, err)
	fresh := func() *poller {
		p := &poller{}
		p.set(DefaultPollConfig(64, IdleSpin), clock, 0)
		p.tick = 100
		p.restart(0)
		return p
	}
	// A loop that is quick: a tick is served by the turn after it, nothing is late.
	p := fresh()
	for now := uint64(10); now < 10000; now += 10 {
		if now >= p.due {
			p.step(now, 1)
		}
	}
	s := p.state(1)
	assert.Zero(t, s.ShortTicks+s.LostPolls+s.Stalled+s.Suspect)
	assert.Equal(t, DefaultBurstMax, s.Burst)

	// Turns of three ticks each: polls are lost and burst sinks to each_burst.
	p = fresh()
	for now := uint64(300); now < 30000; now += 300 {
		p.step(now, 1)
	}
	s = p.state(1)
	assert.Equal(t, 64, s.Burst)
	assert.Positive(t, s.LostPolls)
	assert.Positive(t, s.Stalled, "ticks come faster than they are served")

	// A minute's pause costs no minute.
	p = fresh()
	p.step(100*1000*1000, 1)
	assert.Equal(t, uint64(100*1000*1000+100), p.next)
	assert.Equal(t, uint64(1000*1000-1), p.lostPolls+p.stalled, "each tick but the first was lost or counted as a stall")

	// The last handler gone, the state begins anew and the statistics stay.
	p.step(p.next+500, 0)
	s = p.state(0)
	assert.Zero(t, s.Phase+s.PendingPolls)
	assert.Positive(t, s.LostPolls)

	// Control work that gets less than its share shortens the turns, more than its
	// share does not.
	for share, want := range map[uint64]int{0: 64, 50: DefaultBurstMax} {
		p = fresh()
		for now := uint64(10); now < 30000; now += 10 {
			p.control, p.wanted = p.control+10*share/100, true
			if now >= p.due {
				p.step(now, 1)
			}
		}
		assert.Equal(t, want, p.burst, "control has %d %%", share)
	}
}

func TestPollConfigRanges(t *testing.T) {
	at := func(n int) *int { return &n }
	idle := Idle("doze")
	for _, test := range []struct {
		set  PollSettings
		want string
	}{
		{PollSettings{Enable: at(2)}, "enable 2: use 0 to 1"},
		{PollSettings{PollHz: at(0)}, "pollhz 0: use 1 to 30000"},
		{PollSettings{PollHz: at(30001)}, "pollhz 30001: use 1 to 30000"},
		{PollSettings{BurstMax: at(9)}, "burst_max 9: use 10 to 1000"},
		{PollSettings{BurstMax: at(1001)}, "burst_max 1001"},
		{PollSettings{BurstMax: at(63)}, "each_burst 64: use 1 to 63 (burst_max is 63"},
		{PollSettings{EachBurst: at(0)}, "each_burst 0: use 1 to 192"},
		{PollSettings{EachBurst: at(257), BurstMax: at(1000)}, "each_burst 257: use 1 to 256 (burst_max is 1000, and a burst holds 256 at most)"},
		{PollSettings{UserFrac: at(100)}, "user_frac 100: use 0 to 99"},
		{PollSettings{UserFrac: at(-1)}, "user_frac -1"},
		{PollSettings{RegFrac: at(0)}, "reg_frac 0: use 1 to 2000"},
		{PollSettings{RegFrac: at(11), PollHz: at(10)}, "reg_frac 11: use 1 to 10 (pollhz is 10)"},
		{PollSettings{Idle: &idle}, `idle "doze": use spin, adaptive or interrupt`},
	} {
		_, err := test.set.Apply(DefaultPollConfig(64, IdleAdaptive))
		require.ErrorContains(t, err, test.want)
	}
	// Keys that bound each other change together.
	c, err := PollSettings{EachBurst: at(200), BurstMax: at(1000), RegFrac: at(30000), PollHz: at(30000), UserFrac: at(0)}.Apply(DefaultPollConfig(64, IdleAdaptive))
	require.NoError(t, err)
	assert.Equal(t, PollConfig{1, 30000, 200, 1000, 0, 30000, IdleAdaptive}, c)
	assert.Equal(t, "[spin adaptive interrupt]", fmt.Sprint(IdlePolicies()))
}
