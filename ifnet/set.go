package ifnet

import (
	"context"
	"net"
)

// Settings are several changes of one interface. A nil pointer, or a zero value of the
// other fields, leaves a thing as it is.
type Settings struct {
	// Up takes the interface up or down.
	Up *bool
	// MTU is in bytes.
	MTU *int
	// Name is the new name.
	Name *string
	// LLAddr is the new link-level address.
	LLAddr net.HardwareAddr
	// Metric is for routing protocols.
	Metric *int
	// Promisc makes the interface promiscuous for good, FlagPPromisc.
	Promisc *bool
	// AllMulti asks for all multicast frames, or takes that back. However often it
	// is asked for here it counts once.
	AllMulti *bool
	// Polling begins polling, on a core that is chosen for it, or ends it.
	Polling *bool
	// PollCore is the core that is to poll the interface.
	PollCore *int
	// CapsOn and CapsOff are capabilities to be turned on and off.
	CapsOn, CapsOff Caps
}

// Validate tells what is wrong with the settings whatever the interface: an MTU beyond MinMTU
// to MaxMTU, or a link-level address that is no station's.
func (set Settings) Validate() error {
	if set.MTU != nil && (*set.MTU < MinMTU || *set.MTU > MaxMTU) {
		return mtuFailure(*set.MTU).as("set", "")
	}
	if set.LLAddr != nil {
		return checkStation(set.LLAddr).as("set", "")
	}
	return nil
}

// step is one change, and how to take it back.
type step struct {
	want bool
	do   func() *failure
	undo func() *failure
}

// Set makes several changes, all or nothing: if one fails those before it are taken back,
// and the error tells which it was. They are made in an order that works whatever they
// are: down first, up last, and the name at the end.
func (c *Control) Set(ctx context.Context, name string, set Settings) error {
	return c.change(ctx, "set", name, func(ifp *Interface) *failure {
		steps := c.sys.steps(ifp, set)
		for i, st := range steps {
			if !st.want {
				continue
			}
			f := st.do()
			if f == nil {
				continue
			}
			for _, done := range backwards(steps[:i]) {
				if done.want {
					if g := done.undo(); g != nil {
						c.sys.message(ifp.state.Name, true, "taking back: %v", g.as("set", ifp.state.Name))
					}
				}
			}
			return f
		}
		return nil
	})
}

func backwards(steps []step) (out []step) {
	for i := len(steps) - 1; i >= 0; i-- {
		out = append(out, steps[i])
	}
	return out
}

// steps returns the changes in order. What they undo to is read when they are made, from
// what is the case then.
func (s *System) steps(ifp *Interface, set Settings) []step {
	flag := func(want bool, bit Flags, on bool) step {
		return step{want, func() *failure { return s.setFlag(ifp, bit, on) }, func() *failure { return s.setFlag(ifp, bit, !on) }}
	}
	old, caps, metric, core := ifp.state, ifp.capsOn, ifp.metric, ifp.pollCore
	return []step{
		flag(set.Up != nil && !*set.Up && old.Up(), FlagUp, false),
		{set.MTU != nil && *set.MTU != old.MTU,
			func() *failure { return s.setMTU(ifp, *set.MTU) }, func() *failure { return s.setMTU(ifp, old.MTU) }},
		{set.LLAddr != nil && set.LLAddr.String() != old.MAC.String(),
			func() *failure { return s.setLLAddr(ifp, set.LLAddr) }, func() *failure { return s.setLLAddr(ifp, old.MAC) }},
		{(set.CapsOn|set.CapsOff) != 0 && (caps|set.CapsOn)&^set.CapsOff != caps,
			func() *failure { return s.setCaps(ifp, (caps|set.CapsOn)&^set.CapsOff) }, func() *failure { return s.setCaps(ifp, caps) }},
		{set.Metric != nil,
			func() *failure { return s.setMetric(ifp, *set.Metric) }, func() *failure { return s.setMetric(ifp, metric) }},
		flag(set.Promisc != nil && *set.Promisc != (old.Flags&FlagPPromisc != 0), FlagPPromisc, set.Promisc != nil && *set.Promisc),
		{set.AllMulti != nil && *set.AllMulti != ifp.ownAllMulti,
			func() *failure { return s.voteAllMulti(ifp, *set.AllMulti) }, func() *failure { return s.voteAllMulti(ifp, !*set.AllMulti) }},
		{set.Polling != nil && *set.Polling != (old.Flags&FlagPolling != 0) && (set.PollCore == nil || !*set.Polling),
			func() *failure { return s.setPolling(ifp, *set.Polling) }, func() *failure { return s.pollAsBefore(ifp, core) }},
		{set.PollCore != nil && (set.Polling == nil || *set.Polling),
			func() *failure { return s.setPollCore(ifp, *set.PollCore) }, func() *failure { return s.pollAsBefore(ifp, core) }},
		flag(set.Up != nil && *set.Up && !old.Up(), FlagUp, true),
		{set.Name != nil && *set.Name != old.Name,
			func() *failure { return s.rename(ifp, *set.Name) }, func() *failure { return s.rename(ifp, old.Name) }},
	}
}

// setFlag sets or clears one flag as SetFlags does.
func (s *System) setFlag(ifp *Interface, bit Flags, on bool) *failure {
	flags := ifp.state.Flags &^ bit
	if on {
		flags |= bit
	}
	return s.setFlags(ifp, flags)
}

// voteAllMulti is an AllMulti that counts once.
func (s *System) voteAllMulti(ifp *Interface, on bool) *failure {
	f := s.setAllMulti(ifp, on)
	if f == nil {
		ifp.ownAllMulti = on
	}
	return f
}

// pollAsBefore polls on that core, or not at all.
func (s *System) pollAsBefore(ifp *Interface, core int) *failure {
	if core == NotPolled {
		return s.setPolling(ifp, false)
	}
	return s.setPollCore(ifp, core)
}
