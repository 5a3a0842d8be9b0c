package dataplane

import (
	"context"
	"fmt"
)

// PollSettings are changes to a PollConfig; what is nil stays as it is.
type PollSettings struct {
	Enable    *int  `json:"enable,omitempty"`
	PollHz    *int  `json:"pollhz,omitempty"`
	EachBurst *int  `json:"each_burst,omitempty"`
	BurstMax  *int  `json:"burst_max,omitempty"`
	UserFrac  *int  `json:"user_frac,omitempty"`
	RegFrac   *int  `json:"reg_frac,omitempty"`
	Idle      *Idle `json:"idle,omitempty"`
}

// Apply returns c with the changes made. The error names the key and its range; it
// is about the whole, so that keys which bound each other can change together.
func (s PollSettings) Apply(c PollConfig) (PollConfig, error) {
	for _, k := range []struct {
		to   *int
		from *int
	}{
		{&c.Enable, s.Enable}, {&c.PollHz, s.PollHz}, {&c.EachBurst, s.EachBurst}, {&c.BurstMax, s.BurstMax},
		{&c.UserFrac, s.UserFrac}, {&c.RegFrac, s.RegFrac},
	} {
		if k.from != nil {
			*k.to = *k.from
		}
	}
	if s.Idle != nil {
		c.Idle = *s.Idle
	}
	return c, c.Validate()
}

// SetPoll changes the tunables of a core, between two of its turns. If one would be out
// of range nothing changes. The statistics go on.
func (d *Dataplane) SetPoll(ctx context.Context, worker int, s PollSettings) error {
	var bad error
	err := d.Do(ctx, worker, func(w *Worker) {
		var c PollConfig
		if c, bad = s.Apply(w.poll.cfg); bad != nil {
			return
		}
		w.poll.set(c, w.clock, w.clock.Now())
		w.sleep.setIdle(c.Idle, w.clock)
		w.register()
	})
	if err != nil {
		return err
	}
	if bad != nil {
		return fmt.Errorf("dataplane: worker %d: %w", worker, bad)
	}
	return nil
}
