package ifnet_test

import (
	"net"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/ifnet"
)

func ptr[T any](v T) *T { return &v }

func TestSetSeveral(t *testing.T) {
	r := newRig(t, 2)
	ifp, d := r.attach("eth0")
	mac := net.HardwareAddr{2, 9, 9, 9, 9, 9}
	all := ifnet.Settings{
		Up: ptr(true), MTU: ptr(9000), Name: ptr("lan"), LLAddr: mac, Metric: ptr(3), Promisc: ptr(true), AllMulti: ptr(true),
		PollCore: ptr(1), CapsOn: ifnet.CapRxChecksum,
	}
	require.NoError(t, r.root.Set(bg, "eth0", all))
	i := r.info(ifp)
	require.Equal(t, []any{"lan", 9000, mac, 3, 1, 1, ifnet.CapRxChecksum}, []any{i.Name, i.MTU, i.MAC, i.Metric, i.PollCore, i.AllMulti, i.CapEnabled})
	want := ifnet.FlagUp | ifnet.FlagPPromisc | ifnet.FlagPromisc | ifnet.FlagAllMulti | ifnet.FlagPolling
	require.Equal(t, want, i.Flags&want)
	n := len(d.calls)
	all.Name, all.Metric = nil, nil
	require.NoError(t, r.root.Set(bg, "lan", all))
	require.Len(t, d.calls, n, "what is so already is not done again")
	require.Equal(t, 1, r.info(ifp).AllMulti)
	require.NoError(t, r.root.Set(bg, "lan", ifnet.Settings{Up: ptr(false), Promisc: ptr(false), AllMulti: ptr(false), Polling: ptr(false), CapsOff: ifnet.CapRxChecksum}))
	i = r.info(ifp)
	require.Zero(t, i.Flags&want)
	require.Equal(t, []any{-1, 0, ifnet.Caps(0)}, []any{i.PollCore, i.AllMulti, i.CapEnabled})
	require.NoError(t, r.root.Set(bg, "lan", ifnet.Settings{Polling: ptr(true)}))
	require.Equal(t, 0, r.info(ifp).PollCore)
}

// Whatever is asked for, and whichever step fails: all of it is done, or nothing is
// changed, and the error tells what was wrong.
func TestSetAllOrNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(quietT{t, rt}, 2)
		defer func() { require.NoError(rt, r.Close()) }()
		ifp, d := r.attach("eth0")
		_, _ = r.attach("taken")
		r.add(ifp, "192.0.2.1/24")
		flag := func(name string) *bool {
			switch rapid.IntRange(0, 2).Draw(rt, name) {
			case 0:
				return nil
			case 1:
				return ptr(false)
			}
			return ptr(true)
		}
		number := func(name string, of ...int) *int {
			if n := rapid.SampledFrom(append(of, -1000)).Draw(rt, name); n != -1000 {
				return &n
			}
			return nil
		}
		draw := func() ifnet.Settings {
			set := ifnet.Settings{
				Up: flag("up"), MTU: number("mtu", 1400, 9000, 7, 1<<30), Metric: number("metric", 1, 2), Promisc: flag("promisc"),
				AllMulti: flag("allmulti"), Polling: flag("polling"), PollCore: number("core", 0, 1, 2, -1),
				CapsOn:  ifnet.Caps(rapid.SampledFrom([]int{0, 1, 2, 16}).Draw(rt, "caps on")),
				CapsOff: ifnet.Caps(rapid.SampledFrom([]int{0, 1, 2}).Draw(rt, "caps off")),
				LLAddr:  rapid.SampledFrom([]net.HardwareAddr{nil, {2, 0, 0, 0, 0, 7}, {1, 0, 0, 0, 0, 7}}).Draw(rt, "lladdr"),
			}
			if n := rapid.SampledFrom([]string{"-", "lan", "taken", "", "a/b"}).Draw(rt, "name"); n != "-" {
				set.Name = &n
			}
			return set
		}
		for range 6 {
			before := r.info(ifp)
			routes := r.routes()
			d.failAt = rapid.IntRange(0, 4).Draw(rt, "fail at")
			err := r.root.Set(bg, before.Name, draw())
			d.failAt = 0
			if slices.ContainsFunc(r.messages, func(m ifnet.Message) bool { return m.Warning }) {
				return // the driver failed on the way back, which is told
			}
			after := r.info(ifp)
			if err != nil {
				var e *ifnet.Error
				require.ErrorAs(rt, err, &e)
				before.LastChange, after.LastChange = ifp0, ifp0
				require.Equal(rt, before, after)
				require.Equal(rt, routes, r.routes())
			}
			require.Equal(rt, after.Flags, r.flags(after.Name), "on every core")
			require.Equal(rt, after.Flags&ifnet.FlagPolling != 0, after.PollCore >= 0)
			require.Equal(rt, after.PollCore >= 0, len(r.polls.on) == 1)
		}
	})
}

var ifp0 = ifnet.Info{}.LastChange

// quietT is a testing.TB whose cleanups are done by hand, since rapid has no Cleanup of
// its own.
type quietT struct {
	testing.TB
	rt *rapid.T
}

func (q quietT) Cleanup(func())            {}
func (q quietT) Errorf(f string, a ...any) { q.rt.Errorf(f, a...) }
func (q quietT) FailNow()                  { q.rt.FailNow() }

func TestSetRefusals(t *testing.T) {
	r := newRig(t, 1)
	_, _ = r.attach("eth0")
	fails(t, r.root.Set(bg, "eth0", ifnet.Settings{Up: ptr(true), MTU: ptr(3)}), syscall.EINVAL, "set", "eth0")
	require.Zero(t, r.flags("eth0")&ifnet.FlagUp)
	// What cannot be taken back is a message.
	r2 := newRig(t, 1)
	_, d := r2.attach("eth0")
	d.failAt, d.failBack = 1, true
	require.ErrorIs(t, r2.root.Set(bg, "eth0", ifnet.Settings{MTU: ptr(1400), Up: ptr(true)}), errDriver)
	require.Len(t, r2.messages, 1)
	require.Contains(t, r2.messages[0].Text, "taking back")
}
