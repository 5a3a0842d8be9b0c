package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
)

// powerful makes null ports that have every power of a device, and fail when told to.
type powerful struct {
	faulty
	calls  atomic.Int32 // of powers
	powerN int32        // the call of a power that fails, from 1
	devs   sync.Map     // by the name it was opened with, the last one
}

func (f *powerful) Open(ctx context.Context, spec pmd.Spec, env pmd.Env) (pmd.Device, error) {
	dev, err := f.faulty.Open(ctx, spec, env)
	if err != nil {
		return nil, err
	}
	info := dev.Info()
	info.MTU = 1500
	d := &powerfulDevice{Device: dev, f: f, info: info}
	f.devs.Store(info.Name, d)
	return d, nil
}

// power counts a call of a power, which may be the one to fail.
func (f *powerful) power() error {
	if n := f.calls.Add(1); n == f.powerN {
		return errFaulty
	}
	return nil
}

type powerfulDevice struct {
	pmd.Device
	f *powerful

	mu     sync.Mutex // Info is asked for by the workers' statistics
	info   pmd.Info
	modes  [2]bool // promiscuous, all-multicast
	groups []string
}

func (d *powerfulDevice) do(change func()) error {
	if err := d.f.power(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	return nil
}

func (d *powerfulDevice) Info() pmd.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info
}

func (d *powerfulDevice) SetMTU(mtu int) error { return d.do(func() { d.info.MTU = mtu }) }
func (d *powerfulDevice) SetMAC(mac net.HardwareAddr) error {
	return d.do(func() { d.info.MAC = slices.Clone(mac) })
}
func (d *powerfulDevice) SetPromisc(on bool) error  { return d.do(func() { d.modes[0] = on }) }
func (d *powerfulDevice) SetAllMulti(on bool) error { return d.do(func() { d.modes[1] = on }) }
func (d *powerfulDevice) SetGroups(groups []net.HardwareAddr) error {
	return d.do(func() {
		d.groups = nil
		for _, g := range groups {
			d.groups = append(d.groups, g.String())
		}
		slices.Sort(d.groups)
	})
}

// device returns the device of a port.
func (f *powerful) device(t testing.TB, e *Engine, name string) *powerfulDevice {
	t.Helper()
	ports, _ := e.now()
	for _, p := range ports {
		if p.spec.Name == name {
			dev, ok := f.devs.Load(p.net.Info().Name)
			require.True(t, ok)
			return dev.(*powerfulDevice)
		}
	}
	t.Fatalf("no port %s", name)
	return nil
}

// sight is all that the steps of a change can change, to be compared.
type sight struct {
	Forwarding Forwarding
	Interfaces []Interface
	Devices    map[string]string
	Workers    map[string][]int
	Cores      []dataplane.PollConfig
	Configured []InterfaceConfig
}

func lookAt(t testing.TB, e *Engine, devs *powerful) (p sight) {
	t.Helper()
	ctx := context.Background()
	var err error
	p.Forwarding = e.Forwarding()
	p.Interfaces, err = e.Interfaces(ctx)
	require.NoError(t, err)
	p.Devices, p.Workers = map[string]string{}, map[string][]int{}
	for i := range p.Interfaces {
		f := &p.Interfaces[i]
		d := devs.device(t, e, f.Name)
		info := d.Info()
		d.mu.Lock()
		p.Devices[f.Name] = fmt.Sprint(info.MTU, info.MAC, d.modes, d.groups)
		d.mu.Unlock()
		// What was taken back was a change, a port that was opened again has new numbers,
		// and frames come and go.
		f.LastChange, f.ID, f.Index, f.SendQueue = time.Time{}, 0, 0, SendQueue{}
	}
	ports, _ := e.now()
	for _, port := range ports {
		p.Workers[port.spec.Name] = port.net.Workers()
		assert.Equal(t, port.net.Workers(), port.workers, "%s is where it is thought to be", port.spec.Name)
	}
	for _, tuning := range e.tunings() {
		p.Cores = append(p.Cores, tuning.is)
	}
	p.Configured, err = e.InterfaceConfigs(ctx)
	require.NoError(t, err)
	return p
}

