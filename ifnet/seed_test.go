package ifnet_test

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/ifnet"
	"example.org/pmd/queue"
)

// row is one function, or one control call, of DragonFly BSD's net/if.c: a test that runs
// what does its work here.
type row struct {
	name string
	// by are the functions that do it, each as file:name. TestSeedCovers checks that
	// the row alone covers nine tenths of each.
	by []string
	// cpus says that the row is about CPUs: it is run with 1, 2 and 64 of them.
	cpus bool
	test func(t *testing.T, r *rig)
}

// TestSeed has a subtest for each function of if.c and each control call.
func TestSeed(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if !row.cpus {
				row.test(t, newRig(t, 2))
				return
			}
			for _, n := range []int{1, 2, 64} {
				t.Run(fmt.Sprintf("cpus=%d", n), func(t *testing.T) { row.test(t, newRig(t, n)) })
			}
		})
	}
}

var rows = []row{
	{"ifinit", []string{"system.go:Start", "queue.go:defaultQueue"}, false, seedInit},
	{"if_attach", []string{"interface.go:attach", "interface.go:growTable", "replica.go:attach"}, true, seedAttach},
	{"if_attachdomain", []string{"domain.go:AttachDomain"}, false, seedAttachDomain},
	{"if_attachdomain1", []string{"domain.go:attachDomains"}, false, seedAttachDomain},
	{"if_purgeaddrs_nolink", []string{"addrs.go:PurgeAddrs", "addrs.go:purgeAddrs", "addrs.go:delAddr"}, true, seedPurgeAddrs},
	{"if_detach", []string{"interface.go:detach", "interface.go:dropQueue", "replica.go:detach", "domain.go:detachDomains", "domain.go:purgeDomains"}, true, seedDetach},
	{"if_rtdel", []string{"route.go:purgeRoutes", "route.go:routeDelete"}, true, seedRouteDelete},
	{"ifa_ifwithaddr", []string{"lookup.go:WithAddr", "lookup.go:WithLinkAddr"}, true, seedWithAddr},
	{"ifa_ifwithdstaddr", []string{"lookup.go:WithDstAddr"}, true, seedWithDstAddr},
	{"ifa_ifwithnet", []string{"lookup.go:WithNet", "lookup.go:withNet4", "lookup.go:WithNetLink"}, true, seedWithNet},
	{"ifaof_ifpforaddr", []string{"lookup.go:BestOf", "lookup.go:bestOf4"}, true, seedBestOf},
	{"link_rtrequest", []string{"route.go:linkRequest", "route.go:request", "route.go:addRoute"}, true, seedLinkRequest},
	{"if_unroute", []string{"updown.go:Unroute", "updown.go:unroute", "updown.go:announceFlag"}, true, seedUnroute},
	{"if_route", []string{"updown.go:Route", "updown.go:route", "updown.go:announceFlag"}, true, seedRoute},
	{"if_down", []string{"updown.go:Down", "updown.go:down"}, true, seedDown},
	{"if_up", []string{"updown.go:Up"}, true, seedUp},
	{"if_link_state_change", []string{"updown.go:SetLinkState"}, false, seedLinkState},
	{"if_slowtimo", []string{"watchdog.go:SlowTimeout", "watchdog.go:watchdog", "watchdog.go:SetTimer"}, false, seedSlowTimeout},
	{"ifunit", []string{"interface.go:Lookup", "interface.go:unit", "lookup.go:ByName"}, true, seedUnit},
	{"if_withname", []string{"lookup.go:WithName", "addrs.go:WithName"}, true, seedWithName},
	{"ifioctl", []string{"control.go:read", "control.go:change", "control.go:privileged"}, false, seedIoctl},
	{"SIOCGIFCONF", []string{"control.go:Conf"}, false, seedConf},
	{"ifconf", []string{"addrs.go:Conf"}, false, seedConf},
	{"SIOCIFCREATE", []string{"control.go:Create", "clone.go:create", "clone.go:splitUnit"}, false, seedCreate},
	{"SIOCIFDESTROY", []string{"control.go:Destroy", "clone.go:destroy"}, false, seedCreate},
	{"SIOCIFGCLONERS", []string{"control.go:Kinds", "clone.go:Kinds"}, false, seedCreate},
	{"SIOCGIFFLAGS", []string{"control.go:Flags"}, false, seedFlags},
	{"SIOCSIFFLAGS", []string{"control.go:SetFlags", "control.go:setFlags", "control.go:upEdge", "control.go:changeable", "control.go:restore"}, false, seedFlags},
	{"SIOCGIFCAP", []string{"control.go:Caps"}, false, seedCaps},
	{"SIOCSIFCAP", []string{"control.go:SetCaps", "control.go:setCaps"}, false, seedCaps},
	{"SIOCGIFMETRIC", []string{"control.go:Metric"}, false, seedMetric},
	{"SIOCSIFMETRIC", []string{"control.go:SetMetric", "control.go:setMetric"}, false, seedMetric},
	{"SIOCGIFPHYS", []string{"control.go:Phys"}, false, seedPhys},
	{"SIOCSIFPHYS", []string{"control.go:SetPhys"}, false, seedPhys},
	{"SIOCGIFMEDIA", []string{"control.go:Media"}, false, seedMedia},
	{"SIOCSIFMEDIA", []string{"control.go:SetMedia", "control.go:drive", "control.go:ask"}, false, seedMedia},
	{"SIOCGIFGENERIC", []string{"control.go:Generic"}, false, seedGeneric},
	{"SIOCSIFGENERIC", []string{"control.go:SetGeneric"}, false, seedGeneric},
	{"SIOCGIFSTATUS", []string{"control.go:Status"}, false, seedStatus},
	{"SIOCSIFPHYADDR", []string{"control.go:SetTunnel"}, false, seedTunnel},
	{"SIOCSIFPHYADDR_IN6", []string{"control.go:SetTunnel"}, false, seedTunnel},
	{"SIOCSLIFPHYADDR", []string{"control.go:SetTunnel"}, false, seedTunnel},
	{"SIOCDIFPHYADDR", []string{"control.go:SetTunnel"}, false, seedTunnel},
	{"SIOCGIFPSRCADDR", []string{"control.go:Tunnel"}, false, seedTunnel},
	{"SIOCGIFPDSTADDR", []string{"control.go:Tunnel"}, false, seedTunnel},
	{"SIOCGLIFPHYADDR", []string{"control.go:Tunnel"}, false, seedTunnel},
	{"SIOCGIFPOLLCPU", []string{"control.go:PollCore", "poll.go:PollCore"}, true, seedPollCore},
	{"SIOCSIFPOLLCPU", []string{"control.go:SetPollCore", "poll.go:setPollCore", "poll.go:pollOn", "poll.go:pollOff", "poll.go:setPolling"}, true, seedPollCore},
	{"SIOCSIFNAME", []string{"control.go:Rename", "control.go:rename", "lladdr.go:replaceLink", "addrs.go:replace"}, true, seedRename},
	{"SIOCGIFMTU", []string{"control.go:MTU"}, false, seedMTU},
	{"SIOCSIFMTU", []string{"control.go:SetMTU", "control.go:setMTU"}, false, seedMTU},
	{"SIOCADDMULTI", []string{"control.go:AddMulti", "control.go:multi", "control.go:linkOnly"}, false, seedControlMulti},
	{"SIOCDELMULTI", []string{"control.go:DelMulti", "control.go:multi", "control.go:linkOnly"}, false, seedControlMulti},
	{"SIOCSIFLLADDR", []string{"control.go:SetLLAddr"}, true, seedSetLLAddr},
	{"if_setlladdr", []string{"lladdr.go:SetLLAddr", "lladdr.go:setLLAddr", "lladdr.go:driveLLAddr", "lladdr.go:reinit", "lladdr.go:advertise"}, true, seedSetLLAddr},
	{"so_pru_control", []string{"control.go:AddAddr", "control.go:DelAddr", "control.go:ChangeAddr"}, true, seedAddrCalls},
	{"SIOCAIFADDR", []string{"control.go:AddAddr", "addrs.go:addAddr", "addrs.go:checkAddr"}, true, seedAddrCalls},
	{"SIOCAIFADDR_IN6", []string{"control.go:AddAddr", "addrs.go:addAddr"}, true, seedAddrCalls},
	{"SIOCDIFADDR", []string{"control.go:DelAddr", "addrs.go:dropAddr", "addrs.go:delAddr"}, true, seedAddrCalls},
	{"SIOCDIFADDR_IN6", []string{"control.go:DelAddr", "addrs.go:dropAddr"}, true, seedAddrCalls},
	{"SIOCSIFADDR", []string{"control.go:ChangeAddr", "addrs.go:changeAddr"}, true, seedAddrCalls},
	{"SIOCSIFDSTADDR", []string{"control.go:ChangeAddr"}, true, seedAddrCalls},
	{"SIOCSIFBRDADDR", []string{"control.go:ChangeAddr"}, true, seedAddrCalls},
	{"SIOCSIFNETMASK", []string{"control.go:ChangeAddr"}, true, seedAddrCalls},
	{"SIOCGIFADDR", []string{"control.go:Addr"}, true, seedAddrCalls},
	{"SIOCGIFDSTADDR", []string{"control.go:Addr"}, true, seedAddrCalls},
	{"SIOCGIFBRDADDR", []string{"control.go:Addr"}, true, seedAddrCalls},
	{"SIOCGIFNETMASK", []string{"control.go:Addr"}, true, seedAddrCalls},
	{"ifpromisc", []string{"promisc.go:Promisc", "promisc.go:setPromisc", "promisc.go:driveFlags"}, false, seedPromisc},
	{"if_allmulti", []string{"promisc.go:AllMulti", "promisc.go:setAllMulti"}, false, seedAllMulti},
	{"if_addmulti", []string{"multicast.go:AddMulti", "multicast.go:addMulti", "multicast.go:resolveGroup", "multicast.go:setGroups", "multicast.go:ethernetGroup"}, true, seedMulti},
	{"if_delmulti", []string{"multicast.go:DelMulti", "multicast.go:delMulti"}, true, seedMulti},
	{"ifmaof_ifpforaddr", []string{"multicast.go:Member", "replica.go:Member"}, true, seedMember},
	{"if_getanyethermac", []string{"addrs.go:AnyEtherMAC"}, false, seedAnyMAC},
	{"if_initname", []string{"name.go:InitName"}, false, seedInitName},
	{"if_printf", []string{"system.go:message"}, false, seedPrintf},
	{"ifa_create", []string{"address.go:newAddress", "address.go:newIPAddress"}, true, seedCreateAddr},
	{"ifac_free", []string{"address.go:free", "address.go:Release", "address.go:Hold", "address.go:mustLive"}, true, seedFree},
	{"ifa_iflink", []string{"addrs.go:iflink", "replica.go:link", "replica.go:insert", "replica.go:grow", "system.go:round"}, true, seedLink},
	{"ifa_ifunlink", []string{"addrs.go:unlinkAddress", "replica.go:unlink", "replica.go:remove"}, true, seedUnlink},
	{"ifa_destroy", []string{"addrs.go:destroyAddress"}, true, seedFree},
	{"ifaddrinit", []string{"system.go:New", "system.go:Bind"}, true, seedAddrInit},
	{"rt_ifmsg", []string{"event.go:announce"}, false, seedEvents},
	{"rt_ifannouncemsg", []string{"event.go:announce"}, false, seedEvents},
	{"rt_newmaddrmsg", []string{"event.go:announce", "event.go:publish", "event.go:put", "event.go:take"}, false, seedEvents},
}

