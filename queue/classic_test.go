package queue

import (
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Classic does what a slice with a limit does, and every element it does not
// deliver reaches the free function once and is counted.
func TestClassicAgainstSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 70).Draw(t, "limit")
		var (
			freed, wantFreed []uint64
			calls            int
		)
		free := func(vs []uint64) {
			calls++
			freed = append(freed, vs...)
		}
		q, err := newClassic(limit, free, startPosition().Draw(t, "start"))
		require.NoError(t, err)
		var (
			twin          []uint64
			seq           sequence
			drops, purged uint64
		)
		burst := rapid.IntRange(0, limit+5)
		t.Repeat(map[string]func(*rapid.T){
			"Enqueue": func(t *rapid.T) {
				v := seq.take(1)
				if err := q.Enqueue(v[0]); len(twin) < limit {
					require.NoError(t, err)
					twin = append(twin, v...)
				} else {
					require.ErrorIs(t, err, syscall.ENOBUFS)
					wantFreed = append(wantFreed, v...)
					drops++
				}
			},
			"EnqueueBurst": func(t *rapid.T) {
				src := seq.take(burst.Draw(t, "n"))
				n := min(len(src), limit-len(twin))
				before := calls
				require.Equal(t, n, q.EnqueueBurst(src))
				twin = append(twin, src[:n]...)
				wantFreed = append(wantFreed, src[n:]...)
				drops += uint64(len(src) - n)
				if n < len(src) {
					before++
				}
				require.Equal(t, before, calls, "the tail is freed in one call, an empty one in none")
			},
			"Offer": func(t *rapid.T) {
				src := seq.take(burst.Draw(t, "n"))
				n := min(len(src), limit-len(twin))
				require.Equal(t, n, q.Offer(src))
				twin = append(twin, src[:n]...)
			},
			"Poll": func(t *rapid.T) {
				v, ok := q.Poll()
				require.Equal(t, len(twin) > 0, ok)
				if ok {
					require.Equal(t, twin[0], v)
				}
			},
			"Remove": func(t *rapid.T) {
				polled, _ := q.Poll()
				v, ok := q.Remove()
				require.Equal(t, len(twin) > 0, ok)
				require.Equal(t, polled, v, "what was polled is what is removed")
				if ok {
					require.Equal(t, twin[0], v)
					twin = twin[1:]
				}
			},
			"DequeueBurst": func(t *rapid.T) {
				dst := make([]uint64, burst.Draw(t, "n"))
				n := min(len(dst), len(twin))
				require.Equal(t, n, q.DequeueBurst(dst))
				same(t, twin[:n], dst[:n])
				twin = twin[n:]
			},
			"Purge": func(t *rapid.T) {
				require.Equal(t, len(twin), q.Purge())
				wantFreed = append(wantFreed, twin...)
				purged += uint64(len(twin))
				twin = nil
			},
			"Request": func(t *rapid.T) {
				op := Request(rapid.Uint8Range(0, 3).Draw(t, "op"))
				err := q.Request(op)
				if op != RequestPurge {
					require.ErrorIs(t, err, syscall.EINVAL)
					return
				}
				require.NoError(t, err)
				wantFreed = append(wantFreed, twin...)
				purged += uint64(len(twin))
				twin = nil
			},
			"": func(t *rapid.T) {
				same(t, wantFreed, freed)
				require.Equal(t, len(twin), q.Len())
				require.Equal(t, limit, q.Limit())
				require.Equal(t, drops, q.Drops())
				require.Equal(t, purged, q.Purged())
			},
		})
	})
}

// Without a consumer, any number of producers together get exactly limit
// elements in: not one more, and not one is refused too early. Over and over,
// with room made in odd portions, and across the wrap.
func TestClassicLimitExactUnderContention(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 50, 100, 513} {
		q, err := newClassic(limit, func([]uint64) {}, -uint32(3*limit))
		require.NoError(t, err)
		room, drops := limit, uint64(0)
		for round := range 40 {
			const producers = 4
			var (
				wg    sync.WaitGroup
				taken [producers]int
			)
			for p := range producers {
				wg.Go(func() {
					// Each producer alone would fill the queue.
					src := make([]uint64, 1+(p*7+round)%(limit+3))
					for left := limit; left > 0; left -= len(src) {
						switch (p + round) % 3 {
						case 0:
							taken[p] += q.EnqueueBurst(src)
						case 1:
							taken[p] += q.Offer(src)
						default:
							for range src {
								if q.Enqueue(1) == nil {
									taken[p]++
								}
							}
						}
					}
				})
			}
			wg.Wait()
			sum := 0
			for _, n := range taken {
				sum += n
			}
			require.Equal(t, room, sum, "limit %d round %d", limit, round)
			require.Equal(t, limit, q.Len())
			require.GreaterOrEqual(t, q.Drops(), drops)
			drops = q.Drops()
			room = q.DequeueBurst(make([]uint64, 1+round*5%limit))
		}
	}
}

func TestClassicRefusals(t *testing.T) {
	free := func([]uint64) {}
	for _, limit := range []int{-1, 0, 1<<20 + 1} {
		_, err := NewClassic(limit, free)
		require.ErrorIs(t, err, syscall.EINVAL, "limit %d", limit)
	}
	_, err := NewClassic[uint64](50, nil)
	require.ErrorIs(t, err, syscall.EINVAL)

	q, err := NewClassic(1<<20, free)
	require.NoError(t, err)
	require.Equal(t, 1<<20, q.Limit())

	require.NoError(t, q.Enqueue(7))
	err = q.Request(2)
	require.ErrorIs(t, err, syscall.EINVAL)
	require.ErrorContains(t, err, "request 2")
	require.Equal(t, 1, q.Len(), "a refused request changes nothing")
	require.NoError(t, q.Request(RequestPurge))
	require.Zero(t, q.Len())
	require.Equal(t, "purge", RequestPurge.String())
}

// More goroutines refused at once than there are boxes: each element still
// reaches the free function as it was given.
func TestClassicManyRefusedAtOnce(t *testing.T) {
	const producers = 2 * refusals
	var (
		mu      sync.Mutex
		freed   []uint64
		inside  sync.WaitGroup
		release = make(chan struct{})
	)
	inside.Add(producers)
	q, err := NewClassic(1, func(vs []uint64) {
		inside.Done()
		<-release // so that all of them are in here together
		mu.Lock()
		defer mu.Unlock()
		freed = append(freed, vs...)
	})
	require.NoError(t, err)
	require.NoError(t, q.Enqueue(0))
	var (
		wg   sync.WaitGroup
		want []uint64
	)
	for p := range uint64(producers) {
		want = append(want, p+1)
		wg.Go(func() {
			if q.Enqueue(p+1) == nil {
				panic("a full queue took an element")
			}
		})
	}
	inside.Wait()
	close(release)
	wg.Wait()
	require.ElementsMatch(t, want, freed)
	require.EqualValues(t, producers, q.Drops())
	require.Equal(t, refusals, q.boxes.Len(), "all boxes are back")
}
