package ifnet_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/ifnet"
)

// A thousand addresses on 64 cores take at most 32 MiB, half of them of IPv6, without
// routes, which are the tables' own.
func TestMemoryOfAddresses(t *testing.T) {
	const cores, addresses, limit = 64, 1000, 32 << 20
	before := heap()
	s, ifp := many(t, newStepped(cores), addresses)
	used := int(heap() - before)
	t.Logf("%d addresses on %d cores: %.1f MiB, %d bytes an address and core", addresses, cores, float64(used)/(1<<20), used/cores/addresses)
	require.LessOrEqual(t, used, limit)
	require.Equal(t, addresses+1, s.Addresses())
	require.NoError(t, s.PurgeAddrs(bg, ifp))
	require.Equal(t, 1, s.Addresses())
	require.NoError(t, s.Close())
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// many makes a System with an interface of n addresses, every other one of IPv6.
func many(t testing.TB, cores ifnet.Cores, n int) (*ifnet.System, *ifnet.Interface) {
	s, err := ifnet.New(ifnet.Config{Cores: cores})
	require.NoError(t, err)
	ifp, err := s.Attach(bg, ifnet.Params{Name: "eth0", QueueLimit: 1, Flags: ifnet.FlagBroadcast})
	require.NoError(t, err)
	for i := range n {
		text := fmt.Sprintf("10.%d.%d.1/24", i>>8, i&255)
		if i%2 == 1 {
			text = fmt.Sprintf("2001:db8:0:%x::1/64", i)
		}
		require.NoError(t, s.AddAddr(bg, ifp, spec(text)))
	}
	return s, ifp
}

// The cores do not allocate for an address that is added: control brings all they need.
// And it costs 64 cores less than a millisecond in all.
func TestAddAddrOnCores(t *testing.T) {
	const cores = 64
	stepped := &countingCores{steppedCores: newStepped(cores)}
	s, ifp := many(t, stepped, 100)
	stepped.allocs, stepped.best = 0, time.Hour
	for range 20 {
		stepped.took = 0
		require.NoError(t, s.AddAddr(bg, ifp, spec("192.0.2.1/24")))
		stepped.best = min(stepped.best, stepped.took)
		require.NoError(t, s.DelAddr(bg, ifp, spec("192.0.2.1/24").Prefix.Addr()))
	}
	if !ifnet.Debug { // which asks who it is at every use
		require.Zero(t, stepped.allocs)
	}
	t.Logf("an address more, on top of 100: %v in all for %d cores", stepped.best, cores)
	require.Less(t, stepped.best, time.Millisecond)
	require.NoError(t, s.Close())
}

// countingCores measures what visits cost the cores.
type countingCores struct {
	*steppedCores
	allocs uint64
	took   time.Duration
	best   time.Duration
}

func (c *countingCores) Round(visit func(core int)) {
	c.steppedCores.Round(func(core int) {
		var before, after runtime.MemStats
		if core == 0 { // stops the world, so on one core only
			runtime.ReadMemStats(&before)
		}
		start := time.Now()
		visit(core)
		c.took += time.Since(start)
		if core == 0 {
			runtime.ReadMemStats(&after)
			c.allocs += after.Mallocs - before.Mallocs
		}
	})
}

func TestLookupsDoNotAllocate(t *testing.T) {
	if ifnet.Debug {
		t.Skip("the debug build asks at every use who it is")
	}
	cores := newStepped(1)
	s, _ := many(t, cores, 64)
	s.Bind(func(_ int, r *ifnet.Replica) {
		v := r.ByName("eth0")
		for _, a := range []string{"10.0.30.1", "10.0.62.9", "2001:db8:0:1f::1", "2001:db8:0:3f::9", "fe80::1%eth0", "192.0.2.1"} {
			a := mustAddr(a)
			require.Zero(t, testing.AllocsPerRun(100, func() {
				r.WithAddr(a)
				r.WithDstAddr(a)
				r.WithNet(a)
				r.BestOf(a, v)
				r.ByIndex(1)
			}), a)
		}
	})
	require.NoError(t, s.Close())
}
