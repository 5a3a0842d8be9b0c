package dataplane

import (
	"fmt"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
)

// The scheduling model of a poll core, after DEVICE_POLLING of DragonFly BSD
// (sys/kern/kern_poll.c), under the same names. A poll core owns its CPU, so it polls
// all the time and needs no timer to begin: the ticks are those of a virtual clock
// of pollhz, which is looked at once a turn and tells how late the loop came round.

// Limits and defaults of a PollConfig.
const (
	// MaxHandlers is how many queues a core can poll.
	MaxHandlers = 128
	// DefaultPollHz and MaxPollHz are ticks of the virtual clock a second.
	DefaultPollHz = 2000
	MaxPollHz     = 30000
	// DefaultBurstMax is the ceiling of burst, three visits of the default
	// length.
	DefaultBurstMax = 3 * DefaultBurst
	// MinBurstMax and MaxBurstMax bound it.
	MinBurstMax = 10
	MaxBurstMax = 1000
	// DefaultUserFrac and MaxUserFrac are percents.
	DefaultUserFrac = 1
	MaxUserFrac     = 99
	// DefaultRegFrac is ticks.
	DefaultRegFrac = 20
)

// Bounds of the model.
const (
	// maxPending is how many polls may be pending before a core counts as
	// stalled.
	maxPending = 100
	// maxTicks bounds the ticks that are gone through one by one after a long
	// pause; of those beyond only the loss is counted.
	maxTicks = 1024
)

// Idle says what a core does while no frame comes.
type Idle string

// Idle policies.
const (
	// IdleSpin polls on: the least delay, and all of the CPU.
	IdleSpin Idle = "spin"
	// IdleAdaptive polls on for a millisecond, then sleeps for short and growing
	// times until a frame comes.
	IdleAdaptive Idle = "adaptive"
	// IdleInterrupt sleeps after some tens of microseconds until a frame comes.
	IdleInterrupt Idle = "interrupt"
)

// IdlePolicies returns the policies there are.
func IdlePolicies() []string {
	return []string{string(IdleSpin), string(IdleAdaptive), string(IdleInterrupt)}
}

// PollConfig are the tunables of a poll core.
type PollConfig struct {
	// Enable is 1, or 0 for a core that polls none of its queues. It still sends
	// what others queue for its ports.
	Enable int `json:"enable"`
	// PollHz is how many ticks the virtual clock makes a second, 1 to 30000.
	PollHz int `json:"pollhz"`
	// EachBurst is how many frames a visit of a queue takes, 1 to burst_max, at
	// most 256, of a send queue too.
	EachBurst int `json:"each_burst"`
	// BurstMax is the ceiling of burst, 10 to 1000 and at least each_burst.
	BurstMax int `json:"burst_max"`
	// UserFrac is the share of time that control work (messages, statistics,
	// housekeeping) gets while there is some, in percent, 0 to 99.
	UserFrac int `json:"user_frac"`
	// RegFrac says that every n-th tick the core looks after its queues: what a
	// device took and has not sent is kicked again. 1 to pollhz.
	RegFrac int `json:"reg_frac"`
	// Idle is what the core does while no frame comes.
	Idle Idle `json:"idle"`
}

// PollState is what the scheduling model of a core has come to.
type PollState struct {
	PollConfig
	// Burst is how many frames a queue may take in a turn, in rounds of
	// each_burst: burst_max, less while control work waits or the loop comes
	// round late, never less than each_burst.
	Burst int `json:"burst"`
	// Phase is where the model is between two turns: 0 nothing is due, 2 a poll
	// is due, 6 further polls are due.
	Phase int `json:"phase"`
	// Handlers is the number of queues the core polls.
	Handlers int `json:"handlers"`
	// ResidualBurst is what the last turn left of burst, because there were no
	// more frames.
	ResidualBurst int `json:"residual_burst"`
	// PendingPolls is how many ticks have come that no turn has served.
	PendingPolls int `json:"pending_polls"`
	// ShortTicks counts ticks noticed less than half a tick after the one
	// before: those that a late turn found together.
	ShortTicks uint64 `json:"short_ticks"`
	// LostPolls counts ticks that came while one was pending: turns that took
	// longer than a tick.
	LostPolls uint64 `json:"lost_polls"`
	// Stalled counts the times that more than 100 polls were pending.
	Stalled uint64 `json:"stalled"`
	// Suspect counts ticks that came while a poll was due and had not begun.
	Suspect uint64 `json:"suspect"`
}

// DefaultPollConfig is that of a core with visits of this length, Config.Burst, and
// this policy, Config.Idle.
func DefaultPollConfig(burst int, idle Idle) PollConfig {
	return PollConfig{
		Enable: 1, PollHz: DefaultPollHz, EachBurst: burst, BurstMax: max(DefaultBurstMax, burst),
		UserFrac: DefaultUserFrac, RegFrac: DefaultRegFrac, Idle: idle,
	}
}

