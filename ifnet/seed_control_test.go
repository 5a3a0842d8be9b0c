package ifnet_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/ifnet"
)

func noClone(context.Context, int, map[string]string) (ifnet.Params, error) {
	return ifnet.Params{QueueLimit: 1}, nil
}

func seedIoctl(t *testing.T, r *rig) {
	_, _ = r.attach("eth0")
	user := r.As(ifnet.Cred{Name: "uid 1000"})
	_, err := user.Flags(bg, "eth0")
	require.NoError(t, err, "anybody may look")
	_, err = user.Flags(bg, "eth9")
	fails(t, err, syscall.ENXIO, "get flags", "eth9")
	// Every call that changes something: EPERM for who may not, ENXIO for what is not there.
	calls := map[string]func(c *ifnet.Control, name string) error{
		"set flags":              func(c *ifnet.Control, n string) error { return c.SetFlags(bg, n, 0) },
		"set capabilities":       func(c *ifnet.Control, n string) error { return c.SetCaps(bg, n, 0) },
		"set metric":             func(c *ifnet.Control, n string) error { return c.SetMetric(bg, n, 1) },
		"set mtu":                func(c *ifnet.Control, n string) error { return c.SetMTU(bg, n, 1400) },
		"set physical connector": func(c *ifnet.Control, n string) error { return c.SetPhys(bg, n, 1) },
		"set media":              func(c *ifnet.Control, n string) error { return c.SetMedia(bg, n, "x") },
		"set generic":            func(c *ifnet.Control, n string) error { return c.SetGeneric(bg, n, nil) },
		"set tunnel":             func(c *ifnet.Control, n string) error { return c.SetTunnel(bg, n, netip.Addr{}, netip.Addr{}) },
		"set poll core":          func(c *ifnet.Control, n string) error { return c.SetPollCore(bg, n, 0) },
		"rename":                 func(c *ifnet.Control, n string) error { return c.Rename(bg, n, "eth5") },
		"set link-level address": func(c *ifnet.Control, n string) error { return c.SetLLAddr(bg, n, nil) },
		"add group":              func(c *ifnet.Control, n string) error { return c.AddMulti(bg, n, ifnet.Group{}) },
		"delete group":           func(c *ifnet.Control, n string) error { return c.DelMulti(bg, n, ifnet.Group{}) },
		"join group":             func(c *ifnet.Control, n string) error { return c.Join(bg, n, ifnet.Group{}) },
		"leave group":            func(c *ifnet.Control, n string) error { return c.Leave(bg, n, ifnet.Group{}) },
		"destroy":                func(c *ifnet.Control, n string) error { return c.Destroy(bg, n) },
		"add address":            func(c *ifnet.Control, n string) error { return c.AddAddr(bg, n, ifnet.AddrSpec{}) },
		"delete address":         func(c *ifnet.Control, n string) error { return c.DelAddr(bg, n, netip.Addr{}) },
		"change address":         func(c *ifnet.Control, n string) error { return c.ChangeAddr(bg, n, netip.Addr{}, ifnet.AddrSpec{}) },
		"set":                    func(c *ifnet.Control, n string) error { return c.Set(bg, n, ifnet.Settings{}) },
	}
	for call, fn := range calls {
		r.messages = nil
		fails(t, fn(user, "eth0"), syscall.EPERM, call, "eth0")
		require.Equal(t, []ifnet.Message{{Interface: "eth0", Warning: true, Text: call + " was refused: uid 1000 may not change interfaces"}}, r.messages)
		fails(t, fn(user, "eth9"), syscall.ENXIO, call, "eth9")
		fails(t, fn(r.root, "eth9"), syscall.ENXIO, call, "eth9")
	}
	fails(t, r.As(ifnet.Cred{}).SetMetric(bg, "eth0", 1), syscall.EPERM, "set metric", "eth0")
	require.NoError(t, r.root.SetMetric(bg, "eth0", 1))
}

