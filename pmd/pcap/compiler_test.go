package pcap

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The loops over frames keep no more bounds checks than they have, and what they call
// for each frame but copy stays inlined.
func TestCompilerVerdicts(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool: ", err)
	}
	if !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Skip("the figures are those of Go 1.26, this is ", runtime.Version())
	}
	// The target is fixed, so that the verdict is the same on every machine.
	cmd := exec.Command(goTool, "build", "-gcflags=-m -d=ssa/check_bce", ".")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	out := string(text)
	for _, c := range []struct {
		file, function string
		checks         int
		inlines        []string
	}{
		// One for the burst; of each frame, where it goes and what it is.
		{"queue.go", "copyFrames", 4, []string{"lines"}},
		// Of each frame, what it is and where it goes, in one piece or two.
		{"ring.go", "put", 9, nil},
	} {
		first, last := linesOf(t, c.file, c.function)
		checks, inlined := 0, map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^\./`+regexp.QuoteMeta(c.file)+`:(\d+):\d+: (Found Is(?:Slice)?InBounds|inlining call to (\S+))$`).FindAllStringSubmatch(out, -1) {
			switch line, _ := strconv.Atoi(m[1]); {
			case line < first || line > last:
			case m[3] != "":
				inlined[m[3]] = true
			default:
				checks++
			}
		}
		assert.Positive(t, checks, "%s: the compiler's output was not understood", c.function)
		assert.LessOrEqual(t, checks, c.checks, "%s: bounds checks", c.function)
		for _, callee := range c.inlines {
			assert.True(t, inlined[callee], "%s no longer inlines %s", c.function, callee)
		}
	}
}

// linesOf returns the lines a function or method stands on.
func linesOf(t *testing.T, file, name string) (first, last int) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == name {
			return fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line
		}
	}
	require.Fail(t, "no such function", "%s in %s", name, file)
	return 0, 0
}