// text writes a sight so that differences are easy to see.
func text(t testing.TB, s sight) string {
	t.Helper()
	out, err := json.MarshalIndent(s, "", " ")
	require.NoError(t, err)
	return string(out)
}

func same(t testing.TB, want, got sight, msg string, args ...any) {
	t.Helper()
	if a, b := text(t, want), text(t, got); a != b {
		t.Fatalf("%s\nwant %s\n\ngot %s", fmt.Sprintf(msg, args...), a, b)
	}
}

// onCPUs lets an engine of unpinned workers believe that they are on these CPUs, so that they
// can be named. It is called before anything is changed.
func onCPUs(e *Engine, ids ...int) { e.cores.ids = ids }

// Each call that a change makes of a device fails in turn, from its ports and their queues
// over cores, settings, addresses and groups: all is as it was, and the next apply does it.
func TestApplyUndoesEachStep(t *testing.T) {
	ctx := context.Background()
	f := &powerful{}
	// They receive nothing: cores that sleep answer at once, on a busy machine as well.
	cfg := small(t, "null:name=a,rx=off", "null:name=b,rx=off,size=100", "null:name=gone,rx=off,size=300", "null:name=other,rx=off,size=100", "null:name=old,rx=off,size=400")
	cfg.Registry, cfg.Unpinned = pmd.NewRegistry(f), 2
	cfg.Interfaces = []InterfaceConfig{
		{Port: "a", IfSettings: IfSettings{MTU: ptr(2000), Metric: ptr(3)}, Groups: []string{"224.0.0.251", "ff02::fb"},
			Addrs: []AddrSettings{{Address: "192.0.2.1/24"}, {Address: "2001:db8::1/64"}, {Address: "198.51.100.1/24"}, {Address: "203.0.113.1/24"}}},
		{Port: "gone", IfSettings: IfSettings{AllMulti: ptr(true)}, Addrs: []AddrSettings{{Address: "10.0.0.1/8"}}},
		{Port: "old", IfSettings: IfSettings{Metric: ptr(7)}},
	}
	e := started(t, cfg)
	onCPUs(e, 100, 101)
	cfg.Tuning = []CoreSettings{{CPU: 100, PollSettings: dataplane.PollSettings{PollHz: ptr(3000)}}}
	cfg.Ports[1].PollCPU = "101"
	_, err := e.Apply(ctx, cfg)
	require.NoError(t, err)

	next := cfg
	next.Ports = specs(t, "null:name=new,rx=off", "null:name=a,rx=off,pollcpu=101", "null:name=b,rx=off,size=100,pollcpu=100", "null:name=other,rx=off,size=128", "null:name=young,rx=off,size=400")
	next.Mode = "macswap"
	next.Tuning = []CoreSettings{{CPU: 100, PollSettings: dataplane.PollSettings{BurstMax: ptr(300)}}, {CPU: 101, PollSettings: dataplane.PollSettings{Idle: ptr(dataplane.IdleInterrupt)}}}
	next.Interfaces = []InterfaceConfig{
		{Port: "a", IfSettings: IfSettings{MTU: ptr(3000), LLAddr: ptr("02:00:00:00:00:aa"), Promisc: ptr(true), AllMulti: ptr(true), Metric: ptr(4)},
			Groups: []string{"ff02::fb", "224.0.0.252"},
			Addrs:  []AddrSettings{{Address: "2001:db8::1/48"}, {Address: "203.0.113.1/24"}, {Address: "192.0.2.9/24"}}},
		{Port: "b", IfSettings: IfSettings{Up: ptr(false), MTU: ptr(1400)}},
		{Port: "new", IfSettings: IfSettings{MTU: ptr(1300), Polling: ptr(false)}, Groups: []string{"224.0.0.251"}, Addrs: []AddrSettings{{Address: "10.0.0.1/8"}}},
		{Port: "young", IfSettings: IfSettings{Metric: ptr(7), MTU: ptr(1200)}},
	}
	before := lookAt(t, e, f)
	plan, err := e.Plan(ctx, next)
	require.NoError(t, err)
	fails := int32(1)
	for ; ; fails++ {
		f.powerN = f.calls.Load() + fails
		steps, err := e.Apply(ctx, next)
		called := f.calls.Load() >= f.powerN
		f.powerN = 0
		if err == nil {
			require.False(t, called)
			assert.Equal(t, texts(plan), texts(steps))
			break
		}
		require.ErrorIs(t, err, errFaulty, "call %d", fails)
		require.ErrorContains(t, err, "what had been done is undone")
		same(t, before, lookAt(t, e, f), "call %d", fails)
		left, err := e.Plan(ctx, cfg)
		require.NoError(t, err)
		require.Empty(t, left, "call %d", fails)
	}
	assert.EqualValues(t, 11, fails, "an MTU, a group, then MTU, address, both modes and a group, two MTUs, and a group that is left")
	assert.Equal(t, []string{
		"remove gone null:name=gone,rx=off,size=300>", "remove other null:name=other,rx=off,size=100>", "rename old old>young",
		"add new >null:name=new,rx=off", "add other >null:name=other,rx=off,size=128", "mode io>macswap",
		"connect new >a", "connect a b>new", "connect b a>other", "connect other gone>b",
		"pollcpu a >101", "pollcpu b 101>100",
		"interface new >mtu=1300 polling=off addr=10.0.0.1/8 group=224.0.0.251",
		"interface a mtu=2000 lladdr=" + before.Interfaces[0].MAC + " metric=3 promisc=off allmulti=off addr=192.0.2.1/24 addr=2001:db8::1/64 addr=198.51.100.1/24 group=224.0.0.251>" +
			"mtu=3000 lladdr=02:00:00:00:00:aa metric=4 promisc=on allmulti=on addr=2001:db8::1/48 addr=192.0.2.9/24 group=224.0.0.252",
		"interface b up=on mtu=1500>up=off mtu=1400", "interface young mtu=1500>mtu=1200",
		"core 100 pollhz=3000 burst_max=192>pollhz=2000 burst_max=300", "core 101 idle=adaptive>idle=interrupt",
	}, texts(plan))
	after := lookAt(t, e, f)
	assert.Equal(t, map[string][]int{"new": {0}, "a": {1}, "b": {0}, "other": {1}, "young": {0}}, after.Workers)
	left, err := e.Plan(ctx, next)
	require.NoError(t, err)
	assert.Empty(t, left)
	var addrs []string
	for _, a := range after.Interfaces[1].Addresses {
		addrs = append(addrs, a.Address)
	}
	assert.Equal(t, []string{"2001:db8::1/48", "203.0.113.1/24", "192.0.2.9/24"}, addrs)

	// What runs, written out, is the same again, and so is the way back.
	shown, err := e.InterfaceConfigs(ctx)
	require.NoError(t, err)
	again := next
	again.Interfaces = shown
	left, err = e.Plan(ctx, again)
	require.NoError(t, err)
	assert.Empty(t, left)
	_, err = e.Apply(ctx, cfg)
	require.NoError(t, err)
	back := lookAt(t, e, f)
	sortAddrs(&back)
	sortAddrs(&before)
	back.Workers = before.Workers // new ports have gone where there was least to do
	same(t, before, back, "")
}