// Validate names the key and the range of the first value that is out of range.
func (c PollConfig) Validate() error {
	for _, k := range []struct {
		key           string
		v, least, top int
	}{
		{"enable", c.Enable, 0, 1},
		{"pollhz", c.PollHz, 1, MaxPollHz},
		{"burst_max", c.BurstMax, MinBurstMax, MaxBurstMax},
		{"each_burst", c.EachBurst, 1, min(c.BurstMax, pmd.MaxBurst)},
		{"user_frac", c.UserFrac, 0, MaxUserFrac},
		{"reg_frac", c.RegFrac, 1, c.PollHz},
	} {
		if k.v < k.least || k.v > k.top {
			why := ""
			switch k.key {
			case "each_burst":
				why = fmt.Sprintf(" (burst_max is %d, and a burst holds %d at most)", c.BurstMax, pmd.MaxBurst)
			case "reg_frac":
				why = fmt.Sprintf(" (pollhz is %d)", c.PollHz)
			}
			return fmt.Errorf("%s %d: use %d to %d%s", k.key, k.v, k.least, k.top, why)
		}
	}
	switch c.Idle {
	case IdleSpin, IdleAdaptive, IdleInterrupt:
		return nil
	}
	return fmt.Errorf("idle %.40q: use spin, adaptive or interrupt", string(c.Idle))
}

// poller is the model of one core. It belongs to the worker. Times are readings of
// the cycle clock.
type poller struct {
	// Hot: read every turn.
	each  int // PollConfig.EachBurst
	burst int
	// residual is what the turn leaves of burst.
	residual int
	// due is when step has something to do: at the next tick, or at once while
	// polls are pending.
	due uint64

	// Control.
	cfg   PollConfig
	tick  uint64 // length of a tick
	next  uint64 // when the next tick is
	last  uint64 // when the last tick was noticed that was not a short one
	after uint64 // when the last after-poll was
	// control is the time that control work took since then, of the turn's
	// own account; wanted says that some of it came from outside.
	control uint64
	wanted  bool
	phase   int
	pending int
	reg     int // ticks until the queues are looked after

	// Statistics.
	shortTicks, lostPolls, stalled, suspect uint64
}

// set takes over a configuration that is valid, now. The statistics go on.
func (p *poller) set(c PollConfig, clock cpu.Clock, now uint64) {
	fresh := p.cfg == PollConfig{}
	p.cfg, p.each = c, c.EachBurst
	p.burst = min(max(p.burst, c.EachBurst), c.BurstMax)
	if fresh {
		p.burst = c.BurstMax
	}
	p.tick = max(uint64(clock.Hz()/float64(c.PollHz)), 2)
	p.reg = min(max(p.reg, 1), c.RegFrac)
	p.restart(now)
}

// restart begins the virtual clock anew: after a pause that was wanted, as a sleep
// is, no tick was missed.
func (p *poller) restart(now uint64) {
	p.phase, p.pending = 0, 0
	p.next, p.last, p.after = now+p.tick, now, now
	p.control, p.wanted = 0, false
	p.due = p.next
}

// step is called at the end of a turn, at now, once that is due: it goes through the
// ticks that have come, and through the after-poll of the poll that the turn was. It
// reports whether the queues are to be looked after.
func (p *poller) step(now uint64, handlers int) (check bool) {
	if handlers == 0 {
		p.restart(now)
		return false
	}
	served := p.phase == 2 || p.phase == 6 // this turn was a poll that was due
	if served {
		p.phase = 4
		if p.reg--; p.reg <= 0 {
			p.reg, check = p.cfg.RegFrac, true
		}
	}
	for n := 0; p.next <= now; n++ {
		if n == maxTicks {
			lost := (now - p.next) / p.tick
			p.lostPolls += lost + 1
			p.next += (lost + 1) * p.tick
			break
		}
		p.next += p.tick
		p.oneTick(now)
	}
	if served {
		p.afterPoll(now)
	}
	p.due = p.next
	if p.pending > 0 {
		p.due = 0
	}
	return check
}

// oneTick is what the clock interrupt does in kern_poll.c.
func (p *poller) oneTick(now uint64) {
	if now-p.last < p.tick/2 {
		p.shortTicks++
	} else {
		p.last = now
	}
	if p.pending > maxPending {
		p.stalled++
		p.pending, p.phase = 0, 0
	}
	if p.phase <= 2 {
		if p.phase != 0 {
			p.suspect++
		}
		p.phase = 2
	}
	if p.pending > 0 {
		p.lostPolls++
	}
	p.pending++
}

// afterPoll adapts burst and finds out whether another poll is due. What the load is
// to the kernel, the share of polling in the time since the last time is here, and it
// counts only if control work came from outside: a poll core is always busy. If that
// got less than its share, turns become shorter, so that it is looked at more often;
// else longer, so that it gets no more.
func (p *poller) afterPoll(now uint64) {
	elapsed := now - p.after
	if p.wanted && (elapsed-min(p.control, elapsed))*100 > elapsed*uint64(100-p.cfg.UserFrac) {
		p.burst = max(p.burst-1, p.each)
	} else {
		p.burst = min(p.burst+1, p.cfg.BurstMax)
	}
	p.after, p.control, p.wanted = now, 0, false
	if p.pending > 0 {
		p.pending--
	}
	if p.pending == 0 {
		p.phase = 0
		return
	}
	p.burst = max(p.burst-p.burst/8, p.each)
	p.phase = 6
}

// state describes the model.
func (p *poller) state(handlers int) PollState {
	return PollState{
		PollConfig: p.cfg, Burst: p.burst, Phase: p.phase, Handlers: handlers, ResidualBurst: p.residual, PendingPolls: p.pending,
		ShortTicks: p.shortTicks, LostPolls: p.lostPolls, Stalled: p.stalled, Suspect: p.suspect,
	}
}
