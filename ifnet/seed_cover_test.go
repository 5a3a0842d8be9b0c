package ifnet_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rowsElsewhere are those of the packages that have the rest of if.c: the send queue, and the
// message ports of the CPUs.
var rowsElsewhere = map[string][]row{
	"../queue": {
		{name: "ifq_set_classic", by: []string{"classic.go:NewClassic", "classic.go:newClassic"}},
		{name: "ifq_classic_enqueue", by: []string{"classic.go:Enqueue", "classic.go:EnqueueBurst", "classic.go:Offer", "classic.go:refuse", "classic.go:drop"}},
		{name: "ifq_classic_dequeue", by: []string{"classic.go:Poll", "classic.go:Remove", "classic.go:DequeueBurst"}},
		{name: "ifq_classic_request", by: []string{"classic.go:Request", "classic.go:Purge"}},
	},
	"../dataplane": {
		{name: "ifaddrinit", by: []string{"mailbox.go:push", "mailbox.go:serve", "mailbox.go:take"}},
		{name: "ifa_portfn", by: []string{"control.go:Do", "mailbox.go:push", "mailbox.go:run"}},
	},
}

// Each row of TestSeed alone covers nine tenths of the functions that do its work: it runs
// the real code, and most of what that can do.
func TestSeedCovers(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tests once more and runs each row by itself")
	}
	seedCovers(t, ".", rows)
	for dir, rows := range rowsElsewhere {
		seedCovers(t, dir, rows)
	}
}

// seedCovers looks at the rows of one package.
func seedCovers(t *testing.T, dir string, rows []row) {
	binary := filepath.Join(t.TempDir(), "seed.test")
	build := exec.Command("go", "test", "-c", "-cover", "-coverpkg=.", "-o", binary, ".")
	build.Dir = dir
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	functions := functionsIn(t, dir)
	covered := map[uintptr]map[string]float64{} // by test: some rows share one
	for _, row := range rows {
		var percent map[string]float64
		if row.test != nil {
			percent = covered[reflect.ValueOf(row.test).Pointer()]
		}
		if percent == nil {
			percent = cover(t, dir, binary, row.name, functions)
		}
		if row.test != nil {
			covered[reflect.ValueOf(row.test).Pointer()] = percent
		}
		require.NotEmpty(t, row.by, row.name)
		for _, fn := range row.by {
			p, there := percent[fn]
			require.True(t, there, "%s: there is no function %s", row.name, fn)
			if p < 90 {
				t.Errorf("%s covers %.1f %% of %s", row.name, p, fn)
			}
		}
	}
}

// function is where a function stands. Its name is file:name; methods of the same name
// in one file are told apart by who covers them best.
type function struct {
	name        string
	first, last int // lines
}

// functionsIn finds the functions of the package in a folder, by file.
func functionsIn(t *testing.T, dir string) map[string][]function {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	all := map[string][]function{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				file := filepath.Base(file)
				all[file] = append(all[file], function{file + ":" + fn.Name.Name, fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line})
			}
		}
	}
	return all
}

// cover runs one row and returns how much it covers of each function, in percent of
// statements, as "go tool cover -func" counts.
func cover(t *testing.T, dir, binary, row string, functions map[string][]function) map[string]float64 {
	profile := filepath.Join(t.TempDir(), "profile")
	run := exec.Command(binary, "-test.run=^TestSeed$/^"+row+"$", "-test.coverprofile="+profile)
	run.Dir = dir
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s: %s", row, out)
	f, err := os.Open(profile)
	require.NoError(t, err)
	defer f.Close()
	total, hit := map[function]int{}, map[function]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// example.org/pmd/ifnet/poll.go:12.60,13.27 1 3
		file, place, ok := strings.Cut(filepath.Base(lines.Text()), ":")
		var line, column, endLine, endColumn, statements, count int
		if _, err := fmt.Sscanf(place, "%d.%d,%d.%d %d %d", &line, &column, &endLine, &endColumn, &statements, &count); !ok || err != nil {
			continue // the mode, in the first line
		}
		for _, fn := range functions[file] {
			if fn.first <= line && line <= fn.last {
				total[fn] += statements
				if count > 0 {
					hit[fn] += statements
				}
			}
		}
	}
	percent := map[string]float64{}
	for fn, n := range total {
		percent[fn.name] = max(percent[fn.name], 100*float64(hit[fn])/float64(n))
	}
	return percent
}
