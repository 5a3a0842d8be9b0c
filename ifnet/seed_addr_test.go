package ifnet_test

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane/packet"
	"example.org/pmd/ifnet"
)

func seedAddrCalls(t *testing.T, r *rig) {
	eth, d := r.attach("eth0")
	ppp, _ := r.attach("ppp0", p2p)
	told := r.protocols()
	r.kinds()
	ip, ip6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")

	// Add.
	require.NoError(t, r.root.AddAddr(bg, "eth0", spec("192.0.2.1/24")))
	require.NoError(t, r.root.AddAddr(bg, "eth0", spec("2001:db8::1/64")))
	require.NoError(t, r.root.AddAddr(bg, "ppp0", spec("10.0.0.1/30>10.0.0.2")))
	require.Equal(t, []string{"eth0#1 02:00:00:00:00:01", "192.0.2.1/24", "2001:db8::1/64"}, r.lists("eth0"))
	require.Equal(t, []string{"addr_add eth0 192.0.2.1/24", "group_join eth0 ff02::1:ff00:1", "addr_add eth0 2001:db8::1/64",
		"group_join ppp0", "addr_add ppp0 10.0.0.1/30"}[:3], r.kinds()[:3])
	require.Equal(t, []string{"inet add 192.0.2.1/24 up=false", "inet6 add 2001:db8::1/64 up=false", "inet add 10.0.0.1/30 up=false"}, *told)
	require.Equal(t, "[33:33:ff:00:00:01]", fmtGroups(d.group))
	require.Empty(t, d.sent, "one that is down announces nothing")

	// Get.
	get := func(name string, fam ifnet.Family) ifnet.AddrInfo {
		a, err := r.root.Addr(bg, name, fam)
		require.NoError(t, err)
		return a
	}
	require.Equal(t, ifnet.AddrInfo{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Broadcast: netip.MustParseAddr("192.0.2.255")}, get("eth0", ifnet.FamilyIPv4))
	require.Equal(t, "2001:db8::1/64", get("eth0", ifnet.FamilyIPv6).Prefix.String())
	require.Equal(t, "10.0.0.2", get("ppp0", ifnet.FamilyIPv4).Peer.String())
	_, err := r.root.Addr(bg, "ppp0", ifnet.FamilyIPv6)
	fails(t, err, syscall.EADDRNOTAVAIL, "get address", "ppp0")
	_, err = r.root.Addr(bg, "ppp0", ifnet.FamilyLink)
	fails(t, err, syscall.EAFNOSUPPORT, "get address", "ppp0")

	// Change: another address, length, peer, broadcast address; in one message, in its
	// place, and never in place.
	require.NoError(t, r.Up(bg, eth))
	require.NoError(t, r.Up(bg, ppp))
	var old *ifnet.Address
	r.Own(func(rep *ifnet.Replica) { old = rep.WithAddr(ip).Address() })
	require.NoError(t, r.root.ChangeAddr(bg, "eth0", ip, ifnet.AddrSpec{Prefix: netip.MustParsePrefix("192.0.2.9/25"), Broadcast: netip.MustParseAddr("192.0.2.64")}))
	require.Equal(t, "192.0.2.1/24", old.String())
	require.True(t, ifnet.Freed(old))
	require.Equal(t, []string{"eth0#1 02:00:00:00:00:01", "192.0.2.9/25", "2001:db8::1/64"}, r.lists("eth0"))
	require.Equal(t, "eth0 192.0.2.9/25", r.withAddr("192.0.2.64"))
	require.Empty(t, r.withAddr("192.0.2.1"))
	require.NoError(t, r.root.ChangeAddr(bg, "ppp0", netip.MustParseAddr("10.0.0.1"), spec("10.0.0.1/30>10.0.0.3")))
	require.Empty(t, r.withDst("10.0.0.2"))
	require.Equal(t, "ppp0 10.0.0.1/30", r.withDst("10.0.0.3"))
	require.Equal(t, []string{"10.0.0.3/32 dev ppp0 src 10.0.0.1/30", "192.0.2.0/25 dev eth0 src 192.0.2.9/25", "2001:db8::/64 dev eth0 src 2001:db8::1/64"},
		sorted(r.routes()), "connected routes follow")
	require.Len(t, d.sent, 1, "a new address on an interface that is up is announced")
	arp := packet.ARPAt(d.sent[0][packet.EthernetLen:])
	require.Equal(t, [4]byte{192, 0, 2, 9}, arp.SenderIP())
	require.NoError(t, r.root.ChangeAddr(bg, "eth0", ip6, spec("2001:db8::2/64")))
	require.Equal(t, "[33:33:ff:00:00:02]", fmtGroups(d.group))
	r.add(eth, "198.51.100.1/24")
	for spc, errno := range map[string]syscall.Errno{"198.51.100.1/24": syscall.EEXIST, "224.0.0.1/24": syscall.EADDRNOTAVAIL} {
		fails(t, r.root.ChangeAddr(bg, "eth0", netip.MustParseAddr("192.0.2.9"), spec(spc)), errno, "change address", "eth0")
	}
	fails(t, r.root.ChangeAddr(bg, "eth0", ip, spec("10.0.0.1/8")), syscall.EADDRNOTAVAIL, "change address", "eth0")
	require.NoError(t, r.ChangeAddr(bg, eth, netip.MustParseAddr("198.51.100.1"), spec("198.51.100.1/24")), "to itself")

	// Delete.
	require.NoError(t, r.root.DelAddr(bg, "eth0", netip.MustParseAddr("192.0.2.9")))
	require.NoError(t, r.root.DelAddr(bg, "eth0", netip.MustParseAddr("2001:db8::2%eth0")), "the zone is the interface's own")
	require.Empty(t, d.group)
	require.Equal(t, []string{"eth0#1 02:00:00:00:00:01", "198.51.100.1/24"}, r.lists("eth0"))
	fails(t, r.root.DelAddr(bg, "eth0", ip), syscall.EADDRNOTAVAIL, "delete address", "eth0")
	fails(t, r.DelAddr(bg, eth, netip.MustParseAddr("2001:db8::9%ppp0")), syscall.EADDRNOTAVAIL, "delete address", "eth0")

	require.NoError(t, r.root.AddAddr(bg, "eth0", ifnet.AddrSpec{Prefix: netip.PrefixFrom(netip.MustParseAddr("fe80::1"), 64)}))
	// What cannot be an address of that interface.
	for text, errno := range map[string]syscall.Errno{
		"0.0.0.0/0": syscall.EADDRNOTAVAIL, "224.0.0.1/4": syscall.EADDRNOTAVAIL, "255.255.255.255/32": syscall.EADDRNOTAVAIL,
		"::/0": syscall.EADDRNOTAVAIL, "ff02::1/16": syscall.EADDRNOTAVAIL, "::ffff:192.0.2.1/120": syscall.EAFNOSUPPORT,
		"10.0.0.1/8>10.0.0.2": syscall.EINVAL, "fe80::1/64": syscall.EEXIST,
	} {
		fails(t, r.root.AddAddr(bg, "eth0", spec(text)), errno, "add address", "eth0")
	}
	for text, errno := range map[string]syscall.Errno{
		"10.1.0.1/8>2001:db8::1": syscall.EAFNOSUPPORT, "10.1.0.1/8>0.0.0.0": syscall.EADDRNOTAVAIL, "10.1.0.1/8>::ffff:10.0.0.1": syscall.EAFNOSUPPORT,
	} {
		fails(t, r.root.AddAddr(bg, "ppp0", spec(text)), errno, "add address", "ppp0")
	}
	bad := func(s ifnet.AddrSpec, errno syscall.Errno) {
		t.Helper()
		fails(t, r.root.AddAddr(bg, "eth0", s), errno, "add address", "eth0")
	}
	_, _ = r.attach("nbma0", func(p *ifnet.Params) { p.Flags = ifnet.FlagMulticast })
	fails(t, r.root.AddAddr(bg, "nbma0", ifnet.AddrSpec{Prefix: netip.MustParsePrefix("10.0.0.1/8"), Broadcast: ip}), syscall.EINVAL, "add address", "nbma0")
	bad(ifnet.AddrSpec{}, syscall.EINVAL)
	bad(ifnet.AddrSpec{NoMask: true}, syscall.EINVAL)
	bad(ifnet.AddrSpec{Prefix: netip.MustParsePrefix("10.0.0.1/8"), Broadcast: ip6}, syscall.EAFNOSUPPORT)
	bad(ifnet.AddrSpec{Prefix: netip.MustParsePrefix("2001:db8::7/64"), Broadcast: ip}, syscall.EINVAL)
	// Without a mask; a driver that brings the interface up; one that refuses.
	require.NoError(t, r.root.AddAddr(bg, "eth0", ifnet.AddrSpec{Prefix: netip.MustParsePrefix("203.0.113.1/8"), NoMask: true}))
	require.Equal(t, "eth0 203.0.113.1", r.withAddr("203.0.113.1"))
	require.NoError(t, r.Down(bg, eth))
	d.up = true
	require.NoError(t, r.root.AddAddr(bg, "eth0", spec("203.0.113.2/24")))
	require.NotZero(t, r.flags("eth0")&ifnet.FlagUp)
	d.err = errDriver
	before, addrs := r.lists("eth0"), r.Addresses()
	require.ErrorIs(t, r.root.AddAddr(bg, "eth0", spec("203.0.113.3/24")), errDriver)
	require.ErrorIs(t, r.root.AddAddr(bg, "eth0", spec("2001:db8::3/64")), errDriver, "its group")
	require.ErrorIs(t, r.root.ChangeAddr(bg, "eth0", netip.MustParseAddr("fe80::1"), spec("2001:db8::3/64")), errDriver)
	require.Equal(t, before, r.lists("eth0"))
	require.Equal(t, addrs, r.Addresses())
	d.err = nil
	d.refuseAddr = true
	groups := fmtGroups(d.group)
	require.ErrorIs(t, r.root.AddAddr(bg, "eth0", spec("2001:db8::3/64")), errDriver)
	require.Equal(t, before, r.lists("eth0"))
	require.Equal(t, groups, fmtGroups(d.group), "its group is left again")
	d.refuseAddr = false
	// Neighbours that are not told are a message.
	d.refuseSend, r.messages = true, nil
	require.NoError(t, r.root.AddAddr(bg, "eth0", spec("203.0.113.4/24")))
	require.Len(t, r.messages, 1)
	// A driver that fails as the address goes does not keep it.
	d.err, r.messages = errDriver, nil
	require.NoError(t, r.root.DelAddr(bg, "eth0", netip.MustParseAddr("fe80::1")))
	require.Len(t, r.messages, 1)
	d.err = nil
}

