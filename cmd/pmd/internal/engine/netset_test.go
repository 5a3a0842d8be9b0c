package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/ifnet"
)

func ptr[T any](v T) *T { return &v }

// accountedFor checks that every frame is somewhere: received = sent + dropped + in hand.
func accountedFor(t *testing.T, s *Stats) {
	t.Helper()
	var rx, out uint64
	for i := range s.Ports {
		p := &s.Ports[i]
		rx += p.RxPackets + p.Generated
		out += p.TxPackets + p.Dropped() + p.InHand
	}
	assert.Equal(t, rx, out, "received = sent + dropped + in hand")
	for _, p := range s.Pools {
		assert.True(t, p.Balanced(), "%+v", p)
	}
}

// An interface that goes down under traffic carries nothing, and every frame is accounted
// for; the other one goes on.
func TestDownUnderTraffic(t *testing.T) {
	cfg := small(t, "null:name=a", "null:name=b")
	cfg.Unpinned = 2
	e, err := Start(context.Background(), cfg)
	require.NoError(t, err)
	ctx := context.Background()
	counts := func() (rx, tx, dropped uint64) {
		s, err := e.Stats(ctx)
		require.NoError(t, err)
		return s.Ports[0].RxPackets, s.Ports[0].TxPackets, s.Ports[0].Drops["not_polled"]
	}
	for range 10 {
		until(t, "frames through a", func() bool { rx, tx, _ := counts(); return rx > 0 && tx > 0 })
		f, err := e.SetInterface(ctx, "a", IfSettings{Up: ptr(false)})
		require.NoError(t, err)
		assert.False(t, f.AdminUp)
		rx, tx, before := counts()
		until(t, "frames for a that are dropped", func() bool { _, _, n := counts(); return n > before })
		nowRx, nowTx, _ := counts()
		assert.Equal(t, rx, nowRx, "what is down receives nothing")
		assert.Equal(t, tx, nowTx, "and sends nothing")
		_, err = e.SetInterface(ctx, "a", IfSettings{Up: ptr(true)})
		require.NoError(t, err)
		until(t, "frames from a again", func() bool { n, _, _ := counts(); return n > rx })
	}
	e.Stop()
	require.NoError(t, e.Wait())
	accountedFor(t, e.Final())
}

// A new name is what everybody sees, while frames flow.
func TestRename(t *testing.T) {
	cfg := small(t, "null:name=a", "null:name=b")
	cfg.Links, cfg.Peers = []string{"a:b"}, []string{"1,02:00:00:00:00:07"}
	e := started(t, cfg)
	ctx := context.Background()
	f, err := e.SetInterface(ctx, "a", IfSettings{Name: ptr("wan"), Metric: ptr(7)})
	require.NoError(t, err)
	assert.Equal(t, "wan", f.Name)
	assert.Equal(t, 7, f.Metric)
	s, err := e.Stats(ctx)
	require.NoError(t, err)
	assert.Equal(t, "wan", s.Ports[0].Name)
	assert.Equal(t, []Connection{{"wan", "b"}, {"b", "wan"}}, e.Forwarding().Connect)
	assert.Equal(t, []string{"wan:b"}, e.Links())
	assert.Equal(t, []string{"b,02:00:00:00:00:07"}, e.Peers())
	assert.Equal(t, "null:name=wan", e.Ports()[0].String())

	_, err = e.SetInterface(ctx, "b", IfSettings{Metric: ptr(9), Name: ptr("wan")})
	require.ErrorIs(t, err, syscall.EEXIST)
	f, err = e.Interface(ctx, "b")
	require.NoError(t, err)
	assert.Zero(t, f.Metric, "all or nothing")
	_, err = e.SetInterface(ctx, "b", IfSettings{Name: ptr("a")})
	require.NoError(t, err, "the old name is free")

	next := cfg
	next.Ports, next.Links, next.Peers = e.Ports(), e.Links(), e.Peers()
	next.Interfaces, err = e.InterfaceConfigs(ctx)
	require.NoError(t, err)
	steps, err := e.Plan(context.Background(), next)
	require.NoError(t, err)
	assert.Empty(t, steps, "what runs is what is shown")
}

