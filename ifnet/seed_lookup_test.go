package ifnet_test

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/ifnet"
)

func seedWithAddr(t *testing.T, r *rig) {
	eth, _ := r.attach("eth0")
	ppp, _ := r.attach("ppp0", p2p)
	plain, _ := r.attach("nbma0", func(p *ifnet.Params) { p.Flags = ifnet.FlagMulticast })
	r.add(eth, "192.0.2.1/24", "2001:db8::1/64", "fe80::1/64")
	r.add(plain, "198.51.100.1/24", "192.0.2.1/32", "fe80::1/64")
	r.add(ppp, "203.0.113.1/30>203.0.113.2")
	require.NoError(t, r.AddAddr(bg, eth, ifnet.AddrSpec{Prefix: netip.MustParsePrefix("10.0.0.1/8"), Broadcast: netip.MustParseAddr("10.9.9.9")}))
	require.NoError(t, r.AddAddr(bg, eth, ifnet.AddrSpec{Prefix: netip.MustParsePrefix("10.0.0.2/8"), NoMask: true}))

	require.Equal(t, "eth0 192.0.2.1/24", r.withAddr("192.0.2.1"), "the first interface's")
	require.Equal(t, "eth0 192.0.2.1/24", r.withAddr("192.0.2.255"), "its broadcast address")
	require.Equal(t, "eth0 10.0.0.1/8", r.withAddr("10.9.9.9"), "one that was given")
	require.Empty(t, r.withAddr("10.255.255.255"))
	require.Empty(t, r.withAddr("198.51.100.255"), "the interface has no broadcast addresses")
	require.Empty(t, r.withAddr("203.0.113.2"), "a peer is no address")
	require.Empty(t, r.withAddr("203.0.113.3"))
	require.Equal(t, "eth0 10.0.0.2", r.withAddr("10.0.0.2"), "one without a mask")
	require.Empty(t, r.withAddr("0.0.0.0"))
	require.Empty(t, r.withAddr("192.0.2.2"))
	require.Equal(t, "eth0 2001:db8::1/64", r.withAddr("2001:db8::1"))
	require.Empty(t, r.withAddr("2001:db8::ffff:ffff:ffff:ffff"), "IPv6 has no broadcast")
	require.Empty(t, r.withAddr("::ffff:192.0.2.1"), "another family")
	require.Equal(t, "eth0 fe80::1/64", r.withAddr("fe80::1"))
	require.Equal(t, "nbma0 fe80::1/64", r.withAddr("fe80::1%nbma0"), "the zone says which")
	require.Equal(t, "nbma0 fe80::1/64", r.withAddr("fe80::1%3"))
	require.Empty(t, r.withAddr("fe80::1%ppp0"))

	link := r.info(eth)
	l := ifnet.LinkAddr{Name: "eth0", Index: link.Index, Type: link.Type, MAC: link.MAC}
	withLink := func() string {
		return r.found(func(rep *ifnet.Replica) *ifnet.Container { return rep.WithLinkAddr(l) })
	}
	require.Equal(t, "eth0 eth0#1 02:00:00:00:00:01", withLink())
	l.Index = 2
	require.Empty(t, withLink(), "all of it counts")

	found, err := r.WithAddr(bg, netip.MustParseAddr("192.0.2.255"))
	require.NoError(t, err)
	require.Equal(t, "eth0", found.Interface.Name)
	require.Equal(t, "192.0.2.1/24", found.Address.Prefix.String())
	_, err = r.WithAddr(bg, netip.Addr{})
	fails(t, err, syscall.EADDRNOTAVAIL, "look for address", "")
}

func seedWithDstAddr(t *testing.T, r *rig) {
	ppp0, _ := r.attach("ppp0", p2p)
	ppp1, _ := r.attach("ppp1", p2p)
	eth, _ := r.attach("eth0")
	r.add(ppp0, "10.0.0.1/32>10.0.0.2", "10.0.0.9/32", "2001:db8::1/128>2001:db8::2", "fe80::1/64>fe80::2")
	r.add(ppp1, "10.0.0.3/32>10.0.0.2", "10.0.0.5/32>10.0.0.6", "fe80::3/64>fe80::2")
	r.add(eth, "10.0.1.1/24")
	require.Equal(t, "ppp0 10.0.0.1/32", r.withDst("10.0.0.2"), "the first")
	require.Equal(t, "ppp1 10.0.0.5/32", r.withDst("10.0.0.6"))
	require.Equal(t, "ppp0 2001:db8::1/128", r.withDst("2001:db8::2"))
	require.Equal(t, "ppp1 fe80::3/64", r.withDst("fe80::2%ppp1"))
	require.Empty(t, r.withDst("10.0.0.1"), "an interface's own address is no peer")
	require.Empty(t, r.withDst("10.0.1.1"))
	require.Empty(t, r.withDst("0.0.0.0"), "no peer is not the peer 0.0.0.0")
	require.Empty(t, r.withDst("2001:db8::3"))
	require.Empty(t, r.withDst("::ffff:10.0.0.2"))
	found, err := r.WithDstAddr(bg, netip.MustParseAddr("10.0.0.2"))
	require.NoError(t, err)
	require.Equal(t, "ppp0", found.Interface.Name)
}