func seedInit(t *testing.T, r *rig) {
	without, _ := r.attach("eth0", func(p *ifnet.Params) { p.QueueLimit = 0 })
	with, _ := r.attach("eth1", func(p *ifnet.Params) { p.QueueLimit = 7 })
	require.Nil(t, without.Queue(), "nobody has said how long it may be")
	require.Empty(t, r.messages)
	require.NoError(t, r.Start(bg))
	require.Equal(t, 50, r.info(without).QueueLimit, "IFQ_MAXLEN")
	require.Equal(t, 7, r.info(with).QueueLimit)
	require.Len(t, r.messages, 1)
	require.Equal(t, "eth0", r.messages[0].Interface)
	require.True(t, r.messages[0].Warning)
	require.NoError(t, r.Start(bg), "again is harmless")
	require.Len(t, r.messages, 1)
	late, _ := r.attach("eth2", func(p *ifnet.Params) { p.QueueLimit = 0 })
	require.Equal(t, 50, r.info(late).QueueLimit)
	require.Len(t, r.messages, 2)
}

func seedAttach(t *testing.T, r *rig) {
	require.NoError(t, r.AttachDomain(bg, ifnet.Domain{Attach: func(i ifnet.Info) any {
		r.told = append(r.told, fmt.Sprintf("domain %s, queue %d", i.Name, i.QueueLimit))
		return i.Index
	}}))
	ifp, d := r.attach("eth0")
	i := r.info(ifp)
	require.Equal(t, 1, i.Index)
	require.Equal(t, ifnet.NotPolled, i.PollCore)
	require.False(t, i.LastChange.IsZero())
	require.Equal(t, 50, i.QueueLimit)
	require.Equal(t, []string{"attach eth0", "domain eth0, queue 50"}, r.told, "event, then queue, then domains")
	require.Equal(t, []string{"attach eth0"}, r.kinds(), "and then its arrival")
	require.Empty(t, d.calls)
	require.Equal(t, []string{"eth0#1 02:00:00:00:00:01"}, r.lists("eth0"), "the link-level address, on every core")
	r.each(func(rep *ifnet.Replica) {
		v := rep.ByIndex(1)
		require.Equal(t, ifnet.FamilyLink, firstOf(v).Address().Family())
		require.Equal(t, ifnet.LinkAddr{Name: "eth0", Index: 1, Type: ifnet.TypeEthernet, MAC: i.MAC}, firstOf(v).Address().Link())
		require.Equal(t, 1, firstOf(v).Refs())
	})
	// A serializer of its own, if none is given.
	plain, err := r.Attach(bg, ifnet.Params{Driver: "null", Unit: 3, QueueLimit: 1})
	require.NoError(t, err)
	require.NoError(t, r.root.SetFlags(bg, "null3", ifnet.FlagUp))
	require.Equal(t, 2, r.info(plain).Index)
	// The table of indices doubles.
	size, _ := r.Index()
	require.Equal(t, 8, size)
	for n := 3; n <= 17; n++ {
		ifp, _ := r.attach(fmt.Sprint("eth", n))
		require.Equal(t, n, r.info(ifp).Index)
	}
	size, last := r.Index()
	require.Equal(t, 32, size)
	require.Equal(t, 17, last)
	for n := 3; n <= 17; n++ {
		r.each(func(rep *ifnet.Replica) { require.Equal(t, fmt.Sprint("eth", n), rep.ByIndex(n).State().Name) })
	}
	_, err = r.Attach(bg, ifnet.Params{Name: "eth0"})
	fails(t, err, syscall.EEXIST, "attach", "eth0")
	_, err = r.Attach(bg, ifnet.Params{})
	fails(t, err, syscall.EINVAL, "attach", "")
	_, err = r.Attach(bg, ifnet.Params{Name: "q", QueueLimit: 1 << 30})
	require.ErrorIs(t, err, syscall.EINVAL)
	require.NoError(t, r.Start(bg))
	_, err = r.Attach(bg, ifnet.Params{Name: "later"})
	require.NoError(t, err)
}

