package mbuf

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Frames are dealt out to owners at random, then some are lost and some given to
// a second owner: the ledger finds exactly those.
func TestLedgerFindsFaults(t *testing.T) {
	other, err := (&Space{pools: [MaxPools]*Pool{{}, nil}}).NewPool(Config{Frames: 256, HugePages: HugeOff})
	require.NoError(t, err)
	require.EqualValues(t, 1, other.ID())
	rapid.Check(t, func(t *rapid.T) {
		p, release := openPool(t, 256)
		c := NewCache(p)
		all := make([]uint64, p.Frames())
		require.Equal(t, len(all), c.Take(all))
		inPool := rapid.IntRange(0, len(all)).Draw(t, "in the pool")
		c.Put(all[:inPool])
		c.Drain()
		rest := all[inPool:]

		var addrs [Owners][]uint64
		set, missing := NewFrameSet(p), map[uint64]bool{}
		dup := 0
		for _, a := range rest {
			o := Owner(rapid.IntRange(1, int(Owners)).Draw(t, "owner")) // the last: nobody
			switch o {
			case Owners:
				missing[a] = true
			case OwnerKernelRx:
				set.Add(a)
			default:
				addrs[o] = append(addrs[o], a+uint64(rapid.IntRange(0, 2047).Draw(t, "offset")))
			}
			if o != Owners && rapid.IntRange(0, 30).Draw(t, "dup") == 0 {
				addrs[OwnerBurst] = append(addrs[OwnerBurst], a)
				dup++
			}
		}
		if rapid.Bool().Draw(t, "stray") {
			addrs[OwnerCache] = append(addrs[OwnerCache], uint64(len(p.Mem()))) // no frame of this pool
			dup++
		}
		l := NewLedger(p)
		for range 2 { // a ledger is used again and again
			l.Begin()
			l.Set(OwnerKernelRx, set)
			for o, list := range addrs {
				if Owner(o) == OwnerSendQueue { // by handle, among those of another pool
					for _, a := range list {
						l.Frames(Owner(o), []Frame{{Addr: a, Meta: other.Meta(1)}, {Addr: a, Meta: p.Meta(1)}})
					}
					continue
				}
				l.Addrs(Owner(o), list)
			}
			a := l.Account()
			require.Equal(t, p.Frames(), a.Frames)
			require.Equal(t, p.Frames()-len(missing), a.Accounted)
			require.Equal(t, dup, a.Duplicate)
			require.Equal(t, len(missing) == 0 && dup == 0, a.Balanced())
			require.Equal(t, inPool, a.ByOwner[OwnerPool])
			require.Equal(t, set.Len(), a.ByOwner[OwnerKernelRx])
			sum := 0
			for _, n := range a.ByOwner {
				sum += n
			}
			require.Equal(t, a.Accounted, sum)
		}
		lost := NewFrameSet(p)
		l.Missing(lost)
		require.Equal(t, len(missing), lost.Len())
		for a := range lost.All() {
			require.True(t, missing[a])
		}
		// A set with a frame that was seen before is told as well.
		if set.Len() > 0 {
			l.Set(OwnerKernelTx, set)
			require.Equal(t, dup+set.Len(), l.Account().Duplicate)
		}
		c.Put(rest)
		c.Drain()
		release()
	})
}

func TestOwnerNames(t *testing.T) {
	seen := map[string]bool{}
	for o := range Owners {
		assert.NotEmpty(t, o.String())
		assert.False(t, seen[o.String()], "two owners are called %v", o)
		seen[o.String()] = true
	}
	assert.Equal(t, "unknown", Owners.String())
}

func ExampleLedger() {
	pool, err := NewSpace().NewPool(Config{Frames: 64})
	if err != nil {
		fmt.Println(err)
		return
	}
	cache := NewCache(pool)
	var lost [2]uint64
	cache.Take(lost[:])

	l := NewLedger(pool)
	l.Begin()
	cache.Walk(l)
	a := l.Account()
	fmt.Printf("%d of %d frames found, balanced: %v\n", a.Accounted, a.Frames, a.Balanced())

	l.Addrs(OwnerBurst, lost[:])
	fmt.Println("and with the burst:", l.Account().Balanced())
	// Output:
	// 62 of 64 frames found, balanced: false
	// and with the burst: true
}
