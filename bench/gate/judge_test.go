package gate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// noises are distributions of the logarithm of a ratio around the true one, as measured
// pairs have them, and worse.
var noises = map[string]func(r *rand.Rand, i int) float64{
	"normal 2 %": func(r *rand.Rand, _ int) float64 { return 0.02 * r.NormFloat64() },
	"normal 8 %": func(r *rand.Rand, _ int) float64 { return 0.08 * r.NormFloat64() },
	// Student's t with two degrees of freedom has no variance, Cauchy no mean.
	"t2 2 %":     func(r *rand.Rand, _ int) float64 { return 0.02 * r.NormFloat64() / math.Sqrt(r.ExpFloat64()) },
	"Cauchy 1 %": func(r *rand.Rand, _ int) float64 { return 0.01 * math.Tan(math.Pi*(r.Float64()-0.5)) },
	// Now and then the host is twice as slow for one half of a pair.
	"phases": func(r *rand.Rand, _ int) float64 {
		v := 0.02 * r.NormFloat64()
		if r.IntN(5) == 0 {
			v += 0.7 * float64(2*r.IntN(2)-1)
		}
		return v
	},
	// Who is second finds another machine: the order alternates, and so does this.
	"second is slower": func(r *rand.Rand, i int) float64 { return 0.03*float64(1-2*(i%2)) + 0.01*r.NormFloat64() },
	// Only ever slower, on either side.
	"one-sided": func(r *rand.Rand, _ int) float64 { return 0.05 * (r.ExpFloat64() - r.ExpFloat64()) },
}

// trial adds pairs of a true ratio until there is a verdict or there are most, as a run
// does.
func trial(r *rand.Rand, noise func(*rand.Rand, int) float64, ratio float64, most int) (Verdict, int) {
	var ratios []float64
	for i := 0; ; i++ {
		if last := i == most; last || look(i) {
			if v, _ := Judge(ratios, 0.05, last); last || v != Inconclusive {
				return v, i
			}
		}
		ratios = append(ratios, ratio*math.Exp(noise(r, i)))
	}
}

// Whatever the noise, a verdict is right: the same code is never called slower, and a
// slowdown of twice the tolerance is never passed. Where the noise is small, and the
// extremes do not count, there is always a verdict.
func TestVerdicts(t *testing.T) {
	const trials = 2000
	for name, noise := range noises {
		for _, ratio := range []float64{0.9, 1, 1.10} {
			t.Run(fmt.Sprintf("%s/%.2f", name, ratio), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(1000*ratio)))
				n, pairs := map[Verdict]int{}, 0
				for range trials {
					v, p := trial(r, noise, ratio, 200)
					n[v]++
					pairs += p
				}
				t.Logf("%v, %.0f pairs", n, float64(pairs)/trials)
				wrong, right := Slower, NotSlower
				if ratio > 1.05 {
					wrong, right = right, wrong
				}
				assert.LessOrEqual(t, n[wrong], 1, "wrong verdicts")
				if name != "normal 8 %" && name != "one-sided" {
					assert.GreaterOrEqual(t, n[right], trials*99/100)
				}
			})
		}
	}
	// At the tolerance itself no more than chance says slower.
	r := rand.New(rand.NewPCG(1, 1050))
	slower := 0
	for range trials {
		if v, _ := trial(r, noises["normal 2 %"], 1.05, 200); v == Slower {
			slower++
		}
	}
	assert.LessOrEqual(t, slower, trials/200)
}

func TestJudge(t *testing.T) {
	ratiosOf := func(t *rapid.T) []float64 {
		return rapid.SliceOfN(rapid.Float64Range(0.2, 5), 0, 100).Draw(t, "ratios")
	}
	rapid.Check(t, func(t *rapid.T) {
		ratios, tolerance, last := ratiosOf(t), rapid.Float64Range(MinTolerance, MaxTolerance).Draw(t, "tolerance"), rapid.Bool().Draw(t, "last")
		v, i := Judge(ratios, tolerance, last)
		if len(ratios) < MinPairs {
			require.Equal(t, Inconclusive, v)
			return
		}
		require.GreaterOrEqual(t, i.Confidence, confidence)
		require.LessOrEqual(t, i.Lo, i.Median)
		require.LessOrEqual(t, i.Median, i.Hi)
		// The order of time does not matter, nor is the caller's slice touched.
		other := rapid.Permutation(ratios).Draw(t, "permutation")
		w, j := Judge(other, tolerance, last)
		require.Equal(t, v, w)
		require.Equal(t, i, j)
		// What is slower stays so when everything takes longer.
		more := rapid.Float64Range(1, 3).Draw(t, "more")
		for k := range other {
			other[k] *= more
		}
		if w, _ := Judge(other, tolerance, last); v == Slower {
			require.Equal(t, Slower, w)
		} else if w == NotSlower {
			// Unless the interval became too wide or crossed the tolerance, faster only.
			require.NotEqual(t, Slower, v)
		}
		// A verdict is not taken back at the last look.
		if now, _ := Judge(ratios, tolerance, false); now != Inconclusive {
			at, _ := Judge(ratios, tolerance, true)
			require.Equal(t, now, at)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(MinPairs, 60).Draw(t, "n")
		all := func(lo, hi float64) []float64 {
			return rapid.SliceOfN(rapid.Float64Range(lo, hi), n, n).Draw(t, "ratios")
		}
		v, _ := Judge(all(0.1, 1.05), 0.05, false)
		require.Equal(t, NotSlower, v)
		v, _ = Judge(all(1.0501, 9), 0.05, false)
		require.Equal(t, Slower, v)
	})
	// Narrow around the tolerance: not the machine's fault.
	near := make([]float64, 40)
	for i := range near {
		near[i] = 1.05 + 0.001*float64(i%5-2)
	}
	v, _ := Judge(near, 0.05, false)
	assert.Equal(t, Inconclusive, v)
	v, _ = Judge(near, 0.05, true)
	assert.Equal(t, NotSlower, v)
	// Wide: it is.
	for i := range near {
		near[i] = 1.05 + 0.05*float64(i%5-2)
	}
	v, _ = Judge(near, 0.05, true)
	assert.Equal(t, Inconclusive, v)
}

func TestLook(t *testing.T) {
	var at []int
	for n := range 1000 {
		if look(n) {
			at = append(at, n)
		}
	}
	assert.Equal(t, []int{12, 24, 48, 96, 192, 384, 768}, at)
}
