package ifnet_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/cpu"
	"example.org/pmd/ifnet"
)

// batch is how many lookups are timed at once.
const batch = 4096

// rounds are what medians are of, each of this length.
const (
	rounds      = 10
	roundLength = 20 * time.Millisecond
)

// condition is what else goes on while a core looks up.
type condition struct {
	cores  int
	writer bool
}

// BenchmarkLookup measures the CPU time that one lookup takes its thread, on one core and on
// all, with and without a writer that adds and deletes an address as fast as it can, and
// the same lookup on one replica that all share behind a sync.RWMutex. What a message
// costs a core is not part of it. The conditions take turns, ten rounds of each, so that
// a machine which changes its speed does so for all; figures are medians.
//
//	ns/lookup        of a core's own replica: all cores look up, with a writer
//	1-core-ns        one core, no writer
//	1-core-writer-ns one core, with a writer
//	cores-ns         all cores, no writer
//	spread-%         by how much the slowest of these four is over the fastest
//	rwmutex-ns       behind the RWMutex: all cores, with a writer
//	x-rwmutex        how many times that is ns/lookup
//	writes/s         how often the writer of ns/lookup added and deleted its address
//	rwmutex-writes/s the same of rwmutex-ns
func BenchmarkLookup(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 2)) // the lookers never sleep
	all := runtime.NumCPU()                                            // the CPUs this process may use
	conditions := []condition{{all, true}, {1, false}, {1, true}, {all, false}}
	names := []string{"ns/lookup", "1-core-ns", "1-core-writer-ns", "cores-ns"}
	for _, call := range []string{"withaddr", "withnet"} {
		for _, n := range []int{4, 256} {
			b.Run(fmt.Sprintf("call=%s/addrs=%d", call, n), func(b *testing.B) {
				for range b.N {
					var own [4][]float64
					var shared, writes, locked []float64
					for range rounds {
						for i, c := range conditions {
							t, w := measure(b, call, n, c, false)
							own[i] = append(own[i], t)
							if i == 0 {
								writes = append(writes, w)
							}
						}
						t, w := measure(b, call, n, conditions[0], true)
						shared, locked = append(shared, t), append(locked, w)
					}
					var figures []float64
					for i := range own {
						figures = append(figures, middle(own[i]))
						b.ReportMetric(figures[i], names[i])
					}
					b.ReportMetric(100*(slices.Max(figures)/slices.Min(figures)-1), "spread-%")
					b.ReportMetric(middle(shared), "rwmutex-ns")
					b.ReportMetric(middle(shared)/figures[0], "x-rwmutex")
					b.ReportMetric(middle(writes), "writes/s")
					b.ReportMetric(middle(locked), "rwmutex-writes/s")
					b.ReportMetric(0, "ns/op")
				}
			})
		}
	}
}

// middle returns the median.
func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// lockedCore is one core that all goroutines are, one at a time: a replica that is shared.
type lockedCore struct{ sync.RWMutex }

func (*lockedCore) Len() int { return 1 }
func (c *lockedCore) Round(visit func(int)) {
	c.Lock()
	defer c.Unlock()
	visit(0)
}

// measure returns the CPU time of a lookup in nanoseconds, the median of the batches of one
// round on the first CPU, and how many times the writer's address was added and deleted in a
// second. The list is as long in every condition: a batch of ours that begins while the writer's
// address is away is not counted.
func measure(b *testing.B, call string, n int, c condition, shared bool) (figure, writes float64) {
	topo, err := cpu.Local()
	require.NoError(b, err)
	on := topo.Allowed.And(topo.Online).Slice()
	var (
		mu      lockedCore
		live    *mailCores
		layer   ifnet.Cores = &mu
		replica             = make([]*ifnet.Replica, c.cores)
	)
	if !shared {
		live = newMailCores(c.cores, len(on)-1)
		layer = live
	}
	s, err := ifnet.New(ifnet.Config{Cores: layer})
	require.NoError(b, err)
	ifp, err := s.Attach(bg, ifnet.Params{Name: "eth0", QueueLimit: 1})
	require.NoError(b, err)
	// One of the addresses is the writer's, at the end of the list.
	dst := make([]netip.Addr, n-1)
	for i := range dst {
		dst[i] = netip.AddrFrom4([4]byte{10, byte(i), 0, 1})
		require.NoError(b, s.AddAddr(bg, ifp, ifnet.AddrSpec{Prefix: netip.PrefixFrom(dst[i], 24)}))
	}
	extra := ifnet.AddrSpec{Prefix: netip.MustParsePrefix("192.0.2.1/24")}
	require.NoError(b, s.AddAddr(bg, ifp, extra))
	s.Bind(func(core int, r *ifnet.Replica) {
		for i := range replica {
			if shared || i == core {
				replica[i] = r
			}
		}
	})
	look := lookups(call, shared, &mu)
	write := func() {
		if assert.NoError(b, s.DelAddr(bg, ifp, extra.Prefix.Addr())) && assert.NoError(b, s.AddAddr(bg, ifp, extra)) {
			writes++
		}
	}
	// Whoever is on the last CPU writes, between two batches if it looks up as well: so the
	// writer never waits for a CPU. It ends first, while the others still take its messages.
	var ended [2]atomic.Bool
	var running [2]sync.WaitGroup
	var times []float64
	if live != nil {
		live.running.Store(true)
	}
	start := time.Now()
	for i, id := range on {
		looks, writes := i < c.cores, c.writer && i == len(on)-1
		end := 1
		if writes {
			end = 0
		}
		if !looks && !writes {
			continue
		}
		running[end].Go(func() {
			pinned, err := cpu.Pin(id)
			if !assert.NoError(b, err) {
				return
			}
			defer func() { assert.NoError(b, pinned.Release()) }()
			for !ended[end].Load() {
				if looks {
					if live != nil {
						live.serve(i)
					}
					all := shared || replica[i].WithAddr(extra.Prefix.Addr()) != nil
					t := look(replica[i], dst)
					if i == 0 && all {
						times = append(times, t)
					}
				}
				if writes {
					write()
				}
			}
		})
	}
	time.Sleep(roundLength)
	for i := range ended {
		ended[i].Store(true)
		running[i].Wait()
	}
	writes /= time.Since(start).Seconds()
	if live != nil {
		live.running.Store(false)
	}
	require.NoError(b, s.Close())
	return middle(times), writes
}

