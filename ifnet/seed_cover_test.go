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

// Each row of TestSeed alone covers nine tenths of the functions that do its work: it runs
// the real code, and most of what that can do.
func TestSeedCovers(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tests once more and runs each row by itself")
	}
	binary := filepath.Join(t.TempDir(), "ifnet.test")
	out, err := exec.Command("go", "test", "-c", "-cover", "-coverpkg=.", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	functions := functionsHere(t)
	covered := map[uintptr]map[string]float64{} // by test: some rows share one
	for _, row := range rows {
		percent := covered[reflect.ValueOf(row.test).Pointer()]
		if percent == nil {
			percent = cover(t, binary, row.name, functions)
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

// functionsHere finds the functions of this package, by file.
func functionsHere(t *testing.T) map[string][]function {
	files, err := filepath.Glob("*.go")
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
				all[file] = append(all[file], function{file + ":" + fn.Name.Name, fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line})
			}
		}
	}
	return all
}

// cover runs one row and returns how much it covers of each function, in percent of
// statements, as "go tool cover -func" counts.
func cover(t *testing.T, binary, row string, functions map[string][]function) map[string]float64 {
	profile := filepath.Join(t.TempDir(), "profile")
	out, err := exec.Command(binary, "-test.run=^TestSeed$/^"+row+"$", "-test.coverprofile="+profile).CombinedOutput()
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