func seedConf(t *testing.T, r *rig) {
	eth, _ := r.attach("eth0")
	_, _ = r.attach("eth1")
	r.add(eth, "192.0.2.1/24", "2001:db8::1/64")
	all := make([]ifnet.ConfEntry, 10)
	n, total, err := r.root.Conf(bg, all)
	require.NoError(t, err)
	require.Equal(t, []int{4, 4}, []int{n, total})
	var lines []string
	for _, e := range all[:n] {
		lines = append(lines, fmt.Sprint(e.Interface, " ", e.Family))
	}
	require.Equal(t, []string{"eth0 link", "eth0 inet", "eth0 inet6", "eth1 link"}, lines)
	require.Equal(t, "eth1", all[3].Link.Name)
	require.Equal(t, "192.0.2.1/24", all[1].Address.Prefix.String())
	// Never more than there is room for, and nothing behind it is touched.
	small := make([]ifnet.ConfEntry, 4)
	small[2].Interface = "untouched"
	n, total, err = r.root.Conf(bg, small[:2])
	require.NoError(t, err)
	require.Equal(t, []int{2, 4}, []int{n, total})
	require.Equal(t, "untouched", small[2].Interface)
	n, _, err = r.root.Conf(bg, nil)
	require.NoError(t, err)
	require.Zero(t, n)
	// One without any address is still listed, once: as it goes, when its link-level
	// address is gone already.
	var during []ifnet.ConfEntry
	require.NoError(t, r.AttachDomain(bg, ifnet.Domain{Purge: func(ifnet.Info) {
		during = r.ConfInTurn()
	}}))
	require.NoError(t, r.Detach(bg, eth))
	require.Equal(t, []ifnet.ConfEntry{{Interface: "eth0"}, {Interface: "eth1", Family: ifnet.FamilyLink, Link: during[1].Link}}, during)
	_, err = r.Interfaces(bg)
	require.NoError(t, err)
}

func seedCreate(t *testing.T, r *rig) {
	var made, gone []string
	var fail error
	wrong := false
	kinds := []ifnet.Cloner{
		{Kind: "null", Doc: "a source and sink", Create: noClone},
		{Kind: "ring", Doc: "a pair", Create: func(_ context.Context, unit int, params map[string]string) (ifnet.Params, error) {
			made = append(made, fmt.Sprint(unit, params))
			mtu := 0
			if wrong {
				mtu = 1
			}
			return ifnet.Params{QueueLimit: 1, MTU: mtu}, fail
		}, Destroy: func(i ifnet.Info) error { gone = append(gone, i.Name); return fail }},
	}
	r2 := newRig(t, 2, func(c *ifnet.Config) { c.Cloners = kinds })
	name, err := r2.root.Create(bg, "ring", nil)
	require.NoError(t, err)
	require.Equal(t, "ring0", name)
	name, err = r2.root.Create(bg, "ring2", map[string]string{"a": "b"})
	require.NoError(t, err)
	require.Equal(t, "ring2", name)
	name, err = r2.root.Create(bg, "ring", nil)
	require.NoError(t, err)
	require.Equal(t, "ring1", name, "the first that is free")
	require.Equal(t, []string{"0 map[]", "2 map[a:b]", "1 map[]"}, made)
	list, err := r2.root.Kinds(bg)
	require.NoError(t, err)
	require.Equal(t, []ifnet.Kind{{Name: "null", Doc: "a source and sink"}, {Name: "ring", Doc: "a pair", Units: []int{0, 1, 2}}}, list)
	require.Equal(t, "ring", mustInfo(t, r2, "ring1").Driver)
	for bad, errno := range map[string]syscall.Errno{
		"ring1": syscall.EEXIST, "sock": syscall.EINVAL, "sock1": syscall.EINVAL, "": syscall.EINVAL, "ring01": syscall.EINVAL,
		"ring99999": syscall.EINVAL, "7": syscall.EINVAL, "ring 1": syscall.EINVAL, strings.Repeat("r", 99): syscall.ENAMETOOLONG,
	} {
		_, err := r2.root.Create(bg, bad, nil)
		fails(t, err, errno, "create", bad)
	}
	_, err = r2.As(ifnet.Cred{}).Create(bg, "ring", nil)
	fails(t, err, syscall.EPERM, "create", "ring")
	// A name that another interface has is not made.
	_, _ = r2.attach("ring7")
	_, err = r2.root.Create(bg, "ring7", nil)
	fails(t, err, syscall.EEXIST, "create", "ring7")
	fails(t, r2.root.Destroy(bg, "ring7"), syscall.EINVAL, "destroy", "ring7")
	// Renamed, it is still the kind's.
	require.NoError(t, r2.root.Rename(bg, "ring1", "lan"))
	require.NoError(t, r2.root.Destroy(bg, "lan"))
	require.Equal(t, []string{"lan"}, gone)
	fails(t, r2.root.Destroy(bg, "lan"), syscall.ENXIO, "destroy", "lan")
	name, err = r2.root.Create(bg, "ring", nil)
	require.NoError(t, err)
	require.Equal(t, "ring1", name, "its unit was free again")
	// A device that cannot be made, or be an interface, leaves nothing behind.
	fail = errDriver
	_, err = r2.root.Create(bg, "ring", nil)
	require.ErrorIs(t, err, errDriver)
	require.ErrorIs(t, err, syscall.EIO)
	fail, wrong, gone = nil, true, nil
	_, err = r2.root.Create(bg, "ring", nil)
	fails(t, err, syscall.EINVAL, "create", "ring")
	require.Equal(t, []string{"ring3"}, gone)
	wrong, fail = false, errDriver
	require.ErrorIs(t, r2.root.Destroy(bg, "ring0"), errDriver)
	fails(t, r2.root.Destroy(bg, "ring0"), syscall.ENXIO, "destroy", "ring0")
	fail = nil
	_, err = r2.root.Create(bg, "null", nil)
	require.NoError(t, err)
	require.NoError(t, r2.root.Destroy(bg, "null0"))
	_, err = r2.Lookup(bg, "null0")
	require.ErrorIs(t, err, syscall.ENXIO)
	// Every unit.
	full := newRig(t, 0, func(c *ifnet.Config) { c.Cloners = kinds; c.Routes = nil })
	full.UseAllUnits("null")
	_, err = full.root.Create(bg, "null", nil)
	fails(t, err, syscall.ENOSPC, "create", "null")
}