// Each mistake is an error that names the interface and the call, and changes nothing.
func TestInterfaceMistakes(t *testing.T) {
	e := started(t, small(t, "null:name=a", "null:name=b"))
	ctx := context.Background()
	addr := func(fn func(context.Context, string, AddrSettings) (Interface, error), a, peer string) func() error {
		return func() error { _, err := fn(ctx, "a", AddrSettings{a, peer}); return err }
	}
	set := func(s IfSettings) func() error {
		return func() error { _, err := e.SetInterface(ctx, "a", s); return err }
	}
	group := func(fn func(context.Context, string, string) (Interface, error), g string) func() error {
		return func() error { _, err := fn(ctx, "a", g); return err }
	}
	create := func(name string, params map[string]string) func() error {
		return func() error { _, err := e.Create(ctx, name, params); return err }
	}
	require.NoError(t, addr(e.AddAddr, "192.0.2.1/24", "")())
	require.NoError(t, group(e.Join, "224.0.0.251")())
	before, err := e.Interface(ctx, "a")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		fn   func() error
		want error // nil: the user's words are at fault
		says string
	}{
		"address twice":       {addr(e.AddAddr, "192.0.2.1/24", ""), syscall.EEXIST, "add address on a"},
		"no address":          {addr(e.AddAddr, "", ""), nil, "add address on a"},
		"zone":                {addr(e.AddAddr, "fe80::1%a/64", ""), nil, "add address on a"},
		"zone, host":          {addr(e.AddAddr, "fe80::1%a", ""), nil, "add address on a"},
		"mapped":              {addr(e.AddAddr, "::ffff:192.0.2.1/120", ""), syscall.EAFNOSUPPORT, "add address on a"},
		"group as address":    {addr(e.AddAddr, "224.0.0.1/24", ""), syscall.EADDRNOTAVAIL, "add address on a"},
		"peer of Ethernet":    {addr(e.AddAddr, "192.0.2.9/32", "192.0.2.10"), syscall.EINVAL, "add address on a"},
		"peer, odd":           {addr(e.AddAddr, "192.0.2.9/32", "\x00"), nil, "add address on a"},
		"address not there":   {addr(e.DelAddr, "192.0.2.2", ""), syscall.EADDRNOTAVAIL, "delete address on a"},
		"other length":        {addr(e.DelAddr, "192.0.2.1/25", ""), syscall.EADDRNOTAVAIL, "delete address on a: it has 192.0.2.1/24"},
		"joined twice":        {group(e.Join, "224.0.0.251"), syscall.EADDRINUSE, "join group on a"},
		"no group":            {group(e.Join, "192.0.2.1"), syscall.EINVAL, "join group on a"},
		"group, odd":          {group(e.Join, "x"), nil, "join group on a"},
		"not joined":          {group(e.Leave, "224.0.0.252"), syscall.ENOENT, "leave group on a"},
		"brought, not joined": {group(e.Leave, "01:00:5e:00:00:fb"), syscall.ENOENT, "leave group on a"},
		"mtu 0":               {set(IfSettings{MTU: ptr(0)}), syscall.EINVAL, "set on a"},
		"mtu":                 {set(IfSettings{MTU: ptr(1_000_000_000)}), syscall.EINVAL, "set on a"},
		"name taken":          {set(IfSettings{Name: ptr("b")}), syscall.EEXIST, "set on a"},
		"name empty":          {set(IfSettings{Name: ptr("")}), syscall.EINVAL, "set on a"},
		"name too long":       {set(IfSettings{Name: ptr("sixteen-bytes-ab")}), syscall.ENAMETOOLONG, "set on a"},
		"name, odd":           {set(IfSettings{Name: ptr("a\xff")}), syscall.EINVAL, "set on a"},
		"name, list":          {set(IfSettings{Name: ptr("a,b")}), syscall.EINVAL, "set on a: the name has a byte"},
		"name, option":        {set(IfSettings{Name: ptr("-a")}), syscall.EINVAL, "set on a: the name begins with -"},
		"lladdr, odd":         {set(IfSettings{LLAddr: ptr("x")}), nil, "set on a: lladdr"},
		"lladdr, long":        {set(IfSettings{LLAddr: ptr("02:00:00:00:00:00:00:01")}), syscall.EINVAL, "set on a"},
		"lladdr, group":       {set(IfSettings{LLAddr: ptr("01:00:5e:00:00:01")}), syscall.EADDRNOTAVAIL, "set on a"},
		"cap not offered":     {set(IfSettings{CapsOn: []string{"RXCSUM"}}), syscall.EINVAL, "set on a: not offered"},
		"cap, odd":            {set(IfSettings{CapsOn: []string{"FAST"}}), nil, "FAST"},
		"cap, both":           {set(IfSettings{CapsOn: []string{"RXCSUM"}, CapsOff: []string{"rxcsum"}}), nil, "set on a"},
		"core":                {set(IfSettings{PollCPU: ptr("w7")}), nil, "a: pollcpu"},
		"pollcpu and not":     {set(IfSettings{PollCPU: ptr("w0"), Polling: ptr(false)}), nil, "a: pollcpu begins polling"},
		"half way":            {set(IfSettings{Metric: ptr(5), Up: ptr(false), MTU: ptr(9000)}), syscall.EINVAL, "set on a"},
		"kind":                {create("eth0", nil), syscall.EINVAL, "create on eth0: there is no kind eth; there are null, pcap, ring, tap"},
		"kind, empty":         {create("", nil), syscall.EINVAL, "the name is empty"},
		"unit":                {create("null99999", nil), syscall.EINVAL, "create on null99999: a unit"},
		"unit, odd":           {create("null007", nil), syscall.EINVAL, "create on null007: a unit"},
		"option":              {create("null", map[string]string{"color": "red"}), nil, `create null0: bad port: null:name=null0,color=red: `},
		"option, sneaky":      {create("null", map[string]string{"size": "64,name=x"}), nil, "cannot hold that"},
		"option, name":        {create("null", map[string]string{"name": "x"}), nil, "its name is its name"},
		"destroy":             {func() error { return e.Destroy(ctx, "a") }, syscall.EINVAL, "destroy on a"},
		"nobody":              {func() error { return e.Destroy(ctx, "zz") }, syscall.ENXIO, "destroy on zz: there is no such interface; there are a, b"},
	} {
		err := c.fn()
		if !assert.ErrorContains(t, err, c.says, name) {
			continue
		}
		if c.want == nil {
			assert.True(t, usage.Is(err), "%s: %v", name, err)
			continue
		}
		assert.ErrorIs(t, err, c.want, name)
		var ie *ifnet.Error
		assert.ErrorAs(t, err, &ie, name)
	}
	after, err := e.Interface(ctx, "a")
	require.NoError(t, err)
	after.LastChange = before.LastChange // what was taken back was a change
	assert.Equal(t, before, after, "nothing has changed")
}