func seedWithNet(t *testing.T, r *rig) {
	eth0, _ := r.attach("eth0")
	eth1, _ := r.attach("eth10")
	ppp, _ := r.attach("ppp0", p2p)
	r.add(eth0, "10.0.0.1/8", "10.1.0.1/16", "2001:db8::1/32", "fe80::1/64")
	r.add(eth1, "10.1.0.2/16", "10.1.2.1/24", "2001:db8:1::1/48", "fe80::2/64")
	r.add(ppp, "10.1.2.3/32>10.1.2.77", "10.3.0.1/16", "2001:db8:1::9/64")
	require.Equal(t, "eth0 10.0.0.1/8", r.withNet("10.9.9.9"))
	require.Equal(t, "eth0 10.1.0.1/16", r.withNet("10.1.9.9"), "the first of equals stays")
	require.Equal(t, "eth10 10.1.2.1/24", r.withNet("10.1.2.9"), "the longest mask wins")
	require.Equal(t, "ppp0 10.1.2.3/32", r.withNet("10.1.2.77"), "a peer wins")
	require.Equal(t, "eth0 10.0.0.1/8", r.withNet("10.3.0.9"), "point-to-point: by the peer alone")
	require.Empty(t, r.withNet("192.0.2.1"))
	require.Equal(t, "eth0 2001:db8::1/32", r.withNet("2001:db8:2::1"))
	require.Equal(t, "ppp0 2001:db8:1::9/64", r.withNet("2001:db8:1::ffff"), "IPv6: by masks also there")
	require.Equal(t, "eth0 fe80::1/64", r.withNet("fe80::9"))
	require.Equal(t, "eth10 fe80::2/64", r.withNet("fe80::9%eth10"))
	require.Empty(t, r.withNet("::ffff:10.0.0.1"))
	require.Empty(t, r.withNet("2001::1"))

	// An address with a word of its own: its yes wins, its no is final.
	claim := func(text, yes string) {
		s := spec(text)
		s.Claim = func(a netip.Addr) bool { return a == netip.MustParseAddr(yes) }
		require.NoError(t, r.AddAddr(bg, eth0, s))
	}
	claim("172.16.0.1/12", "192.0.2.7")
	claim("2001:db8:ffff::1/48", "2001::7")
	require.Equal(t, "eth0 172.16.0.1/12", r.withNet("192.0.2.7"))
	require.Empty(t, r.withNet("172.16.0.9"))
	require.Equal(t, "eth0 2001:db8:ffff::1/48", r.withNet("2001::7"))
	require.Equal(t, "eth0 2001:db8::1/32", r.withNet("2001:db8:ffff::9"))
	s := spec("192.0.2.1/24")
	s.NoMask = true
	require.NoError(t, r.AddAddr(bg, eth0, s))
	require.Empty(t, r.withNet("192.0.2.1"), "one without a mask has no network")
	require.NoError(t, r.AddAddr(bg, eth0, spec("203.0.113.1/0")))
	require.Equal(t, "eth0 203.0.113.1/0", r.withNet("8.8.8.8"), "a mask of no bits fits all")

	link := func(l ifnet.LinkAddr) string {
		return r.found(func(rep *ifnet.Replica) *ifnet.Container { return rep.WithNetLink(l) })
	}
	require.Equal(t, "eth10 eth10#2 02:00:00:00:00:02", link(ifnet.LinkAddr{Index: 2}))
	require.Equal(t, "eth10 eth10#2 02:00:00:00:00:02", link(ifnet.LinkAddr{Name: "eth10"}), "the mask is the name's length")
	require.Empty(t, link(ifnet.LinkAddr{Name: "wlan0"}))
	require.NoError(t, r.Detach(bg, eth1))
	require.Empty(t, link(ifnet.LinkAddr{Index: 2}), "a hole among the indices: nothing")
	require.Empty(t, link(ifnet.LinkAddr{Index: 99}))
	require.Equal(t, "eth0 eth0#1 02:00:00:00:00:01", link(ifnet.LinkAddr{Name: "eth0s"}))
	found, err := r.WithNet(bg, netip.MustParseAddr("10.9.9.9"))
	require.NoError(t, err)
	require.Equal(t, "eth0", found.Interface.Name)
	found, err = r.WithNetLink(bg, ifnet.LinkAddr{Index: 1})
	require.NoError(t, err)
	require.Equal(t, "eth0", found.Link.Name)
}