func firstOf(v *ifnet.View) (first *ifnet.Container) {
	v.Addresses(func(c *ifnet.Container) bool {
		first = c
		return false
	})
	return first
}

func seedAttachDomain(t *testing.T, r *rig) {
	before, _ := r.attach("eth0")
	state := map[string]any{}
	detached := map[string]any{}
	attach := func(i ifnet.Info) any {
		require.NotContains(t, state, i.Name, "once an interface")
		state[i.Name] = "state of " + i.Name
		return state[i.Name]
	}
	require.NoError(t, r.AttachDomain(bg, ifnet.Domain{Family: ifnet.FamilyIPv4, Attach: attach,
		Detach: func(i ifnet.Info, s any) { detached[i.Name] = s }}))
	require.Contains(t, state, "eth0", "also on interfaces that came before it")
	after, _ := r.attach("eth1")
	require.Contains(t, state, "eth1")
	// Another one does not attach the first again; one without Attach has no state.
	require.NoError(t, r.AttachDomain(bg, ifnet.Domain{Family: ifnet.FamilyIPv6}))
	require.NoError(t, r.Detach(bg, before))
	require.NoError(t, r.Detach(bg, after))
	require.Equal(t, state, detached, "each gets its own back")
	fails(t, r.AttachDomain(bg, ifnet.Domain{Family: 99}), syscall.EAFNOSUPPORT, "attach domain", "")
}