func mustInfo(t testing.TB, r *rig, name string) ifnet.Info {
	t.Helper()
	i, err := r.root.Info(bg, name)
	require.NoError(t, err)
	return i
}

func seedFlags(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	_ = ifp
	before := r.flags("eth0")
	r.kinds()
	require.NoError(t, r.root.SetFlags(bg, "eth0", ifnet.FlagUp|ifnet.FlagDebug|ifnet.FlagPointopoint|ifnet.FlagRunning))
	got, err := r.root.Flags(bg, "eth0")
	require.NoError(t, err)
	require.Equal(t, before|ifnet.FlagUp|ifnet.FlagDebug, got, "only what can be changed")
	require.Equal(t, got, r.flags("eth0"))
	require.Equal(t, []string{"flags " + got.String()}, d.calls, "the driver is told, with the serializer")
	require.Equal(t, []string{"up eth0", "change eth0"}, r.kinds())
	// Promiscuous for good.
	require.NoError(t, r.root.SetFlags(bg, "eth0", got|ifnet.FlagPPromisc))
	require.NotZero(t, r.flags("eth0")&ifnet.FlagPromisc)
	require.NoError(t, r.root.SetFlags(bg, "eth0", got))
	require.Zero(t, r.flags("eth0")&(ifnet.FlagPromisc|ifnet.FlagPPromisc))
	require.NoError(t, r.Promisc(bg, ifp, true))
	require.NoError(t, r.root.SetFlags(bg, "eth0", got))
	require.NotZero(t, r.flags("eth0")&ifnet.FlagPromisc, "somebody has asked for it")
	// Polling's edges.
	require.NoError(t, r.root.SetFlags(bg, "eth0", got|ifnet.FlagPolling))
	require.Equal(t, map[int]int{1: 0}, r.polls.on)
	require.NoError(t, r.root.SetFlags(bg, "eth0", got))
	require.Empty(t, r.polls.on)
	// Down: the driver last, then what was queued until then goes too.
	waits := r.barrier.waits
	require.NoError(t, r.root.SetFlags(bg, "eth0", 0))
	require.Equal(t, waits+2, r.barrier.waits)
	require.Zero(t, r.flags("eth0")&ifnet.FlagUp)
	// A driver that fails: all is as it was.
	was := r.flags("eth0")
	d.err = syscall.EBUSY
	fails(t, r.root.SetFlags(bg, "eth0", ifnet.FlagUp|ifnet.FlagPolling), syscall.EBUSY, "set flags", "eth0")
	require.Equal(t, was, r.flags("eth0"))
	require.Empty(t, r.polls.on)
	d.err = nil
	require.NoError(t, r.root.SetFlags(bg, "eth0", ifnet.FlagUp))
	d.err = errDriver
	require.ErrorIs(t, r.root.SetFlags(bg, "eth0", ifnet.FlagPolling), syscall.EIO)
	require.NotZero(t, r.flags("eth0")&ifnet.FlagUp)
	d.err = nil
	// Polling that fails, and going back fails too: a message.
	require.NoError(t, r.root.SetFlags(bg, "eth0", ifnet.FlagUp|ifnet.FlagPolling))
	d.err, r.polls.err, r.messages = errDriver, errDriver, nil
	require.ErrorIs(t, r.root.SetFlags(bg, "eth0", 0), errDriver)
	require.NotZero(t, r.flags("eth0")&ifnet.FlagPolling)
	d.err, r.polls.err = nil, nil
	d.calls = nil
	r.FailPollOnce(r.polls, d)
	fails(t, r.root.SetFlags(bg, "eth0", 1<<31), syscall.EINVAL, "set flags", "eth0")
	// A smart driver manages its own.
	smart, ds := r.attach("eth1", func(p *ifnet.Params) { p.Flags = ifnet.FlagSmart })
	r.add(smart, "192.0.2.1/24")
	r.kinds()
	require.NoError(t, r.root.SetFlags(bg, "eth1", ifnet.FlagUp))
	require.NotZero(t, r.flags("eth1")&ifnet.FlagUp)
	require.Len(t, ds.flags, 1)
	require.Empty(t, r.kinds(), "no routes, no announcement")
}