// lookups returns what looks up a batch of addresses, and tells the CPU time of one.
func lookups(call string, shared bool, mu *lockedCore) func(r *ifnet.Replica, dst []netip.Addr) float64 {
	var fn func(r *ifnet.Replica, dst []netip.Addr)
	switch {
	case shared && call == "withaddr":
		fn = func(r *ifnet.Replica, dst []netip.Addr) {
			for _, a := range dst {
				mu.RLock()
				r.WithAddr(a)
				mu.RUnlock()
			}
		}
	case shared:
		fn = func(r *ifnet.Replica, dst []netip.Addr) {
			for _, a := range dst {
				mu.RLock()
				r.WithNet(a)
				mu.RUnlock()
			}
		}
	case call == "withaddr":
		fn = func(r *ifnet.Replica, dst []netip.Addr) {
			for _, a := range dst {
				r.WithAddr(a)
			}
		}
	default:
		fn = func(r *ifnet.Replica, dst []netip.Addr) {
			for _, a := range dst {
				r.WithNet(a)
			}
		}
	}
	return func(r *ifnet.Replica, dst []netip.Addr) float64 {
		start := threadTime()
		for range batch / len(dst) {
			fn(r, dst)
		}
		return float64(threadTime()-start) / float64(batch/len(dst)*len(dst))
	}
}

// threadTime returns the CPU time of the calling thread in nanoseconds.
func threadTime() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

// mailCores are cores that look into a mailbox of one message between two batches. The core
// whose number is writer, if there is one, is the goroutine that sends the messages.
type mailCores struct {
	boxes   []atomic.Pointer[mail]
	running atomic.Bool
	writer  int
}

type mail struct {
	fn   func()
	done atomic.Bool
}

func newMailCores(n, writer int) *mailCores {
	return &mailCores{boxes: make([]atomic.Pointer[mail], n), writer: writer}
}

func (c *mailCores) Len() int { return len(c.boxes) }

// serve runs the message that waits. The Load pairs with the Store in Round, and done the other
// way round.
func (c *mailCores) serve(core int) {
	if m := c.boxes[core].Load(); m != nil {
		c.boxes[core].Store(nil)
		m.fn()
		m.done.Store(true)
	}
}

func (c *mailCores) Round(visit func(core int)) {
	for i := range c.boxes {
		if i == c.writer || !c.running.Load() {
			visit(i)
			continue
		}
		m := &mail{fn: func() { visit(i) }}
		c.boxes[i].Store(m)
		for !m.done.Load() { // soon: each core has a CPU
		}
	}
}

// BenchmarkAddAddr measures what adding and deleting an address costs, all cores
// together, with stepped cores: ns/core is one core's share of one of the two.
func BenchmarkAddAddr(b *testing.B) {
	for _, cores := range []int{1, 64} {
		for _, n := range []int{4, 1000} {
			b.Run(fmt.Sprintf("cores=%d/addrs=%d", cores, n), func(b *testing.B) {
				s, ifp := many(b, newStepped(cores), n)
				extra := spec("192.0.2.1/24")
				b.ReportAllocs()
				for b.Loop() {
					require.NoError(b, s.AddAddr(bg, ifp, extra))
					require.NoError(b, s.DelAddr(bg, ifp, extra.Prefix.Addr()))
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(2*cores), "ns/core")
				require.NoError(b, s.Close())
			})
		}
	}
}

// BenchmarkFlap measures an interface with two addresses that goes down and up, on two
// stepped cores.
func BenchmarkFlap(b *testing.B) {
	s, ifp := many(b, newStepped(2), 2)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, s.Up(bg, ifp))
		require.NoError(b, s.Down(bg, ifp))
	}
	require.NoError(b, s.Close())
}
