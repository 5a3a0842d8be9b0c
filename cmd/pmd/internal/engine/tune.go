package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
)

// CoreSettings say how the core on a CPU polls, where that differs from the default.
type CoreSettings struct {
	CPU int
	dataplane.PollSettings
}

// String writes them as the command line has them: "2,idle=spin,burst_max=300".
func (s CoreSettings) String() string {
	return strings.Join(append([]string{fmt.Sprint(s.CPU)}, s.words()...), ",")
}

// words writes each setting as KEY=VALUE.
func (s CoreSettings) words() (words []string) {
	for _, k := range []struct {
		key string
		v   *int
	}{
		{"enable", s.Enable}, {"pollhz", s.PollHz}, {"each_burst", s.EachBurst}, {"burst_max", s.BurstMax},
		{"user_frac", s.UserFrac}, {"reg_frac", s.RegFrac},
	} {
		if k.v != nil {
			words = append(words, fmt.Sprintf("%s=%d", k.key, *k.v))
		}
	}
	if s.Idle != nil {
		words = append(words, "idle="+string(*s.Idle))
	}
	return words
}

// tuning is how a worker polls, and what it would be without settings of its own.
type tuning struct{ usual, is dataplane.PollConfig }

// differences returns what it takes to get from one configuration to another.
func differences(from, to dataplane.PollConfig) (s dataplane.PollSettings) {
	for _, k := range []struct {
		a, b int
		to   **int
	}{
		{from.Enable, to.Enable, &s.Enable}, {from.PollHz, to.PollHz, &s.PollHz}, {from.EachBurst, to.EachBurst, &s.EachBurst},
		{from.BurstMax, to.BurstMax, &s.BurstMax}, {from.UserFrac, to.UserFrac, &s.UserFrac}, {from.RegFrac, to.RegFrac, &s.RegFrac},
	} {
		if k.a != k.b {
			*k.to = &k.b
		}
	}
	if from.Idle != to.Idle {
		s.Idle = &to.Idle
	}
	return s
}

// checkTuning tells whether the settings can be made, and each core has them once.
// Which CPUs are polled on is not known yet.
func (c Config) checkTuning() error {
	usual := dataplane.DefaultPollConfig(c.Burst, c.Idle)
	seen := map[int]bool{}
	for _, s := range c.Tuning {
		if seen[s.CPU] {
			return usage.Errorf("core %d is given twice", s.CPU)
		}
		seen[s.CPU] = true
		if _, err := s.Apply(usual); err != nil {
			return usage.Errorf("core %d: %w", s.CPU, err)
		}
	}
	return nil
}

// tuning returns how each worker is to poll, where visits are of this length by
// default.
func (e *Engine) tuning(cfg Config, burst int) ([]tuning, error) {
	usual := dataplane.DefaultPollConfig(burst, cfg.Idle)
	list := slices.Repeat([]tuning{{usual, usual}}, len(e.cores.ids))
	for _, s := range cfg.Tuning {
		w, ok := e.workerOf(s.CPU)
		if !ok {
			return nil, usage.Errorf("core %d: CPU %d is not polled: %s, or name it in --cores and start again", s.CPU, s.CPU, e.pollCPUs())
		}
		is, err := s.Apply(usual)
		if err != nil {
			return nil, usage.Errorf("core %d: %w", s.CPU, err)
		}
		list[w].is = is
	}
	return list, nil
}

// tune plans how cores are to poll, and returns the steps.
func (p *plan) tune(e *Engine, cfg Config) (steps []Step, err error) {
	// Another --burst needs a restart; until then its default is what it is.
	if p.cores, err = e.tuning(cfg, e.burst); err != nil {
		return nil, err
	}
	for w, old := range e.tunings() {
		if next := p.cores[w]; old.is != next.is {
			there, back := differences(old.is, next.is), differences(next.is, old.is)
			steps = append(steps, Step{StepCore, e.coreName(w), coreWords(back), coreWords(there)})
		}
	}
	return steps, nil
}

func coreWords(s dataplane.PollSettings) string {
	return strings.Join(CoreSettings{PollSettings: s}.words(), " ")
}

// retune makes the workers poll so. changeMu is held, or nothing runs yet. If it fails
// half way, what was done is noted.
func (e *Engine) retune(ctx context.Context, to []tuning) error {
	list := slices.Clone(e.tunings())
	defer func() { e.tuned(list) }()
	for w, t := range to {
		if err := e.dp.SetPoll(ctx, w, differences(list[w].is, t.is)); err != nil {
			return err
		}
		list[w] = t
	}
	return nil
}

// tunings returns how the workers poll.
func (e *Engine) tunings() []tuning {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.polls // replaced, never changed
}

// tuned takes over how the workers poll from now on.
func (e *Engine) tuned(list []tuning) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.polls = list
}

// Tuning returns what the cores have been told that is not the default of the
// configuration.
func (e *Engine) Tuning() (list []CoreSettings) {
	for w, t := range e.tunings() {
		id := e.cores.ids[w]
		if id != dataplane.Unpinned && t.usual != t.is {
			list = append(list, CoreSettings{id, differences(t.usual, t.is)})
		}
	}
	return list
}