// FailPollOnce makes the driver fail while the registration refuses to take the interface
// back: what cannot be undone is a message.
func (r *rig) FailPollOnce(p *polls, d *driver) {
	require.NoError(r.t, r.root.SetFlags(bg, "eth0", ifnet.FlagUp|ifnet.FlagPolling))
	r.messages = nil
	d.err = errDriver
	p.refuse = true
	require.ErrorIs(r.t, r.root.SetFlags(bg, "eth0", ifnet.FlagUp), errDriver)
	require.Len(r.t, r.messages, 1)
	require.Contains(r.t, r.messages[0].Text, "and back")
	p.refuse, d.err = false, nil
}

func seedCaps(t *testing.T, r *rig) {
	_, d := r.attach("eth0")
	require.NoError(t, r.root.SetCaps(bg, "eth0", ifnet.CapRxChecksum))
	offered, on, err := r.root.Caps(bg, "eth0")
	require.NoError(t, err)
	require.Equal(t, ifnet.CapRxChecksum|ifnet.CapTxChecksum, offered)
	require.Equal(t, ifnet.CapRxChecksum, on)
	require.Equal(t, []string{"caps RXCSUM"}, d.calls)
	fails(t, r.root.SetCaps(bg, "eth0", ifnet.CapVLANTag), syscall.EINVAL, "set capabilities", "eth0")
	d.err = errDriver
	require.ErrorIs(t, r.root.SetCaps(bg, "eth0", 0), errDriver)
	_, on, err = r.root.Caps(bg, "eth0")
	require.NoError(t, err)
	require.Equal(t, ifnet.CapRxChecksum, on)
	_, err = r.Attach(bg, ifnet.Params{Name: "eth1", QueueLimit: 1})
	require.NoError(t, err)
	fails(t, r.root.SetCaps(bg, "eth1", 0), syscall.EOPNOTSUPP, "set capabilities", "eth1")
}

func seedMetric(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	before := r.info(ifp).LastChange
	require.NoError(t, r.root.SetMetric(bg, "eth0", -7))
	got, err := r.root.Metric(bg, "eth0")
	require.NoError(t, err)
	require.Equal(t, -7, got)
	require.True(t, r.info(ifp).LastChange.After(before))
}