func seedMulti(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	v4, v6 := ifnet.IPGroup(netip.MustParseAddr("224.128.0.251")), ifnet.IPGroup(netip.MustParseAddr("ff02::1:2"))
	link4, link6 := ifnet.LinkGroup(packet.MAC{1, 0, 0x5e, 0, 0, 0xfb}), ifnet.LinkGroup(packet.MAC{0x33, 0x33, 0, 1, 0, 2})
	r.kinds()
	count := func(g ifnet.Group) int {
		m, err := r.Member(bg, ifp, g)
		if err != nil {
			return 0
		}
		return m.Count
	}
	require.NoError(t, r.AddMulti(bg, ifp, v4))
	require.Equal(t, []int{1, 1}, []int{count(v4), count(link4)}, "a protocol's group brings its link-level group")
	require.Equal(t, []ifnet.Group{link4}, d.group, "23 bits")
	require.NoError(t, r.AddMulti(bg, ifp, v4))
	require.Equal(t, []int{2, 1}, []int{count(v4), count(link4)}, "counted")
	require.Len(t, d.calls, 1)
	require.NoError(t, r.AddMulti(bg, ifp, link4))
	other := ifnet.IPGroup(netip.MustParseAddr("224.0.0.251")) // the same on the link
	require.NoError(t, r.AddMulti(bg, ifp, other))
	require.Equal(t, 3, count(link4), "itself counted")
	require.NoError(t, r.AddMulti(bg, ifp, v6))
	require.Equal(t, []ifnet.Group{link6, link4}, d.group, "32 bits; newest first")
	require.Equal(t, []string{"group_join eth0 224.128.0.251", "group_join eth0 224.0.0.251", "group_join eth0 ff02::1:2"}, r.kinds(),
		"the first of each is announced")
	// A driver error undoes it.
	d.err = syscall.ENOSPC
	more := ifnet.IPGroup(netip.MustParseAddr("239.1.1.1"))
	before := r.info(ifp).Groups
	fails(t, r.AddMulti(bg, ifp, more), syscall.ENOSPC, "join group", "eth0")
	require.ErrorIs(t, r.DelMulti(bg, ifp, v6), syscall.ENOSPC)
	require.Equal(t, before, r.info(ifp).Groups)
	require.Empty(t, r.kinds())
	d.err = nil
	// And back.
	d.calls = nil
	require.NoError(t, r.DelMulti(bg, ifp, v4))
	require.Equal(t, []int{1, 3}, []int{count(v4), count(link4)})
	require.NoError(t, r.DelMulti(bg, ifp, v4))
	require.Equal(t, []int{0, 2}, []int{count(v4), count(link4)})
	require.NoError(t, r.DelMulti(bg, ifp, other))
	require.Equal(t, 1, count(link4))
	require.Empty(t, d.calls, "the link-level group is still wanted")
	require.NoError(t, r.DelMulti(bg, ifp, link4))
	require.NoError(t, r.DelMulti(bg, ifp, v6))
	require.Empty(t, d.group)
	require.Empty(t, r.info(ifp).Groups)
	fails(t, r.DelMulti(bg, ifp, v4), syscall.ENOENT, "leave group", "eth0")
	// The link-level group was left out from underneath: no complaint.
	require.NoError(t, r.AddMulti(bg, ifp, v4))
	require.NoError(t, r.DelMulti(bg, ifp, link4))
	require.NoError(t, r.DelMulti(bg, ifp, v4))
	// What is no group.
	for _, g := range []ifnet.Group{{}, ifnet.LinkGroup(packet.MAC{2}), ifnet.IPGroup(netip.MustParseAddr("192.0.2.1")),
		ifnet.IPGroup(netip.MustParseAddr("ff02::1%eth0")), ifnet.IPGroup(netip.MustParseAddr("::ffff:224.0.0.1"))} {
		fails(t, r.AddMulti(bg, ifp, g), syscall.EINVAL, "join group", "eth0")
	}
	// A link layer of its own, and none.
	odd := &resolver{}
	ib, err := r.Attach(bg, ifnet.Params{Name: "ib0", QueueLimit: 1, With: odd})
	require.NoError(t, err)
	require.NoError(t, r.AddMulti(bg, ib, v4))
	m, err := r.Member(bg, ib, v4)
	require.NoError(t, err)
	require.Equal(t, link6, m.Link)
	odd.err = errDriver
	require.ErrorIs(t, r.AddMulti(bg, ib, v6), errDriver)
	ppp, _ := r.attach("ppp0", p2p)
	require.NoError(t, r.AddMulti(bg, ppp, v4))
	require.Len(t, r.info(ppp).Groups, 1)
	require.NoError(t, r.DelMulti(bg, ppp, v4))
}

