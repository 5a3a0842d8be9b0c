package forward

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
	checks  int             // bounds checks left
	inlined map[string]bool // calls replaced by what they call
}

var (
	checkLine  = regexp.MustCompile(`^(\S+\.go):(\d+):\d+: Found (?:IsInBounds|IsSliceInBounds)$`)
	inlineLine = regexp.MustCompile(`^(\S+\.go):(\d+):\d+: inlining call to (.+)$`)
)

// cold are functions that no frame passes through.
var cold = regexp.MustCompile(`^(New|Modes|Connect|new[A-Z].*|Config\..*|Options\..*|txStage\.kind)$`)

// The burst loops keep no more bounds checks than they have, two for each frame
// that is written to, and what they call for each frame stays inlined.
func TestCompilerVerdicts(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool: ", err)
	}
	// The target is fixed, so that the verdict is the same on every machine.
	cmd := exec.Command(goTool, "build", "-gcflags=-m -d=ssa/check_bce", ".")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	functions, err := functionsByLine(".")
	require.NoError(t, err)
	got := verdicts(string(out), functions)
	require.NotEmpty(t, got, "no verdict in the compiler's output:\n%s", out)

	golden := filepath.Join("testdata", "hot.golden")
	release := regexp.MustCompile(`^go\d+\.\d+`).FindString(runtime.Version())
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(release+"\n"+render(got)), 0o644))
	}
	text, err := os.ReadFile(golden)
	require.NoError(t, err)
	head, want, _ := strings.Cut(string(text), "\n")
	if head != release {
		t.Skipf("%s is of %s, this is %s; renew it with -update and look at the difference", golden, head, release)
	}
	require.Empty(t, worse(want, got))
}

// The comparison notices what it is there for.
func TestVerdictsCanBeWorse(t *testing.T) {
	functions := map[string]map[int]string{"a.go": {1: "hot", 2: "hot", 9: "other"}}
	output := strings.Join([]string{
		"./a.go:1:2: Found IsInBounds",
		"./a.go:2:2: inlining call to helper",
		"../queue/a.go:9:9: Found IsInBounds",
	}, "\n")
	golden := render(verdicts(output, functions))
	require.Equal(t, "hot checks=1 inlines=helper\n", golden)
	require.Empty(t, worse(golden, verdicts(output, functions)))
	for name, worsened := range map[string]string{
		"another check":               output + "\n./a.go:2:7: Found IsSliceInBounds",
		"no longer inlined":           strings.Replace(output, "inlining call to", "cannot inline", 1),
		"not a verdict":               "",
		"a check in another function": output + "\n./a.go:9:1: Found IsInBounds",
	} {
		require.NotEmpty(t, worse(golden, verdicts(worsened, functions)), name)
	}
}

// verdicts reads the compiler's output.
func verdicts(output string, functions map[string]map[int]string) map[string]verdict {
	got := map[string]verdict{}
	note := func(m []string, add func(*verdict)) {
		// Generic code of other packages is translated here, too.
		if m == nil || filepath.Dir(filepath.Clean(m[1])) != "." {
			return
		}
		line, _ := strconv.Atoi(m[2]) // digits
		name, ok := functions[filepath.Base(m[1])][line]
		if !ok || cold.MatchString(name) {
			return
		}
		v := got[name]
		if v.inlined == nil {
			v.inlined = map[string]bool{}
		}
		add(&v)
		got[name] = v
	}
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		note(checkLine.FindStringSubmatch(line), func(v *verdict) { v.checks++ })
		// What Mem is made of is not this package's concern.
		if m := inlineLine.FindStringSubmatch(line); m != nil && !strings.HasPrefix(m[3], "mbuf.") {
			note(m, func(v *verdict) { v.inlined[m[3]] = true })
		}
	}
	return got
}

// render writes verdicts one a line.
func render(got map[string]verdict) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(got)) {
		fmt.Fprintf(&b, "%s checks=%d inlines=%s\n", name, got[name].checks,
			strings.Join(slices.Sorted(maps.Keys(got[name].inlined)), ","))
	}
	return b.String()
}

// worse tells where got is worse than the golden text.
func worse(golden string, got map[string]verdict) (complaints []string) {
	known := map[string]bool{}
	for line := range strings.Lines(golden) {
		f := strings.Fields(line)
		if len(f) != 3 {
			complaints = append(complaints, "not understood: "+line)
			continue
		}
		name, inlines := f[0], strings.TrimPrefix(f[2], "inlines=")
		checks, err := strconv.Atoi(strings.TrimPrefix(f[1], "checks="))
		if err != nil {
			complaints = append(complaints, "not understood: "+line)
			continue
		}
		known[name] = true
		if n := got[name].checks; n > checks {
			complaints = append(complaints, fmt.Sprintf("%s has %d bounds checks, %d are allowed", name, n, checks))
		}
		for callee := range strings.SplitSeq(inlines, ",") {
			if callee != "" && !got[name].inlined[callee] {
				complaints = append(complaints, name+" no longer inlines "+callee)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !known[name] && got[name].checks > 0 {
			complaints = append(complaints, fmt.Sprintf("%s has %d bounds checks and is not listed", name, got[name].checks))
		}
	}
	return complaints
}

// functionsByLine maps file and line to the function there.
func functionsByLine(dir string) (map[string]map[int]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	out := map[string]map[int]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		lines := map[int]string{}
		out[filepath.Base(file)] = lines
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := fn.Name.Name
			if fn.Recv != nil {
				recv := fn.Recv.List[0].Type
				if star, ok := recv.(*ast.StarExpr); ok {
					recv = star.X
				}
				name = recv.(*ast.Ident).Name + "." + name
			}
			for n := fset.Position(fn.Pos()).Line; n <= fset.Position(fn.End()).Line; n++ {
				lines[n] = name
			}
		}
	}
	return out, nil
}