func seedPhys(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	before := r.info(ifp).LastChange
	require.NoError(t, r.root.SetPhys(bg, "eth0", 3))
	got, err := r.root.Phys(bg, "eth0")
	require.NoError(t, err)
	require.EqualValues(t, 3, got)
	require.Equal(t, []string{"phys 3"}, d.calls)
	require.True(t, r.info(ifp).LastChange.After(before))
	d.err = syscall.ENODEV
	fails(t, r.root.SetPhys(bg, "eth0", 4), syscall.ENODEV, "set physical connector", "eth0")
	got, err = r.root.Phys(bg, "eth0")
	require.NoError(t, err)
	require.EqualValues(t, 3, got)
	r.powerless()
	fails(t, r.root.SetPhys(bg, "none", 4), syscall.EOPNOTSUPP, "set physical connector", "none")
}

// powerless attaches an interface whose driver can do nothing.
func (r *rig) powerless() {
	_, err := r.Attach(bg, ifnet.Params{Name: "none", QueueLimit: 1})
	require.NoError(r.t, err)
}

func seedMedia(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	before := r.info(ifp).LastChange
	require.NoError(t, r.root.SetMedia(bg, "eth0", "10baseT"))
	require.True(t, r.info(ifp).LastChange.After(before))
	got, err := r.root.Media(bg, "eth0")
	require.NoError(t, err)
	require.Equal(t, "10baseT", got)
	require.Equal(t, []string{"media 10baseT", "media?"}, d.calls)
	d.err = errDriver
	require.ErrorIs(t, r.root.SetMedia(bg, "eth0", "x"), errDriver)
	r.powerless()
	fails(t, r.root.SetMedia(bg, "none", "x"), syscall.EOPNOTSUPP, "set media", "none")
	_, err = r.root.Media(bg, "none")
	fails(t, err, syscall.EOPNOTSUPP, "get media", "none")
}

func seedGeneric(t *testing.T, r *rig) {
	_, d := r.attach("eth0")
	require.NoError(t, r.root.SetGeneric(bg, "eth0", []byte("blink")))
	got, err := r.root.Generic(bg, "eth0")
	require.NoError(t, err)
	require.Equal(t, "blink", string(got))
	require.Equal(t, []string{"generic blink", "generic?"}, d.calls)
	r.powerless()
	fails(t, r.root.SetGeneric(bg, "none", nil), syscall.EOPNOTSUPP, "set generic", "none")
	_, err = r.root.Generic(bg, "none")
	fails(t, err, syscall.EOPNOTSUPP, "get generic", "none")
}

func seedStatus(t *testing.T, r *rig) {
	_, d := r.attach("eth0")
	got, err := r.root.Status(bg, "eth0")
	require.NoError(t, err)
	require.Equal(t, "fine\n", got)
	require.Equal(t, []string{"status?"}, d.calls)
	d.err = errDriver
	_, err = r.root.Status(bg, "eth0")
	require.ErrorIs(t, err, errDriver)
	r.powerless()
	_, err = r.root.Status(bg, "none")
	fails(t, err, syscall.EOPNOTSUPP, "get status", "none")
}

func seedTunnel(t *testing.T, r *rig) {
	_, _ = r.attach("gif0", p2p)
	for _, pair := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
		src, dst := netip.MustParseAddr(pair[0]), netip.MustParseAddr(pair[1])
		require.NoError(t, r.root.SetTunnel(bg, "gif0", src, dst))
		gotSrc, gotDst, err := r.root.Tunnel(bg, "gif0")
		require.NoError(t, err)
		require.Equal(t, []netip.Addr{src, dst}, []netip.Addr{gotSrc, gotDst})
	}
	err := r.root.SetTunnel(bg, "gif0", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::2"))
	fails(t, err, syscall.EINVAL, "set tunnel", "gif0")
	require.NoError(t, r.root.SetTunnel(bg, "gif0", netip.Addr{}, netip.Addr{}))
	src, _, err := r.root.Tunnel(bg, "gif0")
	require.NoError(t, err)
	require.False(t, src.IsValid())
	r.powerless()
	fails(t, r.root.SetTunnel(bg, "none", netip.Addr{}, netip.Addr{}), syscall.EOPNOTSUPP, "set tunnel", "none")
	_, _, err = r.root.Tunnel(bg, "none")
	fails(t, err, syscall.EOPNOTSUPP, "get tunnel", "none")
}