// resolver is a link layer with a group of its own for everything.
type resolver struct{ err error }

func (o *resolver) ResolveGroup(ifnet.Group) (ifnet.Group, error) {
	return ifnet.LinkGroup(packet.MAC{0x33, 0x33, 0, 1, 0, 2}), o.err
}

func seedMember(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	v4 := ifnet.IPGroup(netip.MustParseAddr("224.0.0.251"))
	_, err := r.Member(bg, ifp, v4)
	fails(t, err, syscall.ENOENT, "look for group", "eth0")
	require.NoError(t, r.AddMulti(bg, ifp, v4))
	m, err := r.Member(bg, ifp, v4)
	require.NoError(t, err)
	require.Equal(t, "01:00:5e:00:00:fb", m.Link.String())
	r.each(func(rep *ifnet.Replica) {
		st := rep.ByName("eth0").State()
		require.True(t, st.Member(v4))
		require.True(t, st.Member(m.Link))
		require.False(t, st.Member(ifnet.Group{}))
	})
}

func seedSetLLAddr(t *testing.T, r *rig) {
	ifp, d := r.attach("eth0")
	r.add(ifp, "192.0.2.1/24", "2001:db8::1/64", "198.51.100.1/24")
	mac := net.HardwareAddr{2, 0xaa, 0, 0, 0, 9}
	d.calls = nil
	require.NoError(t, r.root.SetLLAddr(bg, "eth0", mac))
	require.Equal(t, []string{"lladdr 02:aa:00:00:00:09"}, d.calls, "one that is down says nothing")
	require.Equal(t, "eth0#1 02:aa:00:00:00:09", r.lists("eth0")[0])
	require.NoError(t, r.Up(bg, ifp))
	d.calls = nil
	r.kinds()
	mac[5] = 10
	require.NoError(t, r.SetLLAddr(bg, ifp, mac))
	mac[5] = 11 // it is the caller's again
	up := r.flags("eth0")
	require.Equal(t, []string{"lladdr 02:aa:00:00:00:0a", "flags " + (up &^ ifnet.FlagUp).String(), "flags " + up.String(),
		"send 60", "send 86", "send 60"}, d.calls, "initialised anew, then its neighbours are told")
	require.Equal(t, []string{"change eth0"}, r.kinds())
	r.each(func(rep *ifnet.Replica) {
		require.Equal(t, "02:aa:00:00:00:0a", rep.ByName("eth0").State().MAC.String())
		require.Equal(t, "02:aa:00:00:00:0a", firstOf(rep.ByName("eth0")).Address().Link().MAC.String())
	})
	want := packet.MAC{2, 0xaa, 0, 0, 0, 10}
	for i, ip := range map[int][4]byte{0: {192, 0, 2, 1}, 2: {198, 51, 100, 1}} {
		arp := packet.ARPAt(d.sent[i][packet.EthernetLen:])
		require.NotNil(t, arp)
		require.Equal(t, want, arp.SenderMAC())
		require.Equal(t, []any{ip, ip}, []any{arp.SenderIP(), arp.TargetIP()})
	}
	na := packet.NeighbourAt(d.sent[1][packet.EthernetLen+packet.IPv6Len:])
	require.NotNil(t, na)
	require.Equal(t, netip.MustParseAddr("2001:db8::1").As16(), na.Target())
	require.EqualValues(t, packet.NDOverride, na.Flags())
	link, ok := packet.LinkOption(d.sent[1][packet.EthernetLen+packet.IPv6Len+packet.NeighbourLen:], packet.NDTargetLink)
	require.True(t, ok)
	require.Equal(t, want, link)

	for _, bad := range []struct {
		mac   net.HardwareAddr
		errno syscall.Errno
	}{{nil, syscall.EINVAL}, {mac[:5], syscall.EINVAL}, {make(net.HardwareAddr, 8), syscall.EINVAL},
		{make(net.HardwareAddr, 6), syscall.EADDRNOTAVAIL}, {net.HardwareAddr{1, 0, 0, 0, 0, 0}, syscall.EADDRNOTAVAIL}} {
		fails(t, r.root.SetLLAddr(bg, "eth0", bad.mac), bad.errno, "set link-level address", "eth0")
	}
	_, _ = r.attach("ib0", func(p *ifnet.Params) { p.Type = ifnet.TypeOther })
	fails(t, r.root.SetLLAddr(bg, "ib0", mac), syscall.ENODEV, "set link-level address", "ib0")
	_, _ = r.attach("tap0", func(p *ifnet.Params) { p.MAC = nil })
	fails(t, r.root.SetLLAddr(bg, "tap0", nil), syscall.EINVAL, "set link-level address", "tap0")
	// A driver that fails, now or as it is initialised anew.
	d.err = errDriver
	require.ErrorIs(t, r.root.SetLLAddr(bg, "eth0", mac), errDriver)
	d.err = nil
	for n := 1; n <= 2; n++ {
		d.failAt = n
		require.ErrorIs(t, r.root.SetLLAddr(bg, "eth0", mac), errDriver)
		require.Equal(t, "02:aa:00:00:00:0a", d.mac.String(), "back")
		require.Equal(t, "02:aa:00:00:00:0a", r.info(ifp).MAC.String())
		require.Equal(t, "eth0#1 02:aa:00:00:00:0a", r.lists("eth0")[0])
	}
	d.failAt, d.failBack, r.messages = 1, true, nil
	require.ErrorIs(t, r.root.SetLLAddr(bg, "eth0", mac), errDriver)
	require.Len(t, r.messages, 1, "and the way back fails too")
	d.failBack, d.err = false, nil
	// Without a driver it is ours alone.
	plain, err := r.Attach(bg, ifnet.Params{Name: "none", QueueLimit: 1, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}})
	require.NoError(t, err)
	require.NoError(t, r.Up(bg, plain))
	require.NoError(t, r.SetLLAddr(bg, plain, mac))
	require.Equal(t, mac, r.info(plain).MAC)
	// Neighbours that cannot be told are a message.
	d.refuseSend, r.messages = true, nil
	require.NoError(t, r.SetLLAddr(bg, ifp, mac))
	require.Len(t, r.messages, 3)
}