func seedPurgeAddrs(t *testing.T, r *rig) {
	var gone []string
	require.NoError(t, r.AttachDomain(bg, ifnet.Domain{Input: func(op ifnet.ProtoOp, _ ifnet.Info, a ifnet.AddrInfo) {
		if op == ifnet.ProtoAddrDel {
			gone = append(gone, a.Prefix.String())
		}
	}}))
	ifp, d := r.attach("eth0")
	other, _ := r.attach("eth1")
	require.NoError(t, r.Up(bg, ifp))
	r.add(ifp, "192.0.2.1/24", "2001:db8::1/64", "198.51.100.1/24")
	r.add(other, "203.0.113.1/24")
	require.Len(t, r.routes(), 3)
	require.NotEmpty(t, d.group)
	r.kinds()
	require.NoError(t, r.PurgeAddrs(bg, ifp))
	require.Equal(t, []string{"eth0#1 02:00:00:00:00:01"}, r.lists("eth0"), "only the link-level one is left")
	require.Len(t, r.lists("eth1"), 2, "and other interfaces' stay")
	require.Empty(t, r.routes(), "routes go too")
	require.Empty(t, d.group, "and the groups that addresses brought")
	require.Equal(t, []string{"192.0.2.1/24", "2001:db8::1/64", "198.51.100.1/24"}, gone, "each by its own way out")
	require.Contains(t, r.kinds(), "addr_del eth0 2001:db8::1/64")
	require.Equal(t, 3, r.Addresses())
	require.NoError(t, r.PurgeAddrs(bg, ifp), "again is harmless")
}