func seedRename(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	_, _ = r.attach("eth1")
	r.add(ifp, "192.0.2.1/24")
	require.NoError(t, r.Up(bg, ifp))
	require.NoError(t, r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.MustParsePrefix("2001:db8::/32"), Interface: "eth0"}))
	r.told = nil
	r.kinds()
	rounds := r.cores.rounds
	var held *ifnet.Address
	r.Own(func(rep *ifnet.Replica) { held = firstOf(rep.ByName("eth0")).Address() })
	require.NoError(t, r.root.Rename(bg, "eth0", "lan"))
	require.Equal(t, 3, r.cores.rounds-rounds, "replace, find routes another address, destroy")
	require.Equal(t, []string{"detach eth0", "attach lan"}, r.told)
	require.Equal(t, []string{"detach eth0", "rename lan eth0", "attach lan"}, r.kinds())
	require.Equal(t, []string{"lan#1 02:00:00:00:00:01", "192.0.2.1/24"}, r.lists("lan"), "at the head of every list")
	require.Equal(t, "eth0", held.Link().Name, "what somebody may still look at is not written to")
	require.True(t, ifnet.Freed(held))
	require.Equal(t, "lan lan#1 02:00:00:00:00:01", r.found(func(rep *ifnet.Replica) *ifnet.Container {
		return rep.WithNetLink(ifnet.LinkAddr{Name: "lan"})
	}), "and so is the mask")
	require.Contains(t, r.routes(), "2001:db8::/32 dev lan src lan#1 02:00:00:00:00:01")
	// The last on its list, too.
	require.NoError(t, r.root.Rename(bg, "eth1", "wan"))
	require.Equal(t, []string{"wan#2 02:00:00:00:00:02"}, r.lists("wan"))
	for bad, errno := range map[string]syscall.Errno{
		"": syscall.EINVAL, "lan": syscall.EEXIST, "wan": syscall.EEXIST, strings.Repeat("x", 16): syscall.ENAMETOOLONG, "a/b": syscall.EINVAL,
		"a b": syscall.EINVAL, "..": syscall.EINVAL, "a%b": syscall.EINVAL, "é": syscall.EINVAL, "a\x00": syscall.EINVAL,
	} {
		fails(t, r.root.Rename(bg, "lan", bad), errno, "rename", "lan")
	}
	require.NoError(t, r.root.Rename(bg, "lan", strings.Repeat("x", 15)))
}

func seedMTU(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	told := r.protocols()
	before := r.info(ifp).LastChange
	r.kinds()
	require.NoError(t, r.root.SetMTU(bg, "eth0", 9000))
	got, err := r.root.MTU(bg, "eth0")
	require.NoError(t, err)
	require.Equal(t, 9000, got)
	require.Equal(t, 9000, d.mtu)
	r.each(func(rep *ifnet.Replica) { require.Equal(t, 9000, rep.ByName("eth0").State().MTU) })
	require.Equal(t, []string{"inet mtu 9000", "inet6 mtu 9000", "link mtu 9000"}, *told)
	require.Equal(t, []string{"change eth0"}, r.kinds())
	require.True(t, r.info(ifp).LastChange.After(before))
	*told = nil
	require.NoError(t, r.root.SetMTU(bg, "eth0", 9000))
	require.Empty(t, *told, "it is not another one")
	require.Equal(t, []string{"change eth0"}, r.kinds())
	for _, bad := range []int{71, 65536, 0, -1, 1_000_000_000} {
		fails(t, r.root.SetMTU(bg, "eth0", bad), syscall.EINVAL, "set mtu", "eth0")
	}
	for _, edge := range []int{72, 65535} {
		require.NoError(t, r.root.SetMTU(bg, "eth0", edge))
	}
	d.err = errDriver
	require.ErrorIs(t, r.root.SetMTU(bg, "eth0", 1500), errDriver)
	require.Equal(t, 65535, r.info(ifp).MTU)
	r.powerless()
	fails(t, r.root.SetMTU(bg, "none", 1), syscall.EOPNOTSUPP, "set mtu", "none")
}