func seedCreateAddr(t *testing.T, r *rig) {
	eth, _ := r.attach("eth0")
	ppp, _ := r.attach("ppp0", p2p)
	before := r.Addresses()
	r.add(eth, "192.0.2.1/24", "2001:db8::1/64")
	noMask := ifnet.AddrSpec{Prefix: netip.MustParsePrefix("10.1.1.1/8"), NoMask: true}
	require.NoError(t, r.AddAddr(bg, eth, noMask))
	claims := spec("172.16.0.1/12")
	claims.Claim = func(netip.Addr) bool { return false }
	require.NoError(t, r.AddAddr(bg, eth, claims))
	r.add(ppp, "10.0.0.1/32>10.0.0.2", "10.0.0.9/32", "2001:db8:1::1/64>2001:db8:1::2")
	require.Equal(t, before+7, r.Addresses())
	for _, text := range []string{"192.0.2.1", "2001:db8::1", "10.1.1.1", "172.16.0.1", "10.0.0.1", "10.0.0.9", "2001:db8:1::1"} {
		// One container a core and one for control, each with its own count; the
		// address is shared.
		seen := map[*ifnet.Container]bool{}
		var a *ifnet.Address
		r.each(func(rep *ifnet.Replica) {
			c := rep.WithAddr(netip.MustParseAddr(text))
			require.NotNil(t, c, text)
			require.Equal(t, 1, c.Refs())
			require.True(t, c.Alive())
			require.Same(t, ifnet.ContainerOf(c.Address(), rep.Core()), c)
			if a == nil {
				a = c.Address()
			}
			require.Same(t, a, c.Address())
			seen[c] = true
		})
		require.Len(t, seen, r.Cores()+1)
	}
}