func seedDetach(t *testing.T, r *rig) {
	q, err := queue.NewClassic(10, func([]int) {})
	require.NoError(t, err)
	other, err := queue.NewClassic(10, func([]int) {})
	require.NoError(t, err)
	note := func(what string) { r.told = append(r.told, what) }
	require.NoError(t, r.AttachDomain(bg, ifnet.Domain{
		Attach: func(ifnet.Info) any { return "state" },
		Detach: func(_ ifnet.Info, s any) { note("domain " + s.(string)) },
		Purge: func(i ifnet.Info) {
			note(fmt.Sprint("purge, addresses ", len(i.Addresses), ", routes ", len(r.routes())))
		},
		Input: func(op ifnet.ProtoOp, i ifnet.Info, _ ifnet.AddrInfo) {
			if op == ifnet.ProtoIfDown {
				note("down, polled by " + fmt.Sprint(i.PollCore))
			}
		},
	}))
	first, _ := r.attach("eth0")
	ifp, d := r.attach("eth1", func(p *ifnet.Params) { p.Queue = q })
	require.NoError(t, r.root.SetFlags(bg, "eth1", ifnet.FlagUp|ifnet.FlagPolling))
	r.add(ifp, "192.0.2.1/24", "2001:db8::1/64")
	require.NoError(t, r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.MustParsePrefix("10.0.0.0/8"), Interface: "eth1"}))
	require.NoError(t, r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.MustParsePrefix("172.16.0.0/12"), Gateway: netip.MustParseAddr("192.0.2.9")}))
	require.NoError(t, r.root.Join(bg, "eth1", ifnet.IPGroup(netip.MustParseAddr("224.0.0.251"))))
	require.NoError(t, r.SetQueue(bg, ifp, other))
	require.NoError(t, q.Enqueue(1))
	require.NoError(t, other.Enqueue(2))
	r.told, d.calls = nil, nil
	r.kinds()
	waits := r.barrier.waits

	require.NoError(t, r.Detach(bg, ifp))
	require.Equal(t, []string{"detach eth1", "down, polled by -1", "down, polled by -1", "down, polled by -1",
		"purge, addresses 0, routes 1", "domain state"}, r.told)
	require.Equal(t, "deregister eth1", r.polls.calls[len(r.polls.calls)-1])
	require.Empty(t, r.polls.on)
	require.Greater(t, r.barrier.waits, waits+1)
	require.Zero(t, q.Len())
	require.Zero(t, other.Len())
	require.Empty(t, d.group)
	require.Empty(t, r.routes())
	kinds := r.kinds()
	require.Equal(t, "detach eth1", kinds[len(kinds)-1])
	require.Less(t, slices.Index(kinds, "down eth1"), slices.Index(kinds, "addr_del eth1 192.0.2.1/24"))
	require.Contains(t, kinds, "route_del eth1 10.0.0.0/8")
	require.Contains(t, kinds, "group_leave eth1 224.0.0.251")
	require.Equal(t, 1, r.Addresses(), "the other interface's link-level one")
	r.each(func(rep *ifnet.Replica) {
		require.Nil(t, rep.ByName("eth1"))
		require.Nil(t, rep.ByIndex(2))
	})
	for range 2 {
		fails(t, r.Detach(bg, ifp), syscall.ENXIO, "detach", "eth1")
	}

	// The index: a hole stays until all behind it are gone.
	second, _ := r.attach("eth2")
	third, _ := r.attach("eth3")
	require.Equal(t, 2, r.info(second).Index, "the last index was free again")
	require.NoError(t, r.Detach(bg, second))
	_, last := r.Index()
	require.Equal(t, 3, last)
	fourth, d4 := r.attach("eth4")
	require.Equal(t, 4, r.info(fourth).Index)
	require.NoError(t, r.Detach(bg, third))
	// What fails on the way is told, and does not stop it.
	require.NoError(t, r.root.SetFlags(bg, "eth4", ifnet.FlagPolling))
	require.NoError(t, r.AddMulti(bg, fourth, ifnet.IPGroup(netip.MustParseAddr("ff02::1"))))
	require.NoError(t, r.SetQueue(bg, fourth, other))
	r.polls.err, d4.err, r.messages = errDriver, errDriver, nil
	require.NoError(t, r.Detach(bg, fourth))
	require.Len(t, r.messages, 3)
	r.polls.err = nil
	_, last = r.Index()
	require.Equal(t, 1, last, "past the holes")
	require.NoError(t, r.Detach(bg, first))
	_, last = r.Index()
	require.Zero(t, last)
}