func seedControlMulti(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	g, err := ifnet.ParseGroup("01:00:5e:00:00:fb")
	require.NoError(t, err)
	before := r.info(ifp).LastChange
	require.NoError(t, r.root.AddMulti(bg, "eth0", g))
	require.Equal(t, []ifnet.Group{g}, d.group)
	require.True(t, r.info(ifp).LastChange.After(before))
	require.NoError(t, r.root.DelMulti(bg, "eth0", g))
	require.Empty(t, d.group)
	fails(t, r.root.DelMulti(bg, "eth0", g), syscall.ENOENT, "delete group", "eth0")
	ip := ifnet.IPGroup(netip.MustParseAddr("224.0.0.251"))
	fails(t, r.root.AddMulti(bg, "eth0", ip), syscall.EINVAL, "add group", "eth0")
	fails(t, r.root.DelMulti(bg, "eth0", ip), syscall.EINVAL, "delete group", "eth0")
	require.NoError(t, r.root.Join(bg, "eth0", ip))
	require.NoError(t, r.root.Leave(bg, "eth0", ip))
	_, _ = r.attach("nbma0", func(p *ifnet.Params) { p.Flags = ifnet.FlagBroadcast })
	fails(t, r.root.AddMulti(bg, "nbma0", g), syscall.EOPNOTSUPP, "add group", "nbma0")
	fails(t, r.root.DelMulti(bg, "nbma0", g), syscall.EOPNOTSUPP, "delete group", "nbma0")
}

func seedAnyMAC(t *testing.T, r *rig) {
	_, err := r.AnyEtherMAC(bg, 6)
	fails(t, err, syscall.ENOENT, "find an Ethernet address", "")
	_, _ = r.attach("ppp0", p2p)
	_, _ = r.attach("ib0", func(p *ifnet.Params) { p.Type, p.MAC = ifnet.TypeOther, make(net.HardwareAddr, 20) })
	_, _ = r.attach("none0", func(p *ifnet.Params) { p.MAC = nil })
	_, _ = r.attach("eth0")
	_, _ = r.attach("eth1")
	mac, err := r.AnyEtherMAC(bg, 6)
	require.NoError(t, err)
	require.Equal(t, []byte{2, 0, 0, 0, 0, 4}, mac)
	_, err = r.AnyEtherMAC(bg, 8)
	require.ErrorIs(t, err, syscall.ENOENT)
	mac, err = r.AnyEtherMAC(bg, 3)
	require.NoError(t, err)
	require.Equal(t, []byte{2, 0, 0}, mac)
}

func seedInitName(t *testing.T, r *rig) {
	require.Equal(t, "ring3", ifnet.InitName("ring", 3))
	require.Equal(t, "lo", ifnet.InitName("lo", ifnet.UnitNone))
	require.Equal(t, "averyverylongna", ifnet.InitName("averyverylongname", 3), "cut to what fits")
	ifp, err := r.Attach(bg, ifnet.Params{Driver: "em", Unit: 12, QueueLimit: 1})
	require.NoError(t, err)
	i := r.info(ifp)
	require.Equal(t, []any{"em12", "em", 12}, []any{i.Name, i.Driver, i.Unit})
	_, err = r.Attach(bg, ifnet.Params{Driver: "averyverylongna", Unit: 12})
	fails(t, err, syscall.ENAMETOOLONG, "attach", "")
}

func seedPrintf(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	require.NoError(t, r.Up(bg, ifp))
	require.NoError(t, r.Promisc(bg, ifp, true))
	require.NoError(t, r.Promisc(bg, ifp, false))
	require.Equal(t, []ifnet.Message{{"eth0", false, "promiscuous mode enabled"}, {"eth0", false, "promiscuous mode disabled"}}, r.messages)
	quiet := newRig(t, 1, func(c *ifnet.Config) { c.OnMessage = nil })
	ifp, _ = quiet.attach("eth0")
	require.NoError(t, quiet.Up(bg, ifp))
	require.NoError(t, quiet.Promisc(bg, ifp, true))
}