// sortAddrs forgets the order of addresses: which was first is not in a configuration that is
// applied.
func sortAddrs(p *sight) {
	for i := range p.Interfaces {
		slices.SortFunc(p.Interfaces[i].Addresses, func(a, b NetAddress) int { return slices.Compare([]byte(a.Address), []byte(b.Address)) })
		slices.SortFunc(p.Interfaces[i].Groups, func(a, b NetGroup) int { return slices.Compare([]byte(a.Group), []byte(b.Group)) })
	}
	for i := range p.Configured {
		slices.SortFunc(p.Configured[i].Addrs, func(a, b AddrSettings) int { return slices.Compare([]byte(a.Address), []byte(b.Address)) })
		slices.Sort(p.Configured[i].Groups)
	}
}

// A port that cannot be closed, last of all, takes everything back that came before, addresses
// in their order.
func TestApplyUndoesWhatWentLast(t *testing.T) {
	ctx := context.Background()
	f := &powerful{}
	cfg := small(t, "null:name=a", "null:name=gone")
	cfg.Registry = pmd.NewRegistry(f)
	cfg.Interfaces = []InterfaceConfig{{Port: "0", Addrs: []AddrSettings{{Address: "192.0.2.1/24"}, {Address: "192.0.2.2/24"}, {Address: "192.0.2.3/24"}}, Groups: []string{"224.0.0.251"}}}
	e := started(t, cfg)
	before := lookAt(t, e, f)
	next := cfg
	next.Ports = specs(t, "null:name=a")
	next.Interfaces = []InterfaceConfig{{Port: "a", Addrs: []AddrSettings{{Address: "192.0.2.2/24"}, {Address: "192.0.2.4/24"}}}}
	f.onClose = errFaulty
	_, err := e.Apply(ctx, next)
	f.onClose = nil
	require.ErrorIs(t, err, errFaulty)
	require.ErrorContains(t, err, "what had been done is undone")
	same(t, before, lookAt(t, e, f), "")
	_, err = e.Apply(ctx, next)
	require.NoError(t, err)
	flows(t, e)
}

