package gate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/bench"
)

// fake is a pmd that measures nothing: a packet takes so many nanoseconds, give or take
// some, as one process or the next of that program does, by turns, or in pairs where
// there are half nanoseconds. It keeps to what the gate expects of one.
const fake = `package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

func main() {
	if slices.Contains(os.Args, "driver=ring/mode=io/size=64") {
		fmt.Fprintln(os.Stderr, "pmd: no such scenario")
		os.Exit(2)
	}
	ns, spread, wait := %s
	time.Sleep(wait)
	fmt.Printf("{\"version\":1,\"name\":%%q,\"polled\":[9999]}\n", os.Args[3])
	starts, _ := os.ReadFile(os.Args[0] + ".starts")
	if err := os.WriteFile(os.Args[0]+".starts", append(starts, 'x'), 0o600); err != nil {
		os.Exit(1)
	}
	half := int(2*ns) %% 2
	process := 1 + spread*(float64(len(starts)>>half&1)-0.5)
	waited := 0.0
	if slices.Contains(os.Args, "driver=null/mode=macswap/size=64") {
		waited = 0.5
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		length, err := time.ParseDuration(in.Text())
		if err != nil || length < time.Millisecond {
			os.Exit(1)
		}
		took := ns * process * (1 + 0.02*(rand.Float64()-0.5))
		fmt.Printf("{\"packets\":1000000,\"seconds\":%%g,\"waited\":%%g}\n", took/1000, waited)
	}
	if ns == 0 {
		fmt.Fprintln(os.Stderr, "pmd: 3 frames are missing")
		os.Exit(1)
	}
}
`

// checkout is a repository with a program in it.
type checkout struct {
	t   *testing.T
	dir string
}

func newCheckout(t *testing.T) checkout {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not on PATH")
	}
	// Whatever is left behind would be in here.
	t.Setenv("TMPDIR", t.TempDir())
	c := checkout{t, t.TempDir()}
	c.git("init", "-q")
	c.write("go.mod", "module fake\n\ngo 1.24\n")
	c.write(".gitignore", "/ignored\n")
	return c
}

func (c checkout) git(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", c.dir, "-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(c.t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func (c checkout) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(text), 0o644))
}

// speed writes the program: an expression of nanoseconds, spread, and time to wait.
func (c checkout) speed(expr string) { c.write("cmd/pmd/main.go", fmt.Sprintf(fake, expr)) }

func (c checkout) commit(tag string) {
	c.t.Helper()
	c.git("add", "--all")
	c.git("commit", "-q", "--allow-empty", "-m", "revision "+tag)
	c.git("tag", tag)
}

// clean checks that the checkout and the temporary folder are as before.
func (c checkout) clean(status string) {
	c.t.Helper()
	assert.Equal(c.t, status, c.git("status", "--porcelain"))
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "pmd-gate-*"))
	require.NoError(c.t, err)
	assert.Empty(c.t, left)
}

// run compares over null ports.
func (c checkout) run(base, head, scenario string) (*Report, error) {
	s, err := bench.ParseScenario(scenario)
	require.NoError(c.t, err)
	return Run(c.t.Context(), Config{Dir: c.dir, Base: base, Head: head, Scenarios: []bench.Scenario{s}, Layouts: 1})
}