func seedFree(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	r.add(ifp, "192.0.2.1/24")
	ip := netip.MustParseAddr("192.0.2.1")
	last := r.Cores() - 1
	// One core holds it, as a route would.
	var held *ifnet.Container
	r.Bind(func(core int, rep *ifnet.Replica) {
		if core == last {
			held = rep.WithAddr(ip)
			held.Hold()
		}
	})
	a := held.Address()
	require.Equal(t, 2, held.Refs())
	n := r.Addresses()
	require.NoError(t, r.DelAddr(bg, ifp, ip))
	require.Empty(t, r.withAddr("192.0.2.1"))
	for core := range r.Cores() {
		require.Equal(t, core == last, ifnet.ContainerOf(a, core).Alive(), "core %d: dead where the last reference is gone", core)
	}
	require.False(t, ifnet.Freed(a))
	require.Equal(t, n, r.Addresses())
	require.Nil(t, held.View(), "it is on no list")
	require.Equal(t, "192.0.2.1/24", a.String(), "and can still be read")
	r.Bind(func(core int, _ *ifnet.Replica) {
		if core == last {
			held.Release()
		}
	})
	require.False(t, held.Alive())
	require.True(t, ifnet.Freed(a), "the last core let go")
	require.Equal(t, n-1, r.Addresses())
	require.Panics(t, held.Release, "a dead one is not to be released again")
	require.Panics(t, held.Hold)
}