// Several settings at once, and the device fails at each call in turn: nothing has changed, in
// the interface, the device and the dataplane.
func TestSetUndoesEachStep(t *testing.T) {
	ctx := context.Background()
	f := &powerful{}
	cfg := small(t, "null:name=a", "null:name=b")
	cfg.Registry, cfg.Unpinned = pmd.NewRegistry(f), 2
	e := started(t, cfg)
	for _, set := range []IfSettings{
		{MTU: ptr(3000), LLAddr: ptr("02:00:00:00:00:aa"), Metric: ptr(4), Promisc: ptr(true), AllMulti: ptr(true), PollCPU: ptr("w1"), Name: ptr("wan")},
		{Up: ptr(false), MTU: ptr(1400), Promisc: ptr(true), AllMulti: ptr(true), Polling: ptr(false)},
	} {
		before := lookAt(t, e, f)
		fails := int32(1)
		for ; ; fails++ {
			f.powerN = f.calls.Load() + fails
			_, err := e.SetInterface(ctx, "0", set)
			f.powerN = 0
			if err == nil {
				break
			}
			require.ErrorIs(t, err, errFaulty)
			same(t, before, lookAt(t, e, f), "call %d: %v", fails, err)
		}
		assert.Greater(t, fails, int32(3))
		assert.NotEqual(t, text(t, before), text(t, lookAt(t, e, f)))
		// And all of it back.
		name := e.Ports()[0].Name
		_, err := e.SetInterface(ctx, name, IfSettings{
			Name: ptr("a"), Up: ptr(true), MTU: ptr(1500), LLAddr: ptr(before.Interfaces[0].MAC), Metric: ptr(0), Promisc: ptr(false), AllMulti: ptr(false), Polling: ptr(true),
		})
		require.NoError(t, err)
		shown, err := e.InterfaceConfigs(ctx)
		require.NoError(t, err)
		assert.Empty(t, shown, "all is as it comes")
	}
	flows(t, e)
}

