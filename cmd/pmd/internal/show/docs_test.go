package show_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
)

// documented reads the tables of docs/drops.md: the cells of each row by the name
// its first cell holds, apart for the two parts.
func documented(t *testing.T) (drops, counters, device map[string][]string) {
	t.Helper()
	b, err := os.ReadFile("../../../../docs/drops.md")
	require.NoError(t, err)
	first, second, ok := strings.Cut(string(b), "\n## Device counters\n")
	require.True(t, ok)
	first, modes, ok := strings.Cut(first, "\n## Counters of modes\n")
	require.True(t, ok)
	rows := func(text string) map[string][]string {
		out := map[string][]string{}
		for _, line := range strings.Split(text, "\n") {
			name, rest, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |")
			if !strings.HasPrefix(line, "| `") || !ok {
				continue
			}
			assert.NotContains(t, out, name, "described twice")
			var cells []string
			for _, c := range strings.Split(strings.TrimSuffix(strings.TrimSpace(rest), "|"), "|") {
				cells = append(cells, strings.TrimSpace(c))
			}
			out[name] = cells
		}
		return out
	}
	return rows(first), rows(modes), rows(second)
}

// TestDocumentationListsEveryModeCounter does for the counters of modes what the
// next does for reasons.
func TestDocumentationListsEveryModeCounter(t *testing.T) {
	_, counters, _ := documented(t)
	for _, c := range dataplane.Counters() {
		assert.Contains(t, counters, c.String())
		delete(counters, c.String())
	}
	assert.Empty(t, counters, "docs/drops.md describes counters that do not exist")
}

// TestDocumentationListsEveryReason: docs/drops.md tells of each reason where it
// counts, what it means and what to do, and of no reason that does not exist.
func TestDocumentationListsEveryReason(t *testing.T) {
	drops, _, _ := documented(t)
	for r := pmd.Reason(0); r < pmd.ReasonUser; r++ {
		cells, ok := drops[r.String()]
		if !assert.True(t, ok, "docs/drops.md lacks %s", r) {
			continue
		}
		if assert.Len(t, cells, 3, r) {
			assert.Contains(t, []string{"in", "out"}, cells[0], r)
			assert.NotEmpty(t, cells[1], r)
			assert.NotEmpty(t, cells[2], r)
		}
		delete(drops, r.String())
	}
	assert.Empty(t, drops, "docs/drops.md describes reasons that do not exist")
}

// TestDocumentationListsEveryDeviceCounter does the same for the names that the
// Missed methods of our drivers return. They are read from the source, since some
// drivers exist on one system only.
func TestDocumentationListsEveryDeviceCounter(t *testing.T) {
	_, _, device := documented(t)
	names := missedNames(t)
	for _, n := range []string{
		"rx_dropped", "rx_invalid_descs", "tx_invalid_descs", "rx_ring_full", "rx_fill_ring_empty_descs", "tx_ring_empty_descs",
	} {
		assert.Contains(t, names, n, "a field of struct xdp_statistics that no driver tells")
	}
	for name, where := range names {
		if cells, ok := device[name]; assert.True(t, ok, "docs/drops.md lacks %s of %s", name, where) {
			assert.Len(t, cells, 3, name)
			p := engine.Port{PortStats: dataplane.PortStats{Missed: map[string]uint64{name: 7}}}
			assert.Equal(t, strings.HasPrefix(cells[0], "yes") && !strings.Contains(cells[0], "sent"), p.Lost() == 7, "%s is a loss of received frames, or not", name)
		}
		delete(device, name)
	}
	assert.Empty(t, device, "docs/drops.md describes counters that no driver has")
}

// missedNames returns the keys of every map literal in a method named Missed below
// the folder pmd, with the file they are in.
func missedNames(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	err := filepath.WalkDir("../../../../pmd", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "Missed" || fn.Recv == nil {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				kv, ok := n.(*ast.KeyValueExpr)
				if !ok {
					return true
				}
				if lit, ok := kv.Key.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					name, err := strconv.Unquote(lit.Value)
					assert.NoError(t, err)
					names[name] = path
				}
				return true
			})
		}
		return nil
	})
	require.NoError(t, err)
	return names
}
