package bench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"

	"example.org/pmd/pmd/netlab"
)

const (
	// maxLatency is the longest latency told apart, in nanoseconds; longer ones count
	// as that long.
	maxLatency = 60_000_000_000
	// latencyDigits is to how many decimal digits.
	latencyDigits = 3
	// maxUnsent bounds the frames of one pause of the sender that are made up for.
	maxUnsent = 1 << 24
)

// delays is the account of frames that were sent with sequence numbers, at times that they
// tell, and came back. It belongs to one goroutine.
type delays struct {
	// histogram has the latencies in nanoseconds of the frames that arrived, each from
	// when it was due, and of those that were due while the sender stood still.
	histogram *hdrhistogram.Histogram
	// Sent is what was sent, Received what arrived of it, each frame once.
	Sent, Received uint64
	// Lost did not arrive, Duplicates arrived again, and Reordered arrived after one
	// with a higher number (RFC 4737, section 3.3).
	Lost, Duplicates, Reordered uint64
	// Unsent were due but not sent, for the sender stood still for too long: without
	// them, a pause of the machine would be a single slow frame (coordinated
	// omission). Each counts as one that waited for the next frame that arrived.
	Unsent uint64
}

func newDelays() *delays {
	return &delays{histogram: hdrhistogram.New(1, maxLatency, latencyDigits)}
}

// add accounts for the frames numbered from first up to first+sent, of which these arrived
// in this order, and which were due interval nanoseconds apart. It is an error, and nothing
// is counted, if one arrived that was not sent.
func (d *delays) add(arrivals []netlab.Arrival, first, sent uint64, interval float64) error {
	for _, a := range arrivals {
		if a.Sequence < first || a.Sequence-first >= sent {
			return fmt.Errorf("frame %d arrived, and %d to %d were sent", a.Sequence, first, first+sent-1)
		}
	}
	seen := make([]uint64, (sent+63)/64)
	once := make([]netlab.Arrival, 0, len(arrivals))
	next := first // the lowest number that would not be late (NextExp)
	inOrder := true
	for _, a := range arrivals {
		i := a.Sequence - first
		if seen[i/64]&(1<<(i%64)) != 0 {
			d.Duplicates++
			continue
		}
		seen[i/64] |= 1 << (i % 64)
		once = append(once, a)
		if a.Sequence < next {
			d.Reordered++
			inOrder = false
			continue
		}
		next = a.Sequence + 1
	}
	d.Sent += sent
	d.Received += uint64(len(once))
	d.Lost += sent - uint64(len(once))
	if !inOrder {
		slices.SortFunc(once, func(a, b netlab.Arrival) int { return cmp.Compare(a.Sequence, b.Sequence) })
	}
	for i, a := range once {
		latency := int64(a.Arrived) - int64(a.Due)
		d.record(float64(latency))
		if i == 0 {
			continue
		}
		// Between two frames there should be as many intervals as numbers.
		before := once[i-1]
		due := (float64(a.Due)-float64(before.Due))/interval + 0.5
		unsent := min(int64(due)-int64(a.Sequence-before.Sequence), maxUnsent)
		for j := range unsent {
			d.Unsent++
			d.record(float64(latency) + float64(j+1)*interval)
		}
	}
	return nil
}

// record counts a latency in nanoseconds.
func (d *delays) record(ns float64) {
	_ = d.histogram.RecordValue(int64(min(max(ns, 1), maxLatency))) // within its range
}

// percents are the percentiles that are told.
func percents() []float64 { return []float64{50, 90, 99, 99.9, 100} }

// merge adds what another account has.
func (d *delays) merge(o *delays) error {
	if d.histogram.Merge(o.histogram) != 0 {
		return errors.New("a latency beyond the histogram") // they are alike
	}
	d.Sent += o.Sent
	d.Received += o.Received
	d.Lost += o.Lost
	d.Duplicates += o.Duplicates
	d.Reordered += o.Reordered
	d.Unsent += o.Unsent
	return nil
}

// latency sums up frames that were sent at a rate, of what throughput is possible if that is
// known.
func (d *delays) latency(rate, throughput float64) Latency {
	l := Latency{PPS: rate, Frames: d.Received, Lost: d.Lost, Duplicates: d.Duplicates, Reordered: d.Reordered, Unsent: d.Unsent}
	if throughput > 0 {
		l.Load = rate / throughput
	}
	for _, p := range percents() {
		l.Percentiles = append(l.Percentiles, Percentile{Percent: p, Ns: float64(d.histogram.ValueAtPercentile(p))})
	}
	return l
}

// latencyOf sums up the rounds.
func latencyOf(rounds []Round, rate, throughput float64) (Latency, error) {
	all := newDelays()
	for _, r := range rounds {
		if err := all.merge(r.delays); err != nil {
			return Latency{}, err
		}
	}
	return all.latency(rate, throughput), nil
}
