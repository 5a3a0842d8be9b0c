package ifnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
	"example.org/pmd/queue"
)

// Cores look up all the time while interfaces come, change and go, thousands of times. A
// core finds what is there or nothing, never something half made; after Detach has
// returned no core finds the interface; and in the end nothing is left.
func TestFlapUnderLookups(t *testing.T) {
	flaps := 2000
	if testing.Short() {
		flaps = 100
	}
	const cores = 3
	live := newLive(t, cores)
	tables := newTables(cores)
	s, err := ifnet.New(ifnet.Config{Cores: live, Routes: tables})
	require.NoError(t, err)
	var detached, lookups atomic.Int64 // the index that no core may find any more
	dst := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("198.51.100.7"),
		netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("10.0.0.1")}
	held := make([]*ifnet.Container, cores)
	live.give(s, func(core int, r *ifnet.Replica) {
		gone := detached.Load()
		for _, a := range dst {
			for _, c := range []*ifnet.Container{r.WithAddr(a), r.WithNet(a), r.WithDstAddr(a)} {
				if c == nil {
					continue
				}
				v := c.View()
				if !c.Alive() || v == nil || v.State().Index != 1 || !v.State().Up() && v.State().Name == "" {
					t.Errorf("core %d found %v, half made", core, c.Address())
				}
				if gone != 0 && v.State().MTU == int(gone) {
					t.Errorf("core %d found an interface that has been detached", core)
				}
				if v != nil && r.BestOf(a, v) == nil {
					t.Errorf("core %d: no address for %v on its own interface", core, a)
				}
			}
		}
		// Now and then a core keeps a reference for a while, as a route does.
		switch n := lookups.Add(1); {
		case n%64 == 0 && held[core] == nil:
			if c := r.WithAddr(dst[0]); c != nil {
				c.Hold()
				held[core] = c
			}
		case n%64 == 32 && held[core] != nil:
			held[core].Release()
			held[core] = nil
		}
	})
	root := s.As(ifnet.Cred{Privileged: true})
	for i := range flaps {
		mtu := 1000 + i // tells one from the next
		ifp, err := s.Attach(bg, ifnet.Params{Name: "eth0", QueueLimit: 1, MTU: mtu})
		require.NoError(t, err)
		require.Equal(t, 1, must(s.Info(bg, ifp)).Index, "the index is used again")
		require.NoError(t, s.Up(bg, ifp))
		for _, a := range []string{"192.0.2.1/24", "2001:db8::1/64", "198.51.100.1/24"}[:1+i%3] {
			require.NoError(t, s.AddAddr(bg, ifp, spec(a)))
		}
		if i%4 == 0 {
			require.NoError(t, root.Rename(bg, "eth0", "lan"))
			require.NoError(t, s.Down(bg, ifp))
			require.NoError(t, s.Up(bg, ifp))
			require.NoError(t, s.DelAddr(bg, ifp, dst[0]))
		}
		require.NoError(t, s.Detach(bg, ifp))
		detached.Store(int64(mtu))
		live.Round(func(core int) {
			if n := tables[core].Len(); n != 0 {
				t.Errorf("core %d has %d routes of an interface that is gone", core, n)
			}
		})
	}
	live.Round(func(core int) {
		live.work[core] = nil
		if held[core] != nil {
			held[core].Release()
		}
	})
	require.NoError(t, s.Close())
	require.Zero(t, s.Addresses())
	require.Greater(t, lookups.Load(), int64(flaps))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A thousand callers at once, on interfaces that come and go: each gets its answer or an