func seedPromisc(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	fails(t, r.Promisc(bg, ifp, true), syscall.ENETDOWN, "set promiscuous mode", "eth0")
	require.NoError(t, r.Up(bg, ifp))
	r.kinds()
	require.NoError(t, r.Promisc(bg, ifp, true))
	require.NoError(t, r.Promisc(bg, ifp, true))
	require.Len(t, d.calls, 1, "the first acts")
	require.NotZero(t, r.flags("eth0")&ifnet.FlagPromisc)
	require.Equal(t, 2, r.info(ifp).Promisc)
	require.Equal(t, []string{"change eth0"}, r.kinds())
	require.NoError(t, r.Promisc(bg, ifp, false))
	require.Len(t, d.calls, 1)
	require.NoError(t, r.Down(bg, ifp))
	require.NoError(t, r.Promisc(bg, ifp, false), "off works on one that is down")
	require.Len(t, d.calls, 2)
	require.Zero(t, r.flags("eth0")&ifnet.FlagPromisc)
	fails(t, r.Promisc(bg, ifp, false), syscall.EINVAL, "set promiscuous mode", "eth0")
	// A driver error restores both, flags and count.
	require.NoError(t, r.Up(bg, ifp))
	d.err = errDriver
	require.ErrorIs(t, r.Promisc(bg, ifp, true), errDriver)
	require.Zero(t, r.info(ifp).Promisc)
	require.Zero(t, r.flags("eth0")&ifnet.FlagPromisc)
	d.err = nil
	require.NoError(t, r.Promisc(bg, ifp, true), "so that the next one acts again")
	require.NotZero(t, r.flags("eth0")&ifnet.FlagPromisc)
	d.err = errDriver
	require.ErrorIs(t, r.Promisc(bg, ifp, false), errDriver)
	require.Equal(t, 1, r.info(ifp).Promisc)
	require.NotZero(t, r.flags("eth0")&ifnet.FlagPromisc)
	d.err = nil
	// For good: only counted, also when it is down.
	require.NoError(t, r.root.SetFlags(bg, "eth0", ifnet.FlagPPromisc))
	n := len(d.calls)
	require.NoError(t, r.Promisc(bg, ifp, true))
	require.NoError(t, r.Promisc(bg, ifp, false))
	require.Len(t, d.calls, n)
	require.Equal(t, 1, r.info(ifp).Promisc)
	require.NoError(t, r.Promisc(bg, ifp, false))
	fails(t, r.Promisc(bg, ifp, false), syscall.EINVAL, "set promiscuous mode", "eth0")
	// An interface without a driver has flags all the same.
	r.powerless()
	none := mustLookup(t, r.System, "none")
	require.NoError(t, r.Up(bg, none))
	require.NoError(t, r.Promisc(bg, none, true))
	require.NotZero(t, r.flags("none")&ifnet.FlagPromisc)
}

func seedAllMulti(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	r.kinds()
	require.NoError(t, r.AllMulti(bg, ifp, true), "no matter that it is down")
	require.NoError(t, r.AllMulti(bg, ifp, true))
	require.Len(t, d.calls, 1)
	require.NotZero(t, r.flags("eth0")&ifnet.FlagAllMulti)
	require.NoError(t, r.AllMulti(bg, ifp, false))
	require.NotZero(t, r.flags("eth0")&ifnet.FlagAllMulti)
	require.NoError(t, r.AllMulti(bg, ifp, false))
	require.Zero(t, r.flags("eth0")&ifnet.FlagAllMulti)
	require.NoError(t, r.AllMulti(bg, ifp, false))
	require.Zero(t, r.info(ifp).AllMulti, "never under 0")
	require.Len(t, r.kinds(), 5, "a message at every call")
	d.err = errDriver
	require.ErrorIs(t, r.AllMulti(bg, ifp, true), errDriver)
	require.Zero(t, r.info(ifp).AllMulti)
	require.Zero(t, r.flags("eth0")&ifnet.FlagAllMulti)
	require.Empty(t, r.kinds())
}