func seedLink(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	rounds := r.cores.rounds
	r.add(ifp, "192.0.2.1/24")
	require.Equal(t, 1, r.cores.rounds-rounds, "one message")
	want := make([]int, r.Cores())
	for i := range want {
		want[i] = i
	}
	require.Equal(t, want, r.cores.order, "that goes CPU 0, 1, …, n-1")
	r.add(ifp, "198.51.100.1/24")
	require.Equal(t, []string{"eth0#1 02:00:00:00:00:01", "192.0.2.1/24", "198.51.100.1/24"}, r.lists("eth0"),
		"the link-level address at the head, others at the tail")
	// Each core changes only its own: as the message goes round, those it has reached
	// have the address, and the others have not.
	next := netip.MustParseAddr("203.0.113.1")
	r.cores.before = func(core int) {
		for other := range r.Cores() {
			require.Equal(t, other < core, r.peek(other, next), "core %d while the message is at core %d", other, core)
		}
	}
	require.NoError(t, r.AddAddr(bg, ifp, spec("203.0.113.1/24")))
	r.cores.before = nil
	// In front of those of another interface, of either family.
	behind, _ := r.attach("eth1")
	r.add(behind, "172.16.0.1/12", "2001:db8:1::1/64")
	r.add(ifp, "2001:db8::1/64", "172.16.0.1/16")
	require.Equal(t, "eth0 172.16.0.1/16", r.withAddr("172.16.0.1"))
	require.Equal(t, "eth1 172.16.0.1/12", r.bestOf("172.16.0.1", "eth1"))
	require.Equal(t, "eth1 2001:db8:1::1/64", r.bestOf("2001:db8::1", "eth1"))
	// And at the head, where the link-level address is otherwise.
	r.LinkAtHead(ifp, spec("10.0.0.1/8"))
	require.Equal(t, "10.0.0.1/8", r.lists("eth0")[0])
	require.NoError(t, r.DelAddr(bg, ifp, netip.MustParseAddr("10.0.0.1")))
}

