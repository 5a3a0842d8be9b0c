package fib_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane/fib"
)

// twin is a list that is looked through from end to end.
type twin map[netip.Prefix]int

func (w twin) lookup(a netip.Addr) (best int, ok bool) {
	bits := -1
	for p, v := range w {
		if p.Contains(a.WithZone("")) && p.Bits() > bits {
			best, bits, ok = v, p.Bits(), true
		}
	}
	return best, ok
}

// addrs draws addresses that share many bits, so that prefixes nest.
func addrs(t *rapid.T) netip.Addr {
	if rapid.Bool().Draw(t, "v4") {
		b := []byte{10, 0, 0, 0}
		b[rapid.IntRange(0, 3).Draw(t, "at")] ^= rapid.Byte().Draw(t, "bits")
		return netip.AddrFrom4([4]byte(b))
	}
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	b[rapid.IntRange(0, 15).Draw(t, "at")] ^= rapid.Byte().Draw(t, "bits")
	return netip.AddrFrom16(b)
}

func prefixes(t *rapid.T) netip.Prefix {
	a := addrs(t)
	return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "length"))
}

func TestTableAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tab fib.Table[int]
		w, next := twin{}, 0
		t.Repeat(map[string]func(*rapid.T){
			"Add": func(t *rapid.T) {
				p := prefixes(t)
				err := tab.Add(p, next)
				if _, there := w[p.Masked()]; there {
					require.ErrorIs(t, err, syscall.EEXIST)
					return
				}
				require.NoError(t, err)
				w[p.Masked()] = next
				next++
			},
			"Delete": func(t *rapid.T) {
				p := prefixes(t)
				if len(w) > 0 && rapid.Bool().Draw(t, "one that is there") {
					p = slices.SortedFunc(keys(w), func(a, b netip.Prefix) int { return a.Compare(b) })[rapid.IntRange(0, len(w)-1).Draw(t, "which")]
				}
				v, err := tab.Delete(p)
				want, there := w[p.Masked()]
				if !there {
					require.ErrorIs(t, err, syscall.ESRCH)
					return
				}
				require.NoError(t, err)
				require.Equal(t, want, v)
				delete(w, p.Masked())
			},
			"Lookup": func(t *rapid.T) {
				a := addrs(t)
				want, ok := w.lookup(a)
				got := tab.Lookup(a)
				require.Equal(t, ok, got != nil, "%v", a)
				if ok {
					require.Equal(t, want, *got, "%v", a)
				}
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(w), tab.Len())
				seen := 0
				tab.Walk(func(dst netip.Prefix, v *int) bool {
					want, ok := w[dst]
					require.True(t, ok, "%v", dst)
					require.Equal(t, want, *v)
					require.Same(t, v, tab.Get(dst))
					seen++
					return true
				})
				require.Equal(t, len(w), seen)
			},
		})
	})
}

func keys(w twin) func(func(netip.Prefix) bool) {
	return func(yield func(netip.Prefix) bool) {
		for p := range w {
			if !yield(p) {
				return
			}
		}
	}
}

func TestWalkOrderAndEnd(t *testing.T) {
	var tab fib.Table[string]
	for _, p := range []string{"2001:db8::/32", "10.0.0.0/8", "192.0.2.0/24", "::/0", "10.2.0.0/16", "0.0.0.0/0", "10.1.0.0/16"} {
		require.NoError(t, tab.Add(netip.MustParsePrefix(p), p))
	}
	var got []string
	tab.Walk(func(dst netip.Prefix, v *string) bool {
		got = append(got, dst.String())
		return len(got) < 6
	})
	require.Equal(t, []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "192.0.2.0/24", "::/0"}, got)
}

func TestRefusals(t *testing.T) {
	var tab fib.Table[int]
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/104")} {
		require.ErrorIs(t, tab.Add(p, 1), syscall.EINVAL)
		_, err := tab.Delete(p)
		require.ErrorIs(t, err, syscall.ESRCH)
		require.Nil(t, tab.Get(p))
	}
	require.NoError(t, tab.Add(netip.MustParsePrefix("0.0.0.0/0"), 1))
	require.NoError(t, tab.Add(netip.MustParsePrefix("::/0"), 2))
	require.Nil(t, tab.Lookup(netip.Addr{}))
	require.Nil(t, tab.Lookup(netip.MustParseAddr("::ffff:10.0.0.1")), "neither family's")
	require.Equal(t, 2, *tab.Lookup(netip.MustParseAddr("fe80::1%eth0")))
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{8, 10, 0, 0, 0, 16, 10, 1, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var tab fib.Table[int]
		w := twin{}
		for n := 0; len(ops) >= 5; n++ {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte(ops[1:5])), int(ops[0]%33))
			if ops[0] >= 128 {
				_, err := tab.Delete(p)
				if _, there := w[p.Masked()]; there != (err == nil) {
					t.Fatalf("delete %v: %v", p, err)
				}
				delete(w, p.Masked())
			} else if tab.Add(p, n) == nil {
				w[p.Masked()] = n
			}
			want, ok := w.lookup(p.Addr())
			if got := tab.Lookup(p.Addr()); (got != nil) != ok || ok && *got != want {
				t.Fatalf("lookup %v: %v, want %v %v", p.Addr(), got, want, ok)
			}
			ops = ops[5:]
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{16, 1024, 65536} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			var tab fib.Table[int]
			r := rand.New(rand.NewPCG(1, 2))
			for tab.Len() < n {
				a := netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
				_ = tab.Add(netip.PrefixFrom(a, 8+r.IntN(25)), 1)
			}
			dst := make([]netip.Addr, 1024)
			for i := range dst {
				dst[i] = netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				tab.Lookup(dst[i&1023])
				i++
			}
		})
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	var tab fib.Table[int]
	require.NoError(t, tab.Add(netip.MustParsePrefix("10.0.0.0/8"), 1))
	require.NoError(t, tab.Add(netip.MustParsePrefix("2001:db8::/32"), 2))
	a4, a6 := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8::1")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		tab.Lookup(a4)
		tab.Lookup(a6)
	}))
}