// Created interfaces are ports: frames go to them and come from them, and those that were
// connected before stay so.
func TestCreateAndDestroy(t *testing.T) {
	cfg := small(t, "null:name=a", "null:name=b", "null:name=c")
	e, err := Start(context.Background(), cfg)
	require.NoError(t, err)
	ctx := context.Background()
	for i := range 5 {
		f, err := e.Create(ctx, "null", map[string]string{"rx": "off"})
		require.NoError(t, err)
		assert.Equal(t, "null0", f.Name)
		assert.Equal(t, "c", f.To)
		until(t, "frames for the new port", func() bool {
			s, err := e.Stats(ctx)
			require.NoError(t, err)
			return s.Ports[f.ID].TxPackets > 0
		})
		_, err = e.Create(ctx, "null0", nil)
		require.ErrorIs(t, err, syscall.EEXIST)
		g, err := e.Create(ctx, "null7", nil)
		require.NoError(t, err)
		assert.Equal(t, "null7", g.To, "alone")
		kinds, err := e.Kinds(ctx)
		require.NoError(t, err)
		assert.Equal(t, []int{0, 7}, kinds[0].Units)
		for _, name := range []string{"null0", "null7"} {
			require.NoError(t, e.Destroy(ctx, name))
		}
		assert.Equal(t, []Connection{{"a", "b"}, {"b", "a"}, {"c", "c"}}, e.Forwarding().Connect, "round %d", i)
	}
	e.Stop()
	require.NoError(t, e.Wait())
	accountedFor(t, e.Final())
}

// Many callers at once: each gets its answer, and what is left is what succeeded.
func TestInterfaceCallsAtOnce(t *testing.T) {
	e := started(t, small(t, "null:name=a", "null:name=b"))
	ctx := context.Background()
	// Whose turn does not come in time is told so, and nothing has changed: it asks again.
	again := func(fn func() error) {
		err := fn()
		for end := time.Now().Add(time.Minute); errors.Is(err, context.DeadlineExceeded) && time.Now().Before(end); {
			err = fn()
		}
		assert.NoError(t, err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			a := AddrSettings{Address: fmt.Sprintf("10.0.%d.1/24", i)}
			again(func() error { _, err := e.AddAddr(ctx, "a", a); return err })
			again(func() error { _, err := e.SetInterface(ctx, "b", IfSettings{Up: ptr(i%2 == 0)}); return err })
			if i%2 == 0 {
				again(func() error { _, err := e.DelAddr(ctx, "a", a); return err })
			}
		})
	}
	wg.Wait()
	f, err := e.Interface(ctx, "a")
	require.NoError(t, err)
	assert.Len(t, f.Addresses, 10)
	for _, a := range f.Addresses {
		assert.Equal(t, byte(1), netip.MustParsePrefix(a.Address).Addr().As4()[2]%2)
	}
}

// Events of interfaces and of the dataplane come in one stream, which ends with the engine.
func TestListen(t *testing.T) {
	e := started(t, small(t, "null:name=a", "null:name=b"))
	ctx := context.Background()
	l := e.Listen()
	defer l.Close()
	_, err := e.SetInterface(ctx, "a", IfSettings{Up: ptr(false)})
	require.NoError(t, err)
	_, err = e.SetInterface(ctx, "a", IfSettings{Name: ptr("c")})
	require.NoError(t, err)
	e.Stop()
	var kinds []string
	seq := uint64(0)
	for {
		ev, err := l.Next(ctx)
		if err != nil {
			require.ErrorIs(t, err, ifnet.ErrClosed)
			break
		}
		if seq > 0 {
			assert.Equal(t, seq+1, ev.Seq)
		}
		seq = ev.Seq
		kinds = append(kinds, string(ev.Kind)+" "+ev.Interface)
	}
	assert.Subset(t, kinds, []string{"down a", "port_changed a", "detach a", "rename c", "attach c", "detach c", "detach b"})
}