// peek looks into a core's replica from where the cores are stepped.
func (r *rig) peek(core int, a netip.Addr) bool { return r.Replica(core).WithAddr(a) != nil }

func seedUnlink(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	r.add(ifp, "192.0.2.1/24", "198.51.100.1/24", "203.0.113.1/24", "2001:db8::1/64")
	mid := netip.MustParseAddr("198.51.100.1")
	n := 0
	r.cores.before = func(core int) {
		if n++; n > r.Cores() {
			return // the messages behind it: destroy
		}
		for other := range r.Cores() {
			require.Equal(t, other >= core, r.peek(other, mid), "core %d while the message is at core %d", other, core)
		}
	}
	require.NoError(t, r.DelAddr(bg, ifp, mid))
	r.cores.before = nil
	require.Equal(t, []string{"eth0#1 02:00:00:00:00:01", "192.0.2.1/24", "203.0.113.1/24", "2001:db8::1/64"}, r.lists("eth0"))
	require.NoError(t, r.DelAddr(bg, ifp, netip.MustParseAddr("2001:db8::1")), "the last")
	require.NoError(t, r.DelAddr(bg, ifp, netip.MustParseAddr("192.0.2.1")), "one after the first")
	require.Equal(t, []string{"eth0#1 02:00:00:00:00:01", "203.0.113.1/24"}, r.lists("eth0"))
	require.NoError(t, r.Detach(bg, ifp), "and the first, which is the link-level address")
}

