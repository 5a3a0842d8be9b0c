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
	looked := 0
	q.Comp.Observe(func(addrs []uint64) { looked += len(addrs) })
	assert.Zero(t, testing.AllocsPerRun(100, func() { turn() }))
	assert.NotZero(t, looked)
}

// burstLoops are the loops that run once a packet: no bounds check, and these
// calls inlined. Most of them are the frame set's.
var burstLoops = map[string]struct {
	dir, file, function string
	inlined             []string
}{
	"receive":  {mbufDir, "frameset.go", "RemoveFrames", nil},
	"fill":     {mbufDir, "frameset.go", "AddAddrs", nil},
	"sendable": {".", "tx.go", "sendable", []string{"lastLen"}},
	"transmit": {mbufDir, "frameset.go", "AddFrames", nil},
	"complete": {mbufDir, "frameset.go", "RemoveAddrs", nil},
}

const mbufDir = "../../../mbuf"

// TestBurstLoops asks the compiler what it made of the burst loops.
func TestBurstLoops(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command: ", err)
	}
	notes := regexp.MustCompile(`(?m)^\S*?(\w+\.go):(\d+):\d+: (Found Is\w+|inlining call to .*)$`)
	byFile := map[string][][2]string{}
	for _, dir := range []string{".", mbufDir} {
		cmd := exec.Command(goTool, "build", "-gcflags=-m -d=ssa/check_bce/debug=1", ".")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		found := notes.FindAllStringSubmatch(string(out), -1)
		require.NotEmpty(t, found, "the compiler says nothing: %s", out)
		for _, m := range found {
			file := filepath.Join(dir, m[1])
			byFile[file] = append(byFile[file], [2]string{m[2], m[3]})
		}
	}
	for name, l := range burstLoops {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(l.dir, l.file)
			first, last := loopLines(t, file, l.function)
			var got []string
			for _, n := range byFile[file] {
				line, err := strconv.Atoi(n[0])
				require.NoError(t, err)
				if line >= first && line <= last {
					got = append(got, n[1])
				}
			}
			for _, g := range got {
				assert.False(t, strings.HasPrefix(g, "Found"), "%s lines %d to %d: %s", file, first, last, g)
			}
			for _, call := range l.inlined {
				assert.Contains(t, strings.Join(got, "\n")+"\n", ")."+call+"\n", "not inlined: %s", call)
			}
		})
	}
}

// loopLines returns the first and last line of the loops in a function.
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
				if first == 0 {
					first = fset.Position(r.Body.Lbrace).Line + 1
				}
				last = fset.Position(r.End()).Line
			}
			return true
		})
		return false
	})
	require.NotZero(t, first, "%s has no loop in %s", file, function)
	return first, last
}
