package queue

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// verdict is what the compiler did to one function.
type verdict struct {
	checks  int                 // bounds checks left, over all instances in testdata/hot
	inlined map[string]struct{} // functions of this package inlined into it
}

var (
	checkLine  = regexp.MustCompile(`^(\S+\.go):(\d+):\d+: Found (?:IsInBounds|IsSliceInBounds)$`)
	inlineLine = regexp.MustCompile(`^(\S+\.go):(\d+):\d+: inlining call to queue\.(.+)$`)
	typeArgs   = regexp.MustCompile(`\[.*\]`)
)

// The small helpers keep being inlined into the hot functions, and these keep
// the few bounds checks they have: a constant number a call, none an element.
func TestCompilerVerdicts(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool: ", err)
	}
	got := compile(t, goTool)
	golden := filepath.Join("testdata", "hot.golden")
	release := regexp.MustCompile(`^go\d+\.\d+`).FindString(runtime.Version())
	if *update {
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n", release)
		for _, name := range slices.Sorted(maps.Keys(got)) {
			fmt.Fprintf(&b, "%s checks=%d inlines=%s\n", name, got[name].checks,
				strings.Join(slices.Sorted(maps.Keys(got[name].inlined)), ","))
		}
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	text, err := os.ReadFile(golden)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if lines[0] != release {
		t.Skipf("%s is of %s, this is %s; renew it with -update and look at the difference", golden, lines[0], release)
	}
	all := maps.Clone(got)
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		require.Len(t, fields, 3, line)
		checks, err := strconv.Atoi(strings.TrimPrefix(fields[1], "checks="))
		require.NoError(t, err)
		v, ok := got[fields[0]]
		if checks > 0 || fields[2] != "inlines=" {
			require.True(t, ok, "the compiler said nothing about %s", fields[0])
		}
		require.LessOrEqual(t, v.checks, checks, "%s has more bounds checks than allowed", fields[0])
		for callee := range strings.SplitSeq(strings.TrimPrefix(fields[2], "inlines="), ",") {
			if callee != "" {
				require.Contains(t, v.inlined, callee, "%s no longer inlines %s", fields[0], callee)
			}
		}
		delete(got, fields[0])
	}
	for name, v := range all {
		for _, publisher := range []string{"single.advance", "multi.publish", "position.release"} {
			require.NotContains(t, v.inlined, publisher, "%s inlines %s: the compiler could move its store", name, publisher)
		}
	}
	for name, v := range got {
		require.Zero(t, v.checks, "%s has bounds checks and is not in %s", name, golden)
	}
}

// compile has the compiler explain itself about testdata/hot, which holds an
// instance of each queue. The target is fixed, so that the verdict is the same
// on every machine.
func compile(t *testing.T, goTool string) map[string]verdict {
	t.Helper()
	cmd := exec.Command(goTool, "build", "-gcflags=-m -d=ssa/check_bce", ".")
	cmd.Dir = filepath.Join("testdata", "hot")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	functions := functionsByLine(t)
	verdicts := map[string]verdict{}
	note := func(file, line string, add func(*verdict)) {
		n, err := strconv.Atoi(line)
		require.NoError(t, err)
		name, ok := functions[filepath.Base(file)][n]
		if !ok {
			return
		}
		v, ok := verdicts[name]
		if !ok {
			v.inlined = map[string]struct{}{}
		}
		add(&v)
		verdicts[name] = v
	}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if m := checkLine.FindStringSubmatch(line); m != nil {
			note(m[1], m[2], func(v *verdict) { v.checks++ })
		}
		if m := inlineLine.FindStringSubmatch(line); m != nil {
			// queue.(*slots[go.shape...]).put is slots.put here.
			callee := strings.NewReplacer("(*", "", ")", "").Replace(typeArgs.ReplaceAllString(m[3], ""))
			note(m[1], m[2], func(v *verdict) { v.inlined[callee] = struct{}{} })
		}
	}
	require.NotEmpty(t, verdicts, "no verdict in the compiler's output:\n%s", out)
	return verdicts
}

// functionsByLine maps file and line to the hot function there.
func functionsByLine(t *testing.T) map[string]map[int]string {
	t.Helper()
	hot := map[string]bool{
		"Enqueue": true, "EnqueueBulk": true, "EnqueueBurst": true, "Offer": true,
		"Dequeue": true, "DequeueBulk": true, "DequeueBurst": true, "Poll": true, "Remove": true,
	}
	out := map[string]map[int]string{}
	for _, file := range []string{"spsc.go", "mpsc.go", "mpmc.go", "classic.go"} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		out[file] = map[int]string{}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !hot[fn.Name.Name] {
				continue
			}
			recv := fn.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.IndexExpr).X.(*ast.Ident).Name
			for n := fset.Position(fn.Pos()).Line; n <= fset.Position(fn.End()).Line; n++ {
				out[file][n] = recv + "." + fn.Name.Name
			}
		}
	}
	return out
}
