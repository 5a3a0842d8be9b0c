package ifnet_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/ifnet"
	"example.org/pmd/queue"
)

// protocols notes what each protocol is told.
func (r *rig) protocols() *[]string {
	var told []string
	for _, fam := range []ifnet.Family{ifnet.FamilyIPv4, ifnet.FamilyIPv6, ifnet.FamilyLink} {
		require.NoError(r.t, r.AttachDomain(bg, ifnet.Domain{
			Family: fam,
			Input: func(op ifnet.ProtoOp, i ifnet.Info, a ifnet.AddrInfo) {
				word := [...]string{"down", "up", "add", "del"}[op]
				told = append(told, fmt.Sprintf("%v %s %v up=%v", fam, word, a.Prefix, i.Flags&ifnet.FlagUp != 0))
			},
			Up: func(i ifnet.Info) { told = append(told, fmt.Sprintf("%v interface up", fam)) },
			MTU: func(i ifnet.Info) {
				told = append(told, fmt.Sprintf("%v mtu %d", fam, i.MTU))
			},
		}))
	}
	return &told
}

// flags returns the flags of an interface, which every core agrees on.
func (r *rig) flags(name string) (flags ifnet.Flags) {
	r.t.Helper()
	first := true
	r.each(func(rep *ifnet.Replica) {
		got := rep.ByName(name).State().Flags
		if first {
			flags, first = got, false
		}
		require.Equal(r.t, flags, got, "core %d", rep.Core())
	})
	return flags
}

func seedUnroute(t *testing.T, r *rig) {
	q, err := queue.NewClassic(10, func([]int) {})
	require.NoError(t, err)
	ifp, d := r.attach("eth0", func(p *ifnet.Params) { p.Queue = q })
	require.NoError(t, r.Up(bg, ifp))
	r.add(ifp, "192.0.2.1/24", "2001:db8::1/64")
	told := r.protocols()
	require.NoError(t, q.Enqueue(1))
	before := r.info(ifp).LastChange
	d.calls = nil
	r.kinds()
	require.NoError(t, r.Unroute(bg, ifp, ifnet.FlagUp, ifnet.FamilyIPv4))
	require.Zero(t, r.flags("eth0")&ifnet.FlagUp)
	require.Equal(t, []string{"inet down 192.0.2.1/24 up=false"}, *told, "that family's addresses, after the flag")
	require.Zero(t, q.Len())
	require.EqualValues(t, 1, q.Purged())
	require.Equal(t, []string{"2001:db8::/64 dev eth0 src 2001:db8::1/64"}, r.routes(), "and their routes")
	require.True(t, r.info(ifp).LastChange.After(before))
	require.Equal(t, []string{"route_del eth0 192.0.2.0/24", "down eth0"}, r.kinds())
	require.Empty(t, d.calls, "the driver is not told here")
	// All families; a flag that is not UP is a change.
	*told = nil
	require.NoError(t, r.Unroute(bg, ifp, ifnet.FlagMulticast, ifnet.FamilyAny))
	require.Zero(t, r.flags("eth0")&ifnet.FlagMulticast)
	require.Len(t, *told, 3)
	require.Equal(t, []string{"route_del eth0 2001:db8::/64", "change eth0"}, r.kinds())
}

func seedRoute(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	r.add(ifp, "192.0.2.1/24", "2001:db8::1/64")
	require.Empty(t, r.routes(), "no routes through an interface that is down")
	told := r.protocols()
	before := r.info(ifp).LastChange
	r.kinds()
	require.NoError(t, r.Route(bg, ifp, ifnet.FlagUp, ifnet.FamilyIPv6))
	require.NotZero(t, r.flags("eth0")&ifnet.FlagUp)
	require.Equal(t, []string{"inet6 up 2001:db8::1/64 up=true", "inet interface up", "inet6 interface up", "link interface up"}, *told)
	require.Equal(t, []string{"2001:db8::/64 dev eth0 src 2001:db8::1/64"}, r.routes())
	require.True(t, r.info(ifp).LastChange.After(before))
	require.Equal(t, []string{"route_add eth0 2001:db8::/64", "up eth0"}, r.kinds())
	require.NoError(t, r.Route(bg, ifp, ifnet.FlagDebug, ifnet.FamilyAny))
	require.Len(t, r.routes(), 2)
	require.Equal(t, []string{"route_add eth0 192.0.2.0/24", "change eth0"}, r.kinds())
}

