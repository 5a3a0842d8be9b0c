package xsk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoAllocations runs every packet-path call.
func TestNoAllocations(t *testing.T) {
	q := newTestQueue(t, 1024, SimConfig{RxRing: 256, TxRing: 256, FillRing: 256, CompRing: 256})
	burst := make([]mbuf.Frame, 64)
	packet := numbered(1, 60)
	turn := func() int {
		q.Fill.Fill(q.cache, 128, q.rxPosted)
		q.sim.Deliver(packet, len(burst))
		n, _ := q.Rx.Receive(burst, 0, q.rxPosted)
		q.Tx.Post(burst[:n], q.txPosted)
		q.sim.Kick()
		n, _, _ = q.Comp.Complete(q.cache, q.txPosted)
		return n
	}
	require.Equal(t, len(burst), turn())
	assert.Zero(t, testing.AllocsPerRun(100, func() { turn() }))
}

// burstLoops are the loops that run once a packet: no bounds check, and these
// calls inlined.
var burstLoops = map[string]struct {
	file, function string
	inlined        []string
}{
	"receive":  {"rx.go", "take", []string{"lastLen", "Remove"}},
	"fill":     {"fill.go", "put", []string{"Add"}},
	"transmit": {"tx.go", "put", []string{"lastLen", "Add"}},
	"complete": {"comp.go", "take", []string{"Remove"}},
}

// TestBurstLoops asks the compiler what it made of the burst loops.
func TestBurstLoops(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command: ", err)
	}
	out, err := exec.Command(goTool, "build", "-gcflags=-m -d=ssa/check_bce/debug=1", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	notes := regexp.MustCompile(`(?m)^\./(\w+\.go):(\d+):\d+: (Found Is\w+|inlining call to .*)$`)
	byFile := map[string][][2]string{}
	for _, m := range notes.FindAllStringSubmatch(string(out), -1) {
		byFile[m[1]] = append(byFile[m[1]], [2]string{m[2], m[3]})
	}
	require.NotEmpty(t, byFile, "the compiler says nothing: %s", out)
	for name, l := range burstLoops {
		t.Run(name, func(t *testing.T) {
			first, last := loopLines(t, l.file, l.function)
			var got []string
			for _, n := range byFile[l.file] {
				line, err := strconv.Atoi(n[0])
				require.NoError(t, err)
				if line >= first && line <= last {
					got = append(got, n[1])
				}
			}
			for _, g := range got {
				assert.False(t, strings.HasPrefix(g, "Found"), "%s lines %d to %d: %s", l.file, first, last, g)
			}
			for _, call := range l.inlined {
				assert.Contains(t, strings.Join(got, "\n")+"\n", ")."+call+"\n", "not inlined: %s", call)
			}
		})
	}
}

// loopLines returns the first and last line of the loop in a function.
func loopLines(t *testing.T, file, function string) (first, last int) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, filepath.Clean(file), nil, 0)
	require.NoError(t, err)
	ast.Inspect(f, func(n ast.Node) bool {
		fn, ok := n.(*ast.FuncDecl)
		if !ok || fn.Name.Name != function {
			return true
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if r, ok := n.(*ast.RangeStmt); ok {
				first, last = fset.Position(r.Body.Lbrace).Line+1, fset.Position(r.End()).Line
			}
			return true
		})
		return false
	})
	require.NotZero(t, first, "%s has no loop in %s", file, function)
	return first, last
}