func seedEvents(t *testing.T, r *rig) {
	slow := r.Listen(4)
	defer slow.Close()
	ifp, _ := r.attach("eth0")
	require.NoError(t, r.root.SetFlags(bg, "eth0", ifnet.FlagUp))
	require.NoError(t, r.root.SetMTU(bg, "eth0", 1400))
	r.add(ifp, "192.0.2.1/24", "2001:db8::1/64")
	require.NoError(t, r.root.Rename(bg, "eth0", "lan"))
	require.NoError(t, r.SetLinkState(bg, ifp, ifnet.LinkUp))
	require.NoError(t, r.Detach(bg, ifp))
	want := []string{"attach eth0", "up eth0", "change eth0",
		"route_add eth0 192.0.2.0/24", "addr_add eth0 192.0.2.1/24",
		"group_join eth0 ff02::1:ff00:1", "route_add eth0 2001:db8::/64", "addr_add eth0 2001:db8::1/64",
		"detach eth0", "rename lan eth0", "attach lan", "link lan",
		"route_del lan 192.0.2.0/24", "route_del lan 2001:db8::/64", "down lan",
		"addr_del lan 192.0.2.1/24", "group_leave lan ff02::1:ff00:1", "addr_del lan 2001:db8::1/64", "detach lan"}
	// Any number of listeners follow; one that is slow loses its oldest, and is told.
	var seen []ifnet.Event
	for range want {
		e, err := r.events.Next(bg)
		require.NoError(t, err)
		require.EqualValues(t, len(seen)+1, e.Seq)
		require.False(t, e.Time.IsZero())
		require.Equal(t, 1, e.Index)
		seen = append(seen, e)
	}
	require.Equal(t, 1400, seen[2].MTU)
	require.Equal(t, "up", seen[11].Link)
	require.Contains(t, seen[1].Flags, "UP")
	e, err := slow.Next(bg)
	require.NoError(t, err)
	require.Equal(t, ifnet.EventLost, e.Kind)
	require.EqualValues(t, len(want)-4, e.Lost)
	for i := range 4 {
		e, err := slow.Next(bg)
		require.NoError(t, err)
		require.Equal(t, seen[len(seen)-4+i], e)
	}
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err = slow.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	slow.Close()
	slow.Close()
	_, err = slow.Next(bg)
	require.ErrorIs(t, err, ifnet.ErrClosed)
	var kinds []string
	for _, e := range seen {
		text := string(e.Kind)
		for _, s := range []string{e.Interface, e.Old, e.Address, e.Group, e.Route} {
			if s != "" {
				text += " " + s
			}
		}
		kinds = append(kinds, text)
	}
	require.Equal(t, want, kinds)
}