func seedDown(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	require.NoError(t, r.Up(bg, ifp))
	r.add(ifp, "192.0.2.1/24")
	told := r.protocols()
	waits := r.barrier.waits
	require.NoError(t, r.Down(bg, ifp))
	require.Zero(t, r.flags("eth0")&ifnet.FlagUp)
	require.Len(t, *told, 2, "every family is told")
	require.Equal(t, waits+1, r.barrier.waits, "and then every core has finished its burst")
	require.Empty(t, r.routes())
	require.NoError(t, r.Detach(bg, ifp))
	fails(t, r.Down(bg, ifp), syscall.ENXIO, "take down", "eth0")
	fails(t, r.Down(bg, nil), syscall.ENXIO, "take down", "")
}

func seedUp(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	r.add(ifp, "192.0.2.1/24")
	told := r.protocols()
	require.NoError(t, r.Up(bg, ifp))
	require.NotZero(t, r.flags("eth0")&ifnet.FlagUp)
	require.Len(t, *told, 5, "every family, and then that the interface is up")
	require.Len(t, r.routes(), 1)
}

func seedLinkState(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	r.kinds()
	for _, l := range []ifnet.LinkState{ifnet.LinkUp, ifnet.LinkDown, ifnet.LinkUnknown} {
		require.NoError(t, r.SetLinkState(bg, ifp, l))
		require.Equal(t, l, r.info(ifp).Link)
		e, err := r.events.Next(bg)
		require.NoError(t, err)
		require.Equal(t, ifnet.EventLink, e.Kind)
		require.Equal(t, l.String(), e.Link)
	}
}

func seedSlowTimeout(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	idle, di := r.attach("eth1")
	none, err := r.Attach(bg, ifnet.Params{Name: "eth2", QueueLimit: 1})
	require.NoError(t, err)
	require.NoError(t, r.SetTimer(bg, ifp, 3))
	r.SlowTimeout()
	r.SlowTimeout()
	require.Zero(t, d.dogs)
	r.SlowTimeout()
	require.Equal(t, 1, d.dogs, "after three seconds")
	require.Equal(t, []string{"watchdog"}, d.calls, "with the serializer")
	r.SlowTimeout()
	require.Equal(t, 1, d.dogs, "once")
	// The driver is busy: at the next tick again.
	require.NoError(t, r.SetTimer(bg, ifp, 1))
	d.mu.Lock()
	r.SlowTimeout()
	r.SlowTimeout()
	require.Equal(t, 1, d.dogs)
	require.Equal(t, 1, ifp.Timer())
	d.mu.Unlock()
	d.again = 2
	r.SlowTimeout()
	require.Equal(t, 2, d.dogs)
	require.Equal(t, 2, ifp.Timer(), "what the watchdog asks for")
	require.Zero(t, di.dogs, "nobody set its timer")
	require.NoError(t, r.SetTimer(bg, idle, 0))
	fails(t, r.SetTimer(bg, none, 1), syscall.EOPNOTSUPP, "set timer", "eth2")
	fails(t, r.SetTimer(bg, idle, -1), syscall.EINVAL, "set timer", "eth1")
	require.NoError(t, r.Detach(bg, ifp))
	r.SlowTimeout()
	r.SlowTimeout()
	require.Equal(t, 2, d.dogs)
	closed, err := ifnet.New(ifnet.Config{})
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	closed.SlowTimeout() // has nothing to do any more
}