// The gate on programs whose speed is known.
func TestRun(t *testing.T) {
	c := newCheckout(t)
	c.speed("10.0, 0.02, time.Duration(0)")
	c.commit("fast")
	c.write("README", "words only\n")
	c.commit("words")
	c.speed("11.0, 0.02, time.Duration(0)")
	c.commit("slow")
	c.write("cmd/pmd/main.go", "package main\n\nfunc main() { no }\n")
	c.commit("broken")
	c.git("rm", "-q", "-r", "cmd")
	c.commit("empty")
	c.speed("0.0, 0.0, time.Duration(0)")
	c.commit("lossy")
	c.git("checkout", "-q", "slow")

	const null = "driver=null/mode=io"
	for _, d := range []struct {
		base, head string
		want       Verdict
		median     float64
	}{
		{"fast", "slow", Slower, 1.10},
		{"slow", "fast", NotSlower, 0.91},
		{"fast", "words", NotSlower, 0},
	} {
		rep, err := c.run(d.base, d.head, null)
		require.NoError(t, err)
		require.Len(t, rep.Outcomes, 1)
		o := rep.Outcomes[0]
		assert.Equal(t, d.want, o.Verdict, "%s %s: %+v", d.base, d.head, o)
		assert.Equal(t, d.want, rep.Verdict())
		assert.Equal(t, "revision "+d.head, o.Head.Subject)
		if d.median == 0 {
			assert.Contains(t, o.Why, "the same program, byte by byte")
			assert.Zero(t, o.Pairs)
		} else {
			assert.InDelta(t, d.median, o.Ratio.Median, 0.02)
			assert.GreaterOrEqual(t, o.Pairs, MinPairs)
			assert.Len(t, o.Ratios, o.Pairs)
		}
		c.clean("")
	}

	for _, d := range []struct{ base, head, scenario, say string }{
		{"fast", "nowhere", null, `revision "nowhere" is not in this repository`},
		{"HEAD~99", "", null, "git fetch --deepen"},
		{"--all", "", null, `revision "--all" is not`},
		{"broken", "fast", null, "broken (" + c.git("rev-parse", "--short", "broken") + ") does not build: go: "},
		{"fast", "broken", null, "undefined: no"},
		{"empty", "fast", null, "has no cmd/pmd"},
		{"fast", "slow", "driver=ring/mode=io", "the base, fast"},
		{"fast", "lossy", null, "failed 3 times at driver=null/mode=io/size=64: exit status 1: 3 frames are missing"},
	} {
		_, err := c.run(d.base, d.head, d.scenario)
		require.ErrorIs(t, err, ErrSource, "%+v", d)
		assert.ErrorContains(t, err, d.say)
		c.clean("")
	}

	// The working tree, with files that no commit has.
	c.speed("extra, 0.02, time.Duration(0)")
	c.write("cmd/pmd/extra.go", "package main\n\nconst extra = 12.0\n")
	c.write("ignored/x.go", "not Go\n")
	status := c.git("status", "--porcelain")
	rep, err := c.run("slow", "", null)
	require.NoError(t, err)
	assert.InDelta(t, 12.0/11, rep.Outcomes[0].Ratio.Median, 0.02)
	assert.Regexp(t, `^[0-9a-f]+\+$`, rep.Head.Commit)
	c.clean(status)

	_, err = Run(t.Context(), Config{Dir: t.TempDir(), Base: "HEAD"})
	require.ErrorIs(t, err, ErrSource)
	assert.ErrorContains(t, err, "is not in a git checkout")
}

// An interrupted comparison keeps the outcomes it has, and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	c := newCheckout(t)
	c.speed("10.0, 0.02, time.Duration(0)")
	c.commit("a")
	// The second scenario never ends by itself.
	c.speed(`10.1, 0.02, time.Duration(len(os.Args[3])-len("driver=null/mode=io/size=64"))*time.Hour`)
	c.commit("b")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := Config{Dir: c.dir, Base: "a", Head: "b", Layouts: 1, Scenarios: []bench.Scenario{
		{Driver: "null", Mode: "io", Size: 64}, {Driver: "null", Mode: "macswap", Size: 64},
	}}
	cfg.Done = func(*Outcome) { time.AfterFunc(100*time.Millisecond, cancel) }
	rep, err := Run(ctx, cfg)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, rep.Outcomes, 1)
	assert.Equal(t, NotSlower, rep.Outcomes[0].Verdict)
	c.clean("")
}

