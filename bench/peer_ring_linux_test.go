package bench

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rteRingText is the form of dpdk-test's report, from DPDK 22.11, with other figures.
var rteRingText = []string{
	"EAL: Detected CPU lcores: 2", "RTE>>ring_perf_autotest",
	"### Testing burst enq/deq ###", "legacy APIs: SP/SC: burst (size: 32): 1.00", "legacy APIs: MP/MC: burst (size: 8): 1.00",
	"### Testing bulk enq/deq ###", "legacy APIs: SP/SC: bulk (size: 8): 16.00", "legacy APIs: SP/SC: bulk (size: 32): 64.00",
	"legacy APIs: MP/MC: bulk (size: 8): 40.00", "legacy APIs: MP/MC: bulk (size: 32): 96.00",
	"### Testing empty bulk deq ###", "legacy APIs: SP/SC: bulk (size: 8): 4.07", "legacy APIs: MP/MC: bulk (size: 8): 5.19",
	"### Testing using two physical cores ###", "legacy APIs: SP/SC: bulk (size: 8): 20.00", "legacy APIs: MP/MC: bulk (size: 8): 30.00",
	"legacy APIs: SP/SC: bulk (size: 32): 10.00", "legacy APIs: MP/MC: bulk (size: 32): 12.00",
	"elem APIs: element size 16B: SP/SC: bulk (size: 32): 77.00",
}

// The figure is picked from the right part of the report, and made cycles that pass for an
// element.
func TestRteRingReport(t *testing.T) {
	for _, c := range []struct {
		mode        string
		bulk, cores int
		want        float64
		line        int
	}{
		{"spsc", 32, 2, 5, 16}, {"mpmc", 8, 1, 5, 8}, {"mpmc", 32, 1, 3, 9}, {"mpmc", 8, 2, 15, 15}, {"mpmc", 32, 2, 6, 17},
	} {
		r := rteRingReport{kind: rteRingKind(c.mode), bulk: c.bulk, cores: c.cores}
		for i, line := range rteRingText {
			got, err := r.add(line)
			require.NoError(t, err)
			if i == c.line {
				assert.InDelta(t, c.want, got, 1e-9, "%+v", c)
			} else {
				assert.Zero(t, got, "%+v: %s", c, line)
			}
		}
	}
	for _, figure := range []string{"0.00", "1.2.3", "."} {
		r := rteRingReport{kind: "MP/MC", bulk: 8, cores: 1, section: "### Testing bulk enq/deq ###"}
		_, err := r.add("legacy APIs: MP/MC: bulk (size: 8): " + figure)
		require.Error(t, err, figure)
	}
}

// Whatever the program writes, a figure is a number to divide by.
func FuzzRteRingReport(f *testing.F) {
	f.Add(strings.Join(rteRingText, "\n"), true, 8, 1)
	f.Add("### Testing using two\nlegacy APIs: SP/SC: bulk (size: 32): 1e9", false, 32, 2)
	f.Fuzz(func(t *testing.T, text string, mpmc bool, bulk, cores int) {
		mode := "spsc"
		if mpmc {
			mode = "mpmc"
		}
		r := rteRingReport{kind: rteRingKind(mode), bulk: max(1, bulk), cores: cores}
		for line := range strings.Lines(text) {
			got, err := r.add(strings.TrimSuffix(line, "\n"))
			if err != nil && got != 0 {
				t.Fatalf("%q: %v, %v", line, got, err)
			}
			if got < 0 || math.IsInf(got, 0) || math.IsNaN(got) {
				t.Fatalf("%q: %v", line, got)
			}
		}
	})
}

// Every bulk that went in comes out, however short the round is, and this process may use
// the same CPUs afterwards.
func TestOurRing(t *testing.T) {
	for _, c := range Comparisons() {
		if c.Driver != DriverQueue {
			continue
		}
		t.Run(c.Name(), func(t *testing.T) {
			poll, feed, err := c.scenario().cpus()
			if err != nil {
				t.Skip(err)
			}
			f := &field{arena: &arena{}, Comparison: c, poll: poll, feed: max(feed, poll[0])}
			f.rings()
			if c.Cores > 1 {
				require.NoError(t, f.widen())
			}
			for _, length := range []time.Duration{1, 20 * time.Millisecond} {
				s, err := f.ours(t.Context(), length)
				require.NoError(t, err)
				assert.Positive(t, s.Packets)
				assert.Zero(t, s.Packets%uint64(c.Size))
				assert.Positive(t, s.PPS)
			}
			_, after, err := c.scenario().cpus()
			require.NoError(t, err)
			assert.Equal(t, feed, after, "the CPUs that this process may use")
		})
	}
}

// A ring that loses a bulk, or changes one, voids the round, and does not hang it.
func TestRingThatLoses(t *testing.T) {
	poll, _, err := (Scenario{Driver: DriverNull, Mode: "io", Cores: 2}).cpus()
	if err != nil {
		t.Skip(err)
	}
	for name, spoil := range map[string]func(e *ringEnds){
		"lost":    func(e *ringEnds) { e.put = func(src []uint64) uint64 { return ringChunk } },
		"changed": func(e *ringEnds) { e.take = changed(e.take) },
	} {
		t.Run(name, func(t *testing.T) {
			e, err := spscEnds()
			require.NoError(t, err)
			spoil(&e)
			var tally ringTally
			require.NoError(t, tally.twoCores(t.Context(), e, poll, 8, time.Millisecond))
			assert.True(t, tally.wrong || tally.put != tally.taken)
		})
	}
}

// changed is what comes out of a ring that changes an element.
func changed(take func([]uint64) uint64) func([]uint64) uint64 {
	return func(dst []uint64) uint64 {
		n := take(dst)
		dst[len(dst)/2]++
		return n
	}
}