func seedPollCore(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	core := func() int {
		got, err := r.root.PollCore(bg, "eth0")
		require.NoError(t, err)
		same, err := r.PollCore(bg, ifp)
		require.NoError(t, err)
		require.Equal(t, got, same)
		return got
	}
	require.Equal(t, -1, core())
	last := r.Cores() - 1
	require.NoError(t, r.root.SetPollCore(bg, "eth0", last), "also begins polling")
	require.Equal(t, last, core())
	require.NotZero(t, r.flags("eth0")&ifnet.FlagPolling)
	require.Equal(t, []string{fmt.Sprintf("register eth0 %d", last)}, r.polls.calls)
	require.NoError(t, r.root.SetPollCore(bg, "eth0", 0), "moves")
	require.NoError(t, r.root.SetPollCore(bg, "eth0", 0))
	require.Zero(t, core())
	if last > 0 {
		require.Equal(t, "move eth0 0", r.polls.calls[len(r.polls.calls)-1])
		r.polls.err = errDriver
		err := r.root.SetPollCore(bg, "eth0", last)
		require.ErrorIs(t, err, errDriver)
		require.ErrorIs(t, err, syscall.EIO)
		require.Zero(t, core(), "where it was")
	}
	for _, bad := range []int{-1, r.Cores(), 1 << 30} {
		fails(t, r.root.SetPollCore(bg, "eth0", bad), syscall.EINVAL, "set poll core", "eth0")
	}
	fails(t, r.As(ifnet.Cred{}).SetPollCore(bg, "eth0", 0), syscall.EPERM, "set poll core", "eth0")
	r.polls.err = syscall.EBUSY
	fails(t, r.root.SetFlags(bg, "eth0", 0), syscall.EBUSY, "set flags", "eth0")
	require.NotZero(t, r.flags("eth0")&ifnet.FlagPolling, "goes on")
	r.polls.err = nil
	require.NoError(t, r.root.SetFlags(bg, "eth0", 0))
	require.Equal(t, -1, core())
	require.Zero(t, r.flags("eth0")&ifnet.FlagPolling)
	require.Empty(t, r.polls.on)
	r.polls.err = errDriver
	require.ErrorIs(t, r.root.SetPollCore(bg, "eth0", 0), errDriver)
	require.Equal(t, -1, core())
	r.polls.err = nil
	require.NoError(t, r.root.SetFlags(bg, "eth0", ifnet.FlagPolling), "on a core that is chosen")
	require.Zero(t, core())

	without := newRig(t, r.Cores(), func(c *ifnet.Config) { c.Polling = nil })
	ifp2, _ := without.attach("eth0")
	fails(t, without.root.SetPollCore(bg, "eth0", 0), syscall.EOPNOTSUPP, "set poll core", "eth0")
	_ = ifp2
	none := newRig(t, 0)
	_, _ = none.attach("eth0")
	fails(t, none.root.SetPollCore(bg, "eth0", 0), syscall.EINVAL, "set poll core", "eth0")
}

func seedAddrInit(t *testing.T, r *rig) {
	// Every core has a replica of its own, and gets at it on that core.
	seen := map[*ifnet.Replica]bool{}
	next := 0
	r.Bind(func(core int, rep *ifnet.Replica) {
		require.Equal(t, next, core)
		require.Equal(t, core, rep.Core())
		require.Same(t, r.Replica(core), rep)
		require.Same(t, r.tables[core], rep.Routes())
		seen[rep] = true
		next++
	})
	require.Len(t, seen, r.Cores())
	// Bad configurations.
	for _, kind := range []string{"", "ring0", "Ring", "averyverylongkind"} {
		_, err := ifnet.New(ifnet.Config{Cloners: []ifnet.Cloner{{Kind: kind, Create: noClone}}})
		require.Error(t, err, kind)
	}
	_, err := ifnet.New(ifnet.Config{Cores: negative{}})
	require.Error(t, err)
	// None of the defaults fails.
	s, err := ifnet.New(ifnet.Config{Domains: []ifnet.Domain{{}}})
	require.NoError(t, err)
	_, err = s.Attach(bg, ifnet.Params{Name: "eth0", QueueLimit: 1})
	require.NoError(t, err)
	require.NoError(t, s.AddAddr(bg, mustLookup(t, s, "eth0"), spec("192.0.2.1/24")))
	require.NoError(t, s.Down(bg, mustLookup(t, s, "eth0")))
	require.NoError(t, s.Close())
}

type negative struct{}

func (negative) Len() int        { return -1 }
func (negative) Round(func(int)) {}

func mustLookup(t testing.TB, s *ifnet.System, name string) *ifnet.Interface {
	ifp, err := s.Lookup(bg, name)
	require.NoError(t, err)
	return ifp
}