// Interfaces are what the configuration says from the first frame on, and what it says of none
// is what it was.
func TestInterfacesFromTheStart(t *testing.T) {
	cfg := small(t, "null:name=a", "null:name=b")
	cfg.Interfaces = []InterfaceConfig{
		{Port: "1", IfSettings: IfSettings{Up: ptr(false), Metric: ptr(7)}, Addrs: []AddrSettings{{Address: "192.0.2.1/24"}, {Address: "2001:db8::1/64"}}, Groups: []string{"01:00:5e:00:00:05", "224.0.0.251"}},
		{Port: "a", IfSettings: IfSettings{Polling: ptr(false)}},
	}
	e, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	shown, err := e.InterfaceConfigs(t.Context())
	require.NoError(t, err)
	var lines []string
	for _, c := range shown {
		lines = append(lines, c.String())
	}
	assert.Equal(t, []string{
		"a,polling=off", "b,up=off,metric=7,addr=192.0.2.1/24,addr=2001:db8::1/64,group=01:00:5e:00:00:05,group=224.0.0.251",
	}, lines)
	cfg.Ports = e.Ports()
	cfg.Interfaces = append(shown, InterfaceConfig{Port: "0"})
	_, err = e.Plan(t.Context(), cfg)
	require.ErrorContains(t, err, "interface a is given twice")
	e.Stop()
	require.NoError(t, e.Wait())
	for i, p := range e.Final().Ports {
		assert.Zero(t, p.RxPackets, "port %d was never polled", i)
	}
	accountedFor(t, e.Final())
}

// What is wrong with an interface is told before anything is opened, with its name.
func TestInterfaceConfigMistakes(t *testing.T) {
	for text, c := range map[string]InterfaceConfig{
		`interface "c": there is no port`:                          {Port: "c"},
		"interface a: an mtu of 0 bytes":                           {Port: "a", IfSettings: IfSettings{MTU: ptr(0)}},
		"interface a: an mtu of 1000000000 bytes":                  {Port: "a", IfSettings: IfSettings{MTU: ptr(1_000_000_000)}},
		"interface a: lladdr \"x\"":                                {Port: "a", IfSettings: IfSettings{LLAddr: ptr("x")}},
		"interface a: 01:00:5e:00:00:01 is no station's":           {Port: "a", IfSettings: IfSettings{LLAddr: ptr("01:00:5e:00:00:01")}},
		"no capability \"FAST\"":                                   {Port: "a", IfSettings: IfSettings{CapsOn: []string{"FAST"}}},
		"interface a: address \"x\"":                               {Port: "a", Addrs: []AddrSettings{{Address: "x"}}},
		"interface a: address \"fe80::1%a/64\"":                    {Port: "a", Addrs: []AddrSettings{{Address: "fe80::1%a/64"}}},
		"interface a: 224.0.0.1 cannot be an interface's own":      {Port: "a", Addrs: []AddrSettings{{Address: "224.0.0.1/24"}}},
		"an IPv4 address in IPv6 form":                             {Port: "a", Addrs: []AddrSettings{{Address: "::ffff:192.0.2.1/120"}}},
		"the peer is of another family":                            {Port: "a", Addrs: []AddrSettings{{Address: "192.0.2.1/32", Peer: "2001:db8::1"}}},
		"interface a: address 192.0.2.1 is given twice":            {Port: "a", Addrs: []AddrSettings{{Address: "192.0.2.1/24"}, {Address: "192.0.2.1/25"}}},
		"interface a: 192.0.2.1 is no multicast address":           {Port: "a", Groups: []string{"192.0.2.1"}},
		"interface a: group 01:00:5e:00:00:05 is given twice":      {Port: "a", Groups: []string{"01:00:5e:00:00:05", "01-00-5e-00-00-05"}},
		"interface a: use an IP address such as 224.0.0.251, or a": {Port: "a", Groups: []string{"x"}},
	} {
		cfg := small(t, "null:name=a", "null:name=b")
		cfg.Interfaces = []InterfaceConfig{c}
		err := cfg.Validate()
		if assert.ErrorContains(t, err, text) {
			assert.True(t, usage.Is(err), "%v", err)
		}
	}
	// What only the device knows is told when it is open, and everything is closed again.
	f := &faulty{}
	cfg := small(t, "null:name=a", "null:name=b")
	cfg.Registry = pmd.NewRegistry(f)
	cfg.Interfaces = []InterfaceConfig{{Port: "b", IfSettings: IfSettings{CapsOn: []string{"RXCSUM"}}}}
	_, err := Start(t.Context(), cfg)
	require.ErrorContains(t, err, "set on b: not offered: RXCSUM")
	assert.Zero(t, f.open.Load())
}
