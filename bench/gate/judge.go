package gate

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Verdict is what the gate says about a scenario, or about all.
type Verdict string

// The verdicts.
const (
	// NotSlower: slower by no more than the tolerance, if at all.
	NotSlower Verdict = "not slower"
	// Slower: slower by more than the tolerance, and that is not chance.
	Slower Verdict = "slower"
	// Inconclusive: the machine was too noisy to tell.
	Inconclusive Verdict = "inconclusive"
)

// MinPairs is the fewest pairs that a verdict other than Inconclusive is given on.
const MinPairs = 12

// confidence is that of the intervals. Judge may be asked again as pairs are added, some
// seven times in the longest run: all those intervals hold together in 99.3 % of runs at
// the least, and for a wrong verdict one must fail by as much as the tolerance.
const confidence = 0.999

// Interval is a median with its confidence interval.
type Interval struct {
	Median float64 `json:"median"`
	Lo     float64 `json:"lo"`
	Hi     float64 `json:"hi"`
	// Confidence is that of Lo and Hi: 0 if the samples are too few for an interval.
	Confidence float64 `json:"confidence"`
}

// interval returns the median of the ratios and its interval.
func interval(ratios []float64) Interval {
	if len(ratios) == 0 {
		return Interval{}
	}
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(ratios), &benchmath.DefaultThresholds), confidence)
	median := s.Center //nolint:misspell // benchmath's name for it
	if math.IsInf(s.Lo, 0) || math.IsInf(s.Hi, 0) {
		return Interval{Median: median}
	}
	return Interval{Median: median, Lo: s.Lo, Hi: s.Hi, Confidence: s.Confidence}
}

// median returns the middle of v, 0 if it is empty.
func median(v []float64) float64 { return interval(v).Median }

// Judge judges ratios of the time that a packet takes with the changed code to that with
// the base, one for each pair: the tolerance is 0.05 for 5 %. Until the last look an
// interval on both sides of the tolerance is Inconclusive, which asks for more pairs; at
// the last look it is NotSlower if it is narrow, no wider than half the tolerance, since
// then not the machine is what leaves the doubt.
func Judge(ratios []float64, tolerance float64, last bool) (Verdict, Interval) {
	i := interval(ratios)
	limit := 1 + tolerance
	switch {
	case len(ratios) < MinPairs || i.Confidence == 0:
		return Inconclusive, i
	case i.Lo > limit:
		return Slower, i
	case i.Hi <= limit, last && i.Hi-i.Lo <= tolerance/2:
		return NotSlower, i
	}
	return Inconclusive, i
}

// look tells whether to judge after so many pairs: each time their number has doubled, so
// that looks are few.
func look(pairs int) bool {
	for n := MinPairs; n <= pairs; n *= 2 {
		if n == pairs {
			return true
		}
	}
	return false
}