// error that names call and interface; a caller that gives up gets its context's error.
func TestManyCallers(t *testing.T) {
	live := newLive(t, 2)
	s, err := ifnet.New(ifnet.Config{Cores: live, Routes: newTables(2)})
	require.NoError(t, err)
	require.NoError(t, s.Start(bg))
	root := s.As(ifnet.Cred{Privileged: true})
	var wg sync.WaitGroup
	for n := range 1000 {
		name := fmt.Sprint("eth", n%7)
		wg.Go(func() {
			var ifp *ifnet.Interface
			ctx, cancel := context.WithTimeout(bg, 20*time.Second)
			defer cancel()
			if n%10 == 9 {
				cancel()
			}
			calls := []func() error{
				func() (err error) { ifp, err = s.Attach(ctx, ifnet.Params{Name: name}); return err },
				func() error { return root.SetFlags(ctx, name, ifnet.FlagUp) },
				func() error { return root.AddAddr(ctx, name, spec(fmt.Sprintf("10.%d.0.1/16", n%50))) },
				func() error { return root.Rename(ctx, name, fmt.Sprint("x", n%5)) },
				func() error { return root.DelAddr(ctx, name, netip.MustParseAddr("10.1.0.1")) },
				func() error { _, err := root.Info(ctx, name); return err },
				func() error { return s.Detach(ctx, ifp) },
				func() error { return s.Detach(ctx, ifp) },
			}
			for _, call := range calls {
				err := call()
				if err == nil {
					continue
				}
				var e *ifnet.Error
				if !errors.As(err, &e) || e.Call == "" || e.Errno == 0 && e.Cause == nil {
					t.Errorf("%v: not the error of a call", err)
				}
				if n%10 == 9 && !errors.Is(err, context.Canceled) && !errors.Is(err, syscall.ENXIO) {
					t.Errorf("%v: the caller had given up", err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Close())
	require.Zero(t, s.Addresses())
	_, err = s.Interfaces(bg)
	fails(t, err, syscall.ENXIO, "list interfaces", "")
}

// Listeners come, follow and go while events happen.
func TestListenersUnderRace(t *testing.T) {
	s, err := ifnet.New(ifnet.Config{})
	require.NoError(t, err)
	ifp, err := s.Attach(bg, ifnet.Params{Name: "eth0", QueueLimit: 1})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			l := s.Listen(1 + n)
			defer l.Close()
			var last, lost uint64
			for {
				e, err := l.Next(bg)
				if err != nil {
					if !errors.Is(err, ifnet.ErrClosed) {
						t.Error(err)
					}
					return
				}
				if e.Kind == ifnet.EventLost {
					lost += e.Lost
					continue
				}
				if last != 0 && e.Seq != last+1+lost {
					t.Errorf("event %d after %d with %d lost", e.Seq, last, lost)
				}
				last, lost = e.Seq, 0
			}
		})
	}
	for range 2000 {
		require.NoError(t, s.SetLinkState(bg, ifp, ifnet.LinkUp))
	}
	require.NoError(t, s.Close())
	wg.Wait()
	late := s.Listen(0)
	_, err = late.Next(bg)
	require.ErrorIs(t, err, ifnet.ErrClosed)
}

// The slow timer runs by itself once the system is started.
func TestSlowTimerRuns(t *testing.T) {
	s, err := ifnet.New(ifnet.Config{})
	require.NoError(t, err)
	barked := make(chan struct{})
	ifp, err := s.Attach(bg, ifnet.Params{Name: "eth0", QueueLimit: 1, With: dog(barked)})
	require.NoError(t, err)
	require.NoError(t, s.SetTimer(bg, ifp, 1))
	require.NoError(t, s.Start(bg))
	select {
	case <-barked:
	case <-time.After(10 * time.Second):
		t.Fatal("the watchdog was not called")
	}
	require.NoError(t, s.Close())
}

type dog chan struct{}

func (d dog) Watchdog() int {
	close(d)
	return 0
}

func TestParamsOfADevice(t *testing.T) {
	p := ifnet.ParamsOf(pmd.Info{Name: "eth1", Driver: "afxdp", MTU: 9000, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}})
	p.QueueLimit = 7
	s, err := ifnet.New(ifnet.Config{})
	require.NoError(t, err)
	i := must(s.Info(bg, must(s.Attach(bg, p))))
	require.Equal(t, []any{"eth1", "afxdp", 9000, "02:00:00:00:00:01", 7}, []any{i.Name, i.Driver, i.MTU, i.MAC.String(), i.QueueLimit})
	require.Equal(t, "BROADCAST,RUNNING,SIMPLEX,MULTICAST", i.Flags.String())
	require.NoError(t, s.Close())
}

// Another discipline takes the place of the classic queue, and gives it back.
func TestSetQueue(t *testing.T) {
	r := newRig(t, 2)
	freed := 0
	q := must(queue.NewClassic(3, func(v []int) { freed += len(v) }))
	ifp, d := r.attach("eth0")
	require.NoError(t, r.SetQueue(bg, ifp, q))
	require.Same(t, q, d.queue)
	require.Equal(t, 3, r.info(ifp).QueueLimit)
	require.NoError(t, q.Enqueue(1))
	require.NoError(t, r.SetQueue(bg, ifp, nil))
	require.Equal(t, 1, freed, "what waited is dropped, and counted")
	require.EqualValues(t, 1, q.Purged())
	require.Equal(t, 50, r.info(ifp).QueueLimit)
	d.err = errDriver
	require.ErrorIs(t, r.SetQueue(bg, ifp, q), errDriver)
	require.Equal(t, 50, r.info(ifp).QueueLimit)
	r.powerless()
	fails(t, r.SetQueue(bg, mustLookup(t, r.System, "none"), q), syscall.EOPNOTSUPP, "set the send queue", "none")
}