func seedBestOf(t *testing.T, r *rig) {
	eth, _ := r.attach("eth0")
	ppp, _ := r.attach("ppp0", p2p)
	_, _ = r.attach("eth1")
	r.add(eth, "192.0.2.1/24", "10.0.0.1/8", "10.1.0.1/16", "2001:db8::1/32", "2001:db8:1::1/48")
	noMask := func(ifp *ifnet.Interface, text string) {
		s := spec(text)
		s.NoMask = true
		require.NoError(t, r.AddAddr(bg, ifp, s))
	}
	noMask(eth, "172.16.0.1/12")
	noMask(eth, "2001:db8:ffff::1/48")
	r.add(ppp, "10.0.0.1/32>10.0.0.2", "10.0.0.3/8>10.0.0.4", "2001:db8::1/64>2001:db8::2", "2001:db8::3/64>2001:db8::4")
	noMask(ppp, "172.16.0.1/12>172.16.0.2")
	noMask(ppp, "2001:db9::1/64>2001:db9::2")

	require.Equal(t, "eth0 10.0.0.1/8", r.bestOf("10.1.2.3", "eth0"), "the first that matches, not the most specific")
	require.Equal(t, "eth0 192.0.2.1/24", r.bestOf("8.8.8.8", "eth0"), "else the first of the family")
	require.Equal(t, "eth0 172.16.0.1", r.bestOf("172.16.0.1", "eth0"), "no netmask: itself")
	require.Equal(t, "eth0 192.0.2.1/24", r.bestOf("172.16.0.9", "eth0"), "and nothing else")
	require.Equal(t, "eth0 2001:db8::1/32", r.bestOf("2001:db8:1::9", "eth0"))
	require.Equal(t, "eth0 2001:db8::1/32", r.bestOf("2001:db8:ffff::1", "eth0"), "the first: it matches too")
	require.Equal(t, "ppp0 10.0.0.3/8", r.bestOf("10.0.0.4", "ppp0"), "point-to-point: by the peer")
	require.Equal(t, "ppp0 10.0.0.1/32", r.bestOf("10.0.0.9", "ppp0"))
	require.Equal(t, "ppp0 172.16.0.1", r.bestOf("172.16.0.2", "ppp0"), "no netmask: the peer")
	require.Equal(t, "ppp0 2001:db8::3/64", r.bestOf("2001:db8::4", "ppp0"))
	require.Equal(t, "ppp0 2001:db9::1", r.bestOf("2001:db9::2", "ppp0"))
	require.Equal(t, "ppp0 2001:db8::1/64", r.bestOf("2001:dba::1", "ppp0"))
	require.Empty(t, r.bestOf("10.0.0.1", "eth1"), "none of the family")
	require.Empty(t, r.bestOf("::ffff:10.0.0.1", "eth0"))
	found, err := r.BestOf(bg, netip.MustParseAddr("10.1.2.3"), eth)
	require.NoError(t, err)
	require.Equal(t, "10.0.0.1/8", found.Address.Prefix.String())
	_, err = r.BestOf(bg, netip.Addr{}, eth)
	fails(t, err, syscall.EADDRNOTAVAIL, "look for source address", "eth0")
}

func seedUnit(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	_, _ = r.attach("eth1")
	got, err := r.Lookup(bg, "eth0")
	require.NoError(t, err)
	require.Same(t, ifp, got)
	r.each(func(rep *ifnet.Replica) {
		require.Equal(t, 2, rep.ByName("eth1").State().Index)
		require.Nil(t, rep.ByName("eth"))
		require.Nil(t, rep.ByIndex(0))
		require.Nil(t, rep.ByIndex(99))
	})
	_, err = r.Lookup(bg, "eth10")
	fails(t, err, syscall.ENXIO, "look up", "eth10")
	require.ErrorContains(t, err, "there are eth0, eth1")
}