// measured measures two programs for a short time.
func (c checkout) measured(base, head string, s bench.Scenario, limit time.Duration) *Outcome {
	c.t.Helper()
	w, err := openWorkshop(c.t.Context(), c.dir)
	require.NoError(c.t, err)
	defer w.close()
	cfg, err := Config{Base: base, Head: head, Layouts: 2}.withDefaults()
	require.NoError(c.t, err)
	m := comparison{cfg: cfg, rep: &Report{}}
	m.rep.Base, err = w.find(c.t.Context(), base)
	require.NoError(c.t, err)
	m.rep.Head, err = w.find(c.t.Context(), head)
	require.NoError(c.t, err)
	identical, err := m.build(c.t.Context(), w)
	require.NoError(c.t, err)
	require.False(c.t, identical)
	o := m.outcome(s)
	require.NoError(c.t, m.measure(c.t.Context(), s, o, limit))
	return o
}

// What is too noisy, or too short, is inconclusive.
func TestInconclusive(t *testing.T) {
	c := newCheckout(t)
	c.speed("10.0, 1.5, time.Duration(0)")
	c.commit("a")
	c.speed("10.5, 1.0, time.Duration(0)")
	c.commit("b")
	s := bench.Scenario{Driver: "null", Mode: "io", Size: 64, Cores: 1}
	o := c.measured("a", "b", s, 2*time.Second)
	assert.Equal(t, Inconclusive, o.Verdict)
	assert.NotEmpty(t, o.Why)
	o = c.measured("a", "b", s, time.Millisecond)
	assert.Equal(t, Inconclusive, o.Verdict)
	assert.Contains(t, o.Why, "too few")
}

func TestVerdictOfReport(t *testing.T) {
	for want, have := range map[Verdict][]Verdict{
		NotSlower: {NotSlower, NotSlower}, Slower: {NotSlower, Slower, Inconclusive}, Inconclusive: {NotSlower, Inconclusive, NotSlower},
	} {
		var r Report
		for _, v := range have {
			r.Outcomes = append(r.Outcomes, &Outcome{Verdict: v})
		}
		assert.Equal(t, want, r.Verdict())
	}
}

func TestConfig(t *testing.T) {
	require.NoError(t, Config{Base: "x"}.Validate())
	for say, c := range map[string]Config{
		"no base":          {},
		"use 1 to 100 %":   {Base: "x", Tolerance: 0.001},
		"a tolerance of -": {Base: "x", Tolerance: -1},
		"use 20s or more":  {Base: "x", Limit: time.Second},
		"use 1 to 16":      {Base: "x", Layouts: 17},
		"driver=abacus":    {Base: "x", Scenarios: []bench.Scenario{{Driver: "abacus"}}},
	} {
		assert.ErrorContains(t, c.Validate(), say)
		_, err := Run(t.Context(), c)
		assert.Error(t, err)
		assert.False(t, errors.Is(err, ErrSource), say)
	}
	assert.GreaterOrEqual(t, len(Scenarios()), 8)
}

// One whose threads have to wait for their CPU is inconclusive, however slow it is.
func TestDisturbed(t *testing.T) {
	c := newCheckout(t)
	c.speed("10.0, 0.0, time.Duration(0)")
	c.commit("a")
	c.speed("20.0, 0.0, time.Duration(0)")
	c.commit("b")
	o := c.measured("a", "b", bench.Scenario{Driver: "null", Mode: "macswap", Size: 64, Cores: 1}, 2*time.Second)
	assert.Equal(t, Inconclusive, o.Verdict)
	assert.Contains(t, o.Why, "a polling thread waited for its CPU 50 % of the time")
	assert.Zero(t, o.Pairs)
	assert.NotZero(t, o.Void)
}

func TestParseStolen(t *testing.T) {
	got := parseStolen("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 10 0 10 60 0 0 0 20 7 0\ncpu12 1 1 1 1 1 1 1 1 0 0\nctxt 5\ncpux 1 2 3 4 5 6 7 8\n")
	assert.Equal(t, map[int]cpuTimes{0: {20, 100}, 12: {1, 8}}, got)
}

func FuzzParseStolen(f *testing.F) {
	f.Add("cpu0 10 0 10 60 0 0 0 20 7 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range parseStolen(text) {
			require.LessOrEqual(t, c.steal, c.total)
		}
	})
}
