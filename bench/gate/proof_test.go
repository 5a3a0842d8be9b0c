package gate

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/bench"
)

// TestProof tries the gate on this project and this machine, on request: PMD_GATE is the
// number of runs of each kind, PMD_GATE_LIMIT how long each may take (40s, what a scenario
// of the default set has), PMD_GATE_SCENARIO what is measured (driver=null/mode=macswap;
// the mode is to be macswap). The committed revision against itself passes, in other
// layouts; against itself with 10 % of the measured time of a packet added to the stage it
// is slower; and while other processes use all CPUs the gate does not know. The machine is
// to have nothing else to do. PMD_GATE_DIR keeps the programs, so that -run can take the
// subtests one by one.
func TestProof(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv("PMD_GATE"))
	if err != nil {
		t.Skip("set PMD_GATE=20 to try the gate")
	}
	p := newProof(t)
	t.Run("same", func(t *testing.T) {
		for i := range runs {
			o := p.measure(t, i, p.base, p.same)
			assert.Equal(t, NotSlower, o.Verdict)
		}
	})
	t.Run("slower", func(t *testing.T) {
		slow := p.slowed(t)
		for i := range runs {
			o := p.measure(t, i, p.base, slow)
			assert.Equal(t, Slower, o.Verdict)
		}
	})
	t.Run("loaded", func(t *testing.T) {
		slow := p.slowed(t)
		for range runtime.NumCPU() {
			hog := exec.Command("sh", "-c", "while :; do :; done")
			require.NoError(t, hog.Start())
			defer func() {
				_ = hog.Process.Kill()
				_ = hog.Wait()
			}()
		}
		p.limit = min(p.limit, 10*time.Second)
		for i := range runs {
			o := p.measure(t, i, p.base, [][]string{p.same, slow}[i%2])
			assert.Equal(t, Inconclusive, o.Verdict)
		}
	})
}

// proof is what its parts share.
type proof struct {
	repo       checkout
	keep       string // of programs
	base, same []string
	scenario   bench.Scenario
	limit      time.Duration
}

// layouts is their number on each side.
const layouts = 2

func newProof(t *testing.T) *proof {
	t.Helper()
	p := &proof{repo: checkout{t, filepath.Join(t.TempDir(), "repo")}, keep: os.Getenv("PMD_GATE_DIR"), limit: 40 * time.Second}
	if p.keep == "" {
		p.keep = t.TempDir()
	}
	if s := os.Getenv("PMD_GATE_LIMIT"); s != "" {
		var err error
		p.limit, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	name := os.Getenv("PMD_GATE_SCENARIO")
	if name == "" {
		name = "driver=null/mode=macswap"
	}
	var err error
	p.scenario, err = bench.ParseScenario(name)
	require.NoError(t, err)
	require.Equal(t, "macswap", p.scenario.Mode, "the stage that is slowed down")
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	require.NoError(t, err)
	out, err := exec.Command("git", "clone", "-q", "--shared", strings.TrimSpace(string(top)), p.repo.dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	p.base = p.built(t, "base", "HEAD", 1)
	p.same = p.built(t, "same", "HEAD", 1+layouts)
	return p
}

// built returns the programs of a revision, by a name under which they are kept.
func (p *proof) built(t *testing.T, name, rev string, first int) (programs []string) {
	t.Helper()
	missing := false
	for i := range layouts {
		path := filepath.Join(p.keep, fmt.Sprintf("%s.%d", name, i))
		_, err := os.Stat(path)
		missing = missing || err != nil
		programs = append(programs, path)
	}
	if !missing {
		return programs
	}
	w, err := openWorkshop(t.Context(), p.repo.dir)
	require.NoError(t, err)
	defer w.close()
	r, err := w.find(t.Context(), rev)
	require.NoError(t, err)
	made, err := w.build(t.Context(), r, first, layouts)
	require.NoError(t, err)
	for i := range made {
		b, err := os.ReadFile(made[i])
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(programs[i], b, 0o755))
	}
	return programs
}

// measure lets the gate judge two sets of programs.
func (p *proof) measure(t *testing.T, i int, base, head []string) *Outcome {
	t.Helper()
	cfg, err := Config{Base: "base", MeasureIdentical: true}.withDefaults()
	require.NoError(t, err)
	c := comparison{cfg: cfg, rep: &Report{}, base: base, head: head}
	o := c.outcome(p.scenario)
	require.NoError(t, c.measure(t.Context(), p.scenario, o, p.limit))
	t.Logf("run %d: %s: %.3f and %.2f ns/pkt, ratio %.3f (%.3f to %.3f), %d pairs, %d void, %.0f s %s %.3f",
		i+1, o.Verdict, o.BaseNs, o.HeadNs, o.Ratio.Median, o.Ratio.Lo, o.Ratio.Hi, o.Pairs, o.Void, o.Seconds, o.Why, slices.Sorted(slices.Values(o.Ratios)))
	return o
}

// burn is the code that is added, once a burst: so many frames have their addresses swapped
// twice more. It is of the kind of work that the stage does, so that it takes the same share
// of the time however fast the machine is at the moment.
const burn = `package forward

import "example.org/pmd/pmd/mbuf"

//go:noinline
func burn(mem mbuf.Mem, burst []mbuf.Frame, n int) {
	for n > 0 {
		for i := range burst {
			h := (*[12]byte)(mem[burst[i].Addr:])
			swap(h)
			swap(h)
			if n--; n == 0 {
				return
			}
		}
	}
}
`

// slowedBy returns programs that burn so much a burst.
func (p *proof) slowedBy(t *testing.T, n int) []string {
	t.Helper()
	const first = "\tmem := w.Mem(burst[0])\n"
	path := filepath.Join(p.repo.dir, "dataplane/forward/macswap.go")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), first))
	p.repo.write("dataplane/forward/macswap.go", strings.Replace(string(text), first, fmt.Sprintf("%s\tburn(mem, burst, %d)\n", first, n), 1))
	p.repo.write("dataplane/forward/burn.go", burn)
	defer func() {
		p.repo.git("checkout", "-q", "--", ".")
		require.NoError(t, os.Remove(filepath.Join(p.repo.dir, "dataplane/forward/burn.go")))
	}()
	return p.built(t, fmt.Sprintf("slow-%d", n), WorkingTree, 1+2*layouts)
}

// slowed returns programs that take 10 % longer for a packet: what one of them costs is
// measured first, with many.
func (p *proof) slowed(t *testing.T) []string {
	t.Helper()
	kept := filepath.Join(p.keep, "swaps")
	b, err := os.ReadFile(kept)
	if err != nil {
		// Twice, since the cost does not quite rise in proportion.
		n := 30.0
		for range 2 {
			o := p.measure(t, -1, p.base, p.slowedBy(t, int(n)))
			require.Greater(t, o.Ratio.Median, 1.02, "%.0f swaps a burst cost nothing", n)
			n = math.Round(n * 0.10 / (o.Ratio.Median - 1))
		}
		b = []byte(strconv.Itoa(int(n)))
		require.NoError(t, os.WriteFile(kept, b, 0o644))
	}
	n, err := strconv.Atoi(string(b))
	require.NoError(t, err)
	t.Logf("%d swaps a burst", n)
	return p.slowedBy(t, n)
}