func seedRouteDelete(t *testing.T, r *rig) {
	ifp, _ := r.attach("eth0")
	other, _ := r.attach("eth1")
	require.NoError(t, r.Up(bg, ifp))
	require.NoError(t, r.Up(bg, other))
	r.add(ifp, "192.0.2.1/24", "2001:db8::1/64")
	r.add(other, "198.51.100.1/24")
	for _, spec := range []ifnet.RouteSpec{
		{Dst: netip.MustParsePrefix("10.0.0.0/8"), Interface: "eth0"},
		{Dst: netip.MustParsePrefix("10.1.0.0/16"), Interface: "eth0"},
		{Dst: netip.MustParsePrefix("10.2.0.0/16"), Interface: "eth0"},
		{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("198.51.100.9")},
	} {
		require.NoError(t, r.AddRoute(bg, spec))
	}
	// One is not up, and one cannot be deleted.
	for _, tab := range r.tables {
		tab.Get(netip.MustParsePrefix("10.1.0.0/16")).Flags &^= ifnet.RouteUp
	}
	broken := netip.MustParsePrefix("10.2.0.0/16")
	r.breakRoute(broken)
	require.NoError(t, r.Detach(bg, ifp))
	require.Len(t, r.messages, 1+len(r.cores.boxes), "one a core, and control's")
	require.Equal(t, "eth0", r.messages[0].Interface)
	require.Contains(t, r.messages[0].Text, "10.2.0.0/16")
	left := []string{}
	for core, tab := range r.tables {
		left = left[:0]
		tab.Walk(func(dst netip.Prefix, _ *ifnet.Route) bool {
			left = append(left, dst.String())
			return true
		})
		require.Equal(t, []string{"0.0.0.0/0", "10.1.0.0/16", "10.2.0.0/16", "198.51.100.0/24"}, left, "core %d: the walk went on", core)
	}
	r.mend()
}
