package cpu

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	xcpu "golang.org/x/sys/cpu"
)

// checkLines checks the addresses of a PerCore: no line that holds a byte of an element holds
// a byte of another element, or of memory that is not the PerCore's.
func checkLines[T any](t *testing.T, n int) {
	t.Helper()
	t.Run(fmt.Sprintf("%T/n=%d", *new(T), n), func(t *testing.T) {
		p := NewPerCore[T](n)
		require.Equal(t, n, p.Len())
		// The memory allocated, with the slot behind the last element.
		whole := p.slots[:n:n]
		const size = uintptr(LineSize)
		begin := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
		end := begin + uintptr(n+1)*unsafe.Sizeof(slot[T]{})

		owner := map[uintptr]int{} // line → element
		for i := range n {
			first := uintptr(unsafe.Pointer(p.At(i)))
			last := first + max(unsafe.Sizeof(*p.At(i)), 1) - 1
			for line := first / size; line <= last/size; line++ {
				if other, taken := owner[line]; taken {
					t.Fatalf("elements %d and %d share the line at %#x", other, i, line*size)
				}
				owner[line] = i
				if line*size < begin || (line+1)*size > end {
					t.Fatalf("element %d shares the line at %#x with memory outside %#x-%#x", i, line*size, begin, end)
				}
			}
		}
		runtime.KeepAlive(p)
	})
}

func TestPerCoreLines(t *testing.T) {
	type counters struct{ a, b, c uint64 }
	type pointers struct {
		p *int
		s []string
		b bool
	}
	for _, n := range []int{1, 2, 3, 8, 100} {
		checkLines[byte](t, n)
		checkLines[uint64](t, n)
		checkLines[counters](t, n)
		checkLines[pointers](t, n)
		checkLines[[LineSize]byte](t, n)
		checkLines[[LineSize - 1]byte](t, n)
		checkLines[[LineSize + 1]byte](t, n)
		checkLines[[1000]uint32](t, n)
		checkLines[struct{}](t, n)
	}
}

func TestLineSize(t *testing.T) {
	assert.GreaterOrEqual(t, LineSize, 64)
	assert.GreaterOrEqual(t, LineSize, int(unsafe.Sizeof(xcpu.CacheLinePad{})))
	assert.Zero(t, LineSize&(LineSize-1), "a power of two")
	assert.GreaterOrEqual(t, LineSize, Features().CacheLine)
	if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
		assert.Equal(t, 128, LineSize)
	}
}

func TestPerCoreUse(t *testing.T) {
	p := NewPerCore[[]string](3)
	*p.At(1) = append(*p.At(1), "x")
	runtime.GC() // what an element points to must survive
	assert.Equal(t, []string{"x"}, *p.At(1))
	assert.Nil(t, *p.At(0))
	assert.Same(t, p.At(2), p.At(2))

	var order []int
	for i, v := range p.All() {
		assert.Same(t, p.At(i), v)
		order = append(order, i)
		if i == 1 {
			break
		}
	}
	assert.Equal(t, []int{0, 1}, order)

	assert.Panics(t, func() { p.At(3) }, "the slot behind the last is not an element")
	assert.Panics(t, func() { p.At(-1) })
	assert.Panics(t, func() { NewPerCore[int](-1) })
	assert.Zero(t, NewPerCore[int](0).Len())
}

// Each goroutine writes its own element plainly: the race detector agrees that this is safe.
func TestPerCoreOwnElements(t *testing.T) {
	p := NewPerCore[uint64](4)
	var wg sync.WaitGroup
	for i := range p.Len() {
		wg.Go(func() {
			for range 1000 {
				*p.At(i)++
			}
		})
	}
	wg.Wait()
	for i, v := range p.All() {
		assert.Equal(t, uint64(1000), *v, "element %d", i)
	}
}

// BenchmarkPerCore shows what the padding is for: two cores counting, each its own counter.
func BenchmarkPerCore(b *testing.B) {
	run := func(b *testing.B, at func(i int) *atomic.Uint64) {
		var next atomic.Int64 // hands out the elements
		b.RunParallel(func(pb *testing.PB) {
			c := at(int(next.Add(1)-1) % 64)
			for pb.Next() {
				c.Add(1) // pairs with nothing: the counters are never read
			}
		})
	}
	b.Run("layout=padded", func(b *testing.B) { p := NewPerCore[atomic.Uint64](64); run(b, p.At) })
	b.Run("layout=adjoining", func(b *testing.B) {
		var s [64]atomic.Uint64
		run(b, func(i int) *atomic.Uint64 { return &s[i] })
	})
}