func seedWithName(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	got, err := r.WithName(bg, ifnet.LinkAddr{Name: "eth0"})
	require.NoError(t, err)
	require.Same(t, ifp, got)
	for _, bad := range []string{"", "eth1", "a name of seventeen"} {
		_, err = r.WithName(bg, ifnet.LinkAddr{Name: bad, Index: 1})
		fails(t, err, syscall.ENXIO, "look up", bad)
		r.each(func(rep *ifnet.Replica) { require.Nil(t, rep.WithName(ifnet.LinkAddr{Name: bad})) })
	}
}

func seedLinkRequest(t *testing.T, r *rig) {
	var told []string
	eth, _ := r.attach("eth0")
	_, _ = r.attach("eth1")
	for _, text := range []string{"192.0.2.1/24", "10.0.0.1/8"} {
		s := spec(text)
		s.OnRoute = func(op ifnet.RouteOp, rt *ifnet.Route) {
			told = append(told, text)
			if op == ifnet.RouteAdd {
				require.Equal(t, text, rt.Addr.Address().String())
			}
		}
		require.NoError(t, r.AddAddr(bg, eth, s))
	}
	refs := func(addr string) (n int) {
		r.each(func(rep *ifnet.Replica) { n += rep.WithAddr(netip.MustParseAddr(addr)).Refs() })
		return n
	}
	links := func() (n int) {
		r.each(func(rep *ifnet.Replica) { n += firstOf(rep.ByName("eth0")).Refs() })
		return n
	}
	all := r.Cores() + 1
	require.Equal(t, all, refs("10.0.0.1"))
	// Through the link, to the network of the second address: that one is given.
	require.NoError(t, r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.MustParsePrefix("10.7.0.0/16"), Interface: "eth0"}))
	require.Equal(t, []string{"10.7.0.0/16 dev eth0 src 10.0.0.1/8"}, r.routes())
	require.Equal(t, 2*all, refs("10.0.0.1"), "it has a reference on every core")
	require.Equal(t, all, links(), "and the link-level address has none more")
	require.Len(t, told, all)
	// To nowhere in particular: the first of the family.
	require.NoError(t, r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.MustParsePrefix("8.8.8.8/32"), Interface: "eth0"}))
	require.Equal(t, 2*all, refs("192.0.2.1"))
	// None of the family: it stays with the link-level address.
	require.NoError(t, r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.MustParsePrefix("2001:db8::/32"), Interface: "eth0"}))
	require.Equal(t, 2*all, links())
	// What is deleted, or is no new route, is left alone, and references come home.
	require.NoError(t, r.DelRoute(bg, netip.MustParsePrefix("10.7.0.0/16")))
	require.NoError(t, r.DelRoute(bg, netip.MustParsePrefix("2001:db8::/32")))
	require.Equal(t, all, refs("10.0.0.1"))
	require.Equal(t, all, links())
	fails(t, r.DelRoute(bg, netip.MustParsePrefix("10.7.0.0/16")), syscall.ESRCH, "delete route", "")
	fails(t, r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.MustParsePrefix("8.8.8.8/32"), Interface: "eth0"}), syscall.EEXIST, "add route", "eth0")
	// A table that refuses gives the reference back.
	for core, tab := range r.tables {
		if core < r.Cores() {
			require.NoError(t, tab.Add(netip.MustParsePrefix("10.9.0.0/16"), ifnet.Route{}))
		}
	}
	require.NoError(t, r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.MustParsePrefix("10.9.0.0/16"), Interface: "eth0"}))
	require.Equal(t, all+1, refs("10.0.0.1"), "control's alone")
	for core, tab := range r.tables {
		if core < r.Cores() {
			_, err := tab.Table.Delete(netip.MustParsePrefix("10.9.0.0/16"))
			require.NoError(t, err)
		}
	}
	// The route is an address's that goes: another one is found, or it goes too.
	require.NoError(t, r.DelAddr(bg, eth, netip.MustParseAddr("192.0.2.1")))
	require.Equal(t, 1, r.tables[0].Len())
	require.Equal(t, "10.0.0.1", r.tables[0].Get(netip.MustParsePrefix("8.8.8.8/32")).Addr.Address().Addr().String())
}
